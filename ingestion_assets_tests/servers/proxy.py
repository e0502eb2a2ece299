"""A line to a server that can be made bad while it is in use."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
import struct
import threading
from typing import Self

from ingestion_assets.embedded import LOOPBACK


class FaultyProxy:
    """A TCP line to a server on loopback that can be made bad while it is in use.

    `.port`, `.address` to connect to. Faults, to be set at any time:
    `.latency` seconds per block and direction; `.blackhole` nothing passes, nothing closes;
    `.refuse` new connections are reset; `.cut_after` bytes of the answer, then the connection is closed
    (`.cut_with_reset` for a reset instead); `reset_all()` resets the living connections; `heal()`.
    """

    def __init__(self, port: int, host: str = LOOPBACK) -> None:
        self.upstream = (host, port)
        self.port = 0
        self.connections = 0  # accepted so far
        self._streams: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.heal()

    def heal(self) -> None:
        self.latency = 0.0
        self.blackhole = False
        self.refuse = False
        self.cut_after: int | None = None
        self.cut_with_reset = False

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        started: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="proxy")
        self._thread.start()
        self.port = started.result(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def reset_all(self) -> None:
        """Reset every living connection; returns when it is done."""
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        def reset() -> None:
            for stream in list(self._streams):
                _reset(stream)
            done.set_result(None)

        self._loop.call_soon_threadsafe(reset)
        done.result(30)

    async def _serve(self, started: concurrent.futures.Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        streams = [writer]
        try:
            if self.refuse:
                _reset(writer)
                return
            up_reader, up_writer = await asyncio.open_connection(*self.upstream)
            streams.append(up_writer)
            self._streams.update(streams)
            await asyncio.gather(self._pump(reader, up_writer), self._pump(up_reader, writer, answer=True))
        except _Cut:
            pass  # closed below
        except (OSError, asyncio.CancelledError):
            for stream in streams:
                _reset(stream)
        finally:
            self._streams.difference_update(streams)
            for stream in streams:
                stream.close()
                with contextlib.suppress(OSError):
                    await stream.wait_closed()
            self._tasks.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answer: bool = False
    ) -> None:
        passed = 0
        while block := await reader.read(65536):
            while self.blackhole:  # noqa: ASYNC110 - set from another thread, which no asyncio.Event allows
                await asyncio.sleep(0.02)
            if self.latency:
                await asyncio.sleep(self.latency)
            if answer and self.cut_after is not None and passed + len(block) > self.cut_after:
                writer.write(block[: max(self.cut_after - passed, 0)])
                await writer.drain()
                raise ConnectionResetError if self.cut_with_reset else _Cut
            passed += len(block)
            writer.write(block)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class _Cut(Exception):
    """The answer ends here."""


def _reset(stream: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    line: socket.socket | None = stream.get_extra_info("socket")
    if line is not None and line.fileno() >= 0:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.transport.abort()
