"""Files of archives that rows in the lake came from, by their checksums: which of them were restated since.

A part of a file is noted when its rows have landed, and forgotten when that time is landed anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from ingestion_assets.intervals import Window, union
from ingestion_assets.stores.catalog import ARCHIVE_FILES, Catalog


@dataclass(frozen=True)
class ArchiveFile:
    """What was taken of a file, which had this checksum then."""

    vendor: str
    path: str
    window: Window
    sha256: str


@dataclass(frozen=True)
class Restated:
    """Time of a series whose file is another one now."""

    series: str
    window: Window
    path: str
    since: datetime  # when that was seen first


class ArchiveFiles:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def landed(
        self, table: str, series: str, covered: Iterable[Window], files: Iterable[ArchiveFile], now: datetime
    ) -> None:
        """These files are in the lake now, in place of whatever was noted of the covered time."""
        parts: dict[tuple[str, str, str], list[Window]] = {}
        for file in files:
            parts.setdefault((file.vendor, file.path, file.sha256), []).append(file.window)
        rows = [
            {"vendor": vendor, "path": path, "sha256": sha256, "start": part.start, "end": part.end}
            | {"table_path": table, "series": series, "landed_at": now}
            for (vendor, path, sha256), windows in parts.items()
            for part in union(windows)
        ]
        mine = sa.and_(ARCHIVE_FILES.c.table_path == table, ARCHIVE_FILES.c.series == series)
        with self.catalog.begin() as db:
            for window in union(covered):
                inside = sa.and_(ARCHIVE_FILES.c.start >= window.start, ARCHIVE_FILES.c.end <= window.end)
                db.execute(ARCHIVE_FILES.delete().where(mine, inside))
            if rows:
                db.execute(ARCHIVE_FILES.insert(), rows)

    def least_compared(self, table: str, vendor: str, count: int) -> list[str]:
        """Paths of files, those first that were landed or compared longest ago."""
        last = sa.func.min(sa.func.coalesce(ARCHIVE_FILES.c.compared_at, ARCHIVE_FILES.c.landed_at))
        query = (
            sa.select(ARCHIVE_FILES.c.path)
            .where(ARCHIVE_FILES.c.table_path == table, ARCHIVE_FILES.c.vendor == vendor)
            .group_by(ARCHIVE_FILES.c.path)
            .order_by(last, ARCHIVE_FILES.c.path)
            .limit(count)
        )
        with self.catalog.read() as db:
            return [row.path for row in db.execute(query)]

    def compared(self, vendor: str, path: str, published: str | None, now: datetime) -> None:
        """Note what is published of a file now; what was landed of another one is restated."""
        one = sa.and_(ARCHIVE_FILES.c.vendor == vendor, ARCHIVE_FILES.c.path == path)
        with self.catalog.begin() as db:
            db.execute(ARCHIVE_FILES.update().where(one).values(compared_at=now))
            if published is None:
                return
            alike = ARCHIVE_FILES.c.sha256 == published
            new = sa.and_(one, sa.not_(alike), ARCHIVE_FILES.c.restated_at.is_(None))
            db.execute(ARCHIVE_FILES.update().where(new).values(restated_at=now))
            db.execute(ARCHIVE_FILES.update().where(one, alike).values(restated_at=None))

    def restated(self, table: str) -> list[Restated]:
        """What is to be fetched again, oldest finding first."""
        query = (
            sa.select(ARCHIVE_FILES)
            .where(ARCHIVE_FILES.c.table_path == table, ARCHIVE_FILES.c.restated_at.is_not(None))
            .order_by(ARCHIVE_FILES.c.restated_at, ARCHIVE_FILES.c.id)
        )
        with self.catalog.read() as db:
            rows = db.execute(query).mappings().all()
        return [
            Restated(row["series"], Window(row["start"], row["end"]), row["path"], row["restated_at"])
            for row in rows
        ]
