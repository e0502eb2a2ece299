"""A line to Redis that breaks after so many bytes of what is asked: a write that ends anywhere.

The faulty line of `servers` cuts answers; here Redis gets the beginning of a request and no more of it.
Every connection is cut at the same place, or only the first ones (`times`).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Self

from ingestion_assets.embedded import LOOPBACK


class CuttingProxy:
    """`with CuttingProxy(port, cut_after=700) as proxy`: `proxy.url` leads to the Redis on that port."""

    def __init__(self, port: int, *, cut_after: int, times: int = 1_000) -> None:
        self._upstream, self.cut_after, self._times = port, cut_after, times
        self.cuts = 0
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server((LOOPBACK, 0))
        self._open = [self._listener]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join()

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self._listener.getsockname()[1]}/0"

    def _start(self, work, *arguments: socket.socket) -> None:  # type: ignore[no-untyped-def]
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((LOOPBACK, self._upstream))
            self._open += [client, server]
            self._start(self._answers, client, server)
            self._start(self._requests, client, server)

    def settle(self) -> None:
        """Wait until Redis has done with every connection; call it when the client has closed its own."""
        for thread in self._threads[1:]:
            thread.join()

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        """To Redis's end, whether or not somebody still listens."""
        with contextlib.suppress(OSError):
            while block := server.recv(65_536):
                with contextlib.suppress(OSError):
                    client.sendall(block)

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on, up to the cut; the server still works on what it got before it sees the end."""
        passed = 0
        with contextlib.suppress(OSError):
            while block := client.recv(65_536):
                if self.cuts < self._times and passed + len(block) > self.cut_after:
                    self.cuts += 1
                    server.sendall(block[: self.cut_after - passed])
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.close()
                    break
                passed += len(block)
                server.sendall(block)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)
