"""What every store of files can do, whichever it is, and how what went wrong there is told.

How one reads a file as one version and replaces it is in the files beside this one.
"""

from __future__ import annotations

import contextlib
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.fs as pafs

TEMPORARY = ".tmp-"  # what a file's name begins with while it is written
_REFUSALS = (
    "InvalidAccessKeyId",
    "INVALID_ACCESS_KEY_ID",
    "SignatureDoesNotMatch",
    "SIGNATURE_DOES_NOT_MATCH",
    "AccessDenied",
    "ACCESS_DENIED",
    "Forbidden",
    "403",
)


class StoreError(Exception):
    """The store did not do what was asked; the text says where and what may help."""


class Objects(ABC):
    """Files under one root. Paths are relative, with forward slashes."""

    def __init__(self, location: str, fs: pafs.FileSystem, root: str) -> None:
        self.location = location.rstrip("/")
        self.fs = fs
        self.root = root.rstrip("/")

    def url(self, path: str) -> str:
        """What DuckDB, Polars or pandas would be given."""
        return f"{self.location}/{path}"

    def full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def read(self, path: str) -> bytes | None:
        """All of one version of a file, or None when there is none."""
        with self._explained("read", path):
            return self._versioned(path)[0]

    def list(self, folder: str, suffix: str = "") -> list[str]:
        """Relative paths of the files below a folder, sorted; nothing when the folder is not there."""
        selector = pafs.FileSelector(self.full(folder), recursive=True, allow_not_found=True)
        with self._explained("list", folder):
            infos = self.fs.get_file_info(selector)
        length = len(self.root) + 1
        return sorted(
            i.path[length:]
            for i in infos
            if i.type == pafs.FileType.File and i.path.endswith(suffix) and f"/{TEMPORARY}" not in i.path
        )

    def exists(self, path: str) -> bool:
        with self._explained("look at", path):
            return self.fs.get_file_info(self.full(path)).type == pafs.FileType.File

    def write(self, path: str, content: bytes) -> None:
        """Put a file that nobody else writes."""
        self.update(path, lambda _: content)

    def update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> bool:
        """Replace a file by what `change` makes of its content; None leaves it. True when it was replaced."""
        with self._explained("write", path):
            return self._update(path, change)

    def delete(self, path: str) -> None:
        with self._explained("delete", path):
            self.fs.delete_file(self.full(path))

    def probe(self) -> None:
        """Write and delete a small file; raises StoreError when that cannot be done."""
        path = f"_probe/{uuid.uuid4().hex}"
        self.write(path, b"probe")
        self.delete(path)

    @abstractmethod
    def _versioned(self, path: str) -> tuple[bytes | None, str | None]: ...

    @abstractmethod
    def _update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> bool: ...

    @contextlib.contextmanager
    def _explained(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"cannot {verb} {self.url(path)}: {_short(error)}. {_remedy(error)}") from error


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 300 else text[:300] + "…"


def _remedy(error: Exception) -> str:
    text = str(error)
    number = getattr(error, "errno", None)
    if number in (13, 1) or "Permission denied" in text:
        return "Give this user the right to write there, or set DATA_LAKE_PATH to a folder of its own"
    if number == 30:
        return "The file system is mounted read-only: remount it, or set DATA_LAKE_PATH elsewhere"
    if number in (27, 28, 122):
        return (
            "The disk or a quota is full: free space, or set DATA_LAKE_PATH elsewhere; no file is half there"
        )
    if number in (9, 37, 95):
        return "This file system cannot lock folders (NFS?): set DATA_LAKE_PATH to a local disk or s3://"
    if number in (17, 20):
        return "A part of DATA_LAKE_PATH is a file, not a folder"
    if "region" in text:
        return "Set AWS_DEFAULT_REGION to the region that the bucket lies in"
    if any(code in text for code in _REFUSALS):
        return "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may write to this bucket"
    if "NoSuchBucket" in text or "NO_SUCH_BUCKET" in text:
        return "Create the bucket, or correct DATA_LAKE_PATH"
    if "connect" in text.lower():
        return "Check AWS_ENDPOINT_URL and that the store is running"
    return "Check DATA_LAKE_PATH (`ingest doctor` tries it)"
