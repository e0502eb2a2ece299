"""Aggregates against an independent computation, and what they say about what was not there."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ingestion_assets.features.aggregates import aggregate
from ingestion_assets.intervals import Window, floor, micros
from ingestion_assets.tables import DERIVED, INGESTED, Table
from ingestion_assets_tests.market_world import utc

M1 = INGESTED["1m"]
H1, D1, W1 = (DERIVED[name] for name in ("1h", "1d", "1w"))
SUMS = ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")


def minutes_of(start: datetime, count: int, seed: int = 1) -> pa.Table:
    """A made-up market, whole numbers, so that sums are exact in any order."""
    random = np.random.default_rng(seed)
    opens = random.integers(1_000, 2_000, count).astype(float)
    closes = random.integers(1_000, 2_000, count).astype(float)
    volume = random.integers(0, 100, count).astype(float)
    time = micros(start) + np.arange(count) * 60_000_000
    columns = {
        "time": pa.array(time),
        "open": opens,
        "high": np.maximum(opens, closes) + random.integers(0, 50, count),
        "low": np.minimum(opens, closes) - random.integers(0, 50, count),
        "close": closes,
        "volume": volume,
        "close_time": pa.array(time + 59_999_000),
        "quote_volume": volume * 1_500,
        "trades": random.integers(0, 1_000, count),
        "taker_buy_volume": np.floor(volume / 2),
        "taker_buy_quote_volume": np.floor(volume / 2) * 1_500,
        "source": ["rest"] * count,
        "known_at": pa.array(time + 65_000_000),
    }
    return M1.conform(pa.table(columns))


def without(rows: pa.Table, *holes: Window) -> pa.Table:
    keys = M1.keys(rows)
    keep = np.ones(len(keys), dtype=bool)
    for hole in holes:
        keep &= (keys < micros(hole.start)) | (keys >= micros(hole.end))
    return rows.filter(pa.array(keep))


def bars(rows: pa.Table, table: Table, window: Window, until: datetime | None = None) -> pd.DataFrame:
    made = aggregate(rows, table, window, until or window.end + table.grain)
    assert made.schema == table.schema
    _, broken = table.examine(made)
    assert broken.num_rows == 0
    return made.to_pandas().set_index("time")


def by_pandas(rows: pa.Table, table: Table, window: Window) -> pd.DataFrame:
    rule = {"1h": "1h", "1d": "1D", "1w": "W-MON"}[table.name.removeprefix("ohlcv_")]
    how = {"open": "first", "high": "max", "low": "min", "close": "last"} | dict.fromkeys(SUMS, "sum")
    frame = rows.to_pandas().set_index("time")
    made = frame.resample(rule, closed="left", label="left").agg(how | {"source": "size"})
    made = made[made["source"] > 0]
    return made[(made.index >= window.start) & (made.index < window.end)].rename(
        columns={"source": "minutes"}
    )


@pytest.mark.parametrize("table", [H1, D1, W1], ids=lambda t: t.name)
def test_equals_what_pandas_makes_of_the_same_minutes(table):
    start = utc(2024, 1, 29)  # a Monday
    window = Window(start, start + timedelta(days=21))
    hole = Window(start + timedelta(days=3, minutes=20), start + timedelta(days=3, hours=2, minutes=5))
    rows = without(minutes_of(start, 21 * 1_440), hole)
    ours, theirs = bars(rows, table, window), by_pandas(rows, table, window)
    names = ["open", "high", "low", "close", *SUMS, "minutes"]
    pd.testing.assert_frame_equal(ours[names], theirs[names], check_dtype=False, check_freq=False)
    assert (ours["coverage"] == ours["minutes"] / (table.grain / M1.grain)).all()


def test_an_hour_without_a_minute_is_not_made_up():
    start = utc(2024, 2, 1)
    window = Window(start, start + timedelta(hours=4))
    hole = Window(start + timedelta(minutes=50), start + timedelta(hours=2, minutes=10))
    made = bars(without(minutes_of(start, 240), hole), H1, window)
    assert [(moment.hour, row.minutes) for moment, row in made.iterrows()] == [(0, 50), (2, 50), (3, 60)]
    assert made["coverage"].tolist() == [50 / 60, 50 / 60, 1.0]


def test_a_sum_of_which_a_part_is_unknown_is_unknown():
    start = utc(2024, 2, 1)
    rows = minutes_of(start, 120)
    trades = rows.column("trades").to_pylist()
    trades[70] = None
    place = rows.schema.get_field_index("trades")
    rows = rows.set_column(place, rows.schema.field(place), pa.array(trades, pa.int64()))
    made = aggregate(rows, H1, Window(start, start + timedelta(hours=2)), start + timedelta(hours=2))
    assert made.column("trades").to_pylist() == [sum(trades[:60]), None]
    assert made.column("quote_volume").null_count == 0


def test_a_venue_that_tells_no_sums_gets_none():
    start = utc(2024, 2, 1)
    rows = M1.conform(minutes_of(start, 60).drop_columns(["trades", "quote_volume"]))
    made = aggregate(rows, H1, Window(start, start + timedelta(hours=1)), start + timedelta(hours=1))
    assert made.column("trades").to_pylist() == made.column("quote_volume").to_pylist() == [None]
    assert made.column("volume").to_pylist() == [sum(rows.column("volume").to_pylist())]


def test_a_bar_that_is_not_over_is_not_given():
    start = utc(2024, 2, 1)
    window = Window(start, start + timedelta(hours=2))
    rows = minutes_of(start, 120)
    assert len(bars(rows, H1, window, start + timedelta(minutes=119))) == 1
    assert len(bars(rows, H1, window, start + timedelta(minutes=120))) == 2


def test_a_week_belongs_to_the_month_in_which_it_opens_and_takes_its_days_from_the_next():
    monday = utc(2024, 12, 30)
    rows = minutes_of(monday, 7 * 1_440)
    december, january = Window(utc(2024, 12, 1), utc(2025, 1, 1)), Window(utc(2025, 1, 1), utc(2025, 2, 1))
    made = bars(rows, W1, december)
    assert list(made.index) == [monday]
    assert made["minutes"].tolist() == [10_080]
    assert made["close_time"].tolist() == [utc(2025, 1, 6) - timedelta(milliseconds=1)]
    assert bars(rows, W1, january).empty


@pytest.mark.parametrize("table", [H1, D1, W1], ids=lambda t: t.name)
def test_bars_lie_on_the_grid_of_our_own_arithmetic(table):
    start = utc(2024, 2, 3, 5, 7)
    made = bars(minutes_of(start, 9 * 1_440), table, Window(utc(2024, 1, 1), utc(2024, 3, 1)))
    assert all(floor(moment.to_pydatetime(), table.grain) == moment for moment in made.index)
    assert made["minutes"].sum() == 9 * 1_440


def test_a_bar_could_be_known_when_its_last_minute_could():
    start = utc(2024, 2, 1)
    made = bars(minutes_of(start, 60), H1, Window(start, start + timedelta(hours=1)))
    assert made["known_at"].tolist() == [start + timedelta(minutes=60, seconds=5)]
    assert made["source"].tolist() == ["derived"]


def test_nothing_comes_of_nothing():
    made = aggregate(M1.schema.empty_table(), D1, Window(utc(2024, 1, 1), utc(2024, 2, 1)), utc(2024, 2, 1))
    assert made.num_rows == 0
    assert made.schema == D1.schema
