"""Perpetuals on the wire: trades agree with candles, one way of asking with another, ccxt with both."""

import asyncio
import itertools

import ccxt
import numpy as np
import pytest

from ingestion_assets.simulator import Fault
from ingestion_assets.simulator.clock import to_ms
from ingestion_assets.simulator.symbols import USDM

START = to_ms("2025-05-05T00:00")
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
TRADES, KLINES = "/fapi/v1/aggTrades", "/fapi/v1/klines"
FUNDING, INTEREST = "/fapi/v1/fundingRate", "/futures/data/openInterestHist"


@pytest.fixture
def ask(get):
    def ask(path, **query):
        answer = get(path, **({"symbol": "BTCUSDT"} | query))
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


def all_trades(ask, start, end, **query):
    found = ask(TRADES, startTime=start, limit=1000, **query)
    while found[-1]["T"] < end:
        found += ask(TRADES, fromId=found[-1]["a"] + 1, limit=1000, **query)
    return [trade for trade in found if start <= trade["T"] < end]


@pytest.mark.parametrize("symbol", ["BTCUSDT", "LINKUSDT", "DOGEUSDT"])
def test_trades_make_their_candles(ask, symbol):
    candles = ask(KLINES, symbol=symbol, interval="1m", startTime=START, endTime=START + 20 * MINUTE - 1)
    trades = all_trades(ask, START, START + 20 * MINUTE, symbol=symbol)
    assert len(candles) == 20
    for candle in candles:
        own = [t for t in trades if candle[0] <= t["T"] <= candle[6]]
        prices = [float(t["p"]) for t in own]
        assert (prices[0], prices[-1]) == (float(candle[1]), float(candle[4]))
        assert (max(prices), min(prices)) == (float(candle[2]), float(candle[3]))
        assert np.isclose(sum(float(t["q"]) for t in own), float(candle[5]), rtol=1e-12)
        assert np.isclose(sum(float(t["q"]) for t in own if not t["m"]), float(candle[9]), rtol=1e-12)
        assert sum(t["l"] - t["f"] + 1 for t in own) == candle[8]
        assert all(float(t["q"]) > 0 for t in own)


def test_trades_are_numbered_without_gaps_over_an_outage_too(simulator, ask):
    simulator.faults.add(Fault("outage", start=START + 5 * MINUTE, end=START + 25 * MINUTE))
    trades = all_trades(ask, START, START + 30 * MINUTE)
    assert np.diff([t["a"] for t in trades]).tolist() == [1] * (len(trades) - 1)
    assert all(a["l"] + 1 == b["f"] for a, b in itertools.pairwise(trades))
    assert not [t for t in trades if START + 5 * MINUTE <= t["T"] < START + 25 * MINUTE]
    assert len(trades) == 10 * USDM["BTCUSDT"].agg_per_minute
    middle = trades[len(trades) // 2 - 5]
    assert ask(TRADES, fromId=middle["a"], limit=10) == trades[len(trades) // 2 - 5 :][:10]


def test_trades_by_time_and_the_latest(simulator, ask, get):
    window = ask(TRADES, startTime=START + 7, endTime=START + 2 * MINUTE, limit=1000)
    assert all(START + 7 <= t["T"] <= START + 2 * MINUTE for t in window)
    assert window == [t for t in all_trades(ask, START, START + 3 * MINUTE) if t in window]
    latest = ask(TRADES, limit=5)
    assert len(latest) == 5
    assert latest[-1]["T"] <= simulator.clock.now_ms()
    assert ask(TRADES, startTime=simulator.clock.now_ms() + HOUR) == []
    assert ask(TRADES, fromId=latest[-1]["a"] + 10**6) == []
    refused = get(TRADES, symbol="BTCUSDT", startTime=START, endTime=START + 2 * HOUR)
    assert (refused.status_code, refused.json()["code"]) == (400, -4045)


def test_open_interest_is_served_for_thirty_days(simulator, ask, get):
    now = simulator.clock.now_ms()
    found = ask(INTEREST, period="5m", startTime=now - 2 * DAY, endTime=now - DAY, limit=500)
    assert len(found) in (288, 289)
    assert all(e["timestamp"] % 300_000 == 0 for e in found)
    assert set(found[0]) >= {"symbol", "sumOpenInterest", "sumOpenInterestValue", "timestamp"}
    hourly = ask(INTEREST, period="1h", startTime=now - 2 * DAY, endTime=now - DAY, limit=500)
    assert hourly == [e for e in found if e["timestamp"] % HOUR == 0]
    assert len(ask(INTEREST, period="5m")) == 30
    old = get(INTEREST, symbol="BTCUSDT", period="5m", startTime=now - 31 * DAY)
    assert (old.status_code, old.json()) == (400, {"code": -1130, "msg": "parameter 'startTime' is invalid."})


def test_funding_every_eight_hours_some_milliseconds_late(ask):
    found = ask(FUNDING, startTime=START, endTime=START + 10 * DAY, limit=1000)
    assert len(found) in (30, 31)
    assert all(e["fundingTime"] % (8 * HOUR) < 20 for e in found)
    assert len({e["fundingTime"] % (8 * HOUR) for e in found}) > 5
    assert all(abs(float(e["fundingRate"])) < 0.01 and float(e["markPrice"]) > 0 for e in found)
    assert ask(FUNDING, startTime=START, limit=2) == found[:2]
    assert ask(FUNDING, limit=3)[-1]["fundingTime"] > found[-1]["fundingTime"]


def test_weights_and_pools_are_the_futures_own(simulator, get):
    for limit, weight in ((99, 1), (499, 2), (1000, 5), (1500, 10)):
        before = simulator.usdm_limits["weight"].weight.used
        answer = get(KLINES, symbol="BTCUSDT", interval="1m", limit=limit)
        assert int(answer.headers["X-MBX-USED-WEIGHT-1M"]) - before == weight
    spot = simulator.limits.weight.used
    get(FUNDING, symbol="BTCUSDT")
    get(INTEREST, symbol="BTCUSDT", period="5m")
    assert simulator.usdm_limits["funding"].weight.used == 1
    assert simulator.usdm_limits["statistics"].weight.used == 1
    assert simulator.limits.weight.used == spot


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        (KLINES, {"symbol": "NOPE", "interval": "1m"}, -1121),
        (KLINES, {"interval": "1m"}, -1102),
        (KLINES, {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        (TRADES, {"symbol": "BTCUSDT", "fromId": 5, "startTime": START}, -1128),
        (TRADES, {"symbol": "BTCUSDT", "limit": 0}, -1130),
        (INTEREST, {"symbol": "BTCUSDT", "period": "7m"}, -1130),
        (FUNDING, {"symbol": "BTCUSDT", "nope": 1}, -1104),
    ],
)
def test_refusals(get, path, query, code):
    answer = get(path, **query)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_delisted_perpetual_has_an_end(get):
    entries = {e["symbol"]: e for e in get("/fapi/v1/exchangeInfo").json()["symbols"]}
    assert entries["BTCUSDT"]["status"] == "TRADING"
    assert entries["LUNAUSDT"]["status"] == "SETTLING"
    assert entries["LUNAUSDT"]["deliveryDate"] == to_ms("2022-05-13T01:00")


def futures(simulator):
    client = ccxt.binanceusdm({"enableRateLimit": False, "options": {"fetchMarkets": {"types": ["linear"]}}})
    client.urls["api"]["fapiPublic"] = simulator.url + "/fapi/v1"
    client.urls["api"]["fapiData"] = simulator.url + "/futures/data"
    return client


def test_ccxt_takes_it_for_the_real_venue(simulator, ask):
    client, now = futures(simulator), simulator.clock.now_ms()
    market = client.load_markets()["BTC/USDT:USDT"]
    assert market["swap"] and market["linear"] and market["active"]
    bars = client.fetch_ohlcv("BTC/USDT:USDT", "1m", START, 100)
    told = ask(KLINES, interval="1m", startTime=START, limit=100)
    assert bars == [[row[0], *(float(text) for text in row[1:6])] for row in told]
    trades = client.fetch_trades("BTC/USDT:USDT", START, 50)
    assert [t["id"] for t in trades] == [str(t["a"]) for t in ask(TRADES, startTime=START, limit=50)]
    assert {t["side"] for t in trades} == {"buy", "sell"}
    interest = client.fetch_open_interest_history("BTC/USDT:USDT", "5m", now - DAY, 20)
    assert len(interest) == 20
    assert interest[0]["openInterestAmount"] > 0
    rates = client.fetch_funding_rate_history("BTC/USDT:USDT", START, 10)
    assert [r["timestamp"] for r in rates] == [
        e["fundingTime"] for e in ask(FUNDING, startTime=START, limit=10)
    ]


def test_nothing_blocks(simulator):
    """Many at once get what each would get alone."""
    import aiohttp

    async def main():
        async with aiohttp.ClientSession() as session:

            async def page(start):
                query = {"symbol": "ETHUSDT", "startTime": str(start), "limit": "500"}
                async with session.get(simulator.url + TRADES, params=query) as answer:
                    return await answer.json()

            return await asyncio.gather(*(page(START + n * HOUR) for n in range(8)))

    pages = asyncio.run(main())
    assert all(len(page) == 500 for page in pages)
    assert len({page[0]["a"] for page in pages}) == 8
