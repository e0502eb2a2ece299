"""Candles: each promise breaks on just the rows that break it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.intervals import micros
from ingestion_assets.tables.contract import TIME
from ingestion_assets.tables.market import DERIVED, INGESTED, OHLCV_1D, OHLCV_1H, OHLCV_1M, OHLCV_1W, OHLCV_5M
from ingestion_assets_tests.tables.candles import at, candles

NAN, INF = float("nan"), float("inf")


def one_spoilt(name: str, value: Any) -> pa.Table:
    """Three good rows, of which the middle one gets another value."""
    rows = candles(range(3), quote_volume=[1.0] * 3, trades=[1] * 3, taker_buy_volume=[1.0] * 3)
    index = rows.schema.get_field_index(name)
    values = rows.column(name).to_pylist()
    values[1] = value
    return rows.set_column(index, rows.schema.field(index), pa.array(values, rows.schema.field(index).type))


@pytest.mark.parametrize(
    ("name", "value", "promise"),
    [
        ("time", None, "time is given"),
        ("open", None, "open is given"),
        ("volume", None, "volume is given"),
        ("close_time", None, "close_time is given"),
        ("source", None, "source is given"),
        ("known_at", None, "known_at is given"),
        ("time", at(1) + timedelta(seconds=1), "time lies on the grid"),
        ("time", at(0), "time is unique"),
        ("low", 0.0, "low is a positive price"),
        ("low", -1.0, "low is a positive price"),
        ("low", NAN, "low is a positive price"),
        ("high", INF, "high is a finite price"),
        ("high", NAN, "high is a finite price"),
        ("high", 99.0, "high is at least open and close"),
        ("open", NAN, "high is at least open and close"),
        ("close", NAN, "high is at least open and close"),
        ("open", INF, "high is at least open and close"),
        ("close", -INF, "low is at most open and close"),
        ("low", 100.5, "low is at most open and close"),
        ("volume", -1e-12, "volume is finite and not negative"),
        ("volume", NAN, "volume is finite and not negative"),
        ("volume", INF, "volume is finite and not negative"),
        ("quote_volume", -1.0, "quote_volume is finite and not negative"),
        ("quote_volume", NAN, "quote_volume is finite and not negative"),
        ("trades", -1, "trades is not negative"),
        ("taker_buy_volume", 2.1, "taker_buy_volume lies between 0 and volume"),
        ("taker_buy_volume", NAN, "taker_buy_volume lies between 0 and volume"),
        ("taker_buy_quote_volume", INF, "taker_buy_quote_volume is finite and not negative"),
    ],
)
def test_a_spoilt_value_breaks_its_promise_and_spoils_no_other_row(
    name: str, value: Any, promise: str
) -> None:
    good, broken = OHLCV_1M.examine(one_spoilt(name, value))
    assert broken.column("broken_promise").to_pylist() == [promise]
    assert good.num_rows == 2
    assert broken.column("close_time").to_pylist() in ([at(1) + timedelta(microseconds=59_999_000)], [None])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quote_volume", None),
        ("trades", None),
        ("trades", 0),
        ("volume", 0.0),
        ("taker_buy_volume", None),
        ("taker_buy_volume", 2.0 + 1e-12),
    ],
)
def test_what_may_be_is_no_broken_promise(name: str, value: Any) -> None:
    rows = one_spoilt(name, value)
    if (name, value) == ("volume", 0.0):  # then nothing was bought either
        index = rows.schema.get_field_index("taker_buy_volume")
        rows = rows.set_column(index, rows.schema.field(index), pa.array([0.0] * 3))
    good, broken = OHLCV_1M.examine(rows)
    assert (good.num_rows, broken.num_rows) == (3, 0)


prices = st.one_of(st.sampled_from([NAN, INF, -INF, 0.0, -1.0]), st.floats(0.1, 10.0))


@given(st.lists(st.tuples(prices, prices, prices, prices), min_size=1, max_size=8))
def test_the_rows_that_pass_are_candles(rows: list[tuple[float, float, float, float]]) -> None:
    columns = dict(zip(("open", "high", "low", "close"), map(list, zip(*rows, strict=True)), strict=True))
    good, broken = OHLCV_1M.examine(candles(range(len(rows)), **columns))
    passed = set(OHLCV_1M.keys(good).tolist())
    for minute, (opens, high, low, close) in enumerate(rows):
        sane = all(np.isfinite([opens, high, low, close])) and 0 < low <= min(opens, close)
        assert (micros(at(minute)) in passed) == (sane and max(opens, close) <= high)
    assert good.num_rows + broken.num_rows == len(rows)


@pytest.mark.parametrize(
    ("table", "on_grid", "off_grid"),
    [
        (OHLCV_5M, datetime(2024, 3, 1, 0, 5), datetime(2024, 3, 1, 0, 6)),
        (OHLCV_1H, datetime(2024, 3, 1, 7), datetime(2024, 3, 1, 7, 30)),
        (OHLCV_1D, datetime(2024, 3, 1), datetime(2024, 3, 1, 1)),
        (OHLCV_1W, datetime(2024, 3, 4), datetime(2024, 3, 3)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_bars_open_on_the_grid_of_their_table(table: Any, on_grid: datetime, off_grid: datetime) -> None:
    for moment, keeps in ((on_grid, True), (off_grid, False)):
        extra = {"minutes": [1], "coverage": [0.5]} if table in DERIVED.values() else {}
        opens = pa.array([micros(moment.replace(tzinfo=UTC))], TIME)
        rows = candles([0], table=table, **extra)
        good, _ = table.examine(rows.set_column(0, rows.schema.field(0), opens))
        assert (good.num_rows == 1) == keeps


@pytest.mark.parametrize("coverage", [0.0, -0.1, 1.01, NAN])
def test_coverage_is_a_share(coverage: float) -> None:
    _, broken = OHLCV_1H.examine(candles([0], table=OHLCV_1H, minutes=[1], coverage=[coverage]))
    assert broken.column("broken_promise").to_pylist() == ["coverage lies in (0, 1]"]


def test_ingested_tables_are_named_by_their_timeframe() -> None:
    assert {name: table.path for name, table in INGESTED.items()} == {
        "1m": "market/ohlcv_1m",
        "5m": "market/ohlcv_5m",
    }
