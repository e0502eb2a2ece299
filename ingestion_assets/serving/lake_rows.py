"""What the lake holds of a subject's features, in the order and shape in which Redis has them.

Of a platform (`twitter`) nothing is kept as such: its rows are made of all its series, as those online are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion_assets.features.texts import text_features
from ingestion_assets.intervals import MICROSECOND, TIMEFRAMES, Window, ceiling, floor, month_window
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.online.names import VALUE
from ingestion_assets.stores.texts import judged_texts, series_of
from ingestion_assets.tables import ALL, Table
from ingestion_assets.tables.arrays import numbers
from ingestion_assets.tables.domain_features import BUCKETS, ONCHAIN_1D


@dataclass(frozen=True)
class Subject:
    """One series' features: what they are called in Redis, and their table in the lake, if there is one.

    The series of a platform is what the ids of its series begin with: `x`.
    """

    domain: str
    name: str
    qualifier: str
    series: str
    component: str = VALUE  # of a metric with several parts, or of an address

    @property
    def table(self) -> Table | None:
        if self.domain == "onchain":
            return ONCHAIN_1D
        return ALL.get(f"features/{self.domain}_{self.qualifier}")

    @property
    def step(self) -> int:
        """Seconds between two rows; 0 where they come as they come."""
        grain = TIMEFRAMES.get(self.qualifier)
        return int(grain.total_seconds()) if grain else 0

    @property
    def platform(self) -> bool:
        return self.domain in ("social", "news") and "." not in self.series


def months_held(lake: Lake, table: Table, subject: Subject) -> list[str]:
    """The months of which there is something, oldest first."""
    if not subject.platform:
        return lake.months(table, subject.series)
    texts = BUCKETS[table.name][1]
    held = lake.inventory(texts)
    return sorted({month for name in series_of(lake, texts, subject.series) for month in held[name]})


def rows_of(lake: Lake, table: Table, subject: Subject, window: Window) -> pa.Table:
    if subject.platform:
        return _together(lake, table, subject.series, window)
    rows = lake.read(table, subject.series, window)
    return rows if table is not ONCHAIN_1D else _of_component(rows, subject)


def first_rows(lake: Lake, table: Table, subject: Subject, window: Window, limit: int) -> pa.Table:
    """At most `limit` rows of a window, from its beginning."""
    found = [table.empty()]
    for part in _parts(lake, table, subject, window):
        left = limit - sum(rows.num_rows for rows in found)
        if left > 0:
            found.append(rows_of(lake, table, subject, part).slice(0, left))
    return pa.concat_tables(found)


def first_times(lake: Lake, table: Table, subject: Subject, window: Window, limit: int) -> list[int]:
    """The times of the same rows, as epoch seconds; hardly more is read than they take."""
    found: list[int] = []
    for part in _parts(lake, table, subject, window):
        if len(found) < limit:
            found += (_times(lake, table, subject, part) // 1_000_000).tolist()
    return found[:limit]


def _parts(lake: Lake, table: Table, subject: Subject, window: Window) -> Iterator[Window]:
    """The window cut by the months of which there is something, oldest first."""
    for month in months_held(lake, table, subject):
        whole = month_window(month)
        part = Window(max(whole.start, window.start), min(whole.end, window.end))
        if part.start < part.end:
            yield part


def _times(lake: Lake, table: Table, subject: Subject, window: Window) -> np.ndarray:
    if subject.platform:
        return _bucket_times(lake, table, subject.series, window)
    if table is not ONCHAIN_1D:
        return numbers(lake.read(table, subject.series, window, ["time"]).column("time"))
    rows = lake.read(table, subject.series, window, ["time", "component"])
    return numbers(_of_component(rows, subject).column("time"))


def _bucket_times(lake: Lake, table: Table, source: str, window: Window) -> np.ndarray:
    """Of the buckets in which there is a text, whichever series has it."""
    texts, whole, step = BUCKETS[table.name][1], _ended(table, window), table.grain // MICROSECOND
    if whole is None:
        return np.array([], np.int64)
    told = [lake.read(texts, name, whole, ["time"]) for name in series_of(lake, texts, source)]
    return np.unique(numbers(pa.concat_tables(told).column("time")) // step * step)


def _of_component(rows: pa.Table, subject: Subject) -> pa.Table:
    return rows.filter(pc.equal(rows.column("component").cast(pa.string()), subject.component))


def _ended(table: Table, window: Window) -> Window | None:
    """The time of the buckets that begin in the window and have ended."""
    ended = floor(datetime.now(UTC), table.grain)
    start, end = ceiling(window.start, table.grain), min(ceiling(window.end, table.grain), ended)
    return Window(start, end) if start < end else None


def _together(lake: Lake, table: Table, source: str, window: Window) -> pa.Table:
    _, texts, sentiment = BUCKETS[table.name]
    whole = _ended(table, window)
    if whole is None:
        return table.empty()
    rows = judged_texts(lake, texts, sentiment, series_of(lake, texts, source), whole)
    return text_features(rows, table, whole)
