"""The REST API: pages by number and by time, both spellings of fields, errors, what is believed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.feather as feather
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.intervals import Window, micros, moment_of
from ingestion_assets.sources.derivatives.binance_rows import (
    normalise_funding,
    normalise_open_interest,
    normalise_trades,
)
from ingestion_assets.sources.derivatives.binance_usdm import BinanceUsdm
from ingestion_assets.sources.errors import Banned, MalformedAnswer, NotFound, VendorDown
from ingestion_assets.sources.feeds import Page
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.tables.derivatives import AGG_TRADES_UM, FUNDING_RATES, OPEN_INTEREST_5M, PERP_1M
from ingestion_assets_tests.sources.derivatives.asking import BTC, ask, at, covered, rows_of, window
from ingestion_assets_tests.sources.replay import Replay, Reply, Turns

MIDNIGHT = 1_722_470_400_000
HOUR = window("2024-08-01", "2024-08-01T01:00")
AGG = "/fapi/v1/aggTrades"
OI = "/futures/data/openInterestHist"
FUNDING = "/fapi/v1/fundingRate"
KLINES = "/fapi/v1/klines"


def trade(number: int, ms: int) -> dict:
    return {"a": number, "p": "100.50", "q": "0.250", "f": number, "l": number, "T": ms, "m": number % 2 == 0}


def serving_trades(every_ms: int, skip: range = range(0)):
    """A venue that trades regularly from midnight on, 1,000 to an answer; `skip` are never shown."""

    def answer(query: dict[str, str]) -> list[dict]:
        if "fromId" in query:
            first = int(query["fromId"])
        else:
            first = -(-(int(query["startTime"]) - MIDNIGHT) // every_ms)
        numbers = [n for n in range(first, first + int(query["limit"])) if n not in skip]
        return [trade(n, MIDNIGHT + n * every_ms) for n in numbers]

    return answer


def test_trades_are_paged_by_number_until_one_lies_behind_the_window():
    pages, asked = ask(BinanceUsdm, AGG_TRADES_UM, {AGG: serving_trades(1_000)}, HOUR)
    rows = rows_of(AGG_TRADES_UM, pages)
    assert rows.column("id").to_pylist() == list(range(3_600))
    assert rows.column("time")[-1].as_py() == HOUR.end - timedelta(seconds=1)
    assert [one.query.get("fromId") for one in asked] == [None, "1000", "2000", "3000"]
    assert asked[0].query == {"symbol": "BTCUSDT", "limit": "1000", "startTime": str(MIDNIGHT)}
    windows = covered(pages)
    assert windows[0].start == HOUR.start
    assert windows[-1].end == HOUR.end
    assert all(a.end == b.start for a, b in itertools.pairwise(windows))


def test_trades_that_do_not_follow_on_each_other_are_no_answer():
    with pytest.raises(MalformedAnswer, match="do not follow on each other by number"):
        ask(BinanceUsdm, AGG_TRADES_UM, {AGG: serving_trades(1_000, skip=range(500, 510))}, HOUR)
    with pytest.raises(MalformedAnswer, match="do not follow on each other by number"):
        ask(BinanceUsdm, AGG_TRADES_UM, {AGG: serving_trades(1_000, skip=range(1_000, 1_005))}, HOUR)


@pytest.mark.parametrize(("table", "path"), [(AGG_TRADES_UM, AGG), (PERP_1M, KLINES)])
def test_a_chain_that_breaks_is_gone_on_with_where_it_broke(table, path):
    whole = window("2024-08-01", "2024-08-01T17:00")
    serving = serving_trades(20_000) if path == AGG else serving_klines
    kept: list[Page] = []

    async def until_it_breaks(url: str) -> None:
        async with BinanceUsdm(SourceOptions(base_url=url, attempts=1)) as vendor:
            (feed,) = (one for one in vendor.feeds if one.table is table)
            async for page in feed.fetch(vendor, BTC, whole):
                kept.append(page)  # noqa: PERF401 what comes before it breaks is kept

    with Replay({path: Turns(serving, serving, Reply(502, b"<html>"))}) as replay, pytest.raises(VendorDown):
        asyncio.run(until_it_breaks(replay.url))
    rest = Window(kept[-1].window.end, whole.end)
    assert whole.start < rest.start < whole.end
    pages, asked = ask(BinanceUsdm, table, {path: serving}, rest)
    assert int(asked[0].query["startTime"]) == micros(rest.start) // 1_000
    together = pa.concat_tables([page.rows for page in [*kept, *pages]])
    rows = table.distinct(together)
    at_once = rows_of(table, ask(BinanceUsdm, table, {path: serving}, whole)[0])
    assert rows.column("time").to_pylist() == at_once.column("time").to_pylist()
    assert together.num_rows - rows.num_rows <= 1, (
        "only the trades of the last millisecond are asked for again"
    )


def test_an_empty_answer_is_believed_when_it_is_given_twice():
    pages, asked = ask(BinanceUsdm, AGG_TRADES_UM, {AGG: []}, HOUR)
    assert covered(pages) == [HOUR]
    assert len(asked) == 2
    honest = serving_trades(60_000)
    pages, _ = ask(BinanceUsdm, AGG_TRADES_UM, {AGG: Turns([], honest)}, HOUR)
    assert rows_of(AGG_TRADES_UM, pages).num_rows == 60


def test_open_interest_is_asked_in_stretches_that_one_answer_holds_and_read_in_both_spellings():
    def answer(query: dict[str, str]) -> list[dict]:
        start, end = int(query["startTime"]), int(query["endTime"])
        assert end - start < 500 * 300_000
        assert query["period"] == "5m"
        found = []
        for ms in range(start, end + 1, 300_000):
            stamp = str(ms) if ms % 600_000 else ms  # the documentation's example has a text
            found.append(
                {
                    "symbol": "BTCUSDT",
                    "sumOpenInterest": "77082.018",
                    "sumOpenInterestValue": "4956144400.12",
                    "CMCCirculatingSupply": "19000000",
                    "timestamp": stamp,
                }
            )
        return found

    part = window("2024-08-01", "2024-08-04")
    pages, asked = ask(BinanceUsdm, OPEN_INTEREST_5M, {OI: answer}, part)
    rows = rows_of(OPEN_INTEREST_5M, pages)
    assert rows.num_rows == 3 * 288
    assert len(asked) == 2
    assert rows.slice(0, 1).select(["open_interest", "open_interest_value", "account_ratio"]).to_pylist() == [
        {"open_interest": 77082.018, "open_interest_value": 4956144400.12, "account_ratio": None}
    ]


def test_open_interest_may_come_newest_first():
    def answer(query: dict[str, str]) -> list[dict]:
        stamps = range(int(query["startTime"]), int(query["endTime"]) + 1, 300_000)
        return [
            {"sumOpenInterest": str(ms - MIDNIGHT), "sumOpenInterestValue": "1", "timestamp": ms}
            for ms in reversed(stamps)
        ]

    rows = rows_of(OPEN_INTEREST_5M, ask(BinanceUsdm, OPEN_INTEREST_5M, {OI: answer}, HOUR)[0])
    assert rows.column("open_interest").to_pylist() == [n * 300_000 for n in range(12)]
    with pytest.raises(MalformedAnswer, match="not in rising order"):
        shuffled = lambda query: (given := answer(query))[::2] + given[1::2]  # noqa: E731
        ask(BinanceUsdm, OPEN_INTEREST_5M, {OI: shuffled}, HOUR)


def test_funding_as_recorded(recordings):
    """The rates and stamps of a real answer, which a third party stored as bars."""
    place = recordings / "freqtrade_binance" / "futures_XRP_USDT_USDT-8h-funding_rate.feather"
    stored = feather.read_table(place, columns=["date", "open"])
    stamps = [micros(d.to_pydatetime()) // 1_000 for d in stored.column("date").to_pylist()]
    sent = [
        {"symbol": "XRPUSDT", "fundingTime": ms, "fundingRate": f"{rate:.8f}", "markPrice": ""}
        for ms, rate in zip(stamps, stored.column("open").to_pylist(), strict=True)
    ]

    def answer(query: dict[str, str]) -> list[dict]:
        return [e for e in sent if int(query["startTime"]) <= e["fundingTime"] <= int(query["endTime"])]

    xrp = dataclasses.replace(BTC, id="binance.XRP-USDT-PERP", symbol="XRP/USDT:USDT")
    part = Window(at("2021-11-18"), at("2021-12-20"))
    rows = rows_of(FUNDING_RATES, ask(BinanceUsdm, FUNDING_RATES, {FUNDING: answer}, part, xrp)[0])
    inside = [e for e in sent if e["fundingTime"] < micros(part.end) // 1_000 - 30_000]
    assert rows.num_rows == len(inside) > 90
    assert rows.column("rate").to_pylist() == [float(e["fundingRate"]) for e in inside]
    assert rows.column("settled_at").to_pylist() == [moment_of(e["fundingTime"] * 1_000) for e in inside]
    assert rows.column("mark_price").null_count == rows.num_rows
    first, second = rows.column("time").to_pylist()[:2]
    assert (first, second) == (part.start, at("2021-11-18T08:00"))


def settlement(ms: int, rate: str, kind: str = "Regular") -> dict:
    return {"symbol": "SPYUSDT", "fundingTime": ms, "fundingRate": rate, "markPrice": "2", "rateType": kind}


@pytest.mark.parametrize("later", [0, 7])
def test_a_dividend_settled_beside_the_funding_is_one_row_with_the_sum_of_both(later):
    sent = [settlement(MIDNIGHT + 1, "0.00002"), settlement(MIDNIGHT + 1 + later, "-0.0024", "Special")]
    sent.append(settlement(MIDNIGHT + 3_600_000, "0.00003"))

    def answer(query: dict[str, str]) -> list[dict]:
        return [e for e in sent if int(query["startTime"]) <= e["fundingTime"] <= int(query["endTime"])]

    part = window("2024-08-01", "2024-08-01T02:00")
    first, second = rows_of(
        FUNDING_RATES, ask(BinanceUsdm, FUNDING_RATES, {FUNDING: answer}, part)[0]
    ).to_pylist()
    assert (first["time"], first["rate"]) == (part.start, -0.00238)
    assert first["settled_at"] == part.start + timedelta(milliseconds=1)
    assert (second["time"], second["rate"]) == (at("2024-08-01T01:00"), 0.00003)


def test_a_settlement_that_is_repeated_is_no_answer():
    twice = [settlement(MIDNIGHT, "0.0001"), settlement(MIDNIGHT, "0.0001")]
    with pytest.raises(MalformedAnswer, match="repeats a settlement"):
        ask(BinanceUsdm, FUNDING_RATES, {FUNDING: twice}, HOUR)


def test_what_belongs_together_is_found_when_an_answer_ends_between():
    """1,000 settlements fit, an hour apart; the last one's dividend is in the next answer."""
    hour = 3_600_000
    sent = [settlement(MIDNIGHT + n * hour + 1, "0.0001") for n in range(1_002)]
    sent.insert(1_000, settlement(MIDNIGHT + 999 * hour + 8, "-0.002", "Special"))

    def answer(query: dict[str, str]) -> list[dict]:
        inside = [e for e in sent if int(query["startTime"]) <= e["fundingTime"] <= int(query["endTime"])]
        return inside[: int(query["limit"])]

    part = Window(HOUR.start, HOUR.start + timedelta(hours=1_001, minutes=1))
    pages, asked = ask(BinanceUsdm, FUNDING_RATES, {FUNDING: answer}, part)
    rows = rows_of(FUNDING_RATES, pages)
    assert rows.num_rows == 1_002
    assert rows.column("rate").to_pylist()[998:1_001] == [0.0001, -0.0019, 0.0001]
    assert len(asked) == 2


def test_a_settlement_stamped_a_little_early_belongs_to_its_minute():
    early = {
        "symbol": "BTCUSDT",
        "fundingTime": MIDNIGHT - 3,
        "fundingRate": "0.0001",
        "markPrice": "64000.5",
    }

    def answer(query: dict[str, str]) -> list[dict]:
        return [early] if int(query["startTime"]) <= early["fundingTime"] <= int(query["endTime"]) else []

    (row,) = rows_of(FUNDING_RATES, ask(BinanceUsdm, FUNDING_RATES, {FUNDING: answer}, HOUR)[0]).to_pylist()
    assert (row["time"], row["mark_price"]) == (HOUR.start, 64000.5)
    before = Window(HOUR.start - timedelta(hours=1), HOUR.start)
    assert rows_of(FUNDING_RATES, ask(BinanceUsdm, FUNDING_RATES, {FUNDING: answer}, before)[0]).num_rows == 0


def test_recorded_trades_one_by_one(recordings):
    """Ten of the spot venue, whose answers have the fields of the futures and one more."""
    sent = json.loads((recordings / "binance_spot" / "http_spot_market_agg_trades.json").read_text())

    def answer(query: dict[str, str]) -> list[dict]:
        first = int(query.get("fromId", 0))
        return [e for e in sent if e["a"] >= first and e["T"] >= int(query.get("startTime", 0))]

    part = Window(at("2021-10-22T23:08"), at("2021-10-22T23:09"))
    pages, asked = ask(BinanceUsdm, AGG_TRADES_UM, {AGG: answer}, part)
    rows = rows_of(AGG_TRADES_UM, pages).to_pylist()
    assert [
        (r["id"], r["price"], r["quantity"], r["first_trade_id"], r["last_trade_id"], r["buyer_is_maker"])
        for r in rows
    ] == [(e["a"], float(e["p"]), float(e["q"]), e["f"], e["l"], e["m"]) for e in sent]
    assert [r["time"] for r in rows] == [moment_of(e["T"] * 1_000) for e in sent]
    assert asked[-1].query["fromId"] == str(sent[-1]["a"] + 1)
    assert covered(pages)[-1].end == part.end


@pytest.mark.parametrize(("told", "price"), [("", None), (None, None), ("0.00000000", None), ("1.5", 1.5)])
def test_of_old_settlements_no_mark_price_is_told(told, price):
    entry = {"symbol": "BTCUSDT", "fundingTime": MIDNIGHT, "fundingRate": "-1.0E-4", "markPrice": told}
    for sent in (
        [entry] if told is not None else [entry, {n: entry[n] for n in ("fundingTime", "fundingRate")}]
    ):
        (row,) = rows_of(
            FUNDING_RATES, ask(BinanceUsdm, FUNDING_RATES, {FUNDING: [sent]}, HOUR)[0]
        ).to_pylist()
        assert (row["rate"], row["mark_price"]) == (-0.0001, price)


def kline(ms: int) -> list:
    return [ms, "10", "11", "9", "10.5", "3", ms + 59_999, "31", 2, "1", "10.2", "0"]


def serving_klines(query: dict[str, str]) -> list[list]:
    minutes = range(int(query["startTime"]), int(query["endTime"]) + 1, 60_000)
    return [kline(ms) for ms in minutes][: int(query["limit"])]


def test_candles_are_asked_499_at_a_time():
    part = window("2024-08-01", "2024-08-01T17:00")
    pages, asked = ask(BinanceUsdm, PERP_1M, {KLINES: serving_klines}, part)
    assert rows_of(PERP_1M, pages).num_rows == 1_020
    assert [one.query["limit"] for one in asked] == ["499"] * 3


def test_a_truncated_page_is_gone_on_with_and_one_that_leaves_out_its_head_is_refused():
    part = window("2024-08-01", "2024-08-01T01:00")
    cut = Turns(lambda query: serving_klines(query)[:20], serving_klines)
    assert rows_of(PERP_1M, ask(BinanceUsdm, PERP_1M, {KLINES: cut}, part)[0]).num_rows == 60
    with pytest.raises(MalformedAnswer, match="left out of an answer"):
        headless = Turns(lambda query: serving_klines(query)[20:], serving_klines)
        ask(BinanceUsdm, PERP_1M, {KLINES: headless}, part)


def test_a_shuffled_page_is_no_answer():
    with pytest.raises(MalformedAnswer, match="not in rising order"):
        ask(BinanceUsdm, PERP_1M, {KLINES: lambda query: serving_klines(query)[::-1]}, HOUR)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("binance_invalid_symbol.json", NotFound, "-1121 Invalid symbol."),
        ("binance_418_ip_ban.json", Banned, "banned until 1660090423228"),
    ],
)
@pytest.mark.parametrize(
    ("table", "path"),
    [(PERP_1M, KLINES), (AGG_TRADES_UM, AGG), (OPEN_INTEREST_5M, OI), (FUNDING_RATES, FUNDING)],
)
def test_error_bodies_as_recorded(recordings, name, kind, said, table, path):
    error = json.loads((recordings / "errors" / name).read_text())
    with pytest.raises(kind, match=said):
        ask(BinanceUsdm, table, {path: Reply(error["status"], error["body"])}, HOUR)


@pytest.mark.parametrize("field", ["a", "p", "q", "f", "l", "T", "m"])
def test_a_lacking_field_is_named(field):
    broken = trade(1, MIDNIGHT)
    del broken[field]
    with pytest.raises(MalformedAnswer, match=f"an entry of aggTrades has no '{field}'"):
        ask(BinanceUsdm, AGG_TRADES_UM, {AGG: [broken]}, HOUR)


ANYTHING = st.none() | st.booleans() | st.text() | st.integers() | st.floats(allow_nan=False) | st.just([1])
FIELDS = {
    normalise_trades: trade(1, MIDNIGHT),
    normalise_open_interest: {"timestamp": MIDNIGHT, "sumOpenInterest": "1", "sumOpenInterestValue": "2"},
    normalise_funding: {"fundingTime": MIDNIGHT, "fundingRate": "0.0001", "markPrice": "64000.5"},
}


@given(
    where=st.sampled_from([(made, name) for made, entry in FIELDS.items() for name in entry]), value=ANYTHING
)
def test_whatever_an_entry_holds_it_is_a_row_or_malformed(where, value):
    made, name = where
    settle = () if made is normalise_open_interest else (timedelta(seconds=5),)
    with contextlib.suppress(MalformedAnswer):
        assert made([FIELDS[made] | {name: value}], *settle, "rest").num_rows == 1


def test_markets_as_recorded(recordings):
    info = json.loads((recordings / "binance_usdm" / "http_futures_market_exchange_info.json").read_text())

    async def main(url: str):
        async with BinanceUsdm(SourceOptions(base_url=url, attempts=1)) as vendor:
            now, market = await vendor.now(), await vendor.look_up("BTC/USDT:USDT")
            with pytest.raises(NotFound, match=r"no perpetual 'BTC/USD:USD'.*BTCUSDT"):
                await vendor.look_up("BTC/USD:USD")
            return now, market, vendor._main.governor.budget

    with Replay({"/fapi/v1/exchangeInfo": info}) as replay:
        now, market, budget = asyncio.run(main(replay.url))
    assert now == moment_of(1_645_233_611_962_000)
    assert market.trading
    assert market.listed_at == moment_of(1_569_398_400_000_000)
    assert market.delisted_at is None
    assert (budget.limit, budget.seconds) == (6_000, 60)


def look_up(info: dict, symbol: str):
    async def main(url: str):
        async with BinanceUsdm(SourceOptions(base_url=url, attempts=1)) as vendor:
            return await vendor.look_up(symbol)

    with Replay({"/fapi/v1/exchangeInfo": info}) as replay:
        return asyncio.run(main(replay.url))


@pytest.mark.parametrize(
    ("told", "trading", "ends"),
    [
        ({"contractType": "PERPETUAL", "status": "TRADING", "deliveryDate": 4_133_404_800_000}, True, None),
        ({"contractType": "TRADIFI_PERPETUAL", "status": "TRADING"}, True, None),
        ({"contractType": "", "status": "PENDING_TRADING", "deliveryDate": 4_133_404_800_000}, False, None),
        (
            {"contractType": "PERPETUAL_DELIVERING", "status": "SETTLING", "deliveryDate": MIDNIGHT},
            False,
            HOUR.start,
        ),
        ({"status": "TRADING"}, True, None),  # as it was in 2019
    ],
)
def test_perpetuals_whatever_they_are_called(told, trading, ends):
    info = {"serverTime": MIDNIGHT, "symbols": [{"symbol": "XAUUSDT"} | told]}
    market = look_up(info, "XAU/USDT:USDT")
    assert (market.trading, market.listed_at, market.delisted_at) == (trading, None, ends)


def test_what_ends_on_a_day_is_no_perpetual():
    dated = {"symbol": "BTCUSDT_260626", "contractType": "CURRENT_QUARTER", "status": "TRADING"}
    info = {"serverTime": MIDNIGHT, "symbols": [dated, {"symbol": "BTCUSDT", "contractType": "PERPETUAL"}]}
    with pytest.raises(NotFound, match=r"no perpetual 'BTCUSDT_260626'.*BTCUSDT"):
        look_up(info, "BTCUSDT_260626")


def test_an_exchange_info_that_lacks_what_is_needed_is_malformed():
    async def now(url: str):
        async with BinanceUsdm(SourceOptions(base_url=url, attempts=1)) as vendor:
            await vendor.now()

    with pytest.raises(MalformedAnswer, match="exchangeInfo has no symbols"):
        look_up({"serverTime": MIDNIGHT}, "BTC/USDT:USDT")
    for info in ({"symbols": []}, {"symbols": [], "serverTime": "now"}):
        with Replay({"/fapi/v1/exchangeInfo": info}) as replay:  # noqa: SIM117 the answer is not what fails
            with pytest.raises(MalformedAnswer, match="tells no serverTime"):
                asyncio.run(now(replay.url))


def test_pages_say_how_many_requests_they_took():
    pages, asked = ask(
        BinanceUsdm, PERP_1M, {KLINES: serving_klines}, window("2024-08-01", "2024-08-01T17:00")
    )
    assert sum(page.requests for page in pages if isinstance(page, Page)) == len(asked)
