"""CoinGecko: recorded answers, what is asked for together, the two shapes of errors, the key, the budget."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.intervals import Window, micros, moment_of
from ingestion_assets.registry import Series
from ingestion_assets.sources.errors import (
    AuthError,
    BadRequest,
    MalformedAnswer,
    NotFound,
    RateLimited,
    VendorDown,
)
from ingestion_assets.sources.feeds import Absent
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.sources.snapshots.coingecko import CoinGecko
from ingestion_assets.sources.snapshots.coingecko_rows import normalise_chart, normalise_ohlc
from ingestion_assets.sources.snapshots.mock import Mock
from ingestion_assets.tables import Table
from ingestion_assets.tables.snapshots import MARKET_SNAPSHOTS, OHLC_4H, PRICE_HISTORY
from ingestion_assets_tests.sources.derivatives.asking import ask, at, rows_of, window
from ingestion_assets_tests.sources.replay import Replay, Reply, Turns

BITCOIN = Series("coingecko.bitcoin-usd", "snapshots", "coingecko", "bitcoin/usd")
SLOT = window("2021-05-15T16:00", "2021-05-15T16:05")
MARKETS, CHART, OHLC = "coins/markets", "coins/bitcoin/market_chart/range", "coins/bitcoin/ohlc"
KEY = "CG-sEcReT-0123456789"


def recorded(recordings: Path, name: str) -> Any:
    return json.loads((recordings / "coingecko" / f"{name}.body.json").read_bytes())


def fetched(table: Any, answers: dict[str, Any], part: Window, **options: Any) -> Any:
    told = {f"/api/v3/{path}": answer for path, answer in answers.items()}
    return ask(CoinGecko, table, told, part, BITCOIN, **({"api_key": KEY} | options))


def test_a_recorded_market_with_its_nulls_and_the_moment_of_asking(recordings: Path):
    sent = recorded(recordings, "market_data_for_a_coin")
    pages, (one,) = fetched(MARKET_SNAPSHOTS, {MARKETS: sent}, SLOT)
    (row,) = rows_of(MARKET_SNAPSHOTS, pages).to_pylist()
    assert SLOT.start <= row["time"] < SLOT.end
    assert row["updated_at"] == at("2021-05-15T15:59:43.867")
    assert (row["price"], row["market_cap"], row["market_cap_rank"]) == (49053, 917825524991, 1)
    assert (row["volume_24h"], row["change_percent_24h"]) == (61679663434, -4.37931)
    assert (row["max_supply"], row["circulating_supply"]) == (21000000, 18710831)
    assert (row["ath"], row["ath_at"]) == (64805, at("2021-04-14T11:54:46.763"))
    assert one.query == {"vs_currency": "usd", "ids": "bitcoin", "per_page": "250"}
    assert one.headers["x-cg-demo-api-key"] == KEY
    without = [sent[0] | {"max_supply": None, "total_supply": None, "ath_date": None, "market_cap": 10**24}]
    (row,) = rows_of(MARKET_SNAPSHOTS, fetched(MARKET_SNAPSHOTS, {MARKETS: without}, SLOT)[0]).to_pylist()
    assert (row["max_supply"], row["total_supply"], row["ath_at"], row["market_cap"]) == (
        None,
        None,
        None,
        1e24,
    )


def test_a_recorded_history_in_the_order_of_time_with_exactly_its_points(recordings: Path):
    sent = recorded(recordings, "daily_historical_prices_for_one_coin")
    rows = normalise_chart(sent, timedelta(), "rest").to_pylist()
    assert [row["time"] for row in rows] == sorted(moment_of(ms * 1000) for ms, _ in sent["prices"])
    assert len(rows) == len(sent["prices"])
    by_time = {row["time"]: row for row in rows}
    for name, column in (("prices", "price"), ("market_caps", "market_cap"), ("total_volumes", "volume_24h")):
        assert all(by_time[moment_of(ms * 1000)][column] == value for ms, value in sent[name])
    part = Window(at("2021-03-01"), at("2021-05-15"))
    pages, (one,) = fetched(PRICE_HISTORY, {CHART: sent}, part)
    held = rows_of(PRICE_HISTORY, pages).column("time").to_pylist()
    assert (len(held), held[0], held[-1]) == (75, part.start, at("2021-05-14"))
    assert one.query["from"] == str(micros(part.start) // 1_000_000)


def test_points_out_of_order_and_lists_of_different_length():
    document = {
        "prices": [[3_600_955, 2.0], [7_200_955, 3.0], [7_200_000, 4.0], [9_000_000, None]],
        "market_caps": [[3_600_955, None]],
        "total_volumes": [[7_200_000, 9]],
    }
    rows = normalise_chart(document, timedelta(), "rest").to_pylist()
    found = [(r["price"], r["market_cap"], r["volume_24h"]) for r in rows]
    assert found == [(2, None, None), (4, None, 9), (3, None, None)]
    assert normalise_chart({"prices": []}, timedelta(), "rest").num_rows == 0


def test_an_answer_that_comes_after_its_slot_was_not_known_within_it():
    late = Reply(
        body=[{"id": "bitcoin", "current_price": 1.0}], headers={"Date": "Sat, 15 May 2021 16:09:00 GMT"}
    )
    pages, _ = fetched(MARKET_SNAPSHOTS, {MARKETS: late}, SLOT, origin="simulator")
    (row,) = rows_of(MARKET_SNAPSHOTS, pages).to_pylist()
    assert SLOT.start <= row["time"] < SLOT.end
    assert at("2021-05-15T16:09") <= row["known_at"] < at("2021-05-15T16:11")


@pytest.mark.parametrize(
    ("table", "path", "empty", "told"),
    [
        (PRICE_HISTORY, CHART, {"prices": []}, {"prices": [[1_619_827_300_000, 5.0]]}),
        (OHLC_4H, OHLC, [], [[1_619_841_600_000, 1, 3, 1, 2]]),
    ],
)
def test_that_a_month_holds_nothing_is_believed_when_it_is_said_twice(
    table: Table, path: str, empty: Any, told: Any
):
    may = window("2021-05-01", "2021-06-01")
    (page,), asked = fetched(table, {path: empty}, may)
    assert (page.rows.num_rows, page.window, page.requests, len(asked)) == (0, may, 2, 2)
    (page,), asked = fetched(table, {path: Turns(empty, told)}, may)
    assert (page.rows.num_rows, page.requests, len(asked)) == (1, 2, 2)


def test_less_than_two_days_are_asked_for_with_the_days_before_so_that_points_stay_hourly():
    part = window("2021-05-15T10:00", "2021-05-15T12:00")
    pages, (one,) = fetched(PRICE_HISTORY, {CHART: {"prices": [[micros(part.start) // 1000 - 1, 1]]}}, part)
    assert rows_of(PRICE_HISTORY, pages).num_rows == 0
    assert int(one.query["to"]) - int(one.query["from"]) == 3 * 86_400


def test_recorded_candles_begin_four_hours_before_their_stamps_and_the_unfinished_one_is_left_out(recordings):
    sent = recorded(recordings, "ohlc_data_for_one_coin_in_the_last_7_days")
    every = normalise_ohlc(sent, timedelta(), "rest")
    assert every.num_rows == len(sent) == 42
    first = every.slice(0, 1).to_pylist()[0]
    assert (first["time"], first["close_time"]) == (at("2021-05-08T16:00"), at("2021-05-08T19:59:59.999"))
    assert (first["open"], first["high"], first["low"], first["close"]) == (
        57945.79,
        59122.18,
        57945.79,
        59122.18,
    )
    part = Window(at("2021-05-08T16:00"), at("2021-05-15T12:00"))  # it was asked at 15:34
    pages, (one,) = fetched(OHLC_4H, {OHLC: sent}, part)
    assert rows_of(OHLC_4H, pages).num_rows == 41
    assert one.query == {"vs_currency": "usd", "days": "30"}


@pytest.mark.parametrize(
    ("name", "table", "path", "kind"),
    [
        ("market_data_for_a_coin.p2", MARKET_SNAPSHOTS, MARKETS, BadRequest),
        ("market_data_for_a_coin.p3", MARKET_SNAPSHOTS, MARKETS, BadRequest),
        ("daily_historical_prices_for_one_coin.p2", PRICE_HISTORY, CHART, BadRequest),
        ("ohlc_data_for_one_coin_in_the_last_7_days.p2", OHLC_4H, OHLC, VendorDown),
    ],
)
def test_recorded_errors(recordings: Path, name: str, table: Any, path: str, kind: type) -> None:
    meta = json.loads((recordings / "coingecko" / f"{name}.meta.json").read_text())
    body = recorded(recordings, name)
    with pytest.raises(kind, match=body["error"]):
        fetched(table, {path: Reply(meta["status"], body)}, SLOT)
    told = json.loads((recordings / "errors" / "coingecko_422.json").read_text())
    with pytest.raises(BadRequest, match="Missing parameter vs_currency"):
        fetched(table, {path: Reply(told["status"], told["body"])}, SLOT)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            429,
            {"status": {"error_code": 429, "error_message": "You've exceeded the Rate Limit."}},
            RateLimited,
        ),
        (401, {"status": {"error_code": 10002, "error_message": "API Key Missing"}}, AuthError),
        (400, {"status": {"error_code": 10010, "error_message": "Invalid API key"}}, AuthError),
        (401, {"error": {"status": {"error_code": 10012, "error_message": "beyond 365 days"}}}, AuthError),
        (200, {"status": {"error_code": 10005, "error_message": "not on this plan"}}, AuthError),
        (401, {"error": {"error_code": 10012, "error_message": "past 365 days"}}, AuthError),
        (400, {"error_code": 10011, "error_message": "use the other host"}, AuthError),
        (429, {"status": {"error_code": "Throttled", "error_message": "slow down"}}, RateLimited),
        (503, {"status": {"error_code": 503, "error_message": "be back soon"}}, VendorDown),
        (404, {"error": "coin not found"}, NotFound),
    ],
)
def test_errors_of_every_shape_are_told_in_the_vendors_words(status: int, body: Any, kind: type) -> None:
    text = str(body).split("message': ")[-1].strip("'\"}") if "message" in str(body) else body["error"]
    with pytest.raises(kind) as failure:
        fetched(PRICE_HISTORY, {CHART: Reply(status, body)}, SLOT)
    assert text in str(failure.value)


def test_a_page_of_a_firewall_and_words_without_json_are_errors_too():
    for status, body, kind in (
        (429, b"Throttled", RateLimited),
        (403, b"<html>1020</html>", VendorDown),
        (403, b"error code: 1020", VendorDown),
    ):
        with pytest.raises(kind):
            fetched(PRICE_HISTORY, {CHART: Reply(status, body, content_type="text/plain")}, SLOT)


def test_numbers_with_more_digits_than_a_float_has_and_a_coin_without_a_price():
    supply = 999_999_999_999_999_999
    sent = {
        "id": "bitcoin",
        "current_price": 10**16 + 1,
        "total_supply": supply,
        "market_cap": 1.5,
        "roi": {},
    }
    pages, _ = fetched(MARKET_SNAPSHOTS, {MARKETS: [sent]}, SLOT)
    (row,) = rows_of(MARKET_SNAPSHOTS, pages).to_pylist()
    assert (row["price"], row["total_supply"], row["ath"], row["market_cap_rank"]) == (1e16, 1e18, None, None)
    chart = {"prices": [[3_600_000, 2**60]], "market_caps": [[3_600_000, 2**61]], "total_volumes": []}
    (row,) = normalise_chart(chart, timedelta(), "rest").to_pylist()
    assert (row["price"], row["market_cap"], row["volume_24h"]) == (2.0**60, 2.0**61, None)
    (page,), _ = fetched(MARKET_SNAPSHOTS, {MARKETS: [{"id": "bitcoin", "current_price": None}]}, SLOT)
    assert isinstance(page, Absent)
    assert (page.window, "without a price" in page.evidence) == (SLOT, True)


def test_a_wrong_key_fails_at_once_and_is_not_shown():
    echo = Reply(401, {"status": {"error_code": 10010, "error_message": f"Invalid key {KEY}"}})

    async def main(url: str) -> None:
        async with CoinGecko(SourceOptions(base_url=url, api_key=KEY, attempts=5)) as vendor:
            _ = [page async for page in vendor.snapshot(BITCOIN, SLOT)]

    with Replay({"/api/v3/coins/markets": echo}) as replay, pytest.raises(AuthError) as failure:
        asyncio.run(main(replay.url))
    assert replay.count("/api/v3/coins/markets") == 1
    assert KEY not in str(failure.value)


def test_answers_that_are_none_are_refused():
    for table, path, wrong, kind in (
        (MARKET_SNAPSHOTS, MARKETS, [], NotFound),
        (MARKET_SNAPSHOTS, MARKETS, {"bitcoin": 1}, MalformedAnswer),
        (MARKET_SNAPSHOTS, MARKETS, [{"symbol": "btc"}], MalformedAnswer),
        (MARKET_SNAPSHOTS, MARKETS, [{"id": "bitcoin", "current_price": True}], MalformedAnswer),
        (
            MARKET_SNAPSHOTS,
            MARKETS,
            [{"id": "bitcoin", "current_price": 1, "ath_date": "once"}],
            MalformedAnswer,
        ),
        (MARKET_SNAPSHOTS, MARKETS, [{"id": "bitcoin", "current_price": "much"}], MalformedAnswer),
        (PRICE_HISTORY, CHART, {"market_caps": []}, MalformedAnswer),
        (PRICE_HISTORY, CHART, {"prices": [[1]]}, MalformedAnswer),
        (OHLC_4H, OHLC, [[1, 2, 3]], MalformedAnswer),
        (OHLC_4H, OHLC, b"<html>", MalformedAnswer),
    ):
        with pytest.raises(kind):
            fetched(table, {path: wrong}, SLOT)


def test_coins_of_one_currency_are_asked_for_together():
    def answer(query: dict[str, str]) -> list[dict[str, Any]]:
        return [{"id": coin, "current_price": 1.5} for coin in query["ids"].split(",")]

    async def main(url: str) -> list[Any]:
        async def one(vendor: CoinGecko, coin: str) -> list[Any]:
            series = Series(f"coingecko.{coin}-usd", "snapshots", "coingecko", f"{coin}/usd")
            return [page async for page in vendor.snapshot(series, SLOT)]

        async with CoinGecko(SourceOptions(base_url=url, api_key=KEY)) as vendor:
            first = await asyncio.gather(*(one(vendor, f"coin{n}") for n in range(60)))
            return [*first, await one(vendor, "late")]

    with Replay({"/api/v3/coins/markets": answer}) as replay:
        pages = asyncio.run(main(replay.url))
    assert len(pages) == 61
    assert [len(one.query["ids"].split(",")) for one in replay.asked] == [60, 1]


def test_every_request_is_paid_from_the_month():
    class Empty:
        """A purse with nothing in it."""

        async def left(self) -> int:
            return 0

        async def reserve(self, units: int) -> str:
            raise RateLimited(f"10000 of 10000 requests are spent, {units} more needed")

        async def settle(self, period: str, reserved: int, used: int) -> None:
            raise AssertionError("nothing was reserved")

    with pytest.raises(RateLimited, match="are spent"):
        fetched(MARKET_SNAPSHOTS, {MARKETS: []}, SLOT, purse=Empty())
    assert CoinGecko.allowance is not None
    assert (CoinGecko.allowance.per, CoinGecko.allowance.limit) == ("month", 10_000)
    assert Mock.allowance is None


def test_names_as_people_type_them():
    for text, symbol in (
        ("BTC-USD", "bitcoin/usd"),
        ("btc/eur", "bitcoin/eur"),
        ("bitcoin", "bitcoin/usd"),
        ("usd-coin", "usd-coin/usd"),
        ("usd-coin-eur", "usd-coin/eur"),
    ):
        assert CoinGecko.named(text) == (f"coingecko.{symbol.replace('/', '-')}", symbol)
    assert Mock.named("SPX") == ("mock.SPX-USD", "SPX/USD")
    assert Mock.named("btc/usd") == ("mock.BTC-USD", "BTC/USD")
    with pytest.raises(ValueError, match="like bitcoin-usd"):
        CoinGecko.named("bit coin")


def test_our_own_clock_tells_when_a_snapshot_is_taken():
    async def main() -> datetime:
        return await CoinGecko(SourceOptions(api_key=KEY)).now()

    assert abs(asyncio.run(main()) - datetime.now(UTC)) < timedelta(minutes=1)
