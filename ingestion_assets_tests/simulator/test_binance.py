"""The Binance vendor on the wire: the shapes of the recorded answers, and its refusals."""

import json

import pytest
import requests

from ingestion_assets.simulator import Fault
from ingestion_assets.simulator.clock import to_ms
from ingestion_assets.simulator.symbols import BINANCE


def shape(value):
    """Types all the way down; a list is as its first item."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def test_klines_look_like_recorded_ones(klines, recorded):
    for ours in (klines(), klines(interval="1d", startTime=0, limit=3), klines(symbol="PEPEUSDT")):
        for theirs in recorded("binance_spot/http_spot_market_klines.json"):
            for row in ours:
                assert [type(field) for field in row] == [type(field) for field in theirs]
                assert [len(f.split(".")[1]) for f in row[1:6]] == [len(f.split(".")[1]) for f in theirs[1:6]]
                assert row[11] == theirs[11] == "0"


def test_klines_are_the_world(simulator, klines):
    start = to_ms("2024-05-01")
    rows = klines(symbol="ETHUSDT", startTime=start, limit=1000)
    truth = simulator.world.candles("ETHUSDT", "1m", start, start + 1000 * 60_000).floats()
    names = ["open_ms", "open", "high", "low", "close", "volume", None, "quote_volume", "trades"]
    for i, name in enumerate([*names, "taker_volume", "taker_quote_volume"]):
        if name:
            assert [float(row[i]) for row in rows] == truth[name].tolist()
    assert len(klines()) == 500
    assert len(klines(limit=5000)) == 1000


def test_the_last_kline_is_unfinished(simulator, klines):
    last, now = klines(limit=1)[0], simulator.clock.now_ms()
    assert last[0] <= now < last[6]
    simulator.clock.advance(20_000)
    later = klines(limit=1)[0]
    assert later[0] == last[0]
    assert float(later[5]) > float(last[5])
    simulator.clock.advance(60_000)
    closed = klines(limit=2)[0]
    assert closed[0] == last[0]
    assert float(closed[5]) >= float(later[5])


def test_exchange_info_looks_like_the_recorded_one(get, recorded):
    ours = get("exchangeInfo").json()
    for name in ("http_spot_market_exchange_info", "rest_api_v3_exchangeInfo.body"):
        theirs = recorded(f"binance_spot/{name}.json")
        assert theirs.keys() <= ours.keys()
        assert shape(ours["rateLimits"]) == shape(theirs["rateLimits"])
        kinds = {limit["rateLimitType"] for limit in theirs["rateLimits"]}
        assert {limit["rateLimitType"] for limit in ours["rateLimits"]} == kinds
        their_btc, our_btc = (
            next(s for s in d["symbols"] if s["symbol"] == "BTCUSDT") for d in (theirs, ours)
        )
        assert their_btc.keys() <= our_btc.keys()
        their_filters, our_filters = (
            {f["filterType"]: f for f in s["filters"]} for s in (their_btc, our_btc)
        )
        for kind in ("PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE"):
            assert shape(our_filters[kind]) == shape(their_filters[kind])
        for kind, field in (("PRICE_FILTER", "tickSize"), ("LOT_SIZE", "stepSize")):
            assert our_filters[kind][field] == their_filters[kind][field]


def test_exchange_info_lists_what_is_listed(simulator, get):
    status = {s["symbol"]: s["status"] for s in get("exchangeInfo").json()["symbols"]}
    assert status.keys() == BINANCE.keys()
    assert (status["BTCUSDT"], status["LUNAUSDT"]) == ("TRADING", "BREAK")
    assert [s["symbol"] for s in get("exchangeInfo", symbol="ETHUSDT").json()["symbols"]] == ["ETHUSDT"]
    two = get("exchangeInfo", symbols='["ETHUSDT","SOLUSDT"]').json()["symbols"]
    assert [s["symbol"] for s in two] == ["ETHUSDT", "SOLUSDT"]
    simulator.clock.set("2019-01-01")
    status = {s["symbol"]: s["status"] for s in get("exchangeInfo").json()["symbols"]}
    assert "SOLUSDT" not in status
    assert status["EOSUSDT"] == "TRADING"
    assert get("klines", symbol="SOLUSDT", interval="1m").json()["code"] == -1121


def test_tickers_and_depth_look_like_recorded_ones(get, recorded):
    ticker = get("ticker/24hr", symbol="BNBBTC").json()
    assert shape(ticker) == shape(recorded("binance_spot/ticker_24hr_response.json"))
    assert float(ticker["lowPrice"]) <= float(ticker["weightedAvgPrice"]) <= float(ticker["highPrice"])
    assert len(get("ticker/24hr").json()) == sum(s.ended_ms is None for s in BINANCE.values())
    mini = get("ticker/24hr", symbols='["BTCUSDT"]', type="MINI").json()
    assert "priceChange" not in mini[0]
    price = get("ticker/price", symbol="BNBBTC").json()
    assert price == {"symbol": "BNBBTC", "price": ticker["lastPrice"]}
    assert {"symbol": "BNBBTC", "price": ticker["lastPrice"]} in get("ticker/price").json()
    book = get("depth", symbol="BTCUSDT", limit=10).json()
    assert shape(book) == shape(recorded("binance_spot/http_spot_market_depth.json"))
    bids, asks = ([float(level[0]) for level in book[side]] for side in ("bids", "asks"))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert (len(bids), len(asks)) == (10, 10)


def test_time_and_ping(simulator, get):
    assert get("ping").json() == {}
    assert get("time").json() == {"serverTime": simulator.clock.now_ms()}
    assert get("time").headers["Date"] == "Wed, 04 Mar 2026 05:06:07 GMT"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, -1102),
        ({"symbol": "BTCUSDT"}, -1102),
        ({"symbol": "", "interval": "1m"}, -1102),
        ({"symbol": "NOPEUSDT", "interval": "1m"}, -1121),
        ({"symbol": "btc/usdt", "interval": "1m"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ({"symbol": "BTCUSDT", "interval": "1m", "startTime": "yesterday"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "1m", "endTime": "-5"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "1m", "limit": "1e3"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "1m", "limit": "0"}, -1130),
        ({"symbol": "BTCUSDT", "interval": "1m", "since": "1"}, -1104),
    ],
)
def test_klines_refuses_as_binance_does(get, query, code):
    answer = get("klines", **query)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json().keys() == {"code", "msg"}
    assert "X-MBX-USED-WEIGHT-1M" in answer.headers


def test_refusals_are_the_recorded_ones(get, simulator, recorded):
    theirs = recorded("errors/binance_invalid_symbol.json")
    answer = get("klines", symbol="NOPE", interval="1m")
    assert (answer.status_code, answer.json()) == (theirs["status"], theirs["body"])
    theirs = recorded("errors/binance_418_ip_ban.json")
    simulator.faults.add(Fault("banned"))
    answer = get("ping")
    assert answer.status_code == theirs["status"]
    assert answer.json()["code"] == theirs["body"]["code"]
    ours, real = (body["msg"].split("until ")[0] for body in (answer.json(), theirs["body"]))
    assert ours == real


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        ("ping", {}, 1),
        ("time", {}, 1),
        ("exchangeInfo", {}, 20),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1}, 2),
        ("ticker/price", {"symbol": "BTCUSDT"}, 2),
        ("ticker/price", {}, 4),
        ("ticker/24hr", {"symbol": "BTCUSDT"}, 2),
        ("ticker/24hr", {"symbols": json.dumps([*BINANCE][:21])}, 40),
        ("ticker/24hr", {}, 80),
        ("depth", {"symbol": "BTCUSDT"}, 5),
        ("depth", {"symbol": "BTCUSDT", "limit": 5000}, 250),
    ],
)
def test_weights(simulator, get, path, query, weight):
    answer = get(path, **query)
    assert answer.status_code == 200
    assert simulator.requests.weight == weight
    assert answer.headers["X-MBX-USED-WEIGHT"] == answer.headers["X-MBX-USED-WEIGHT-1M"]


def test_what_is_not_there(get, simulator):
    assert get("nonsense").status_code == 404
    assert get("/other").status_code == 404
    assert requests.post(simulator.url + "/api/v3/ping", timeout=30).status_code == 405
