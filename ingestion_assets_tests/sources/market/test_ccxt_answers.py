"""What Kraken, OKX and Bybit answer with when they are asked for candles: rows, silence, refusals."""

from datetime import UTC, datetime

import pytest

from ingestion_assets.intervals import Window
from ingestion_assets.sources import errors
from ingestion_assets.tables.market import OHLCV_1M
from ingestion_assets_tests.sources.market.test_ccxt_exchanges import ask
from ingestion_assets_tests.sources.replay import Replay, Reply

SYMBOL = {"kraken": "BTC/USD", "okx": "BTC/USDT", "bybit": "BTC/USDT"}
CANDLES = {
    "kraken": ("/0/public/OHLC",),
    "okx": ("/api/v5/market/candles", "/api/v5/market/history-candles"),
    "bybit": ("/v5/market/kline",),
}
KRAKEN = {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD", "status": "online"}
OKX = {"instId": "BTC-USDT", "instType": "SPOT", "baseCcy": "BTC", "quoteCcy": "USDT", "state": "live"}
BYBIT = {"symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "status": "Trading"}
BAR = [1_772_600_760, "1", "2", "0.5", "1.5", "1.2", "5", 3]


def answers(exchange, told, status):
    """All that is asked for before the candles, and them."""

    def bybit(query):
        listed = [BYBIT] if query["category"] == "spot" else []
        return {"retCode": 0, "retMsg": "OK", "result": {"category": query["category"], "list": listed}}

    def okx(query):
        return {"code": "0", "msg": "", "data": [OKX] if query["instType"] == "SPOT" else []}

    # The dark pool has the market's name, and no candles.
    pairs = {"XXBTZUSD": KRAKEN, "XXBTZUSD.d": KRAKEN | {"altname": "XBTUSD.d"}}
    markets = {
        "/0/public/Assets": {"error": [], "result": {}},
        "/0/public/AssetPairs": {"error": [], "result": pairs},
        "/api/v5/public/instruments": okx,
        "/v5/market/instruments-info": bybit,
    }
    return markets | dict.fromkeys(CANDLES[exchange], Reply(status, told))


def page(exchange, told, status=200):
    """Rows of two minutes, and the questions for them."""
    window = Window(datetime(2026, 3, 4, 5, 6, tzinfo=UTC), datetime(2026, 3, 4, 5, 8, tzinfo=UTC))
    with Replay(answers(exchange, told, status)) as vendor:
        rows = ask(exchange, vendor.url, lambda s: s.page(SYMBOL[exchange], OHLCV_1M, window))
        return rows, [one for one in vendor.asked if one.path in CANDLES[exchange]]


def test_a_dark_pool_does_not_stand_for_the_market_of_its_name():
    told = {"error": [], "result": {"XXBTZUSD": [BAR], "last": BAR[0]}}
    rows, asked = page("kraken", told)
    assert [one.query["pair"] for one in asked] == ["XXBTZUSD"]
    assert rows.select(["open", "high", "low", "close", "volume"]).to_pylist() == [
        {"open": 1, "high": 2, "low": 0.5, "close": 1.5, "volume": 5}
    ]


@pytest.mark.parametrize(
    ("exchange", "told", "text"),
    [
        (
            "kraken",
            {"error": [], "result": {"XETHZUSD": [BAR], "last": 1}},
            "candles, but none of this market",
        ),
        ("kraken", {"error": [], "result": {"last": 0}}, "says nothing of candles"),
        ("kraken", {"error": []}, "says nothing of candles"),
        ("bybit", {"retCode": 0, "retMsg": "", "result": {}}, "says nothing of candles"),
        ("okx", {"code": "0", "msg": ""}, "says nothing of candles"),
    ],
)
def test_what_does_not_say_that_there_are_no_candles_is_no_silence(exchange, told, text):
    with pytest.raises(errors.MalformedAnswer, match=text):
        page(exchange, told)


@pytest.mark.parametrize(
    ("exchange", "told"),
    [
        ("kraken", {"error": [], "result": {"XXBTZUSD": [], "last": 1_772_600_760}}),
        ("kraken", {"error": [], "result": {"XXBTZUSD": [[BAR[0] - 60, *BAR[1:]]], "last": 1}}),
        ("bybit", {"retCode": 0, "retMsg": "OK", "result": {"category": "spot", "list": []}}),
        ("bybit", {"retCode": 0, "retMsg": "OK", "result": None}),
        ("okx", {"code": "0", "msg": "", "data": []}),
    ],
)
def test_an_empty_list_a_null_and_older_candles_say_that_there_are_none(exchange, told):
    assert page(exchange, told)[0].num_rows == 0


@pytest.mark.parametrize(
    ("exchange", "told", "status", "error"),
    [
        ("kraken", {"error": ["EQuery:Unknown asset pair"], "result": {}}, 200, errors.NotFound),
        ("kraken", {"error": ["EQuery:Invalid asset pair"]}, 200, errors.NotFound),
        ("kraken", {"error": ["EService:Throttled: 1772600000"]}, 200, errors.RateLimited),
        ("bybit", {"retCode": 10001, "retMsg": "params error: symbol invalid"}, 200, errors.NotFound),
        ("bybit", {"retCode": 10001, "retMsg": "params error: limit"}, 200, errors.BadRequest),
        ("bybit", {"retCode": 10006, "retMsg": "Too many visits."}, 200, errors.RateLimited),
        ("bybit", {"retCode": 10009, "retMsg": "IP has been banned."}, 200, errors.Banned),
        ("bybit", {"retCode": 10016, "retMsg": "Internal System Error."}, 200, errors.VendorDown),
        ("bybit", {"retCode": 10000, "retMsg": "Server Timeout"}, 200, errors.VendorDown),
        ("bybit", {"retCode": 10024, "retMsg": "Compliance rules triggered"}, 200, errors.GeoBlocked),
        ("okx", {"code": "50004", "msg": "Endpoint request timeout", "data": []}, 400, errors.VendorDown),
        (
            "okx",
            {"code": "50001", "msg": "Service temporarily unavailable", "data": []},
            503,
            errors.VendorDown,
        ),
        ("okx", {"code": "50030", "msg": "You don't have permission", "data": []}, 200, errors.AuthError),
        ("okx", {"code": "51001", "msg": "Instrument ID doesn't exist", "data": []}, 200, errors.NotFound),
        ("okx", {"code": "51000", "msg": "Parameter bar error", "data": []}, 400, errors.BadRequest),
        ("okx", {"code": "50011", "msg": "Rate limit reached", "data": []}, 429, errors.RateLimited),
    ],
)
def test_what_the_exchanges_say_has_its_error(exchange, told, status, error):
    with pytest.raises(error) as caught:
        page(exchange, told, status)
    assert type(caught.value) is error
    assert (told.get("retMsg") or told.get("msg") or told["error"][0]) in str(caught.value)
