"""Longer candles from shorter ones, with how much of each bar was there."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import MICROSECOND, Window, ceiling, micros
from ingestion_assets.tables import Table
from ingestion_assets.tables.arrays import column, nullable, numbers, repeated
from ingestion_assets.tables.contract import TIME

_SUMS = ("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")


def aggregate(minutes: pa.Table, table: Table, window: Window, closed_until: datetime) -> pa.Table:
    """The bars of `table` that open in the window and end by `closed_until`, from 1m bars.

    A bar from which minutes are missing is given with a coverage below 1; one without any minute is not
    given at all. A sum of which a part is unknown is unknown.
    """
    step = table.grain // MICROSECOND
    first, last = micros(ceiling(window.start, table.grain)), micros(closed_until) - step
    opens = np.arange(first, min(micros(window.end), last + 1), step)
    places = np.searchsorted(numbers(minutes.column("time")), np.append(opens, opens[-1:] + step))
    counts = np.diff(places)
    if not counts.any():
        return table.empty()
    minutes = minutes.slice(places[0], places[-1] - places[0])
    opens, starts, counts = (each[counts > 0] for each in (opens, places[:-1] - places[0], counts))
    arrays = {
        "time": column(opens, TIME),
        "open": column(numbers(minutes.column("open"))[starts], pa.float64()),
        "high": column(np.maximum.reduceat(numbers(minutes.column("high")), starts), pa.float64()),
        "low": column(np.minimum.reduceat(numbers(minutes.column("low")), starts), pa.float64()),
        "close": column(numbers(minutes.column("close"))[starts + counts - 1], pa.float64()),
        "volume": column(np.add.reduceat(numbers(minutes.column("volume")), starts), pa.float64()),
        "close_time": column(opens + step - timedelta(milliseconds=1) // MICROSECOND, TIME),
        "minutes": column(counts.astype(np.int32), pa.int32()),
        "coverage": column(counts / (table.grain // timedelta(minutes=1)), pa.float64()),
        "source": repeated("derived", len(opens)),
        "known_at": column(np.maximum.reduceat(numbers(minutes.column("known_at")), starts), TIME),
    }
    for name in _SUMS:
        arrays[name] = _sums(minutes.column(name), starts)
    return table.conform(pa.table(arrays))


def _sums(values: pa.ChunkedArray, starts: np.ndarray) -> pa.Array:
    """The sum of each bar's values, null where one of them is."""
    if values.null_count == len(values):
        return pa.nulls(len(starts), values.type)
    sums = np.add.reduceat(numbers(values), starts)
    return nullable(sums).cast(values.type) if values.null_count else column(sums, values.type)
