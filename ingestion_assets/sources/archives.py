"""Archives of files that are restated now and then: which file a page came from, and with what checksum.

That is noted with what was landed (stores/archive_files.py), to be compared with what is published later.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ingestion_assets.sources.feeds import Page, Vendor


@dataclass(frozen=True)
class FilePage(Page):
    """A page out of a file."""

    path: str = ""
    sha256: str = ""


class Archive(Vendor, ABC):
    """A vendor whose files have published checksums."""

    @abstractmethod
    async def checksum(self, path: str) -> str | None:
        """The SHA-256 that is published for a file now; None: none is."""
