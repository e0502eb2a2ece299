"""Candles made up for tests: rows of a table at given minutes, and where those minutes are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import Window, micros
from ingestion_assets.tables import Table
from ingestion_assets.tables.contract import TIME
from ingestion_assets.tables.market import OHLCV_1M

MONTH = "2024-03"
START = datetime(2024, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NOTES = {"run": "test", "code_version": "0"}


def at(minutes: float) -> datetime:
    return START + minutes * MINUTE


def span(first: float, end: float) -> Window:
    return Window(at(first), at(end))


def candles(
    minutes: Iterable[int],
    price: float | Mapping[int, float] = 100.0,
    /,
    *,
    table: Table = OHLCV_1M,
    source: str = "rest",
    **columns: Any,
) -> pa.Table:
    """Rows that open at these minutes, in this order; a price for all or one for each."""
    minutes = list(minutes)
    opens = np.array([micros(at(m)) for m in minutes], dtype=np.int64)
    prices = np.array([price[m] if isinstance(price, Mapping) else price for m in minutes], dtype=float)
    values: dict[str, Any] = {
        "time": pa.array(opens, TIME),
        "open": prices,
        "high": prices + 1,
        "low": prices / 2,
        "close": prices,
        "volume": np.full(len(minutes), 2.0),
        "close_time": pa.array(opens + 59_999_000, TIME),
        "source": pa.array([source] * len(minutes), pa.string()),
        "known_at": pa.array(opens + 65_000_000, TIME),
    }
    return table.conform(pa.table(values | columns))
