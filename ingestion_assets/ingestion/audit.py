"""Auditing: what the lake should hold of each series and does not, and how late its newest bar is.

Asks no vendor. Findings go into the ledger, from which healing takes its work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ingestion_assets.intervals import Window, bars, floor, intersect, period_window, periods, subtract, union
from ingestion_assets.registry import Series
from ingestion_assets.stores.gap_ledger import MISSING, GapLedger, Hole
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.lake_file import CorruptFile
from ingestion_assets.tables import Table

NEVER_FETCHED = "never fetched"
NOT_IN_LAKE = "not in the lake, though it should be"
UNREADABLE = "the file cannot be read"


@dataclass(frozen=True)
class Audit:
    """How complete one series is over one window."""

    series: Series
    window: Window
    expected: int
    absent: int  # bars that are not there and that nobody has explained
    pending: int  # bars that have not been asked for yet
    affirmed: int  # bars that the venue says do not exist
    holes: list[Window] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)

    @property
    def coverage(self) -> float:
        """Of the bars that exist as far as anybody knows, the part that is held."""
        existing = self.expected - self.affirmed
        return 1.0 if existing <= 0 else 1 - (self.absent + self.pending) / existing

    @property
    def longest(self) -> timedelta:
        return max((w.length for w in self.holes), default=timedelta())


@dataclass(frozen=True)
class Lateness:
    """How far behind the present the newest bar of a series is."""

    series: Series
    last: datetime | None
    late_by: timedelta

    def __str__(self) -> str:
        minutes = int(self.late_by.total_seconds() // 60)
        return f"{self.series.id} is {minutes} min behind" if self.last else f"{self.series.id} has no data"


def expected_window(series: Series, until: datetime) -> Window | None:
    """The time that the lake should cover of a series, as the registry says."""
    start = max(filter(None, (series.backfill_from, series.listed_at)), default=None)
    if start is None:
        return None
    window = Window(start, min(filter(None, (series.delisted_at, until))))
    return window if window.start < window.end else None


def audit(
    table: Table,
    series: Series,
    lake: Lake,
    ledger: GapLedger,
    now: datetime,
    *,
    grace: timedelta,
    since: datetime | None = None,
) -> Audit:
    """Compare a series with what should be there, and note it in the ledger.

    The last `grace` is left to the freshness check: bars that are just being made are no gap.
    """
    until = floor(now - grace, table.grain)
    whole = expected_window(series, until)
    window = whole and Window(max(whole.start, since or whole.start), whole.end)
    if window is None or window.start >= window.end:
        return Audit(series, Window(until, until), 0, 0, 0, 0)
    known = ledger.story(table.path, series.id, window)
    fresh_start = not known and not lake.months(table, series.id)
    holes, corrupt = holes_of(table, series, lake, window)
    believed = intersect(ledger.believed_empty(table.path, series.id, now), holes)
    open_holes = subtract(holes, believed)
    never = [g.window for g in known if g.closed_at is None and g.evidence == NEVER_FETCHED]
    pending = open_holes if fresh_start else intersect(open_holes, never)
    absent = subtract(open_holes, pending)
    found = [Hole(w, MISSING, NEVER_FETCHED) for w in pending]
    found += [Hole(w, MISSING, UNREADABLE if corrupt else NOT_IN_LAKE) for w in absent]
    found += [Hole(w) for w in believed]  # keeps a verdict that still holds, and heals what is outside
    ledger.record(table.path, series.id, window, found, now=now)
    return Audit(
        series=series,
        window=window,
        expected=bars([window], table.grain),
        absent=bars(absent, table.grain),
        pending=bars(pending, table.grain),
        affirmed=bars(believed, table.grain),
        holes=absent,
        corrupt=corrupt,
    )


def holes_of(table: Table, series: Series, lake: Lake, window: Window) -> tuple[list[Window], list[str]]:
    """Holes, and files that cannot be read: each is a hole of its own month or day alone."""
    found: list[Window] = []
    corrupt = []
    for period in periods(window, table.cut):
        whole = period_window(period)
        part = Window(max(whole.start, window.start), min(whole.end, window.end))
        try:
            found += lake.holes(table, series.id, part)
        except CorruptFile as error:
            corrupt.append(error.path)
            found.append(part)
    return union(found), corrupt


def lateness(
    table: Table,
    many: Iterable[Series],
    lake: Lake,
    now: datetime,
    settle: timedelta,
    known_since: Mapping[str, datetime] | None = None,
) -> list[Lateness]:
    """By the time of the data, series by series; an old month's backfill changes nothing here. Of events it
    is the time until which they were fetched.

    A series without data is late from when it is known, not from its listing years ago.
    """
    found = []
    for series in many:
        if series.delisted_at is not None and series.delisted_at <= now:
            continue
        try:
            last = lake.last_time(table, series.id)
            reached = last + table.grain if last and table.grid else lake.reached(table, series.id)
        except CorruptFile:  # as good as no file; the next run replaces it
            last = reached = None
        due = floor(now - settle, table.grain)
        known = (known_since or {}).get(series.id)
        first = max(filter(None, (series.listed_at, known)), default=due - timedelta(days=1))
        found.append(Lateness(series, last, max(timedelta(), due - (reached or first))))
    return found
