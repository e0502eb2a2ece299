"""A slice as its vendor answered: what fetching hands to landing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from ingestion_assets.ingestion.plan import Plan, Slice
from ingestion_assets.intervals import Window, period_window
from ingestion_assets.registry import Series
from ingestion_assets.stores.archive_files import ArchiveFile
from ingestion_assets.stores.gap_ledger import Hole
from ingestion_assets.tables import Table


@dataclass
class Fetched:
    """A slice as the venue answered. With an error, the rows are those that came before it."""

    slice: Slice
    plan: Plan
    rows: pa.Table
    holes: list[Hole] = field(default_factory=list)
    error: Exception | None = None
    requests: int = 0
    seconds: float = 0.0
    now: datetime | None = None
    delisted_at: datetime | None = None
    # The time about which everything is known now; without it: all that was missing, unless it failed.
    covered: list[Window] | None = None
    # Where the vendor was asked beside what was missing, because that takes no request more.
    besides: list[Window] = field(default_factory=list)
    files: list[ArchiveFile] = field(default_factory=list)  # of archives, out of which rows came

    @classmethod
    def nothing(cls, table: Table, piece: Slice, error: Exception) -> Fetched:
        """A slice that could not even be begun."""
        return cls(piece, Plan(piece, [], []), table.empty(), error=error)

    @classmethod
    def refused(cls, table: Table, key: str, error: Exception) -> Fetched:
        """The same for a partition key whose series is not known."""
        period, _, name = key.partition("|")
        stranger = Series(name, table.domain, name.partition(".")[0], name.partition(".")[2])
        return cls.nothing(table, Slice(stranger, period, period_window(period)), error)
