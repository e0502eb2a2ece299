"""Market features beside plain loops and TA-Lib; one bar at a time as all at once; nothing of the future."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.features import market
from ingestion_assets.features.market import CHECKED, first_outdated, market_features
from ingestion_assets.tables import FEATURES, INGESTED
from ingestion_assets.tables.features import LOOKBACK
from ingestion_assets_tests.tables.candles import START, at, candles, span

F1, F5, M1 = FEATURES["1m"], FEATURES["5m"], INGESTED["1m"]
Bar = dict[str, Any]


def market_of(minutes: Sequence[int], seed: int = 0, *, flat: float = 0.0, idle: float = 0.0) -> pa.Table:
    """A made-up market at these minutes; shares of its bars do not move, or see no trade."""
    random, count = np.random.default_rng(seed), len(minutes)
    steps = random.normal(0, 1e-3, count) * (random.random(count) >= flat)
    close = 30_000 * np.exp(np.cumsum(steps))
    opens = np.concatenate([close[:1], close[:-1]])
    wick = np.abs(random.normal(0, 5e-4, (2, count))) * (random.random(count) >= flat)
    return candles(
        minutes,
        open=opens,
        high=np.maximum(opens, close) * (1 + wick[0]),
        low=np.minimum(opens, close) * (1 - wick[1]),
        close=close,
        volume=random.exponential(3, count) * (random.random(count) >= idle),
    )


def with_holes(count: int, seed: int, share: float) -> list[int]:
    random = np.random.default_rng(seed)
    there = random.random(count) >= share / 8
    for start in np.flatnonzero(random.random(count) < share / 8):
        there[start : start + int(random.integers(1, 90))] = False
    return np.flatnonzero(there).tolist()


# As the table says it, bar after bar.


def faded(values: Sequence[float], decay: float) -> float:
    total = weight = 0.0
    for value in values:
        total, weight = total * decay + value, weight * decay + 1
    return total / weight


def stated(bars: Sequence[Bar], place: int) -> Bar:
    """A row by plain loops over the bars that lead to it."""
    bar, first = bars[place], place
    while first > max(0, place - LOOKBACK + 1) and bars[first]["time"] - bars[first - 1]["time"] == F1.grain:
        first -= 1
    run = bars[first : place + 1]
    n = len(run)
    close = [b["close"] for b in run]
    rises = [b - a for a, b in pairwise(close)]
    logs = [math.log(b / a) for a, b in pairwise(close)]
    ranges = [
        max(b["high"] - b["low"], abs(b["high"] - a["close"]), abs(b["low"] - a["close"]))
        for a, b in pairwise(run)
    ]
    row: Bar = {f"ret_{k}": close[-1] / close[-1 - k] - 1 if n > k else None for k in (1, 5, 15, 60)}
    row["logret_1"] = logs[-1] if logs else None
    for k in (30, 60):
        row[f"rv_{k}"] = math.sqrt(math.fsum(x * x for x in logs[-k:])) if len(logs) >= k else None
    up = faded([max(x, 0) for x in rises], 13 / 14) if len(rises) >= 14 else 0
    down = faded([max(-x, 0) for x in rises], 13 / 14) if len(rises) >= 14 else 0
    row["rsi_14"] = 100 * up / (up + down) if up + down > 0 else None
    row["atr_14"] = faded(ranges, 13 / 14) if len(ranges) >= 14 else None
    for k in (20, 50):
        row[f"ema_{k}"] = faded(close, 1 - 2 / (k + 1)) if n >= k else None
    macd = [faded(close[: m + 1], 11 / 13) - faded(close[: m + 1], 25 / 27) for m in range(25, n)]
    row["macd"] = macd[-1] if macd else None
    row["macd_signal"] = faded(macd, 0.8) if len(macd) >= 9 else None
    row["macd_hist"] = macd[-1] - row["macd_signal"] if len(macd) >= 9 else None
    row |= {"bb_pctb_20": None, "bb_width_20": None, "vol_z_20": None, "vwap_dev_60": None}
    if n >= 20:
        mean, sigma = np.mean(close[-20:]), np.std(close[-20:])
        row["bb_width_20"] = 4 * sigma / mean
        if len(set(close[-20:])) > 1:
            row["bb_pctb_20"] = (close[-1] - (mean - 2 * sigma)) / (4 * sigma)
        volumes = [b["volume"] for b in run[-20:]]
        if len(set(volumes)) > 1:
            row["vol_z_20"] = (volumes[-1] - np.mean(volumes)) / np.std(volumes)
    if n >= 60 and any(b["volume"] for b in run[-60:]):
        turnover = math.fsum((b["high"] + b["low"] + b["close"]) / 3 * b["volume"] for b in run[-60:])
        row["vwap_dev_60"] = close[-1] * math.fsum(b["volume"] for b in run[-60:]) / turnover - 1
    row["hl_range"] = (bar["high"] - bar["low"]) / bar["close"]
    row["is_gap"] = n == 1
    row["minutes_since_gap"] = n - 1
    window = bar["time"] - 60 * F1.grain
    row["coverage"] = sum(window <= b["time"] <= bar["time"] for b in bars) / 61
    return row


@pytest.mark.parametrize(
    ("share", "flat", "idle"),
    [(0, 0, 0), (0.03, 0, 0), (0.3, 0.2, 0.3), (0, 0.97, 0.97)],
    ids=["whole", "few holes", "many holes, quiet", "hardly any trade"],
)
def test_are_what_the_table_states(share: float, flat: float, idle: float) -> None:
    bars = market_of(with_holes(1_400, 3, share), 3, flat=flat, idle=idle)
    made = market_features(bars, F1, span(0, 1_400)).to_pylist()
    plain = bars.to_pylist()
    assert [row["time"] for row in made] == [bar["time"] for bar in plain]
    places = {*range(130), *range(0, len(plain), 17), len(plain) - 1}
    places |= {p + d for p, row in enumerate(made) if row["is_gap"] for d in (0, 1, 14, 20, 33, 34, 60)}
    for place in sorted(p for p in places if p < len(plain)):
        expected = stated(plain, place)
        got = {name: made[place][name] for name in expected}
        assert [n for n, v in got.items() if v is None] == [n for n, v in expected.items() if v is None]
        given = {name: value for name, value in expected.items() if value is not None}
        assert {name: got[name] for name in given} == pytest.approx(given, rel=1e-8, abs=1e-9)


def test_are_those_of_ta_lib() -> None:
    """Its recursions begin otherwise; far from the beginning they are the same."""
    import talib

    bars = market_of(range(4_000), 5)
    made = market_features(bars, F1, span(0, 4_000))
    high, low, close = (bars.column(name).to_numpy() for name in ("high", "low", "close"))
    macd, signal, hist = talib.MACD(close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    theirs = {
        "ema_20": talib.EMA(close, 20),
        "ema_50": talib.EMA(close, 50),
        "rsi_14": talib.RSI(close, 14),
        "atr_14": talib.ATR(high, low, close, 14),
        "macd": macd,
        "macd_signal": signal,
        "macd_hist": hist,
        "bb_width_20": (upper - lower) / middle,
        "bb_pctb_20": (close - lower) / (upper - lower),
        "ret_15": talib.ROCP(close, 15),
    }
    for name, values in theirs.items():
        ours = made.column(name).to_numpy()[2_000:]
        np.testing.assert_allclose(ours, values[2_000:], rtol=1e-7, atol=1e-7, err_msg=name)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([0, 0.01, 0.1, 0.4]), st.data())
def test_bar_by_bar_equals_all_at_once(seed: int, share: float, data: st.DataObject) -> None:
    """The same bits, whatever else the array holds; from as few bars as the table asks for."""
    minutes = with_holes(3_000, seed, share)
    bars = market_of(minutes, seed, flat=share, idle=share)
    whole = market_features(bars, F1, span(0, 3_000))
    for _ in range(10):
        first = data.draw(st.integers(0, 2_999))
        end = first + data.draw(st.sampled_from([1, 1, 2, 60, 1_500]))
        keys = M1.keys(bars)
        from_, to = np.searchsorted(
            keys, [moment.timestamp() * 1e6 for moment in (at(first - LOOKBACK), at(end))]
        )
        some = market_features(bars.slice(from_, to - from_), F1, span(first, end))
        keys = F1.keys(whole)
        from_, to = np.searchsorted(keys, [moment.timestamp() * 1e6 for moment in (at(first), at(end))])
        assert some.equals(whole.slice(from_, to - from_))


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 1_999))
def test_nothing_of_the_future_is_in_the_past(seed: int, now: int) -> None:
    bars = market_of(with_holes(2_000, seed, 0.05), seed)
    whole = market_features(bars, F1, span(0, now))
    past = bars.filter(pa.array(M1.keys(bars) < at(now).timestamp() * 1e6))
    assert market_features(past, F1, span(0, 2_000)).equals(whole)


@pytest.mark.parametrize("rows", [1, 2, 60, 61, 1_024, 1_025, 40_000])
def test_how_many_rows_are_worked_on_at_once_changes_nothing(rows: int, monkeypatch: Any) -> None:
    bars = market_of(with_holes(41_500, 9, 0.001), 9)
    usual = market_features(bars, F1, span(41_500 - rows, 41_500))
    monkeypatch.setattr(market, "_AT_ONCE", 1_000)
    assert market_features(bars, F1, span(41_500 - rows, 41_500)).equals(usual)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.floats(1e-8, 1e8), st.floats(0, 1e12)), min_size=1, max_size=200)
)
def test_whatever_the_prices_no_number_is_nan_and_every_promise_is_kept(rows: list[Any]) -> None:
    minutes = np.cumsum([step for step, _, _ in rows]).tolist()
    prices = np.array([price for _, price, _ in rows])
    bars = candles(
        minutes, open=prices, high=prices, low=prices, close=prices, volume=np.array([v for *_, v in rows])
    )
    made = market_features(bars, F1, span(0, 1_000))
    assert made.num_rows == len(rows)
    assert F1.examine(made)[1].num_rows == 0
    assert made.schema == F1.schema


def test_a_market_that_stands_still_has_no_direction_and_no_usual() -> None:
    row = market_features(candles(range(1_100)), F1, span(1_099, 1_100)).to_pylist()[0]
    assert [row[name] for name in ("rsi_14", "bb_pctb_20", "vol_z_20")] == [None, None, None]
    assert row["ret_60"] == row["rv_60"] == row["bb_width_20"] == 0
    assert row["macd"] == pytest.approx(0, abs=1e-9)
    assert row["ema_50"] == pytest.approx(100)


@given(st.floats(1e-6, 1e12))
def test_volumes_that_are_all_the_same_have_no_score(volume: float) -> None:
    bars = candles(range(40), volume=np.full(40, volume))
    assert market_features(bars, F1, span(0, 40)).column("vol_z_20").null_count == 40


def test_without_volume_there_is_no_vwap() -> None:
    bars = candles(range(100), volume=np.zeros(100))
    assert market_features(bars, F1, span(0, 100)).column("vwap_dev_60").null_count == 100


def test_a_row_is_known_when_the_last_of_its_bars_is() -> None:
    bars = market_of(range(2_000), 1)
    known = bars.column("known_at").to_pylist()
    known[500] = at(1_000_000)  # restated much later
    place = bars.schema.get_field_index("known_at")
    bars = bars.set_column(place, bars.schema.field(place), pa.array(known, bars.schema.field(place).type))
    made = market_features(bars, F1, span(0, 2_000)).column("known_at").to_pylist()
    late = [n for n, moment in enumerate(made) if moment == at(1_000_000)]
    assert late == list(range(500, 500 + LOOKBACK))
    assert [m for n, m in enumerate(made) if n not in late] == [
        m for n, m in enumerate(known) if n not in late
    ]


def test_of_nothing_comes_nothing() -> None:
    for bars in (M1.schema.empty_table(), candles(range(10))):
        made = market_features(bars, F1, span(100, 200))
        assert made.num_rows == 0
        assert made.schema == F1.schema


def test_five_minute_bars_count_in_their_own_steps() -> None:
    bars = market_of(range(0, 5 * 1_100, 5), 2)
    made = market_features(bars, F5, span(0, 5 * 1_100))
    ones = market_features(market_of(range(1_100), 2), F1, span(0, 1_100))
    assert made.column("minutes_since_gap").to_pylist() == [min(n, 1_023) * 5 for n in range(1_100)]
    for name in ("ret_60", "rsi_14", "coverage"):
        assert made.column(name).equals(ones.column(name))


class TestOutdated:
    bars = market_of(range(1_500), 4)
    window = span(1_200, 1_500)

    def outdated(self, bars: pa.Table, held: pa.Table) -> int | None:
        found = first_outdated(bars, held.select(CHECKED), F1, self.window)
        return None if found is None else (found - START) // M1.grain

    def test_is_nothing_of_what_was_just_made(self) -> None:
        assert self.outdated(self.bars, market_features(self.bars, F1, self.window)) is None

    @given(st.integers(0, 299))
    def test_is_what_follows_where_the_rows_held_end(self, count: int) -> None:
        held = market_features(self.bars, F1, self.window)
        assert self.outdated(self.bars, held.slice(0, count)) == 1_200 + count

    @given(st.integers(1_200 - LOOKBACK, 1_499), st.integers(1, 40))
    def test_is_what_a_hole_changes(self, start: int, length: int) -> None:
        held = market_features(self.bars, F1, self.window)
        keys = M1.keys(self.bars)
        inside = (keys >= at(start).timestamp() * 1e6) & (keys < at(start + length).timestamp() * 1e6)
        punched = self.bars.filter(pa.array(~inside))
        for bars, there in (
            (punched, held),
            (self.bars, market_features(punched, F1, self.window)),
        ):
            found = self.outdated(bars, there)
            now = market_features(bars, F1, self.window)
            before = at(1_500 if found is None else found)
            left, right = ([row for row in rows.to_pylist() if row["time"] < before] for rows in (now, there))
            assert left == right

    @given(st.integers(1_200 - LOOKBACK + 1, 1_499))
    def test_is_what_follows_a_bar_that_was_restated(self, minute: int) -> None:
        held = market_features(self.bars, F1, self.window)
        known = self.bars.column("known_at").to_pylist()
        known[minute] = at(10**6)
        place = self.bars.schema.get_field_index("known_at")
        field = self.bars.schema.field(place)
        bars = self.bars.set_column(place, field, pa.array(known, field.type))
        assert self.outdated(bars, held) == max(minute, 1_200)
