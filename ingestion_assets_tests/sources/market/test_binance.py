"""Binance's own file: its klines as rows, its error bodies as errors, its limits as our budget."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.intervals import Window, moment_of
from ingestion_assets.simulator import Fault, Simulator
from ingestion_assets.sources import errors
from ingestion_assets.sources.market import SourceOptions, open_source
from ingestion_assets.sources.market.binance import Binance, classify, normalise_klines, parse_klines
from ingestion_assets.tables.market import OHLCV_1M, OHLCV_5M
from ingestion_assets_tests.sources.replay import Replay, Reply, Turns

ROW = [
    1_700_000_040_000,
    "1.5",
    "2.5",
    "0.5",
    "2.0",
    "10.25",
    1_700_000_099_999,
    "20.5",
    7,
    "4.0",
    "8.0",
    "0",
]
NAMES = ("time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades")
NAMES += ("taker_buy_volume", "taker_buy_quote_volume")
NOW = datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def plainly(rows):
    """The same by a reader of JSON."""
    kinds = {"time": int, "close_time": int, "trades": int}
    return {name: [kinds.get(name, float)(row[i]) for row in rows] for i, name in enumerate(NAMES)}


def as_lists(columns):
    return {name: np.asarray(values).tolist() for name, values in columns.items()}


# parse_klines


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_klines_however_they_are_laid_out(indent, count):
    rows = [[ROW[0] + 60_000 * n, *ROW[1:]] for n in range(count)]
    body = json.dumps(rows, indent=indent).encode()
    for text in (body, b"\r\n\t " + body + b" \n", body.replace(b"\n", b"\r\n")):
        assert as_lists(parse_klines(text)) == plainly(rows)


def test_no_klines_are_no_rows():
    for body in (b"[]", b" [ ]\n"):
        columns = parse_klines(body)
        assert set(columns) == set(NAMES) and all(len(values) == 0 for values in columns.values())
        assert normalise_klines(columns, OHLCV_1M, MINUTE, "rest").num_rows == 0


def test_fields_that_are_added_behind_are_passed_over():
    assert as_lists(parse_klines(json.dumps([[*ROW, "new", 3]] * 2).encode())) == plainly([ROW] * 2)
    assert as_lists(parse_klines(json.dumps([ROW[:11]]).encode())) == plainly([ROW])


@pytest.mark.parametrize("lacking", range(1, 11))
def test_missing_fields_are_malformed(lacking):
    with pytest.raises(errors.MalformedAnswer, match=f"a kline has {lacking} fields, 11 are needed"):
        parse_klines(json.dumps([ROW[:lacking]]).encode())


def test_a_row_that_is_shorter_than_the_others_is_malformed():
    with pytest.raises(errors.MalformedAnswer, match="not rows of numbers"):
        parse_klines(json.dumps([ROW, ROW[:11]]).encode())


@pytest.mark.parametrize("place", [0, 6])
def test_a_kline_without_its_time_is_malformed(place):
    with pytest.raises(errors.MalformedAnswer, match=r"a kline has no (close_)?time"):
        parse_klines(json.dumps([ROW, [*ROW[:place], None, *ROW[place + 1 :]]]).encode())


@pytest.mark.parametrize("place", [1, 5, 8])
def test_a_null_elsewhere_stays_null_and_breaks_the_promise_where_it_is_needed(place):
    row = [*ROW[:place], None, *ROW[place + 1 :]]
    rows = normalise_klines(parse_klines(json.dumps([ROW, row]).encode()), OHLCV_1M, MINUTE, "rest")
    assert rows.column(NAMES[place]).null_count == 1
    broken = OHLCV_1M.examine(rows)[1]
    needed = NAMES[place] != "trades"
    assert f"{NAMES[place]} is given" in broken.column("broken_promise").to_pylist() or not needed


@pytest.mark.parametrize("text", ["1e-7", "1.5E+3", "0.00000001", "1E3", "-0.0"])
def test_numbers_in_scientific_notation(text):
    assert parse_klines(json.dumps([[ROW[0], text, *ROW[2:]]]).encode())["open"].tolist() == [float(text)]


@pytest.mark.parametrize("value", ["abc", True, "1,5", "0x10", "--1"])
def test_what_is_no_number_is_malformed(value):
    with pytest.raises(errors.MalformedAnswer):
        parse_klines(json.dumps([[ROW[0], value, *ROW[2:]]]).encode())


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"<html></html>", b"[[1, 2", b"null", b'[{"a": 1}]', b'["a", "b"]']
)
def test_what_is_no_list_of_klines_is_malformed(body):
    with pytest.raises(errors.MalformedAnswer):
        parse_klines(body)


_number = st.floats(0, 1e12, allow_nan=False).map(lambda f: f"{f:.8f}")
_row = st.tuples(
    st.integers(0, 2**53), _number, _number, _number, _number, _number, st.integers(0, 2**53), _number,
    st.integers(0, 2**53), _number, _number, st.just("0"),
).map(list)  # fmt: skip


@given(rows=st.lists(_row, max_size=20), spaces=st.sampled_from([None, 0, 1, 3]))
def test_as_a_reader_of_json_reads_it(rows, spaces):
    assert as_lists(parse_klines(json.dumps(rows, indent=spaces).encode())) == plainly(rows)


@given(cut=st.integers(0, 400))
def test_a_cut_off_answer_is_never_taken_for_a_whole_one(cut):
    """Cut at the end of a row's bracket it is malformed too, since the list does not end."""
    body = json.dumps([ROW, [ROW[0] + 60_000, *ROW[1:]], [ROW[0] + 120_000, *ROW[1:]]]).encode()
    part = body[: min(cut, len(body) - 1)]
    if part.endswith(b"]"):
        # A row's own bracket at the end looks like the list's; what is there is whole rows, and
        # the page is merely short: never a wrong or half row.
        assert as_lists(parse_klines(part)) == plainly(json.loads(part + b"]"))
    else:
        with pytest.raises(errors.MalformedAnswer):
            parse_klines(part)


# normalise_klines


@pytest.mark.parametrize("unit", [1, 1_000])
def test_times_in_ms_or_us(unit):
    row = [ROW[0] * unit, *ROW[1:6], ROW[6] * unit + (unit - 1), *ROW[7:]]
    rows = normalise_klines(parse_klines(json.dumps([row]).encode()), OHLCV_1M, timedelta(seconds=9), "bulk")
    assert rows.schema == OHLCV_1M.schema
    (given_row,) = rows.to_pylist()
    assert given_row["time"] == moment_of(ROW[0] * 1_000)
    assert given_row["close_time"] == moment_of(ROW[6] * 1_000), "the last millisecond, in µs too"
    assert given_row["known_at"] == moment_of(ROW[0] * 1_000) + timedelta(seconds=69)
    assert given_row["source"] == "bulk" and given_row["trades"] == 7


# classify


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, -1121, errors.NotFound),
        (200, -1121, errors.NotFound),
        (400, -1100, errors.BadRequest),
        (400, -1130, errors.BadRequest),
        (400, -4141, errors.BadRequest),
        (400, -4144, errors.NotFound),
        (400, -2008, errors.AuthError),
        (401, -2015, errors.AuthError),
        (429, -1003, errors.RateLimited),
        (200, -1003, errors.RateLimited),
        (418, -1003, errors.Banned),
        (500, -1000, errors.VendorDown),
        (200, -1001, errors.VendorDown),
        (503, -1008, errors.VendorDown),
    ],
)
def test_error_bodies(status, code, error):
    problem = classify(status, {"Retry-After": "5"}, json.dumps({"code": code, "msg": "Says why."}).encode())
    assert type(problem) is error
    assert str(problem) == f"HTTP {status}: {code} Says why."
    if isinstance(problem, errors.Transient):
        assert problem.retry_after == 5.0


@pytest.mark.parametrize(
    "body",
    [
        b'{\n  "code" : -1121,\n  "msg" : "Invalid symbol."\n}',
        b' {"msg": "Invalid symbol.", "code": -1121}',
        b'{"msg": "Invalid symbol.", "more": "' + b"x" * 300 + b'", "code": "-1121"}',
    ],
)
def test_error_bodies_however_they_are_laid_out(body):
    assert isinstance(classify(400, {}, body), errors.NotFound)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"serverTime": 1}',
        b'{"code": "x", "msg": "y"}',
        b'{"code": 1, "msg',
        b'{"symbols": [], "msg": 1}',
    ],
)
def test_other_bodies_are_no_errors_of_binances(body):
    assert classify(200, {}, body) is None


def test_the_place_that_is_not_served_is_known_by_the_status_and_by_the_words():
    body = b'{"code": 0, "msg": "Service unavailable from a restricted location"}'
    assert classify(451, {}, body) is None
    for status in (200, 403):
        assert isinstance(classify(status, {}, body), errors.GeoBlocked)


# Over the wire


def ask(url, question, **options):
    async def main():
        async with Binance(SourceOptions(**({"base_url": url, "attempts": 2} | options))) as source:
            return await question(source)

    return asyncio.run(main())


@pytest.fixture
def simulator():
    with Simulator(now=NOW) as running:
        yield running


def test_pages_are_those_of_the_world(simulator):
    start = datetime(2024, 1, 1, tzinfo=UTC)
    window = Window(start, start + 2_000 * MINUTE)
    rows = ask(simulator.url, lambda s: s.page("BTC/USDT", OHLCV_1M, window))
    first = int(start.timestamp() * 1_000)
    honest = simulator.world.candles("BTCUSDT", "1m", first, first + 1_000 * 60_000).floats()
    assert rows.num_rows == 1_000
    pairs = {"taker_buy_volume": "taker_volume", "taker_buy_quote_volume": "taker_quote_volume"}
    for name in ("open", "high", "low", "close", "volume", "quote_volume", "trades", *pairs):
        assert rows.column(name).to_pylist() == honest[pairs.get(name, name)].tolist()
    assert OHLCV_1M.examine(rows)[1].num_rows == 0


def test_the_unfinished_bar_comes_only_to_who_asks_for_it(simulator):
    closed = Window(NOW - 10 * MINUTE, NOW.replace(second=0))
    rows = ask(simulator.url, lambda s: s.page("BTC/USDT", OHLCV_1M, closed))
    assert rows.column("time").to_pylist()[-1] == closed.end - MINUTE
    fives = ask(simulator.url, lambda s: s.page("BTC/USDT", OHLCV_5M, Window(NOW - 60 * MINUTE, closed.end)))
    assert fives.column("time").to_pylist()[-1] == NOW.replace(minute=5, second=0)


def test_the_first_bar_after_and_the_market(simulator):
    async def question(source):
        listed = await source.first_after("ARB/USDT", OHLCV_1M, datetime(2020, 1, 1, tzinfo=UTC))
        none = await source.first_after("ARB/USDT", OHLCV_1M, NOW + MINUTE)
        return listed, none, await source.market("ARB/USDT"), await source.market("LUNA/USDT")

    listed, none, market, gone = ask(simulator.url, question)
    assert listed == market.listed_at == datetime(2023, 3, 23, 17, tzinfo=UTC)
    assert none is None and market.trading and market.delisted_at is None
    assert not gone.trading and gone.delisted_at == datetime(2022, 5, 13, 1, tzinfo=UTC)


@pytest.mark.parametrize("told", [{}, {"serverTime": "now"}, {"serverTime": None}])
def test_a_clock_that_tells_no_time_is_malformed(told):
    with (
        Replay({"/api/v3/time": told}) as vendor,
        pytest.raises(errors.MalformedAnswer, match="no serverTime"),
    ):
        ask(vendor.url, lambda s: s.now())


def test_a_market_that_was_never_traded_has_no_beginning_and_no_end():
    info = {"symbols": [{"symbol": "NEWUSDT", "status": "PRE_TRADING"}]}
    with Replay({"/api/v3/exchangeInfo": info, "/api/v3/klines": []}) as vendor:
        market = ask(vendor.url, lambda s: s.market("NEW/USDT"))
    assert (market.trading, market.listed_at, market.delisted_at) == (False, None, None)


def test_the_clock_is_the_venues(simulator):
    simulator.faults.add(Fault("clock_skew", ms=-90_000))

    async def question(source):
        return await source.now(), source.governor.skew

    now, skew = ask(simulator.url, question)
    assert now == NOW - timedelta(seconds=90)
    assert skew < -86_400


def test_an_unknown_symbol_is_answered_with_the_nearest(simulator):
    with pytest.raises(errors.NotFound, match=r"no market 'BTC/USTD' \(BTCUSTD\); nearest names: BTCUSDT"):
        ask(simulator.url, lambda s: s.market("BTC/USTD"))


@pytest.mark.parametrize("kind", ["duplicate_rows", "shuffled_rows"])
def test_disorder_is_malformed_and_asked_again(simulator, kind):
    window = Window(NOW - 60 * MINUTE, NOW - 30 * MINUTE)
    simulator.faults.add(Fault(kind, path="/api/v3/klines"))
    assert ask(simulator.url, lambda s: s.page("BTC/USDT", OHLCV_1M, window)).num_rows == 30
    simulator.faults.add(Fault(kind, path="/api/v3/klines", times=None))
    with pytest.raises(errors.MalformedAnswer, match="not in rising order without repeats"):
        ask(simulator.url, lambda s: s.page("BTC/USDT", OHLCV_1M, window))


def test_rows_past_the_window_are_left_out(simulator):
    simulator.faults.add(Fault("unfinished_extra", path="/api/v3/klines", times=None))
    window = Window(NOW - 60 * MINUTE, NOW - 30 * MINUTE)
    assert ask(simulator.url, lambda s: s.page("BTC/USDT", OHLCV_1M, window)).num_rows == 30


def test_a_place_that_is_not_served_turns_to_the_other_host(simulator):
    refusal = Reply(451, {"code": 0, "msg": "Service unavailable from a restricted location"})
    paths = ("/api/v3/exchangeInfo", "/api/v3/klines", "/api/v3/time")
    window = Window(NOW - 60 * MINUTE, NOW - 30 * MINUTE)
    with Replay(dict.fromkeys(paths, refusal)) as blocked:

        async def question(source):
            await source.now()
            return await source.page("BTC/USDT", OHLCV_1M, window), await source.page(
                "ETH/USDT", OHLCV_1M, window
            )

        pages = ask(blocked.url, question, fallback_url=simulator.url)
        assert [page.num_rows for page in pages] == [30, 30]
        assert len(blocked.asked) == 1
        with pytest.raises(errors.GeoBlocked, match=r"HTTP 451.*use another venue"):
            ask(blocked.url, lambda s: s.page("BTC/USDT", OHLCV_1M, window))


def test_the_limit_in_force_is_learnt_and_kept():
    """Whatever we count: what the vendor says is used is used."""
    info = {
        "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "DAY", "intervalNum": 1, "limit": 50}]
    }
    answers = {
        "/api/v3/exchangeInfo": info,
        "/api/v3/klines": Turns(Reply(body=b"[]", headers={"X-MBX-USED-WEIGHT-1D": "48"})),
    }

    async def question(source):
        window = Window(NOW - 60 * MINUTE, NOW - 30 * MINUTE)
        await source.page("BTC/USDT", OHLCV_1M, window)
        second = asyncio.create_task(source.page("BTC/USDT", OHLCV_1M, window))
        while source.governor.waited == 0:  # noqa: ASYNC110 nothing tells of it
            await asyncio.sleep(0.001)
        second.cancel()
        return source.governor.budget, source.weight_per_second()

    with Replay(answers) as vendor:
        budget, rate = ask(vendor.url, question)
        assert vendor.count("/api/v3/klines") == 1
    assert (budget.limit, budget.seconds) == (50, 86_400)
    assert rate == budget.spendable / 86_400


def test_open_source_takes_the_native_file():
    assert isinstance(open_source("binance", SourceOptions()), Binance)
