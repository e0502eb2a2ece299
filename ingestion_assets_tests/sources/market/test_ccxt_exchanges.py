"""Any exchange through ccxt: its candles as our rows, its limits as our budget, its errors as our errors."""

import asyncio
import gc
import logging
from datetime import UTC, datetime, timedelta

import pytest

from ingestion_assets.intervals import Window, parse_moment
from ingestion_assets.simulator import Fault, Simulator
from ingestion_assets.simulator.symbols import KRAKEN
from ingestion_assets.sources import errors
from ingestion_assets.sources.market import SourceOptions, open_source
from ingestion_assets.tables.market import OHLCV_1M, candles
from ingestion_assets_tests.sources.replay import Replay, Reply, Turns

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LAST_HALF_HOUR = Window(datetime(2026, 3, 4, 4, 36, tzinfo=UTC), datetime(2026, 3, 4, 5, 6, tzinfo=UTC))


@pytest.fixture
def simulator():
    with Simulator(now=NOW) as running:
        yield running


def ask(exchange, url, question, *, hurried=True, **options):
    """What `question(source)` gives; without pace unless the pace is what is tested."""

    async def main():
        given = {"attempts": 1, "timeout": 20} | options
        async with open_source(exchange, SourceOptions(base_url=url, **given)) as source:
            if hurried:
                source.governor.budget = None
            return await question(source)

    return asyncio.run(main())


def test_rows_are_those_of_the_world_and_what_ccxt_lacks_is_null(simulator):
    window = Window(LAST_HALF_HOUR.start - 10 * timedelta(hours=1), LAST_HALF_HOUR.end)
    rows = ask(
        "kraken",
        simulator.url,
        lambda s: s.page("BTC/USD", OHLCV_1M, window),
        origin="simulator",
        settle=timedelta(seconds=9),
    )
    start, end = (int(moment.timestamp() * 1000) for moment in window)
    honest = simulator.world.candles(KRAKEN["XXBTZUSD"], "1m", start, end).floats()
    assert rows.schema == OHLCV_1M.schema
    assert rows.num_rows == 630 == len(honest["open"])
    for name in ("open", "high", "low", "close", "volume"):
        assert rows.column(name).to_pylist() == honest[name].tolist()
    first = rows.slice(0, 1).to_pylist()[0]
    assert first["time"] == window.start
    assert first["close_time"] == window.start + MINUTE - timedelta(milliseconds=1)
    assert first["known_at"] == window.start + MINUTE + timedelta(seconds=9)
    assert first["source"] == "simulator"
    for name in ("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"):
        assert rows.column(name).null_count == rows.num_rows
    assert OHLCV_1M.examine(rows)[1].num_rows == 0


def test_a_page_holds_nothing_from_outside_its_window(simulator):
    """Kraken answers the unfinished bar and everything since, whatever the end of the window."""
    window = Window(LAST_HALF_HOUR.start, LAST_HALF_HOUR.start + 7 * MINUTE)
    rows = ask("kraken", simulator.url, lambda s: s.page("ETH/USD", OHLCV_1M, window))
    times = rows.column("time").to_pylist()
    assert times == [window.start + n * MINUTE for n in range(7)]


def test_what_kraken_no_longer_serves_lies_before_the_horizon(simulator):
    async def question(source):
        horizon = source.horizon(OHLCV_1M, await source.now())
        rows = await source.page("BTC/USD", OHLCV_1M, Window(horizon, NOW))
        return horizon, rows, await source.first_after("BTC/USD", OHLCV_1M, NOW - timedelta(days=30))

    horizon, rows, oldest = ask("kraken", simulator.url, question)
    assert rows.column("time")[0].as_py() == horizon
    assert timedelta(0) <= horizon - oldest <= 3 * MINUTE
    assert ask("kraken", simulator.url, lambda s: s.first_after("BTC/USD", OHLCV_1M, NOW + MINUTE)) is None


def test_the_market_and_the_clock_are_the_exchanges(simulator):
    simulator.faults.add(Fault("clock_skew", ms=3_600_000), Fault("delisted", symbol="XRPUSD", at=NOW))

    async def question(source):
        return await source.now(), await source.market("BTC/USD"), await source.market("XRP/USD")

    now, trading, gone = ask("kraken", simulator.url, question)
    assert now == NOW + timedelta(hours=1)
    assert trading.trading and trading.delisted_at is None and trading.listed_at is None
    assert {"1m", "5m", "1h", "1d"} <= trading.timeframes and "3m" not in trading.timeframes
    assert not gone.trading
    assert gone.delisted_at == datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"exchange 'krakn' is unknown; nearest names: kraken"):
        open_source("krakn", SourceOptions())


@pytest.mark.parametrize("symbol", ["BTC/USDX", "BTCUSD"])
def test_an_unknown_symbol_is_answered_with_the_nearest(simulator, symbol):
    with pytest.raises(errors.NotFound, match=f"kraken has no market '{symbol}'; nearest names: .*BTC/USD"):
        ask("kraken", simulator.url, lambda s: s.market(symbol))


def test_a_timeframe_that_is_not_offered_is_refused_by_name(simulator):
    table = candles("3m", timedelta(minutes=3))
    with pytest.raises(errors.BadRequest, match="offers no 3m candles; it offers 1m, 5m, 15m"):
        ask("kraken", simulator.url, lambda s: s.page("BTC/USD", table, LAST_HALF_HOUR))


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (Fault("rate_limited", retry_after=600), errors.RateLimited, "HTTP 429"),
        (Fault("banned", seconds=600), errors.Banned, "HTTP 418"),
        (Fault("geo_blocked"), errors.GeoBlocked, "HTTP 451.*another base URL"),
        (Fault("server_error", status=502), errors.VendorDown, "HTTP 502"),
        (Fault("forbidden_html"), errors.VendorDown, "HTTP 403"),
        (Fault("html"), errors.MalformedAnswer, "not whole JSON: <!DOCTYPE"),
        (Fault("error_in_200"), errors.VendorDown, "EService:Unavailable"),
        (Fault("truncated_json"), errors.MalformedAnswer, "not whole JSON"),
        (Fault("duplicate_rows"), errors.MalformedAnswer, "repeats bars of BTC/USD"),
        (Fault("reset"), errors.VendorDown, "the connection failed"),
        (Fault("hang"), errors.VendorDown, "did not answer within 0.5 s"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_each_fault_has_its_error(simulator, fault, error, text):
    async def question(source):
        await source.market("BTC/USD")
        source._ccxt.timeout = 500 if fault.kind == "hang" else 20_000
        source._options = SourceOptions(timeout=source._ccxt.timeout / 1_000, attempts=1)
        simulator.faults.add(Fault.from_dict(fault.as_dict() | {"times": None, "path": "/0/public/OHLC"}))
        await source.page("BTC/USD", OHLCV_1M, LAST_HALF_HOUR)

    with pytest.raises(error, match=text) as caught:
        ask("kraken", simulator.url, question)
    assert type(caught.value) is error
    assert simulator.url in str(caught.value) or fault.kind == "duplicate_rows"
    if fault.kind in ("rate_limited", "banned"):
        assert caught.value.retry_after == 600


@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "html", "reset", "truncated_json"])
def test_what_can_heal_is_asked_again(simulator, kind):
    simulator.faults.add(
        Fault(kind, path="/0/public/", **({"retry_after": 0} if kind == "rate_limited" else {}))
    )
    simulator.faults.add(
        Fault(kind, path="/0/public/OHLC", **({"retry_after": 0} if kind == "rate_limited" else {}))
    )
    rows = ask("kraken", simulator.url, lambda s: s.page("BTC/USD", OHLCV_1M, LAST_HALF_HOUR), attempts=4)
    assert rows.num_rows == 30
    assert simulator.requests.by_fault[kind] == 2


def test_markets_that_cannot_be_read_fail_everyone_who_waits(simulator):
    simulator.faults.add(Fault("html", path="/0/public/AssetPairs", times=None))

    async def question(source):
        pages = (source.page(symbol, OHLCV_1M, LAST_HALF_HOUR) for symbol in ("BTC/USD", "ETH/USD"))
        return await asyncio.gather(*pages, return_exceptions=True)

    failures = ask("kraken", simulator.url, question)
    assert [type(failure) for failure in failures] == [errors.MalformedAnswer] * 2
    assert simulator.requests.by_path["/0/public/AssetPairs"] == 1


def test_nobody_there_is_told_with_the_address():
    with pytest.raises(errors.VendorDown, match=r"http://127\.0\.0\.1:1/0/public/.*Cannot connect"):
        ask("kraken", "http://127.0.0.1:1", lambda s: s.page("BTC/USD", OHLCV_1M, LAST_HALF_HOUR))


def test_no_secret_gets_into_an_error():
    refusal = Reply(401, {"message": "invalid key sesame123 for https://x/y?apikey=sesame123&a=1"})
    keys = {"api_key": "sesame123", "api_secret": "c2VjcmV0"}
    with (
        Replay({"/currencies": refusal, "/products": refusal}) as vendor,
        pytest.raises(errors.AuthError) as caught,
    ):
        ask("coinbaseexchange", vendor.url, lambda s: s.market("BTC/USD"), **keys)
    assert "sesame123" not in str(caught.value) and "c2VjcmV0" not in str(caught.value)
    assert "HTTP 401" in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_row_without_a_time_is_no_hole():
    """ccxt drops such a row without a word, and a hole would be blamed on the venue."""
    rows = [[1_772_600_000, 1, 3, 2, 2, 1], [None, 1, 3, 2, 2, 1]]
    products = [{"id": "BTC-USD", "base_currency": "BTC", "quote_currency": "USD", "status": "online"}]
    answers = {"/currencies": [], "/products": products, "/products/BTC-USD/candles": rows}
    with Replay(answers) as vendor, pytest.raises(errors.MalformedAnswer, match="a bar lacks time"):
        ask("coinbaseexchange", vendor.url, lambda s: s.page("BTC/USD", OHLCV_1M, LAST_HALF_HOUR))


class FixedStretches:
    """A venue that answers about start … end only, newest first, like Coinbase Exchange."""

    def __init__(self, *stretches):
        self.minutes = sorted(
            minute
            for start, count in stretches
            for minute in range(int(start.timestamp()), int(start.timestamp()) + 60 * count, 60)
        )

    def __call__(self, query):
        start, end = (int(parse_moment(query[name]).timestamp()) for name in ("start", "end"))
        grain = int(query["granularity"])
        opens = sorted(
            {minute // grain * grain for minute in self.minutes if start <= minute // grain * grain <= end}
        )
        assert len(opens) <= 300, "the venue refuses more than 300 bars"
        return [[at, 1.0, 4.0, 2.0, 3.0, 0.5] for at in reversed(opens)]

    def answers(self):
        products = [{"id": "BTC-USD", "base_currency": "BTC", "quote_currency": "USD", "status": "online"}]
        return {"/currencies": [], "/products": products, "/products/BTC-USD/candles": self}


def test_an_empty_answer_about_a_fixed_stretch_says_nothing_of_what_follows():
    start, later = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 6, 10, 13, 17, tzinfo=UTC)
    with Replay(FixedStretches((start, 100), (later, 50)).answers()) as vendor:

        async def question(source):
            window = Window(start, datetime(2025, 7, 1, tzinfo=UTC))
            whole = await source.page("BTC/USD", OHLCV_1M, window)
            rest = await source.page("BTC/USD", OHLCV_1M, Window(start + 100 * MINUTE, window.end))
            found = await source.first_after("BTC/USD", OHLCV_1M, start + 100 * MINUTE)
            none = await source.first_after("BTC/USD", OHLCV_1M, later + 50 * MINUTE)
            return whole, rest, found, none

        whole, rest, found, none = ask("coinbaseexchange", vendor.url, question)
        asked = vendor.count("/products/BTC-USD/candles")
    assert whole.column("time").to_pylist() == [start + n * MINUTE for n in range(100)]
    assert rest.column("time").to_pylist() == [later + n * MINUTE for n in range(50)]
    assert rest.slice(0, 1).to_pylist()[0]["high"] == 4.0
    assert found == later and none is None
    assert asked < 40, "a year and a half is bridged by way of daily bars"


def test_the_creation_that_an_exchange_tells_is_believed_unless_it_has_earlier_bars():
    def instruments(query):
        listed = {"code": "0", "data": [], "msg": ""}
        if query["instType"] == "SPOT":
            fields = {"instId": "BTC-USDT", "instType": "SPOT", "baseCcy": "BTC", "quoteCcy": "USDT"}
            fields |= {
                "listTime": "1548133413000",
                "state": "live",
                "tickSz": "0.1",
                "lotSz": "0.0001",
                "minSz": "1",
            }
            listed["data"] = [fields]
        return listed

    said = datetime(2019, 1, 22, 5, 3, 33, tzinfo=UTC)
    none = {"code": "0", "msg": "", "data": []}
    day = str(int(datetime(2019, 1, 20, tzinfo=UTC).timestamp() * 1000))
    earlier = none | {"data": [[day, "1", "2", "1", "2", "5", "0", "0", "1"]]}
    for history, expected in ((none, said), (earlier, None)):
        answers = {"/api/v5/public/instruments": instruments, "/api/v5/market/history-candles": history}
        with Replay(answers) as vendor:
            assert ask("okx", vendor.url, lambda s: s.market("BTC/USDT")).listed_at == expected


def test_the_pace_is_ccxts_rate_limit_in_milliseconds_of_the_exchanges_time(simulator):
    async def question(source):
        await source.page("BTC/USD", OHLCV_1M, LAST_HALF_HOUR)
        return source

    source = ask("kraken", simulator.url, question, hurried=False)
    assert source.page_rows == 720
    assert source.page_weight == 1_000 == source.weight_per_second()
    assert source.governor.budget.limit == 3_000 and source.governor.budget.seconds == 3
    assert source.requests == simulator.requests.count == 3  # Assets, AssetPairs, OHLC
    assert source.governor.spent == 1_000 + 1_000 + 1_200  # ccxt says that OHLC costs 1.2
    assert source.governor.host == f"kraken@{simulator.url.removeprefix('http://')}"


def test_a_shared_redis_counts_what_all_spend(simulator, redis_url):
    import redis

    ask("kraken", simulator.url, lambda s: s.now(), hurried=False, redis_url=redis_url)
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.keys("governor:kraken@*")
        assert key.decode().startswith(f"governor:kraken@{simulator.url.removeprefix('http://')}:3:")
        assert int(client.get(key)) == 1_000 and client.ttl(key) > 0


@pytest.mark.parametrize("exchange", ["bybit", "gate", "mexc", "binance", "coinbaseexchange"])
def test_a_base_url_takes_the_place_of_every_host(exchange):
    from ingestion_assets.sources.market.ccxt_exchanges import CcxtExchange

    def every(urls):
        return [u for value in urls.values() for u in every(value)] if isinstance(urls, dict) else [urls]

    plain = CcxtExchange(exchange, SourceOptions())
    moved = CcxtExchange(exchange, SourceOptions(base_url="http://127.0.0.1:9/prefix/"))
    before, after = every(plain._ccxt.urls["api"]), every(moved._ccxt.urls["api"])
    assert len(before) == len(after) > 0
    for old, new in zip(before, after, strict=True):
        assert (
            new
            == "http://127.0.0.1:9/prefix"
            + old.split("://")[1].partition("/")[1]
            + old.split("://")[1].partition("/")[2]
        )
    assert "hostname" not in plain.governor.host and "{" not in plain.governor.host


def test_no_session_is_left_behind(simulator, caplog, recwarn):
    caplog.set_level(logging.WARNING)
    ask("kraken", simulator.url, lambda s: s.page("BTC/USD", OHLCV_1M, LAST_HALF_HOUR))
    simulator.faults.add(Fault("hang", path="/0/public/AssetPairs"))

    async def interrupted(source):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(source.market("BTC/USD"), 0.3)

    ask("kraken", simulator.url, interrupted)
    gc.collect()
    assert not [r for r in caplog.records if "release all resources" in r.message or "Unclosed" in r.message]
    assert not [w for w in recwarn if issubclass(w.category, ResourceWarning)]


def test_a_perpetual_is_asked_for_as_one():
    spot = {"code": "0", "data": [], "msg": ""}
    swap = {
        "instId": "BTC-USDT-SWAP",
        "instType": "SWAP",
        "settleCcy": "USDT",
        "ctValCcy": "BTC",
        "ctVal": "0.01",
    }
    swap |= {
        "uly": "BTC-USDT",
        "instFamily": "BTC-USDT",
        "state": "live",
        "ctType": "linear",
        "tickSz": "0.1",
    }
    swap |= {"lotSz": "1", "minSz": "1", "listTime": "1573557408000"}
    bar = [["1772600760000", "1", "2", "1", "2", "5", "0", "0", "1"]]
    answers = {
        "/api/v5/public/instruments": lambda query: (
            spot | {"data": [swap] if query["instType"] == "SWAP" else []}
        ),
        "/api/v5/market/candles": Turns(spot | {"data": bar}),
        "/api/v5/market/history-candles": Turns(spot | {"data": bar}),
    }
    window = Window(datetime(2026, 3, 4, 5, 6, tzinfo=UTC), datetime(2026, 3, 4, 5, 7, tzinfo=UTC))
    with Replay(answers) as vendor:
        rows = ask("okx", vendor.url, lambda s: s.page("BTC/USDT:USDT", OHLCV_1M, window))
        asked = [one for one in vendor.asked if one.path.endswith("candles")]
    assert [one.query["instId"] for one in asked] == ["BTC-USDT-SWAP"]
    assert rows.column("time").to_pylist() == [window.start]
