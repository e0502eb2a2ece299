"""Files in a folder of this machine: a lock on the folder, a temporary file, fsync, rename."""

from __future__ import annotations

import builtins
import contextlib
import errno
import fcntl
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.fs as pafs

from ingestion_assets.stores.objects.base import TEMPORARY, Objects


class LocalObjects(Objects):
    def __init__(self, location: str) -> None:
        path = Path(location.removeprefix("file://")).expanduser().resolve()
        super().__init__(str(path), pafs.LocalFileSystem(), str(path))

    def list(self, folder: str, suffix: str = "") -> builtins.list[str]:
        with self._explained("list", folder):  # for Arrow a file in the way is as good as no folder
            if Path(self.root).is_file():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self.root)
        return super().list(folder, suffix)

    def _versioned(self, path: str) -> tuple[bytes | None, str | None]:
        try:
            return Path(self.full(path)).read_bytes(), None
        except FileNotFoundError:
            return None, None

    def _update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> bool:
        target = Path(self.full(path))
        folder = target.parent
        with _locked(folder):
            # Whoever held the lock before us and was killed has left its temporary file behind.
            for leftover in folder.glob(f"{TEMPORARY}*"):
                leftover.unlink()
            content = change(self._versioned(path)[0])
            if content is None:
                return False
            temporary = folder / f"{TEMPORARY}{uuid.uuid4().hex}"
            try:
                with temporary.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _sync_folder(folder)
        return True


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder itself is what is locked, so no lock file is ever left behind.

    While we wait somebody may delete the folder and make it anew: the lock on the old one is then worth
    nothing, and is taken again on the new one.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(handle), folder.stat()):
                    break
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
    try:
        yield
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
