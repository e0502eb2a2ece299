"""What the lake holds of a subject's features, in the order and shape in which Redis has them.

Of a platform (`twitter`) nothing is kept as such: its rows are made of all its series, as those online are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from ingestion_assets.features.texts import text_features
from ingestion_assets.intervals import TIMEFRAMES, Window, ceiling, floor, month_window
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.online.names import VALUE
from ingestion_assets.stores.texts import judged_texts, series_of
from ingestion_assets.tables import ALL, Table
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
    if table is not ONCHAIN_1D:
        return rows
    return rows.filter(pc.equal(rows.column("component").cast(pa.string()), subject.component))


def first_rows(lake: Lake, table: Table, subject: Subject, window: Window, limit: int) -> pa.Table:
    """At most `limit` rows of a window, from its beginning."""
    found = [table.empty()]
    for month in months_held(lake, table, subject):
        whole = month_window(month)
        part = Window(max(whole.start, window.start), min(whole.end, window.end))
        left = limit - sum(rows.num_rows for rows in found)
        if part.start < part.end and left > 0:
            found.append(rows_of(lake, table, subject, part).slice(0, left))
    return pa.concat_tables(found)


def _together(lake: Lake, table: Table, source: str, window: Window) -> pa.Table:
    """Of buckets that begin in the window and have ended."""
    _, texts, sentiment = BUCKETS[table.name]
    ended = floor(datetime.now(UTC), table.grain)
    start, end = ceiling(window.start, table.grain), min(ceiling(window.end, table.grain), ended)
    if start >= end:
        return table.empty()
    whole = Window(start, end)
    rows = judged_texts(lake, texts, sentiment, series_of(lake, texts, source), whole)
    return text_features(rows, table, whole)
