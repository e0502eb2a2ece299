"""A server that is a process of its own: started on a free port, killed, started again."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Self

from ingestion_assets.embedded import Child, ServerError, free_port


class Server:
    """What they share: `with`, a temporary folder, and a second try when a free port was taken."""

    def __init__(self) -> None:
        self.port = 0
        self.child: Child | None = None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self.folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="server-")))
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        child, self.child = self.child, None
        if child is not None:
            child.stop()
        self._cleanup.close()

    def prepare(self) -> None:
        """Once, before the first start."""

    def launch(self) -> Child:
        """Start the process on `self.port`."""
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    def start(self, attempts: int = 5) -> None:
        """Start, or start again on the same port after `kill()`."""
        for left in reversed(range(attempts if self.port == 0 else 1)):
            port = self.port
            self.port = port or free_port()
            self.child = self.launch()
            try:
                self.child.wait_until(self.ready)
            except ServerError:
                self.child.stop()
                self.port = port
                if not left:
                    raise
            else:
                return

    def kill(self) -> None:
        """Pull the plug; `start()` brings it back with what it had on disk."""
        assert self.child is not None
        self.child.kill()
