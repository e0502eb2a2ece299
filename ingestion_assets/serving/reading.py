"""Rows of features, from Redis or the lake; where they came from is said with them.

Redis holds a window: what may be older, what it has lost, and everything while it is down is read from the
lake, which gets each row first. Whether something was lost the clock tells where rows lie on a grid; of rows
that come as they come (metrics, posts, news) it is the lake's times, one column, read with each range.

Rows go out as the JSON that Redis holds, untouched; those of the lake are made the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import pyarrow as pa

from ingestion_assets.intervals import Window, month_of, month_window
from ingestion_assets.serving.lake_rows import Subject, first_rows, first_times, rows_of
from ingestion_assets.serving.problems import Unprocessable
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.online import OnlineError
from ingestion_assets.stores.online.values import Rows
from ingestion_assets.tables import Table
from ingestion_assets.tables.arrays import numbers
from ingestion_assets.workbench import Workbench

Source = Literal["redis", "lake"]
MOST_MONTHS = 12  # of the lake that one request may read


@dataclass(frozen=True)
class Found:
    """Times in epoch seconds and the row of each as JSON, oldest first."""

    source: Source
    rows: list[tuple[int, bytes]]


class Features:
    def __init__(self, bench: Workbench) -> None:
        self.bench = bench

    def points(self, subject: Subject, times: Sequence[int]) -> Found:
        """The rows at these times, those that there are; all of them from one place."""
        wanted = sorted(set(times))
        held, problem = [], None
        try:
            held = self._online_points(subject, wanted)
        except OnlineError as error:
            problem = error
        missing = set(wanted) - {at for at, _ in held}
        due = {at for at in missing if at <= self._due(subject)}
        if problem is None and not due:
            return Found("redis", held)
        kept = self._lake_points(subject, wanted, problem)
        return Found("lake", kept) if len(kept) >= len(held) or problem else Found("redis", held)

    def range(self, subject: Subject, start: int, end: int, limit: int) -> Found:
        """Rows with start <= time <= end, oldest first, at most `limit`."""
        held, problem = [], None
        try:
            if self._in_window(subject, start):
                held = self._online_range(subject, start, end, limit)
        except OnlineError as error:
            problem = error
        if problem is None and not self._lacks(subject, held, start, end, limit):
            return Found("redis", held)
        kept = self._lake_range(subject, start, end, limit, problem)
        return Found("lake", kept) if len(kept) >= len(held) or problem else Found("redis", held)

    # Redis

    def _online_points(self, subject: Subject, times: list[int]) -> list[tuple[int, bytes]]:
        store = self.bench.online
        if store is None:
            raise _no_redis()
        values = store.points_raw(subject.domain, subject.name, subject.qualifier, times)
        return [(at, value) for at, value in zip(times, values, strict=True) if value is not None]

    def _online_range(self, subject: Subject, start: int, end: int, limit: int) -> list[tuple[int, bytes]]:
        store = self.bench.online
        if store is None:
            raise _no_redis()
        return store.range_raw(subject.domain, subject.name, subject.qualifier, start, end, limit)

    def _in_window(self, subject: Subject, start: int) -> bool:
        """Whether Redis may hold everything from there on; a domain without a lake has nothing else."""
        if subject.table is None or self.bench.online is None:
            return True
        return start > time.time() - self.bench.online.life(subject.domain, subject.qualifier)

    def _lacks(
        self, subject: Subject, held: Sequence[tuple[int, bytes]], start: int, end: int, limit: int
    ) -> bool:
        """Whether there should be more than Redis gave: on a grid the clock tells, elsewhere the lake."""
        if subject.table is None:
            return False
        last = min(end, self._due(subject))
        if subject.table.grid:
            first = -(-start // subject.step) * subject.step
            return len(held) < min(limit, (last - first) // subject.step + 1)
        if not held:
            return True
        if len(held) == limit:
            last = min(last, held[-1][0])
        window = Window(_moment(start), _moment(max(start, last)) + timedelta(seconds=1))
        known = first_times(self.bench.lake, subject.table, subject, window, limit)
        return not {at for at in known if at <= last} <= {at for at, _ in held}

    def _due(self, subject: Subject) -> int:
        """Rows up to then should be there by now; what is younger may still be on its way."""
        return int(time.time()) - subject.step - self.bench.settings.freshness_minutes * 60

    # The lake

    def _lake_points(
        self, subject: Subject, times: list[int], problem: OnlineError | None
    ) -> list[tuple[int, bytes]]:
        table = self._table(subject, problem)
        if table is None:
            return []
        months = sorted({month_of(datetime.fromtimestamp(at, UTC)) for at in times})
        if len(months) > MOST_MONTHS:
            raise Unprocessable(
                f"ts: the times lie in {len(months)} months: ask for those of {MOST_MONTHS} at once"
            )
        wanted, found = set(times), []
        for month in months:
            inside = [at for at in times if month_of(datetime.fromtimestamp(at, UTC)) == month]
            window = Window(_moment(inside[0]), _moment(inside[-1]) + timedelta(seconds=1))
            rows = _as_json(rows_of(self.bench.lake, table, subject, window))
            found += [row for row in rows if row[0] in wanted]
        return found

    def _lake_range(
        self, subject: Subject, start: int, end: int, limit: int, problem: OnlineError | None
    ) -> list[tuple[int, bytes]]:
        table = self._table(subject, problem)
        if table is None:
            return []
        window = Window(_moment(start), _moment(end) + timedelta(seconds=1))
        return _as_json(first_rows(self.bench.lake, table, subject, window, limit))

    def _table(self, subject: Subject, problem: OnlineError | None) -> Table | None:
        if subject.table is None and problem is not None:
            raise problem  # nobody else has these rows: an empty answer would be a wrong one
        return subject.table


def newest_rows(
    lake: Lake, table: Table, series: str, window: Window, limit: int, *, oldest: bool = False
) -> list[tuple[int, bytes]]:
    """At most `limit` rows of a window, oldest first; of more the newest, or the `oldest`."""
    found: list[tuple[int, bytes]] = []
    held = lake.months(table, series)
    for month in held if oldest else reversed(held):
        whole = month_window(month)
        part = Window(max(whole.start, window.start), min(whole.end, window.end))
        left = limit - len(found)
        if part.start < part.end and left > 0:
            rows = lake.read(table, series, part)
            rows = rows.slice(0, left) if oldest else rows.slice(max(0, rows.num_rows - left))
            found = [*found, *_as_json(rows)] if oldest else [*_as_json(rows), *found]
    return found


def _as_json(rows: pa.Table) -> list[tuple[int, bytes]]:
    times = (numbers(rows.column("time")) // 1_000_000).tolist()
    return list(zip(times, Rows(rows).encode(0, rows.num_rows), strict=True))


def spliced(rows: Sequence[tuple[int, bytes]]) -> bytes:
    """A JSON list of the rows with their times, made from their bytes as they are."""
    return b"[" + b",".join([b'{"ts":%d,%b' % (at, value[1:]) for at, value in rows]) + b"]"


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _no_redis() -> OnlineError:
    return OnlineError("(none)", "reading features", "REDIS_URL is not set", "Set it, or use `ingest up`")
