"""Shares by the REST API: recorded answers, paging, what is believed of silence, errors, the key."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.intervals import Window, micros, moment_of, subtract
from ingestion_assets.registry import Series
from ingestion_assets.sources.equities.polygon import Polygon
from ingestion_assets.sources.equities.polygon_rows import (
    days_traded,
    described,
    document_of,
    in_micros,
    normalise_bars,
    normalise_snapshot,
    normalise_splits,
    results_of,
)
from ingestion_assets.sources.equities.sessions import sessions
from ingestion_assets.sources.errors import (
    AuthError,
    BadRequest,
    MalformedAnswer,
    NotFound,
    RateLimited,
    SourceError,
    VendorDown,
)
from ingestion_assets.sources.feeds import Absent
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.tables.equities import EQUITY_1M, EQUITY_SNAPSHOTS, SPLITS
from ingestion_assets_tests.sources.derivatives.asking import ask, at, covered, rows_of, window
from ingestion_assets_tests.sources.replay import Replay, Reply, Turns

AAPL = Series("polygon.AAPL", "equities", "polygon", "AAPL")
WEEK = window("2024-07-01", "2024-07-08")  # a half day on Wednesday, a holiday on Thursday
KEY = "sEcReT-key-0123456789"
SPLITS_PATH = "/v3/reference/splits"
TICKERS = "/v2/snapshot/locale/us/markets/stocks/tickers"


def path(span: str, part: Window) -> str:
    return f"/v2/aggs/ticker/AAPL/range/1/{span}/{micros(part.start) // 1000}/{micros(part.end) // 1000 - 1}"


def bar(moment: Any, **other: Any) -> dict[str, Any]:
    return {
        "v": 100,
        "vw": 10.4,
        "o": 10,
        "c": 10.5,
        "h": 11,
        "l": 9,
        "t": micros(moment) // 1000,
        "n": 3,
    } | other


def minutes(part: Window, every: int = 1) -> list[dict[str, Any]]:
    count = int(part.length.total_seconds() // 60)
    return [bar(part.start + timedelta(minutes=n)) for n in range(0, count, every)]


def traded(part: Window, every: int = 1, without: set[date] = frozenset()) -> list[dict[str, Any]]:
    """A bar for every minute of the regular sessions."""
    return [one for s in sessions(part) if s.day not in without for one in minutes(s.regular, every)]


def aggregates(entries: list[dict[str, Any]], **other: Any) -> dict[str, Any]:
    document = {"ticker": "AAPL", "status": "OK", "adjusted": False, "resultsCount": len(entries)} | other
    return document | ({"results": entries} if entries else {})


def fetched(answers: dict[str, Any], part: Window = WEEK, table: Any = EQUITY_1M, **options: Any) -> Any:
    return ask(Polygon, table, answers, part, AAPL, **({"api_key": KEY} | options))


def test_a_week_is_one_request_and_leaves_nothing_open():
    entries = traded(WEEK)
    pages, asked = fetched({path("minute", WEEK): aggregates(entries)})
    rows = rows_of(EQUITY_1M, pages)
    assert rows.num_rows == 3 * 390 + 210 == len(entries)
    assert subtract([WEEK], covered(pages)) == []
    (one,) = asked
    assert one.query == {"adjusted": "false", "sort": "asc", "limit": "50000"}
    first = rows.slice(0, 1).to_pylist()[0]
    assert first["time"] == at("2024-07-01T13:30")
    assert first["close_time"] == at("2024-07-01T13:30:59.999")
    assert first["known_at"] == at("2024-07-01T13:31:05")
    assert (first["vwap"], first["transactions"], first["volume"]) == (10.4, 3, 100.0)


def test_the_key_is_in_a_header_and_in_no_url_and_next_url_is_followed_on_our_host_without_its_key():
    entries = traded(WEEK)
    elsewhere = f"https://elsewhere.example/v2/more?cursor=bGlt%2BaXQ&apiKey={KEY}"
    first = aggregates(entries[:500], next_url=elsewhere)
    pages, asked = fetched({path("minute", WEEK): first, "/v2/more": aggregates(entries[500:])})
    assert rows_of(EQUITY_1M, pages).num_rows == len(entries)
    assert [one.headers["Authorization"] for one in asked] == [f"Bearer {KEY}"] * 2
    assert asked[1].query == {"cursor": "bGlt+aXQ"}
    assert not any(KEY in f"{one.path}{one.query}" for one in asked)
    assert subtract([WEEK], covered(pages)) == []


def test_a_chain_that_breaks_is_gone_on_with_where_it_broke():
    entries = traded(WEEK)
    kept: list[Any] = []

    def broken(_: dict[str, str]) -> Reply:
        return Reply(500, {"status": "ERROR", "error": "internal"})

    first = aggregates(entries[:700], next_url="https://api.massive.com/v2/more?cursor=x")
    with Replay({path("minute", WEEK): first, "/v2/more": broken}) as replay, pytest.raises(SourceError):
        _collect(replay.url, kept)
    reached = covered(kept)[-1].end
    assert reached == moment_of(entries[699]["t"] * 1000) + timedelta(minutes=1)
    rest = Window(reached, WEEK.end)
    pages, _ = fetched({path("minute", rest): aggregates(entries[700:])}, rest)
    assert rows_of(EQUITY_1M, [*kept, *pages]).column("time").to_pylist() == [
        moment_of(e["t"] * 1000) for e in entries
    ]


def _collect(url: str, kept: list[Any]) -> None:
    async def main() -> None:
        async with Polygon(SourceOptions(base_url=url, api_key=KEY, attempts=1)) as polygon:
            async for page in polygon.bars(AAPL, WEEK):
                kept.append(page)  # noqa: PERF401 what comes before it breaks is kept

    asyncio.run(main())


def test_a_chain_that_leads_nowhere_ends():
    nowhere = aggregates([], next_url="https://api.massive.com/v2/more?cursor=x")
    with pytest.raises(MalformedAnswer, match="lead nowhere"):
        fetched({path("minute", WEEK): nowhere, "/v2/more": nowhere})
    entry = {"ticker": "AAPL", "execution_date": "2020-08-31", "split_from": 1, "split_to": 4}
    same = {"status": "OK", "results": [entry], "next_url": f"https://api.massive.com{SPLITS_PATH}?cursor=x"}
    with pytest.raises(MalformedAnswer, match="lead nowhere"):
        fetched({SPLITS_PATH: same}, window("2020-08-01", "2020-09-01"), SPLITS)


def test_a_session_without_bars_is_a_gap_when_the_vendor_has_a_bar_of_the_day():
    lost = date(2024, 7, 2)
    (session,) = [s for s in sessions(WEEK) if s.day == lost]
    days = Window(at("2024-07-02T04:00"), at("2024-07-03T04:00"))
    day = aggregates([bar(days.start, v=5e7)])
    answers = {path("minute", WEEK): aggregates(traded(WEEK, without={lost})), path("day", days): day}
    pages, asked = fetched(answers)
    (absent,) = [page for page in pages if isinstance(page, Absent)]
    assert absent.window == session.extended
    assert "2024-07-02" in absent.evidence
    assert subtract([WEEK], covered(pages)) == [session.extended]
    assert len(asked) == 2


def test_a_session_without_bars_is_believed_when_the_vendor_has_no_bar_of_the_day_either():
    halted = {date(2024, 7, 2), date(2024, 7, 3)}
    days = Window(at("2024-07-02T04:00"), at("2024-07-04T04:00"))
    answers = {
        path("minute", WEEK): aggregates(traded(WEEK, without=halted)),
        path("day", days): aggregates([]),
    }
    pages, asked = fetched(answers)
    assert subtract([WEEK], covered(pages)) == []
    assert rows_of(EQUITY_1M, pages).num_rows == 2 * 390
    assert len(asked) == 2


def test_of_closed_hours_nobody_is_asked():
    for closed in (
        window("2024-07-04T01:00", "2024-07-05T08:00"),  # from one night over a holiday into the next
        window("2024-07-06T00:00", "2024-07-08T08:00"),
        window("2024-11-29T22:00", "2024-11-30T00:00"),  # a half day's evening
    ):
        pages, asked = fetched({}, closed)
        assert (covered(pages), asked) == ([closed], [])


def test_minutes_and_hours_without_trades_are_no_gap():
    pages, asked = fetched({path("minute", WEEK): aggregates(traded(WEEK, every=100))})
    assert subtract([WEEK], covered(pages)) == []
    assert len(asked) == 1


def test_answers_that_are_not_what_was_asked_for_are_refused():
    entries = traded(WEEK)
    for wrong, text in (
        (aggregates(entries, adjusted=True), "adjusted"),
        (aggregates(entries[:-9], resultsCount=len(entries)), "says it has"),
        (aggregates(entries[::-1]), "rising order"),
        (aggregates([*entries, entries[-1]]), "rising order"),
        (aggregates([bar(WEEK.end)]), "holds rows from"),
        (aggregates([{"t": 1}]), "a bar has no open"),
        (aggregates([bar(WEEK.start, t="soon")]), "cannot be read"),
        ({"code": 1}, "neither status nor results"),
        (b"<html>", "not the JSON"),
        (b'{"status":"OK","results":[{]}', "broken JSON"),
    ):
        with pytest.raises(MalformedAnswer, match=text):
            fetched({path("minute", WEEK): wrong})


@pytest.mark.parametrize(
    "silence",
    [
        {"status": "OK", "queryCount": 0, "resultsCount": 0, "adjusted": True, "results": None},
        {"status": "DELAYED", "ticker": "AAPL", "adjusted": False, "resultsCount": 0, "count": 0},
        {"status": "OK", "results": []},
    ],
)
def test_nothing_traded_however_it_is_told(silence):
    part = window("2024-07-03T10:00", "2024-07-03T11:00")
    pages, _ = fetched({path("minute", part): silence}, part)
    assert covered(pages) == [part]
    assert rows_of(EQUITY_1M, pages).num_rows == 0


def test_numbers_as_text_and_in_scientific_notation_and_fields_that_nobody_knows():
    texts = {"v": "1.5e+2", "vw": "10.4", "o": "10", "c": "10.5", "h": "11", "l": "9", "n": "3"}
    entry = bar(WEEK.start) | texts | {"t": float(micros(WEEK.start) // 1000), "otc": True, "x": [1]}
    document = aggregates([entry], status="DELAYED")
    (row,) = normalise_bars(document, timedelta(), "rest").to_pylist()
    assert (row["time"], row["volume"], row["vwap"], row["transactions"]) == (WEEK.start, 150, 10.4, 3)


ANYTHING = st.none() | st.booleans() | st.text() | st.integers() | st.floats(allow_nan=False) | st.just([1])
SHOWN = {"ticker": "AAPL", "updated": 1_605_195_918_306_274_000, "todaysChange": 0.98}
SHOWN |= {"min": {"t": 1_684_428_720_000, "n": 762, "c": 120.4}, "lastTrade": {"p": 120.47, "s": 236, "t": 1}}


@given(name=st.sampled_from(["v", "vw", "o", "c", "h", "l", "t", "n"]), value=ANYTHING)
def test_whatever_a_bar_holds_it_is_a_row_or_malformed(name: str, value: Any):
    with contextlib.suppress(MalformedAnswer):
        assert (
            normalise_bars(aggregates([bar(WEEK.start) | {name: value}]), timedelta(), "rest").num_rows == 1
        )


@given(name=st.sampled_from(["execution_date", "split_from", "split_to", "id"]), value=ANYTHING)
def test_whatever_a_split_holds_it_is_a_row_or_malformed(name: str, value: Any):
    entry = {"execution_date": "2020-08-31", "split_from": 1, "split_to": 4, "id": "a"} | {name: value}
    with contextlib.suppress(MalformedAnswer):
        assert normalise_splits([entry], "rest").num_rows == 1


@given(
    part=st.sampled_from(["updated", "todaysChange", "min.t", "min.n", "min.c", "min", "day"]), value=ANYTHING
)
def test_whatever_a_snapshot_holds_it_is_a_row_or_malformed(part: str, value: Any):
    outer, _, inner = part.partition(".")
    entry = SHOWN | {outer: {**SHOWN[outer], inner: value} if inner else value}
    with contextlib.suppress(MalformedAnswer):
        assert normalise_snapshot(entry, WEEK.start, "rest").num_rows == 1


def test_optional_fields_may_be_left_out_and_volume_may_be_a_fraction():
    document = aggregates([bar(WEEK.start, v=1.5e-1), bar(WEEK.start + timedelta(minutes=1))])
    for name in ("vw", "n"):
        del document["results"][0][name]
    rows = normalise_bars(document, timedelta(seconds=5), "rest").to_pylist()
    assert [(row["volume"], row["vwap"], row["transactions"]) for row in rows] == [
        (0.15, None, None),
        (100, 10.4, 3),
    ]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"status": "ERROR", "error": "Unknown API Key"}, AuthError),
        (200, {"status": "ERROR", "error": "API Key was not provided"}, AuthError),
        (200, {"status": "NOT_AUTHORIZED", "message": "You are not entitled to this data."}, AuthError),
        (404, {"status": "NOT_FOUND", "message": "Ticker not found."}, NotFound),
        (200, {"status": "ERROR", "error": "You've exceeded the maximum requests per minute"}, RateLimited),
        (200, {"status": "ERROR", "error": "internal"}, MalformedAnswer),
        (200, {"request_id": "r", "status": "NOT_AUTHORIZED", "message": "Not in your plan."}, AuthError),
        (200, {"message": "Not in your plan.", "request_id": "r" * 500, "status": "NOT_ENTITLED"}, AuthError),
        (200, {"status": "AUTH_ERROR", "error": "No."}, AuthError),
        (200, {"request_id": "r", "status": "NotFound", "message": "Ticker not found."}, NotFound),
        (200, {"status": "error", "message": "internal"}, MalformedAnswer),
        (400, {"status": "ERROR", "error": "'from' date must be before 'to'"}, BadRequest),
        (500, {"status": "ERROR", "error": "internal"}, VendorDown),
    ],
)
def test_what_the_vendor_refuses_is_told_in_its_words(status: int, body: dict[str, str], kind: type) -> None:
    with pytest.raises(kind) as failure:
        fetched({path("minute", WEEK): Reply(status, body)})
    assert (body.get("error") or body["message"]) in str(failure.value)


def test_what_is_no_answer_of_the_vendor_is_told_by_its_status():
    for reply, kind in (
        (Reply(403, b"<html>Forbidden</html>", content_type="text/html"), VendorDown),
        (Reply(404, b"404 page not found", content_type="text/plain"), NotFound),
        (Reply(429, b"<html>Too many</html>", content_type="text/html"), RateLimited),
        (Reply(504, b"<html>Time-out</html>", content_type="text/html"), VendorDown),
    ):
        with pytest.raises(kind):
            fetched({path("minute", WEEK): reply})


def test_a_wrong_key_fails_at_once_and_is_not_shown():
    echo = Reply(401, {"status": "ERROR", "error": f"Unknown API Key {KEY}"})
    with Replay({path("minute", WEEK): echo}) as replay, pytest.raises(AuthError) as failure:
        _fetch(replay.url, attempts=5)
    assert replay.count(path("minute", WEEK)) == 1
    assert KEY not in str(failure.value)
    assert "Unknown API Key ***" in str(failure.value)


def _fetch(url: str, attempts: int) -> None:
    async def main() -> None:
        async with Polygon(SourceOptions(base_url=url, api_key=KEY, attempts=attempts)) as polygon:
            _ = [page async for page in polygon.bars(AAPL, WEEK)]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "kind"), [("polygon_403_not_authorized", AuthError), ("polygon_429", RateLimited)]
)
def test_recorded_errors(recordings: Path, name: str, kind: type) -> None:
    recorded = json.loads((recordings / "errors" / f"{name}.json").read_text())
    reply = Reply(recorded["status"], recorded["body"], recorded["headers"])
    with pytest.raises(kind) as failure:
        fetched({path("minute", WEEK): reply})
    assert (recorded["body"].get("error") or recorded["body"]["message"]) in str(failure.value)
    if kind is RateLimited:
        assert 0 < failure.value.retry_after <= 61


def test_splits_are_asked_for_once_whatever_the_windows():
    entries = [
        {"id": "b", "ticker": "AAPL", "execution_date": "2020-08-31", "split_from": 1, "split_to": 4},
        {"id": "a", "ticker": "AAPL", "execution_date": "2014-06-09", "split_from": 1, "split_to": 7},
        {"id": "c", "ticker": "AAPLW", "execution_date": "2014-06-10", "split_from": 1, "split_to": 2},
    ]
    pages = {
        SPLITS_PATH: Turns(
            {"status": "OK", "results": entries[:1], "next_url": f"https://x.example{SPLITS_PATH}?cursor=2"},
            {"status": "OK", "results": entries[1:]},
        )
    }
    found, asked = fetched(pages, window("2014-01-01", "2021-01-01"), SPLITS)
    rows = rows_of(SPLITS, found).to_pylist()
    assert [(r["execution_date"], r["split_from"], r["split_to"], r["id"]) for r in rows] == [
        (date(2014, 6, 9), 1, 7, "a"),
        (date(2020, 8, 31), 1, 4, "b"),
    ]
    assert [r["time"] for r in rows] == [at("2014-06-09T04:00"), at("2020-08-31T04:00")]
    assert len(asked) == 2
    assert asked[0].query["ticker"] == "AAPL"


def test_a_snapshot_holds_what_the_vendor_shows_and_when_we_asked(recordings: Path):
    spec = json.loads((recordings / "polygon" / "spec" / "rest.json").read_text())
    answer = spec["paths"][f"{TICKERS}/{{stocksTicker}}"]["get"]["responses"]["200"]["content"]
    entry = answer["application/json"]["example"]["ticker"]
    part = Window(at("2026-11-20T10:05"), at("2026-11-20T10:10"))
    pages, asked = fetched({TICKERS: {"status": "OK", "tickers": [entry]}}, part, EQUITY_SNAPSHOTS)
    (row,) = rows_of(EQUITY_SNAPSHOTS, pages).to_pylist()
    assert part.start <= row["time"] < part.end
    assert asked[0].query == {"tickers": "AAPL"}
    assert row["price"] == row["last_trade_price"] == 120.47
    assert (row["bid"], row["ask"], row["bid_size"], row["ask_size"]) == (120.46, 120.47, 8, 4)
    assert (row["day_volume"], row["previous_close"], row["minute_transactions"]) == (28727868, 119.49, 762)
    assert row["updated_at"] == moment_of(1605195918306274)
    assert row["minute_time"] == moment_of(1684428720000000)
    assert (row["change"], row["change_percent"]) == (0.98, 0.82)


def test_a_recorded_snapshot_in_milliseconds_with_parts_left_out(recordings: Path):
    body = (recordings / "polygon" / "crypto_single_snapshot.body.json").read_bytes()
    entry = document_of(body)["ticker"]
    (row,) = normalise_snapshot(entry, at("2020-04-28T17:02:21"), "rest").to_pylist()
    assert row["updated_at"] == moment_of(1588132808999000)
    assert row["last_trade_at"] == moment_of(1588093339017000)
    assert (row["price"], row["day_vwap"], row["bid"], row["minute_time"]) == (7723.54, 0, None, None)


@pytest.mark.parametrize(
    ("said", "part", "shown"),
    [
        ("Thu, 19 Nov 2026 08:31:00 GMT", window("2026-11-19T08:30", "2026-11-19T08:35"), False),
        ("Thu, 19 Nov 2026 09:00:02 GMT", window("2026-11-19T08:55", "2026-11-19T09:00"), False),
        ("Thu, 19 Nov 2026 08:29:00 GMT", window("2026-11-19T08:25", "2026-11-19T08:30"), True),
        ("Thu, 19 Nov 2026 09:00:02 GMT", window("2026-11-19T09:00", "2026-11-19T09:05"), True),
        ("Thu, 16 Jul 2026 07:31:00 GMT", window("2026-07-16T07:30", "2026-07-16T07:35"), False),
        ("Thu, 16 Jul 2026 08:31:00 GMT", window("2026-07-16T08:30", "2026-07-16T08:35"), True),
    ],
)
def test_while_the_vendor_has_forgotten_everybody_there_is_nothing_to_store(
    said: str, part: Window, shown: bool
):
    """From 03:30 to 04:00 in New York, in winter and in summer; at other times it is the ticker."""
    answer = {TICKERS: Reply(body={"status": "OK", "count": 0, "tickers": []}, headers={"Date": said})}
    if shown:
        with pytest.raises(NotFound, match="is the ticker right"):
            fetched(answer, part, EQUITY_SNAPSHOTS)
        return
    (absent,), _ = fetched(answer, part, EQUITY_SNAPSHOTS)
    assert isinstance(absent, Absent)
    assert absent.window == part
    assert "03:30 to 04:00" in absent.evidence


def test_an_answer_that_comes_after_its_slot_was_not_known_within_it():
    part = Window(at("2026-11-20T10:05"), at("2026-11-20T10:10"))
    late = Reply(
        body={"status": "OK", "tickers": [{"ticker": "AAPL"}]},
        headers={"Date": "Fri, 20 Nov 2026 10:14:00 GMT"},
    )
    (page,), _ = fetched({TICKERS: late}, part, EQUITY_SNAPSHOTS, origin="simulator")
    (row,) = page.rows.to_pylist()
    assert part.start <= row["time"] < part.end
    assert at("2026-11-20T10:14") <= row["known_at"] < at("2026-11-20T10:16")


def test_snapshots_that_are_none_are_refused():
    part = Window(at("2026-11-20T10:05"), at("2026-11-20T10:10"))
    for body, kind in (
        (
            Reply(body={"status": "OK", "tickers": []}, headers={"Date": "Fri, 20 Nov 2026 10:06:00 GMT"}),
            NotFound,
        ),
        ({"status": "OK", "count": 0}, MalformedAnswer),
        ({"status": "OK", "tickers": ["AAPL"]}, MalformedAnswer),
        ({"status": "OK", "tickers": [{"ticker": "AAPL", "day": {"c": "much"}}]}, MalformedAnswer),
        ({"status": "OK", "tickers": [{"ticker": "AAPL", "updated": 1e30}]}, MalformedAnswer),
    ):
        with pytest.raises(kind):
            fetched({TICKERS: body}, part, EQUITY_SNAPSHOTS)


def test_of_a_snapshot_anything_may_be_missing():
    parts = {"day": None, "min": {"t": 0, "n": 2.0, "c": 0}, "prevDay": {"c": 1.5}, "updated": 0, "fmv": 2}
    (row,) = normalise_snapshot({"ticker": "AAPL"} | parts, WEEK.start, "rest").to_pylist()
    assert (row["price"], row["previous_close"], row["minute_transactions"]) == (1.5, 1.5, 2)
    assert (row["updated_at"], row["minute_time"], row["bid"], row["day_volume"]) == (None, None, None, None)
    (nothing,) = normalise_snapshot({"ticker": "AAPL"}, WEEK.start, "rest").to_pylist()
    assert nothing["price"] is None


def test_splits_with_ratios_in_fractions_and_as_text():
    entries = [
        {"ticker": "AAPL", "execution_date": "2020-08-31", "split_from": 1, "split_to": 0.2},
        {"ticker": "AAPL", "execution_date": "2005-02-28", "split_from": "1", "split_to": "1.02", "more": 1},
    ]
    answers = {SPLITS_PATH: {"results": entries, "status": "OK"}}
    rows = rows_of(SPLITS, fetched(answers, window("2000", "2021"), SPLITS)[0]).to_pylist()
    assert [(r["split_from"], r["split_to"], r["id"]) for r in rows] == [(1, 1.02, None), (1, 0.2, None)]


def test_recorded_splits_and_where_their_next_page_is(recordings: Path):
    spec = json.loads((recordings / "polygon" / "spec" / "rest.json").read_text())
    told = spec["paths"][SPLITS_PATH]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    following = urlsplit(told["next_url"]).path  # which is another one in the vendor's example
    answers = {SPLITS_PATH: told, following: {"status": "OK", "results": []}}
    pages, asked = fetched(answers, window("2000", "2021"), SPLITS)
    rows = rows_of(SPLITS, pages).to_pylist()
    assert [(r["execution_date"], r["split_from"], r["split_to"]) for r in rows] == [
        (date(2005, 2, 28), 1, 2),
        (date(2020, 8, 31), 1, 4),
    ]
    assert [one.path for one in asked] == [SPLITS_PATH, following]


def test_recorded_aggregates_of_days(recordings: Path):
    folder = recordings / "polygon"
    document = document_of((folder / "stocks_aggregates.body.json").read_bytes())
    days = days_traded(document)
    assert len(days) == len(results_of(document)) == 21
    assert min(days) == date(2019, 1, 2)
    rows = normalise_bars(dict(document) | {"adjusted": False}, timedelta(), "rest")
    assert rows.num_rows == 21
    assert rows.column("time")[0].as_py() == at("2019-01-02T05:00")
    assert rows.column("volume")[0].as_py() == 37039737
    with pytest.raises(MalformedAnswer, match="adjusted"):
        normalise_bars(document, timedelta(), "rest")
    mocked = document_of(
        (folder / "client_mocks" / "v2_aggs_ticker_AAPL_range_1_day_2005-04-01_2005-04-04.json").read_bytes()
    )
    assert days_traded(mocked) == {date(2005, 4, 1), date(2005, 4, 4)}
    before = document_of((folder / "stocks_previous_close.body.json").read_bytes())
    (row,) = normalise_bars(dict(before) | {"adjusted": False}, timedelta(), "rest").to_pylist()
    assert (row["close"], row["transactions"], row["vwap"]) == (293.8, None, 291.6754)


def test_a_recorded_description_tells_since_when_and_an_unknown_ticker_what_is_alike(recordings: Path):
    folder = recordings / "polygon" / "client_mocks"

    async def main(url: str, ticker: str) -> Any:
        async with Polygon(SourceOptions(base_url=url, api_key=KEY, attempts=1)) as polygon:
            return await polygon.look_up(ticker)

    dated = document_of((folder / "v3_reference_tickers_AAPL_date_2020-10-01.json").read_bytes())
    assert described(dated, "AAPL").listed_at == at("1980-12-12T05:00")
    answers = {
        "/v3/reference/tickers/AAPL": Reply(body=(folder / "v3_reference_tickers_AAPL.json").read_bytes()),
        "/v3/reference/tickers/AA": Reply(404, {"status": "NOT_FOUND", "message": "Ticker not found."}),
        "/v3/reference/tickers": Reply(body=(folder / "v3_reference_tickers.json").read_bytes()),
    }
    with Replay(answers) as replay:
        market = asyncio.run(main(replay.url, "AAPL"))
        with pytest.raises(NotFound, match="nearest names: A, AA"):
            asyncio.run(main(replay.url, "AA"))
    assert (market.symbol, market.trading, market.delisted_at) == ("AAPL", True, None)
    assert market.listed_at == at("1980-12-12T05:00")


def test_when_a_ticker_began_and_ended():
    ended = described({"results": {"ticker": "X", "active": False, "delisted_utc": "2017-05-25"}}, "X")
    assert (ended.trading, ended.delisted_at, ended.listed_at) == (False, at("2017-05-25T04:00"), None)
    exact = described({"results": {"delisted_utc": "2022-03-11T05:00:00Z", "list_date": ""}}, "X")
    assert (exact.symbol, exact.delisted_at, exact.listed_at) == ("X", at("2022-03-11T05:00"), None)
    for nothing in ({"status": "OK"}, {"results": None}, {"results": {"list_date": "soon"}}):
        with pytest.raises(MalformedAnswer):
            described(nothing, "X")


def test_the_vendors_clock(recordings: Path):
    async def main(url: str) -> Any:
        async with Polygon(SourceOptions(base_url=url, api_key=KEY)) as polygon:
            return await polygon.now()

    folder = recordings / "polygon"
    for name, moment in (
        ("market_status.body.json", "2020-04-28T07:23:51"),
        ("client_mocks/v1_marketstatus_now.json", "2022-04-28T20:48:08"),
    ):
        with Replay({"/v1/marketstatus/now": Reply(body=(folder / name).read_bytes())}) as replay:
            assert asyncio.run(main(replay.url)) == at(moment)


def test_times_of_every_magnitude():
    import numpy as np

    moment = 1_605_195_918_306_274
    stamps = np.array([moment * 1000, moment, moment // 1000, moment // 1_000_000])
    assert in_micros(stamps).tolist() == [
        moment,
        moment,
        moment // 1000 * 1000,
        moment // 1_000_000 * 1_000_000,
    ]


def test_names_as_people_type_them():
    assert Polygon.named("aapl") == ("polygon.AAPL", "AAPL")
    assert Polygon.named("BRK.B") == ("polygon.BRK.B", "BRK.B")
    assert Polygon.named("BACpL") == ("polygon.BACpL", "BACpL")
    with pytest.raises(ValueError, match="write it like AAPL"):
        Polygon.named("AAPL/USD")
