"""What the cache tells of a market, made from the lake: its newest features, its newest aggregates.

Here is what an entry looks like; where it is kept and for how long is cache.py's affair.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ingestion_assets.intervals import Window
from ingestion_assets.stores.cache import LATEST
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.online.values import Rows, decode
from ingestion_assets.tables import DERIVED, FEATURES, Table


def newest_features(lake: Lake, series: str) -> dict[str, Any] | None:
    """The entry `latest`; None when nothing is held."""
    row = _last(lake, FEATURES["1m"], series)
    return None if row is None else features_entry(series, row)


def features_entry(series: str, row: pa.Table) -> dict[str, Any]:
    return {"series": series} | _entry(row)


def aggregates_entry(lake: Lake, series: str, time: float) -> dict[str, Any]:
    """The entry `aggregates`, with the time of the features that are made of the same minutes."""
    bars = {timeframe: _last(lake, table, series) for timeframe, table in DERIVED.items()}
    shown = {timeframe: None if row is None else _entry(row) for timeframe, row in bars.items()}
    return {"series": series, "time": time} | shown


def newest_entry(lake: Lake, series: str, kind: str) -> dict[str, Any] | None:
    """An entry as it would be in the cache if ingestion had put it there just now."""
    newest = newest_features(lake, series)
    if newest is None or kind == LATEST:
        return newest
    return aggregates_entry(lake, series, newest["time"])


def _last(lake: Lake, table: Table, series: str) -> pa.Table | None:
    last = lake.last_time(table, series)
    if last is None:
        return None
    rows = lake.read(table, series, Window(last, last + table.grain))
    return rows.slice(0, 1) if rows.num_rows else None


def _entry(row: pa.Table) -> dict[str, Any]:
    """One row as Redis holds it, with its time."""
    return decode(Rows(row, leave_out=()).encode(0, 1)[0])
