"""Where files live and how one is replaced without a reader or another writer noticing half of it.

One interface (base) over a local folder, S3 and GCS. `update` is the heart: read what is there, let the
caller make the new content, put it in place only if nobody else did meanwhile.

    local   a lock on the folder (flock), a temporary file that no reader's pattern matches, fsync, rename
    s3      conditional writes: If-Match on the version that was read, If-None-Match when there was none
    gcs     plain atomic put, last writer wins (pyarrow offers no condition there); not tested for want of GCS
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ingestion_assets.stores.objects.base import Objects, StoreError
from ingestion_assets.stores.objects.gcs import GcsObjects
from ingestion_assets.stores.objects.local import LocalObjects
from ingestion_assets.stores.objects.s3 import S3Objects

__all__ = ["GcsObjects", "LocalObjects", "Objects", "S3Objects", "StoreError", "open_objects"]


def open_objects(location: str, options: Mapping[str, Any] | None = None) -> Objects:
    """The store that a URL or an absolute folder names."""
    scheme = urlsplit(location).scheme
    if scheme == "s3":
        return S3Objects(location, options or {})
    if scheme == "gs":
        return GcsObjects(location)
    return LocalObjects(location)
