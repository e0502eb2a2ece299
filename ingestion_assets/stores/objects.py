"""Where files live and how one is replaced without a reader or another writer noticing half of it.

One interface over a local folder, S3 and GCS. `update` is the heart: read what is there, let the caller
make the new content, put it in place only if nobody else did meanwhile.

    local   a lock on the folder (flock), a temporary file that no reader's pattern matches, fsync, rename
    S3      conditional writes: If-Match on the version that was read, If-None-Match when there was none
    GCS     plain atomic put, last writer wins (pyarrow offers no condition there); not tested for want of GCS
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

_TEMPORARY = ".tmp-"
_CONFLICTS_BORNE = 20
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
            if i.type == pafs.FileType.File and i.path.endswith(suffix) and f"/{_TEMPORARY}" not in i.path
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


class LocalObjects(Objects):
    def __init__(self, location: str) -> None:
        path = Path(location.removeprefix("file://")).expanduser().resolve()
        super().__init__(str(path), pafs.LocalFileSystem(), str(path))

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
            for leftover in folder.glob(f"{_TEMPORARY}*"):
                leftover.unlink()
            content = change(self._versioned(path)[0])
            if content is None:
                return False
            temporary = folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
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


class S3Objects(Objects):
    def __init__(self, location: str, options: Mapping[str, Any]) -> None:
        parts = urlsplit(location)
        self._bucket, self._options = parts.netloc, options
        endpoint = options.get("endpoint_url")
        if bool(options.get("access_key")) != bool(options.get("secret_key")):
            raise StoreError(
                f"cannot use {location}: only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set. "
                "Set both, or neither to use this machine's own AWS identity"
            )
        fs = pafs.S3FileSystem(
            access_key=options.get("access_key"),
            secret_key=options.get("secret_key"),
            session_token=options.get("session_token"),
            region=options.get("region") or "us-east-1",
            endpoint_override=urlsplit(endpoint).netloc if endpoint else None,
            scheme=urlsplit(endpoint).scheme if endpoint else "https",
            connect_timeout=10,
            request_timeout=60,
        )
        super().__init__(location, fs, f"{parts.netloc}{parts.path}")

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        # A session of its own: the shared one may not be used from several threads.
        return boto3.session.Session().client(
            "s3",
            aws_access_key_id=self._options.get("access_key"),
            aws_secret_access_key=self._options.get("secret_key"),
            aws_session_token=self._options.get("session_token"),
            region_name=self._options.get("region") or "us-east-1",
            endpoint_url=self._options.get("endpoint_url"),
            config=Config(
                connect_timeout=10, read_timeout=60, retries={"max_attempts": 4, "mode": "standard"}
            ),
        )

    def _key(self, path: str) -> str:
        return self.full(path).removeprefix(f"{self._bucket}/")

    def _versioned(self, path: str) -> tuple[bytes | None, str | None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(path))
            return answer["Body"].read(), answer["ETag"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None, None
            raise OSError(f"S3 says {error.response['Error']['Code']}: {error}") from error
        except BotoCoreError as error:
            raise OSError(str(error)) from error

    def _update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        for conflicts in range(_CONFLICTS_BORNE):
            time.sleep(random.random() * 0.05 * conflicts)  # noqa: S311 so that racing writers fall out of step
            before, version = self._versioned(path)
            content = change(before)
            if content is None:
                return False
            condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
            try:
                self._client.put_object(Bucket=self._bucket, Key=self._key(path), Body=content, **condition)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in (
                    "PreconditionFailed",
                    "ConditionalRequestConflict",
                    "412",
                    "409",
                    "NoSuchKey",
                    "404",
                ):
                    continue  # another writer was faster: take its rows in and try again
                raise OSError(f"S3 says {code}: {error}") from error
            except BotoCoreError as error:
                raise OSError(str(error)) from error
            return True
        raise OSError(f"{_CONFLICTS_BORNE} other writers were faster, one after the other")


class GcsObjects(Objects):
    def __init__(self, location: str) -> None:
        super().__init__(location, pafs.GcsFileSystem(), location.removeprefix("gs://"))

    def _versioned(self, path: str) -> tuple[bytes | None, str | None]:
        if not self.exists(path):
            return None, None
        with self.fs.open_input_file(self.full(path)) as file:
            return file.read(), None

    def _update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> bool:
        content = change(self._versioned(path)[0])
        if content is None:
            return False
        with self.fs.open_output_stream(self.full(path)) as file:
            file.write(content)
        return True


def open_objects(location: str, options: Mapping[str, Any] | None = None) -> Objects:
    """The store that a URL or an absolute folder names."""
    scheme = urlsplit(location).scheme
    if scheme == "s3":
        return S3Objects(location, options or {})
    if scheme == "gs":
        return GcsObjects(location)
    return LocalObjects(location)


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
