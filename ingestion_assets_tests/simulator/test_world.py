"""The world is a function: of seed, symbol and time, whatever the window and whoever asks."""

import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.simulator.clock import to_ms
from ingestion_assets.simulator.intervals import MINUTE_MS, MINUTES
from ingestion_assets.simulator.symbols import BINANCE, KRAKEN
from ingestion_assets.simulator.world import Candles, World, aggregate

WORLD = World(seed=7)
SYMBOLS = st.sampled_from([*BINANCE.values(), *KRAKEN.values()])
FIRST = to_ms("2022-01-01") // MINUTE_MS


def same(a: Candles, b: Candles) -> bool:
    pairs = zip((a.minute, *a.columns()), (b.minute, *b.columns()), strict=True)
    return all(np.array_equal(left, right) for left, right in pairs)


@settings(deadline=None, max_examples=60)
@given(SYMBOLS, st.integers(0, 2_000_000), st.lists(st.integers(0, 700), min_size=1, max_size=5))
def test_a_window_is_the_same_in_any_split(symbol, offset, parts):
    whole = WORLD.minutes(symbol, FIRST + offset, sum(parts))
    at, pieces = FIRST + offset, WORLD.minutes(symbol, FIRST + offset, 0)
    for part in parts:
        pieces = pieces.plus(World(seed=7).minutes(symbol, at, part))
        at += part
    assert same(whole, pieces)


@settings(deadline=None, max_examples=30)
@given(SYMBOLS, st.sampled_from(sorted(MINUTES)), st.integers(0, 1000), st.integers(1, 6), st.integers(1, 6))
def test_longer_candles_in_any_split(symbol, interval, offset, one, other):
    step = MINUTES[interval] * MINUTE_MS
    start = to_ms("2024-01-01") + offset * step
    middle, end = start + one * step, start + (one + other) * step
    whole = WORLD.candles(symbol, interval, start, end)
    assert same(
        whole,
        WORLD.candles(symbol, interval, start, middle).plus(WORLD.candles(symbol, interval, middle, end)),
    )


@settings(deadline=None, max_examples=60)
@given(SYMBOLS, st.integers(0, 2_000_000), st.integers(1, 3000))
def test_candles_keep_the_promises_of_candles(symbol, offset, count):
    c = WORLD.minutes(symbol, FIRST + offset, count)
    assert len(c) == count
    assert (c.open[1:] == c.close[:-1]).all()
    assert (c.high >= np.maximum(c.open, c.close)).all()
    assert (c.low <= np.minimum(c.open, c.close)).all()
    assert (c.low >= 1).all()
    assert (c.taker_volume <= c.volume).all()
    assert (c.taker_quote_volume <= c.quote_volume).all()
    traded = c.volume > 0
    assert (traded == (c.trades > 0)).all()
    assert (traded == (c.quote_volume > 0)).all()
    assert (c.high[~traded] == c.low[~traded]).all()
    worth = c.volume * symbol.quote_scale
    assert (c.quote_volume >= worth * c.low).all()
    assert (c.quote_volume <= worth * c.high).all()
    assert traded.all() or symbol.quiet


@pytest.mark.parametrize("interval", sorted(MINUTES))
def test_longer_candles_are_exact_aggregates(interval):
    minutes = MINUTES[interval]
    start = to_ms("2024-02-26")  # a Monday
    end = start + 2 * minutes * MINUTE_MS
    longer = WORLD.candles("ETHUSDT", interval, start, end)
    ones = WORLD.candles(
        "ETHUSDT", "1m", int(longer.open_ms[0]), int(longer.open_ms[-1]) + minutes * MINUTE_MS
    )
    for i in range(len(longer)):
        part = ones.take(slice(i * minutes, (i + 1) * minutes))
        row = [int(column[i]) for column in longer.columns()]
        sums = [int(column.sum()) for column in part.columns()[4:]]
        assert row == [part.open[0], part.high.max(), part.low.min(), part.close[-1], *sums]
    assert longer.quote_volume.max() < 2**62  # whole numbers do not overflow


def test_weeks_begin_on_monday_and_days_at_midnight():
    weeks = WORLD.candles("BTCUSDT", "1w", to_ms("2024-01-01"), to_ms("2024-02-01"))
    days = [datetime.fromtimestamp(ms / 1000, UTC) for ms in weeks.open_ms.tolist()]
    assert [d.isoweekday() for d in days] == [1] * 5
    assert all((d.hour, d.minute) == (0, 0) for d in days)


def test_same_seed_same_world_in_another_process():
    code = (
        "from ingestion_assets.simulator.world import World\n"
        "c = World(7).candles('SOLUSDT', '15m', 1700000000000, 1700100000000)\n"
        "print([column.tolist() for column in (c.minute, *c.columns())])"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    c = WORLD.candles("SOLUSDT", "15m", 1700000000000, 1700100000000)
    assert other.strip() == str([column.tolist() for column in (c.minute, *c.columns())])


def test_seeds_and_symbols_differ():
    window = (to_ms("2024-01-01"), to_ms("2024-01-02"))
    btc = WORLD.candles("BTCUSDT", "1m", *window)
    assert not np.array_equal(btc.close, World(8).candles("BTCUSDT", "1m", *window).close)
    assert not np.array_equal(btc.trades, WORLD.candles("BTCUSDC", "1m", *window).trades)


def test_venues_agree_on_the_price_level():
    window = (to_ms("2024-01-01"), to_ms("2024-01-02"))
    binance = WORLD.candles("BTCUSDT", "1m", *window).floats()["close"]
    kraken = WORLD.candles(KRAKEN["XXBTZUSD"], "1m", *window).floats()["close"]
    assert np.allclose(binance, kraken, atol=0.1)


def test_nothing_before_listing_and_nothing_after_the_end():
    luna = BINANCE["LUNAUSDT"]
    c = WORLD.candles(luna, "1m", luna.listed_ms - 10 * MINUTE_MS, luna.listed_ms + 10 * MINUTE_MS)
    assert int(c.open_ms[0]) == luna.listed_ms
    c = WORLD.candles(luna, "1m", luna.ended_ms - 10 * MINUTE_MS, luna.ended_ms + 10 * MINUTE_MS)
    assert int(c.open_ms[-1]) == luna.ended_ms - MINUTE_MS
    first_day = WORLD.candles(luna, "1d", luna.listed_ms - 86_400_000, luna.listed_ms + 1)
    assert same(first_day, aggregate(WORLD.candles(luna, "1m", luna.listed_ms, to_ms("2020-08-22")), 1440))


@settings(deadline=None, max_examples=40)
@given(SYMBOLS, st.integers(0, 500_000), st.lists(st.integers(0, MINUTE_MS - 1), min_size=2, max_size=6))
def test_the_unfinished_candle_grows_into_the_finished_one(symbol, offset, moments):
    start = (to_ms("2024-01-01") // MINUTE_MS + offset) * MINUTE_MS
    whole = WORLD.minutes(symbol, start // MINUTE_MS, 1)
    seen = [WORLD.unfinished(symbol, 1, start + ms, ()) for ms in sorted(moments)]
    for c in seen:
        assert c.open[0] == whole.open[0]
        assert whole.low[0] <= c.low[0] <= min(c.open[0], c.close[0])
        assert max(c.open[0], c.close[0]) <= c.high[0] <= whole.high[0]
        assert c.volume[0] <= whole.volume[0]
        assert c.taker_volume[0] <= c.volume[0]
        assert c.taker_quote_volume[0] <= c.quote_volume[0]
    for earlier, later in pairwise(seen):
        assert earlier.high[0] <= later.high[0]
        assert earlier.low[0] >= later.low[0]
        assert earlier.volume[0] <= later.volume[0]
        assert earlier.trades[0] <= later.trades[0]


def test_an_unfinished_hour_is_its_minutes_so_far():
    now = to_ms("2024-05-05T10:20:30")
    hour = WORLD.unfinished(BINANCE["BTCUSDT"], 60, now, ())
    done = WORLD.candles("BTCUSDT", "1m", to_ms("2024-05-05T10:00"), to_ms("2024-05-05T10:20"))
    assert same(hour, aggregate(done.plus(WORLD.unfinished(BINANCE["BTCUSDT"], 1, now, ())), 60))


def test_there_are_enough_symbols_and_their_units_fit():
    lasting = [s for s in BINANCE.values() if s.ended_ms is None and s.quote == "USDT"]
    assert len(lasting) >= 50
    assert all(s.price_decimals + s.lot_decimals <= 8 for s in (*BINANCE.values(), *KRAKEN.values()))
    assert any(s.ended_ms for s in BINANCE.values())
    assert any(s.quiet for s in BINANCE.values())
