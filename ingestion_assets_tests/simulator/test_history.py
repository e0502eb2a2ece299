"""Pages: inclusive ends, limits, the latest, holes, and bytes that say exactly what the world says."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.simulator.clock import to_ms
from ingestion_assets.simulator.history import History, Question
from ingestion_assets.simulator.intervals import MINUTE_MS, MINUTES
from ingestion_assets.simulator.render import rows
from ingestion_assets.simulator.symbols import BINANCE
from ingestion_assets.simulator.world import Candles, World, life

WORLD = World(7)
HISTORY = History(WORLD)
NOW = to_ms("2026-03-04T05:06:07")


def written(candles: Candles) -> list[list[object]]:
    """The rows as Binance writes them, slowly: field by field with exact decimals."""
    tick, lot = (
        Decimal(1).scaleb(-candles.symbol.price_decimals),
        Decimal(1).scaleb(-candles.symbol.lot_decimals),
    )
    unit = Decimal("1e-8")
    out = []
    for at, *row in zip(candles.open_ms.tolist(), *(c.tolist() for c in candles.columns()), strict=True):
        prices = [f"{value * tick:.8f}" for value in row[:4]]
        volume, quote, trades, taker, taker_quote = row[4:]
        tail = [trades, f"{taker * lot:.8f}", f"{taker_quote * unit:.8f}", "0"]
        close = at + candles.minutes * MINUTE_MS - 1
        out.append([at, *prices, f"{volume * lot:.8f}", close, f"{quote * unit:.8f}", *tail])
    return out


def page(symbol, interval, start=None, end=None, limit=1000, absent=()):
    market = BINANCE[symbol]
    ask = Question(market, MINUTES[interval], NOW, (*life(market), *absent))
    return json.loads(HISTORY.page(ask, start, end, limit))


@pytest.mark.parametrize("symbol", sorted(BINANCE))
def test_rendering_is_exact(symbol):
    candles = WORLD.minutes(BINANCE[symbol], 28_000_000, 150)
    rendered = rows(candles)
    assert json.loads(b"[" + rendered.cut(0, 150) + b"]") == written(candles)
    assert json.loads(b"[" + rendered.cut(7, 9) + b"]") == written(candles)[7:9]
    assert rendered.cut(3, 3) == b""


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["BTCUSDT", "ICXUSDT", "PEPEUSDT"]),
    st.sampled_from(["1m", "5m", "1h", "1d"]),
    st.integers(0, 5000),
    st.integers(-3, 2500),
    st.integers(1, 1000),
)
def test_a_page_is_the_first_rows_of_its_window(symbol, interval, offset, length, limit):
    step = MINUTES[interval] * MINUTE_MS
    start = min(to_ms("2024-03-05") + offset * step + 17, NOW - step)
    end = start + length * step // 2
    expected = written(WORLD.candles(symbol, interval, start, min(end + 1, NOW // step * step)))
    found = page(symbol, interval, start, end, limit)
    if found and found[-1][6] >= NOW:
        assert found.pop()[0] <= end
    assert found == expected[:limit]


def test_pages_join_without_seam_or_overlap():
    start, end = to_ms("2025-01-01"), to_ms("2025-01-08")
    joined, at = [], start
    while rows_ := page("BTCUSDT", "1m", at, end - 1, 997):
        joined += rows_
        at = rows_[-1][0] + 1
    assert joined == written(WORLD.candles("BTCUSDT", "1m", start, end))


def test_both_ends_are_inclusive_and_speak_of_open_times():
    start = to_ms("2025-06-01")
    assert [r[0] for r in page("BTCUSDT", "1m", start, start + 2 * MINUTE_MS)] == [
        start + i * MINUTE_MS for i in range(3)
    ]
    assert [r[0] for r in page("BTCUSDT", "1m", start + 1, start + MINUTE_MS)] == [start + MINUTE_MS]
    assert page("BTCUSDT", "1m", start + 1, start + 2) == []
    assert page("BTCUSDT", "1m", start + 1, start) == []


def test_without_a_start_the_latest_ending_with_the_unfinished_one():
    found = page("BTCUSDT", "1h", limit=5)
    assert [r[0] for r in found] == [to_ms("2026-03-04T05:00") - i * 3_600_000 for i in range(4, -1, -1)]
    assert found[-1][6] > NOW
    assert found[:-1] == written(WORLD.candles("BTCUSDT", "1h", found[0][0], found[-1][0]))
    assert page("BTCUSDT", "1h", limit=1) == found[-1:]
    ended = page("BTCUSDT", "1m", end=to_ms("2024-05-05T00:00"), limit=2500)
    assert (len(ended), ended[-1][0]) == (2500, to_ms("2024-05-05T00:00"))
    assert [r[0] for r in ended] == sorted({r[0] for r in ended})


def test_the_future_and_the_time_before_listing_are_empty():
    assert page("BTCUSDT", "1m", NOW + MINUTE_MS) == []
    assert page("BTCUSDT", "1m", NOW + 86_400_000, NOW + 2 * 86_400_000) == []
    assert page("BTCUSDT", "1m", 0, to_ms("2017-01-01")) == []
    assert page("BTCUSDT", "1m", end=to_ms("2017-01-01")) == []
    assert page("BTCUSDT", "1m", 0, limit=1)[0][0] == BINANCE["BTCUSDT"].listed_ms
    assert page("BTCUSDT", "1d", 0, limit=1)[0][0] == to_ms("2017-08-17")
    assert page("LUNAUSDT", "1m", to_ms("2023-01-01")) == []
    assert page("LUNAUSDT", "1h", limit=1)[0][0] == to_ms("2022-05-13T00:00")


def test_a_hole_is_stepped_over_from_both_sides():
    lo, hi = to_ms("2025-03-01T00:00"), to_ms("2025-03-03T00:30")
    absent = ((lo // MINUTE_MS, hi // MINUTE_MS),)
    times = [r[0] for r in page("BTCUSDT", "1m", lo - 2 * MINUTE_MS, limit=4, absent=absent)]
    assert times == [lo - 2 * MINUTE_MS, lo - MINUTE_MS, hi, hi + MINUTE_MS]
    assert [r[0] for r in page("BTCUSDT", "1m", end=hi, limit=2, absent=absent)] == [lo - MINUTE_MS, hi]
    hours = page("BTCUSDT", "1h", lo - 3_600_000, limit=2, absent=absent)
    assert [r[0] for r in hours] == [lo - 3_600_000, to_ms("2025-03-03T00:00")]
    half = page("BTCUSDT", "1m", hi, hi + 29 * MINUTE_MS)
    assert Decimal(hours[1][5]) == sum(Decimal(r[5]) for r in half)
    assert page("BTCUSDT", "1m", lo, hi - 1, absent=absent) == []
    assert len(page("BTCUSDT", "1m", lo, hi - 1)) == 1000  # without the hole
