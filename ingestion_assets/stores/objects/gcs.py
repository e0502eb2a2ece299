"""Files in a bucket of Google Cloud Storage: a plain atomic put, so the last writer wins."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow.fs as pafs

from ingestion_assets.stores.objects.base import Objects


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
