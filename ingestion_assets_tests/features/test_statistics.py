"""Market statistics beside pandas and plain loops; what holes, flat markets and short histories do."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.features.statistics import Hours, market_comparison, market_snapshot, roi_statistics
from ingestion_assets.intervals import Window, micros
from ingestion_assets.tables import DERIVED, STATISTICS
from ingestion_assets.tables.contract import TIME
from ingestion_assets.tables.features import LOOKBACK
from ingestion_assets_tests.market_world import utc

H1, HOUR = DERIVED["1h"], timedelta(hours=1)
SNAPSHOT, ROI, COMPARISON = STATISTICS.values()
START = utc(2024, 3, 1)
YEAR = np.sqrt(8_760)


def at(hours: float) -> datetime:
    return START + hours * HOUR


def market(hours: list[int], seed: int = 0, **columns: object) -> pa.Table:
    """Hourly bars of a made-up market, from so many hours after START on."""
    random, count = np.random.default_rng(seed), len(hours)
    close = 100 * np.exp(np.cumsum(random.normal(0, 5e-3, count)))
    opens = np.array([micros(at(hour)) for hour in hours], np.int64)
    values = {
        "time": pa.array(opens, TIME),
        "open": close,
        "high": close * (1 + random.random(count) / 100),
        "low": close * (1 - random.random(count) / 100),
        "close": close,
        "volume": random.exponential(3, count),
        "close_time": pa.array(opens + 3_599_999_000, TIME),
        "minutes": random.integers(50, 61, count).astype(np.int32),
        "coverage": np.ones(count),
        "source": ["derived"] * count,
        "known_at": pa.array(opens + 3_605_000_000, TIME),
    }
    return H1.conform(pa.table(values | columns))


def of(bars: pa.Table, first: float, end: float) -> Hours:
    return Hours.of(bars, Window(at(first), at(end)))


def line(bars: pa.Table, first: int, end: int) -> pd.DataFrame:
    """The bars on a line of hours, NaN where one is not held."""
    frame = bars.to_pandas().set_index("time")
    return frame.reindex(pd.date_range(at(first), at(end), freq="h", inclusive="left"))


def frame(rows: pa.Table) -> pd.DataFrame:
    return rows.to_pandas().set_index("time")


def some_hours(count: int, share: float, seed: int) -> list[int]:
    return np.flatnonzero(np.random.default_rng(seed).random(count) >= share).tolist()


@pytest.mark.parametrize("share", [0, 0.05, 0.5])
def test_roi_statistics_are_those_of_pandas(share: float) -> None:
    bars = market(some_hours(2_000, share, 1), 1)
    made = frame(roi_statistics(of(bars, 1_200, 2_000)))
    full = line(bars, 0, 2_000)
    close = full["close"]
    returns, logs = close / close.shift() - 1, np.log(close / close.shift())
    for name, hours in {"1d": 24, "7d": 168, "30d": 720}.items():
        window = returns.rolling(hours, min_periods=2)
        losses = (returns.clip(upper=0) ** 2).rolling(hours, min_periods=2).mean() ** 0.5
        expected = pd.DataFrame(
            {
                f"return_{name}": close / close.shift(hours) - 1,
                f"volatility_{name}": logs.rolling(hours, min_periods=2).std() * YEAR,
                f"sharpe_{name}": window.mean() / window.std() * YEAR,
                f"sortino_{name}": window.mean() / losses.where(losses > 0) * YEAR,
                f"max_drawdown_{name}": close.rolling(hours + 1, min_periods=1).apply(
                    lambda held: (
                        (held / np.fmax.accumulate(held)).min() - 1
                        if not np.isnan(held).any()
                        else (held[~np.isnan(held)] / np.maximum.accumulate(held[~np.isnan(held)])).min() - 1
                    ),
                    raw=True,
                ),
                f"coverage_{name}": full["minutes"].fillna(0).rolling(hours).sum() / (60 * hours),
            }
        )
        there = expected.loc[made.index]
        pd.testing.assert_frame_equal(
            made[list(expected)], there, check_freq=False, check_names=False, rtol=1e-9, atol=1e-12
        )


def test_snapshots_are_those_of_pandas() -> None:
    bars = market(some_hours(1_500, 0.1, 2), 2)
    made = frame(market_snapshot(of(bars, 1_100, 1_500)))
    full = line(bars, 0, 1_500)
    close, day = full["close"], full.rolling("24h", min_periods=1)
    logs = np.log(close / close.shift())
    expected = pd.DataFrame(
        {
            "price": close,
            "volume_24h": full["volume"].rolling(24, min_periods=1).sum(),
            "high_24h": full["high"].rolling(24, min_periods=1).max(),
            "low_24h": full["low"].rolling(24, min_periods=1).min(),
            "volatility_24h": logs.rolling(24, min_periods=2).std() * YEAR,
            **{
                f"roi_{name}": close / close.shift(hours) - 1
                for name, hours in {"1h": 1, "24h": 24, "7d": 168, "30d": 720}.items()
            },
            "coverage_24h": full["minutes"].fillna(0).rolling(24).sum() / 1_440,
        }
    ).loc[made.index]
    assert day is not None
    pd.testing.assert_frame_equal(
        made[list(expected)], expected, check_freq=False, check_names=False, rtol=1e-9, atol=1e-12
    )
    assert (made["source"] == "derived").all()


def test_a_comparison_has_a_row_for_each_other_market_and_each_hour_of_both() -> None:
    bars = market(some_hours(1_400, 0.1, 3), 3)
    others = {name: market(some_hours(1_400, 0.1, seed), seed) for name, seed in (("x.B", 4), ("x.A", 5))}
    made = market_comparison(
        of(bars, 1_100, 1_400), {name: of(other, 1_100, 1_400) for name, other in others.items()}
    )
    assert COMPARISON.examine(made)[1].num_rows == 0
    keys = COMPARISON.keys(made)
    assert (np.diff(keys) > 0).all()
    rows = made.to_pandas()
    mine = frame(market_snapshot(of(bars, 1_100, 1_400)))
    for name, other in others.items():
        theirs = frame(market_snapshot(of(other, 1_100, 1_400)))
        both = mine.index.intersection(theirs.index)
        got = rows[rows["other"] == name].set_index("time")
        assert list(got.index) == list(both)
        a, b = mine.loc[both], theirs.loc[both]
        assert got["price_ratio"].to_numpy() == pytest.approx((a["price"] / b["price"]).to_numpy())
        for window, roi in {"1d": "roi_24h", "7d": "roi_7d", "30d": "roi_30d"}.items():
            spread = (a[roi] - b[roi]).to_numpy()
            assert got[f"roi_spread_{window}"].to_numpy() == pytest.approx(spread, nan_ok=True)
        turnovers = []
        for one in (bars, other):
            full = line(one, 0, 1_400)
            turnovers.append((full["close"] * full["volume"]).rolling(24, min_periods=1).sum().loc[both])
        ratio = (turnovers[0] / turnovers[1]).to_numpy()
        assert got["volume_ratio_24h"].to_numpy() == pytest.approx(ratio)


def test_compared_with_itself_a_market_is_the_same() -> None:
    hours = of(market(list(range(1_200))), 1_100, 1_200)
    rows = market_comparison(hours, {"x.same": hours}).to_pylist()
    assert {(row["price_ratio"], row["volume_ratio_24h"], row["roi_spread_30d"]) for row in rows} == {
        (1, 1, 0)
    }


def test_compared_with_nobody_there_is_nothing() -> None:
    hours = of(market(list(range(100))), 0, 100)
    assert market_comparison(hours, {}).num_rows == 0
    assert market_comparison(hours, {"x.later": of(market(list(range(200, 300))), 0, 100)}).num_rows == 0


def test_a_market_that_stands_still_has_no_sharpe_and_one_without_losses_no_sortino() -> None:
    count = 800
    flat = roi_statistics(of(market(list(range(count)), close=np.full(count, 7.0)), 0, count)).to_pylist()[-1]
    assert (flat["sharpe_7d"], flat["sortino_7d"]) == (None, None)
    assert flat["volatility_7d"] == flat["return_7d"] == flat["max_drawdown_7d"] == 0
    rising = 100 * 1.01 ** np.arange(count)
    up = roi_statistics(of(market(list(range(count)), close=rising), 0, count)).to_pylist()[-1]
    assert up["sortino_30d"] is None
    assert up["sharpe_30d"] is None  # by its σ of rounding errors it would be a million millions
    assert up["max_drawdown_30d"] == 0


def test_the_first_hours_have_what_there_is_of_them() -> None:
    rows = roi_statistics(of(market(list(range(30))), 0, 30)).to_pylist()
    assert [row["sharpe_30d"] is None for row in rows[:4]] == [True, True, False, False]
    assert [row["return_1d"] is None for row in rows[23:26]] == [True, False, False]


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([0, 0.1, 0.6]), st.integers(1, 1_999), st.integers(1, 900))
def test_nothing_of_the_future_and_nothing_older_than_the_lookback_counts(
    seed: int, share: float, now: int, back: int
) -> None:
    bars = market(some_hours(2_000, share, seed), seed)
    first = max(0, now - back)
    keys = H1.keys(bars)
    needed = (keys >= micros(at(first - LOOKBACK))) & (keys < micros(at(now)))
    some = bars.filter(pa.array(needed))
    for work in (market_snapshot, roi_statistics):
        whole = work(of(bars, first, now))
        assert work(of(some, first, now)).equals(whole)
        once = work(of(bars, now - 1, now))
        assert once.equals(whole.slice(whole.num_rows - once.num_rows))


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.floats(1e-6, 1e6), st.floats(0, 1e9)), min_size=1, max_size=80)
)
def test_whatever_the_prices_every_promise_is_kept(rows: list[tuple[int, float, float]]) -> None:
    hours = np.cumsum([step for step, _, _ in rows]).tolist()
    prices = np.array([price for _, price, _ in rows])
    bars = market(hours, open=prices, high=prices, low=prices, close=prices, volume=[v for *_, v in rows])
    for table, made in (
        (SNAPSHOT, market_snapshot(of(bars, 0, 4_000))),
        (ROI, roi_statistics(of(bars, 0, 4_000))),
    ):
        assert made.num_rows == len(rows)
        assert table.examine(made)[1].num_rows == 0
        assert made.schema == table.schema
