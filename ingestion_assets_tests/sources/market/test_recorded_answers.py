"""What real vendors answered, served on loopback and fetched through the real code paths."""

import asyncio
import json
from datetime import timedelta

import pyarrow.feather as feather
import pytest

from ingestion_assets.intervals import Window, micros, moment_of
from ingestion_assets.sources import errors
from ingestion_assets.sources.market import SourceOptions, open_source
from ingestion_assets.tables.market import OHLCV_1M, OHLCV_5M, candles
from ingestion_assets_tests.sources.replay import Replay, Reply

HOURLY = candles("1h", timedelta(hours=1))
NOTHING = {"error": [], "result": {}}
# Not recorded, and asked for by ccxt before it lists the markets.
COINBASE_CURRENCIES = {
    "/v2/currencies": {"data": []},
    "/v2/currencies/crypto": {"data": []},
    "/v2/exchange-rates": {"data": {"currency": "USD", "rates": {}}},
}


@pytest.fixture
def recorded(recordings):
    return lambda name: json.loads((recordings / name).read_text())


def at(seconds):
    return moment_of(seconds * 1_000_000)


def ask(exchange, answers, question, **options):
    async def main(url):
        given = {"base_url": url, "attempts": 1} | options
        async with open_source(exchange, SourceOptions(**given)) as source:
            if exchange != "binance":
                source.governor.budget = None  # pace is tested elsewhere
            return await question(source)

    with Replay(answers) as vendor:
        return asyncio.run(main(vendor.url)), vendor.asked


# Kraken: 721 rows, the last one unfinished


def kraken(recorded):
    return {
        "/0/public/Assets": NOTHING,  # not recorded
        "/0/public/AssetPairs": recorded("kraken/http_asset_pairs.json"),
        "/0/public/OHLC": recorded("kraken/http_ohlc.json"),
    }


def test_kraken_ohlc_row_by_row(recorded):
    given = recorded("kraken/http_ohlc.json")["result"]
    first, closed = at(1_762_777_020), at(1_762_820_220)
    assert given["last"] == 1_762_820_160  # the newest closed bar; the one after it is not over
    rows, asked = ask(
        "kraken", kraken(recorded), lambda s: s.page("BTC/USDT", OHLCV_1M, Window(first, closed))
    )
    assert asked[-1].query == {"pair": "XBTUSDT", "interval": "1", "since": "1762776960"}
    assert rows.num_rows == 720 == len(given["XBTUSDT"]) - 1
    for row, raw in zip(rows.to_pylist(), given["XBTUSDT"], strict=False):
        assert row["time"] == at(raw[0])
        assert [row[n] for n in ("open", "high", "low", "close")] == [float(text) for text in raw[1:5]]
        assert row["volume"] == float(raw[6])
        assert row["close_time"] == at(raw[0] + 60) - timedelta(milliseconds=1)
        assert row["quote_volume"] is None and row["trades"] is None
        assert row["taker_buy_volume"] is None and row["taker_buy_quote_volume"] is None
    quiet = [raw for raw in given["XBTUSDT"][:-1] if raw[7] == 0]
    assert len(quiet) > 0
    assert rows.column("volume").to_pylist().count(0.0) == len(quiet)
    assert OHLCV_1M.examine(rows)[1].num_rows == 0


def test_kraken_gives_its_unfinished_bar_only_to_who_asks_past_the_present(recorded):
    window = Window(at(1_762_820_160), at(1_762_820_280))
    rows, _ = ask("kraken", kraken(recorded), lambda s: s.page("BTC/USDT", OHLCV_1M, window))
    assert rows.column("time").to_pylist() == [at(1_762_820_160), at(1_762_820_220)]


def test_kraken_markets_with_legacy_and_plain_names(recorded):
    answers = kraken(recorded) | {
        "/0/public/AssetPairs": recorded("kraken/rest_0_public_AssetPairs.body.json"),
        "/0/public/OHLC": {"error": ["EQuery:Unknown asset pair"]},
    }

    async def question(source):
        for symbol in ("XRP/USD", "AAVE/AUD", "BTC/USD"):
            with pytest.raises(errors.NotFound, match="Unknown asset pair"):
                await source.page(symbol, OHLCV_1M, Window(at(1_762_777_020), at(1_762_820_220)))
        with pytest.raises(errors.NotFound, match=r"nearest names: .*BTC/USD"):
            await source.market("BTC/USDX")

    _, asked = ask("kraken", answers, question)
    pairs = [one.query["pair"] for one in asked if "OHLC" in one.path]
    assert pairs == ["XXRPZUSD", "AAVEAUD", "XXBTZUSD"], "of Bitcoin the list has a dark pool too"


def test_kraken_candles_of_another_pair_are_no_silence(recorded):
    answers = kraken(recorded) | {
        "/0/public/AssetPairs": recorded("kraken/rest_0_public_AssetPairs.body.json"),
    }
    window = Window(at(1_762_777_020), at(1_762_820_220))
    with pytest.raises(errors.MalformedAnswer, match="candles, but none of this market"):
        ask("kraken", answers, lambda s: s.page("XRP/USD", OHLCV_1M, window))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("EAPI:Rate limit exceeded", errors.RateLimited),
        ("EGeneral:Too many requests", errors.RateLimited),
        ("EService:Unavailable", errors.VendorDown),
        ("EService:Busy", errors.VendorDown),
        ("EGeneral:Invalid arguments", errors.BadRequest),
    ],
)
def test_kraken_refuses_with_a_200(recorded, said, error):
    answers = kraken(recorded) | {"/0/public/OHLC": {"error": [said]}}
    window = Window(at(1_762_777_020), at(1_762_820_220))
    with pytest.raises(error, match=said):
        ask("kraken", answers, lambda s: s.page("BTC/USDT", OHLCV_1M, window))


# Coinbase: Advanced Trade (`coinbase`) gives objects of strings, the Exchange API (`coinbaseexchange`) lists


def test_coinbase_candles_come_newest_first_as_strings(recorded):
    answers = {
        **COINBASE_CURRENCIES,
        "/api/v3/brokerage/market/products": recorded("coinbase/http_products.json"),
        "/api/v3/brokerage/market/products/BTC-USD/candles": recorded("coinbase/http_candles.json"),
    }
    window = Window(at(1_712_188_800), at(1_712_196_000))
    rows, asked = ask("coinbase", answers, lambda s: s.page("BTC/USD", HOURLY, window))
    assert asked[-1].query == {"granularity": "ONE_HOUR", "start": "1712188800", "end": "1712196000"}
    assert [tuple(row.values())[:6] for row in rows.to_pylist()] == [
        (at(1_712_188_800), 65984.18, 66387.77, 65857.35, 66314.59, 358.74851052),
        (at(1_712_192_400), 66312.4, 66331.99, 66055.14, 66181.6, 355.82896243),
    ]
    assert rows.column("close_time")[1].as_py() == at(1_712_196_000) - timedelta(milliseconds=1)
    for name in ("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"):
        assert rows.column(name).null_count == 2
    assert HOURLY.examine(rows)[1].num_rows == 0


def test_coinbase_exchange_products(recorded):
    products = recorded("coinbase/rest_products.body.json")
    next(p for p in products if p["id"] == "ETH-GBP")["status"] = "delisted"
    answers = {
        "/currencies": [],
        "/products": products,
        "/products/BTC-USD/candles": Reply(
            429, {"message": "Public rate limit exceeded"}, {"Retry-After": "7"}
        ),
        "/products/BTC-GBP/candles": Reply(404, {"message": "NotFound"}),
        "/products/ETH-GBP/candles": [[1_618_531_200, 1.0, 4.0, 2.0, 3.0, 0.5]],
    }
    window = Window(at(1_618_531_200), at(1_618_534_800))

    async def question(source):
        with pytest.raises(errors.RateLimited, match="Public rate limit exceeded") as limited:
            await source.page("BTC/USD", OHLCV_1M, window)
        source.governor.counter.shut_hosts.clear()
        with pytest.raises(errors.NotFound, match="HTTP 404"):
            await source.page("BTC/GBP", OHLCV_1M, window)
        trading, gone = await source.market("ETH/USD"), await source.market("ETH/GBP")
        return limited.value.retry_after, trading, gone, len(source._ccxt.markets)

    (wait, trading, gone, count), _ = ask("coinbaseexchange", answers, question)
    assert wait == 7.0
    assert trading.trading and not gone.trading
    assert gone.delisted_at == at(1_618_531_260)
    assert count == len(products)


# OKX and Bybit: real shapes, partly synthetic values


def test_okx_candles(recorded):
    answers = {
        "/api/v5/public/instruments": recorded("okx/rest_api_v5_public_instruments_instType_SPOT.body.json"),
        "/api/v5/market/history-candles": recorded("okx/http_get_candlesticks.json"),
    }
    window = Window(at(1_625_097_600), at(1_625_097_720))
    rows, asked = ask("okx", answers, lambda s: s.page("BTC/USDT", OHLCV_1M, window))
    assert asked[-1].query["instId"] == "BTC-USDT" and asked[-1].query["bar"] == "1m"
    assert [tuple(row.values())[:6] for row in rows.to_pylist()] == [
        (at(1_625_097_600), 33528.6, 33870.0, 33528.6, 33783.9, 778.838),
        (at(1_625_097_660), 33783.9, 33783.9, 33782.1, 33782.1, 0.123),
    ]


def test_bybit_bar_off_the_grid_breaks_a_promise(recorded):
    """The recording's values are made up: its bar opens 39 s into a minute, and that is noticed."""
    instruments = recorded("bybit/http_get_instruments_linear.json")
    instruments["result"]["category"] = "linear"  # not in the recording; today's answers say it
    answers = {
        "/v5/market/instruments-info": lambda query: (
            instruments
            if query["category"] == "linear"
            else {"retCode": 0, "retMsg": "OK", "result": {"category": query["category"], "list": []}}
        ),
        "/v5/market/kline": recorded("bybit/http_get_klines_linear.json"),
    }
    window = Window(at(1_709_891_640), at(1_709_891_760))
    rows, asked = ask("bybit", answers, lambda s: s.page("BTC/USDT:USDT", OHLCV_1M, window))
    assert asked[-1].query["category"] == "linear" and asked[-1].query["symbol"] == "BTCUSDT"
    assert [tuple(row.values())[:6] for row in rows.to_pylist()] == [
        (at(1_709_891_679), 27450.0, 27460.0, 27440.0, 27455.0, 123.45)
    ]
    good, broken = OHLCV_1M.examine(rows)
    assert good.num_rows == 0
    assert broken.column("broken_promise").to_pylist() == ["time lies on the grid"]


# Binance, by its own file


def binance(recorded, klines):
    return {
        "/api/v3/exchangeInfo": recorded("binance_spot/http_spot_market_exchange_info.json"),
        "/api/v3/klines": klines,
    }


def test_binance_klines_row_by_row(recorded):
    klines = recorded("binance_spot/http_spot_market_klines.json")
    window = Window(at(1_634_943_780), at(klines[-1][0] // 1_000 + 60))
    rows, asked = ask("binance", binance(recorded, klines), lambda s: s.page("BTC/USDT", OHLCV_1M, window))
    assert asked[-1].query["symbol"] == "BTCUSDT" and asked[-1].query["startTime"] == "1634943780000"
    assert rows.num_rows == len(klines) > 1
    for row, raw in zip(rows.to_pylist(), klines, strict=True):
        assert row["time"] == moment_of(raw[0] * 1_000) and row["close_time"] == moment_of(raw[6] * 1_000)
        texts = [raw[n] for n in (1, 2, 3, 4, 5, 7, 9, 10)]
        names = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume")
        assert [row[n] for n in (*names, "taker_buy_quote_volume")] == [float(text) for text in texts]
        assert row["trades"] == raw[8]
    assert OHLCV_1M.examine(rows)[1].num_rows == 0


def test_binance_markets_of_which_a_quarter_is_traded_no_more(recorded):
    whole = recorded("binance_spot/rest_api_v3_exchangeInfo.body.json")
    states = [one["status"] for one in whole["symbols"]]
    assert (len(states), states.count("TRADING"), states.count("BREAK")) == (1_695, 1_262, 433)
    (first, *_, last) = recorded("binance_spot/http_spot_market_klines.json")

    def klines(query):
        return {"BCCBTC": [], "LENDBTC": [first if "startTime" in query else last]}[query["symbol"]]

    async def question(source):
        return await source.market("LEND/BTC"), await source.market("BCC/BTC")

    ended, never = ask("binance", binance(recorded, klines) | {"/api/v3/exchangeInfo": whole}, question)[0]
    assert not ended.trading and not never.trading
    assert ended.listed_at == moment_of(first[0] * 1_000)
    assert ended.delisted_at == moment_of(last[0] * 1_000) + timedelta(minutes=1)
    assert never.listed_at is None and never.delisted_at is None


def test_binance_five_minutes_of_twenty_days_as_a_third_party_stored_them(recordings, recorded):
    """Asked for as an engine does, each time from where the last answer ended."""
    stored = feather.read_table(recordings / "freqtrade_binance" / "ETH_BTC-5m.feather").to_pylist()
    names = ("open", "high", "low", "close", "volume")
    opens = [micros(row["date"]) // 1_000 for row in stored]
    texts = [[f"{row[name]:.8f}" for name in names] for row in stored]
    sent = [[ms, *five, ms + 299_999, "1.5", 3, "0", "0", "0"] for ms, five in zip(opens, texts, strict=True)]

    def klines(query):
        start, end, limit = (int(query[name]) for name in ("startTime", "endTime", "limit"))
        return [row for row in sent if start <= row[0] <= end][:limit]

    async def question(source):
        cursor, end, found = moment_of(opens[0] * 1_000), moment_of((opens[-1] + 300_000) * 1_000), []
        while cursor < end:
            page = (await source.pages("ETH/BTC", OHLCV_5M, Window(cursor, end))).rows.to_pylist()
            found += page
            cursor = page[-1]["time"] + timedelta(minutes=5)
        return found

    rows, asked = ask("binance", binance(recorded, klines), question)
    assert len(rows) == len(stored) == 20 * 288
    assert [row["time"] for row in rows] == [moment_of(ms * 1_000) for ms in opens]
    assert [[row[name] for name in names] for row in rows] == [[float(t) for t in five] for five in texts]
    assert sum(one.path == "/api/v3/klines" for one in asked) == 6


def test_binance_limit_in_force_is_that_of_the_recorded_exchange_info(recorded):
    answers = binance(recorded, []) | {
        "/api/v3/exchangeInfo": recorded("binance_spot/rest_api_v3_exchangeInfo.body.json")
    }

    async def question(source):
        await source.page("BTC/USDT", OHLCV_1M, Window(at(60), at(120)))
        return source.governor.budget

    budget, _ = ask("binance", answers, question)
    assert (budget.limit, budget.seconds) == (1_200, 60)  # in 2021; 6,000 is the documented one of today


def test_binance_unknown_symbol(recorded):
    refusal = recorded("errors/binance_invalid_symbol.json")
    answers = {
        "/api/v3/exchangeInfo": Reply(refusal["status"], refusal["body"]),
        "/api/v3/ticker/price": [{"symbol": "BTCUSDT", "price": "1"}, {"symbol": "ETHUSDT", "price": "1"}],
    }
    with pytest.raises(errors.NotFound, match=r"no market 'BTC/USTD' \(BTCUSTD\); nearest names: BTCUSDT"):
        ask("binance", answers, lambda s: s.market("BTC/USTD"))


def test_binance_ban_holds_until_the_moment_in_its_text(recorded):
    refusal = recorded("errors/binance_418_ip_ban.json")
    answers = binance(recorded, Reply(refusal["status"], refusal["body"]))
    with pytest.raises(errors.Banned, match="banned until 1660090423228") as caught:
        ask("binance", answers, lambda s: s.page("BTC/USDT", OHLCV_1M, Window(at(60), at(120))))
    assert caught.value.until == moment_of(1_660_090_423_228_000)
    assert caught.value.retry_after == 0.0  # it is over since 2022
