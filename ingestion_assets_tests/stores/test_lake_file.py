"""One file: rows there and back, and a window of them read without the rest."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.intervals import Window, micros
from ingestion_assets.stores import lake_file
from ingestion_assets.tables import Table
from ingestion_assets.tables.derivatives import AGG_TRADES_UM
from ingestion_assets.tables.market import OHLCV_1M
from ingestion_assets_tests.tables.candles import NOTES, START, candles, span

MONTH_LONG = 31 * 1_440


def trades(seconds: list[int]) -> pa.Table:
    """One trade at each of these seconds of a day; several may come at once."""
    times = micros(START) + np.array(seconds, np.int64) * 1_000_000
    ids = np.arange(len(seconds))
    numbers = {"id": ids, "first_trade_id": ids, "last_trade_id": ids, "time": times, "known_at": times}
    values = {"price": np.full(len(ids), 5.0), "quantity": ids + 1.0, "buyer_is_maker": ids % 3 == 0}
    return AGG_TRADES_UM.conform(pa.table(numbers | values | {"source": ["bulk"] * len(ids)}))


def opened(content: bytes, table: Table) -> pq.ParquetFile:
    return lake_file.opened_bytes(content, "made here", table)


def read(content: bytes, table: Table, window: Window, columns: list[str]) -> pa.Table:
    around = lake_file.rows_around(opened(content, table), table, window, columns)
    return lake_file.rows_within(around, table, window)


def filtered(rows: pa.Table, table: Table, window: Window, columns: list[str]) -> pa.Table:
    """The same, row by row over all of them."""
    inside = [micros(window.start) <= time < micros(window.end) for time in table.times(rows).tolist()]
    return rows.filter(pa.array(inside, pa.bool_())).select(columns)


def regrouped(content: bytes, size: int, **options: Any) -> bytes:
    """The file as another tool would have written it."""
    sink = pa.BufferOutputStream()
    pq.write_table(pq.read_table(pa.BufferReader(content)), sink, row_group_size=size, **options)
    return sink.getvalue().to_pybytes()


held_minutes = st.sets(st.integers(0, 60), max_size=40).map(sorted)
ends = st.tuples(st.floats(-5, 65), st.floats(-5, 65))


@given(held_minutes, ends, st.integers(1, 20), st.booleans(), st.sampled_from([["time"], ["close", "time"]]))
def test_a_window_of_a_grid_is_what_filtering_all_rows_gives(
    minutes: list[int], window: tuple[float, float], group: int, statistics: bool, columns: list[str]
) -> None:
    rows = candles(minutes, {minute: 100.0 + minute for minute in minutes})
    content = regrouped(lake_file.encode(OHLCV_1M, rows, NOTES), group, write_statistics=statistics)
    wanted = span(*window)
    assert read(content, OHLCV_1M, wanted, columns) == filtered(rows, OHLCV_1M, wanted, columns)


seconds_traded = st.lists(st.integers(0, 30), max_size=40).map(sorted)


@given(seconds_traded, st.tuples(st.integers(-1, 31), st.integers(-1, 31)), st.integers(1, 9))
def test_a_window_of_events_is_too_though_many_happen_at_once(
    seconds: list[int], window: tuple[int, int], group: int
) -> None:
    rows = trades(seconds)
    content = regrouped(lake_file.encode(AGG_TRADES_UM, rows, NOTES), group)
    wanted = Window(*(START + timedelta(seconds=second) for second in window))
    names = AGG_TRADES_UM.schema.names
    assert read(content, AGG_TRADES_UM, wanted, names) == filtered(rows, AGG_TRADES_UM, wanted, names)


FULL = candles(range(MONTH_LONG), {minute: 100.0 + minute for minute in range(MONTH_LONG)})
FULL_FILE = lake_file.encode(OHLCV_1M, FULL, NOTES)


@given(st.integers(-10, MONTH_LONG + 10), st.sampled_from([1, 60, 1_440, MONTH_LONG]))
def test_a_window_of_a_full_month_is_too(first: int, length: int) -> None:
    wanted = span(first, first + length)
    inside = FULL.slice(max(first, 0), max(0, min(first + length, MONTH_LONG) - max(first, 0)))
    columns = ["time", "close"]
    assert read(FULL_FILE, OHLCV_1M, wanted, columns) == inside.select(columns)


@pytest.mark.parametrize("first", [0, 20_000, MONTH_LONG - 60], ids=["beginning", "middle", "end"])
def test_an_hour_is_read_by_decoding_a_part_of_its_month(first: int) -> None:
    file = opened(FULL_FILE, OHLCV_1M)
    around = lake_file.rows_around(file, OHLCV_1M, span(first, first + 60), OHLCV_1M.schema.names)
    assert 60 <= around.num_rows < MONTH_LONG / 3
