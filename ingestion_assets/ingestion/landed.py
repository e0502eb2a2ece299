"""What became of a slice: the figures that the command line, Dagster's metadata and the log show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from ingestion_assets.ingestion.fetched import Fetched
from ingestion_assets.ingestion.plan import Slice
from ingestion_assets.intervals import iso
from ingestion_assets.stores.gap_ledger import Hole
from ingestion_assets.stores.lake import Merge
from ingestion_assets.tables import Table


@dataclass(frozen=True)
class Landed:
    """What became of a slice."""

    slice: Slice
    table: Table
    error: Exception | None
    status: str  # ok, no_data, dry_run, failed
    fetched: int
    new: int
    changed: int
    dropped: int
    quarantined: int
    rows: int
    expected: int
    holes: list[Hole]
    first: datetime | None
    last: datetime | None
    path: str
    size: int
    requests: int
    seconds: float
    query: str
    delisted_at: datetime | None
    touched_from: datetime | None
    reason: str = ""  # why nobody was asked

    @classmethod
    def of(
        cls,
        table: Table,
        fetched: Fetched,
        merge: Merge,
        *,
        error: Exception | None = None,
        dry_run: bool = False,
        quarantined: int = 0,
        expected: int = 0,
        holes: Sequence[Hole] = (),
        query: str = "",
    ) -> Self:
        """From what the vendor gave and what that did to the lake."""
        return cls(
            slice=fetched.slice,
            table=table,
            error=error,
            status="failed" if error else "dry_run" if dry_run else "ok" if merge.rows else "no_data",
            fetched=fetched.rows.num_rows,
            new=merge.new,
            changed=merge.changed,
            dropped=merge.dropped,
            quarantined=quarantined,
            rows=merge.rows,
            expected=expected,
            holes=list(holes),
            first=merge.first,
            last=merge.last,
            path=merge.path,
            size=merge.size,
            requests=fetched.requests,
            seconds=fetched.seconds,
            query=query,
            delisted_at=fetched.delisted_at,
            touched_from=merge.touched_from,
        )

    @property
    def cursor(self) -> datetime | None:
        """What comes next after the newest row: the next bar, or of events any later moment."""
        step = self.table.grain if self.table.grid else timedelta(milliseconds=1)
        return self.last + step if self.last else None

    @property
    def coverage(self) -> float | None:
        return None if self.expected == 0 else min(1.0, self.rows / self.expected)

    def figures(self) -> dict[str, Any]:
        """Small, flat, for a program to read; Dagster's metadata is made from it."""
        return {
            "status": self.status,
            "reason": self.reason,
            "rows": self.rows,
            "new_rows": self.new,
            "changed_rows": self.changed,
            "dropped_rows": self.dropped,
            "quarantined_rows": self.quarantined,
            "fetched_rows": self.fetched,
            "expected_rows": self.expected,
            "coverage": None if self.coverage is None else round(self.coverage, 6),
            "gaps": "; ".join(f"{h.window} {h.reason}" for h in self.holes[:10]),
            "first": iso(self.first) if self.first else None,
            "last": iso(self.last) if self.last else None,
            "touched_from": iso(self.touched_from) if self.touched_from else None,
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "bytes": self.size,
            "path": self.path,
            "query": self.query,
        }


def unlanded(table: Table, fetched: Fetched, error: Exception) -> Landed:
    """A slice that was fetched but could not be kept: nothing of it is in the lake."""
    return Landed.of(table, fetched, Merge(0, 0, 0, 0, None, None, "", 0), error=error)


def summary(landed: Iterable[Landed]) -> dict[str, Any]:
    """Totals of a piece of work, for a closing line or a program."""
    every = list(landed)
    failed: dict[str, str] = {}
    for one in every:
        if one.error is not None:
            failed.setdefault(one.slice.series.id, f"{type(one.error).__name__}: {one.error}")
    seconds = timedelta(seconds=sum(one.seconds for one in every))
    return {
        "partitions": len(every),
        "failed_partitions": sum(one.error is not None for one in every),
        "fetched_rows": sum(one.fetched for one in every),
        "new_rows": sum(one.new for one in every),
        "changed_rows": sum(one.changed for one in every),
        "quarantined_rows": sum(one.quarantined for one in every),
        "requests": sum(one.requests for one in every),
        "busy_seconds": round(seconds.total_seconds(), 1),
        "failed": failed,
    }
