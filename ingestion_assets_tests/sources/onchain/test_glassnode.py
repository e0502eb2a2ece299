"""Glassnode: the recorded series, parts and nulls, revisions beside what they revise, credits, errors."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from ingestion_assets.ingestion.spending import CatalogPurse
from ingestion_assets.intervals import moment_of
from ingestion_assets.registry import Series
from ingestion_assets.sources.errors import (
    AuthError,
    BadRequest,
    MalformedAnswer,
    NotFound,
    QuotaSpent,
    RateLimited,
    VendorDown,
)
from ingestion_assets.sources.feeds import Absent
from ingestion_assets.sources.onchain.glassnode import Glassnode
from ingestion_assets.sources.onchain.glassnode_metrics import normalise_metric, readings_of, revised
from ingestion_assets.sources.spending import Allowance
from ingestion_assets.stores.budgets import Budgets
from ingestion_assets.stores.catalog import Catalog
from ingestion_assets.stores.lake import Lake
from ingestion_assets.tables.onchain import METRICS
from ingestion_assets_tests.sources.derivatives.asking import ask, at, covered, rows_of, window
from ingestion_assets_tests.sources.replay import Reply, Turns

PRICE = Series("glassnode.BTC.market.price_usd_close", "onchain", "glassnode", "BTC:market/price_usd_close")
PATH = "/v1/metrics/market/price_usd_close"
AUGUST = window("2024-08-01", "2024-08-05")
FIRST = 1_722_470_400


def told(*values: float | None, first: int = FIRST) -> list[dict]:
    return [{"t": first + 86_400 * n, "v": value} for n, value in enumerate(values)]


def test_the_recorded_series_gives_its_days(recordings):
    (file,) = (recordings / "glassnode").glob("price_usd_close*.body.json")
    entries = json.loads(file.read_text())
    rows = normalise_metric(readings_of(file.read_bytes()), at("2026-01-01"), "rest")
    assert rows.num_rows == len(entries) == 231
    first, last = rows.slice(0, 1).to_pylist()[0], rows.slice(230).to_pylist()[0]
    assert (first["time"], first["value"]) == (at("2020-10-02"), 10575.972665210369)
    assert (last["time"], last["value"]) == (at("2021-05-20"), entries[-1]["v"])
    assert first["id"] == "2020-10-02/value/0"
    assert METRICS.examine(rows)[1].num_rows == 0


def test_the_recorded_series_goes_through_the_feed_month_by_month(recordings):
    (file,) = (recordings / "glassnode").glob("price_usd_close*.body.json")
    entries = json.loads(file.read_text())

    def answer(query: dict[str, str]) -> list[dict]:
        return [e for e in entries if int(query["s"]) <= e["t"] < int(query["u"])]

    pages, asked = ask(Glassnode, METRICS, {PATH: answer}, window("2021-05-01", "2021-06-01"), PRICE)
    assert rows_of(METRICS, pages).num_rows == 20
    assert covered(pages) == [window("2021-05-01", "2021-05-21")]
    (absent,) = (page for page in pages if isinstance(page, Absent))
    assert absent.window == window("2021-05-21", "2021-06-01")
    assert len(asked) == 1


def test_the_key_goes_in_a_header_and_the_question_is_what_is_documented():
    answer = told(1.0, None, 3.0, 4.0)
    pages, asked = ask(Glassnode, METRICS, {PATH: answer}, AUGUST, PRICE, api_key="hunter2")
    assert asked[0].headers["X-Api-Key"] == "hunter2"
    assert asked[0].query == {
        "a": "BTC",
        "i": "24h",
        "f": "json",
        "timestamp_format": "unix",
        "s": str(FIRST),
        "u": str(FIRST + 4 * 86_400),
    }
    assert rows_of(METRICS, pages).column("value").to_pylist() == [1.0, None, 3.0, 4.0]
    assert covered(pages) == [AUGUST]


def test_numbers_of_any_size_and_parts_that_are_not_told():
    body = json.dumps([{"t": FIRST, "v": 2**80}, {"t": FIRST + 86_400, "v": 1e-9}]).encode()
    assert [reading.value for reading in readings_of(body)] == [2.0**80, 1e-9]
    assert readings_of(json.dumps([{"t": FIRST, "o": None}, {"t": FIRST + 86_400, "o": {}}]).encode()) == []


def test_parts_are_rows_of_their_own():
    body = json.dumps([{"t": FIRST, "o": {"b": 2, "a": {"x": 1, "y": None}}}]).encode()
    rows = normalise_metric(readings_of(body), at("2024-08-03"), "rest").to_pylist()
    assert [(r["component"], r["value"]) for r in rows] == [("a.x", 1.0), ("a.y", None), ("b", 2.0)]


@pytest.mark.parametrize("stamp", [FIRST, FIRST * 1_000, "2024-08-01T00:00:00Z"])
def test_times_are_told_in_several_ways(stamp):
    (reading,) = readings_of(json.dumps([{"t": stamp, "v": 1}]).encode())
    assert reading.time == at("2024-08-01")


def test_nothing_told_is_asked_twice_and_may_still_come():
    pages, asked = ask(Glassnode, METRICS, {PATH: []}, AUGUST, PRICE)
    assert covered(pages) == []
    assert [page.window for page in pages] == [AUGUST]
    assert len(asked) == 2


def test_a_value_that_was_revised_is_kept_beside_the_first(tmp_path):
    lake = Lake(str(tmp_path))
    kept = {"notes": {}, "replace": [], "known_now": at("2024-08-04")}

    def read(part, *values: float | None):
        pages, _ = ask(Glassnode, METRICS, {PATH: told(*values)}, part, PRICE, held=lake)
        rows = rows_of(METRICS, pages)
        lake.merge(METRICS, PRICE.id, "2024-08", rows, covered=covered(pages), **kept)
        return lake.read(METRICS, PRICE.id, AUGUST).to_pylist()

    first = read(window("2024-08-01", "2024-08-03"), 10.0, 20.0)
    assert [(r["value"], r["revision"]) for r in first] == [(10.0, 0), (20.0, 0)]
    second = read(window("2024-08-03", "2024-08-04"), 10.0, 21.0, 30.0)  # the 2nd was revised meanwhile
    assert [(r["value"], r["revision"]) for r in second] == [(10.0, 0), (20.0, 0), (21.0, 1), (30.0, 0)]
    assert second[0] == first[0]
    assert second[1]["known_at"] < second[2]["known_at"]
    third = read(window("2024-08-04", "2024-08-05"), 10.0, 20.0, 30.0, 40.0)  # and back again
    assert [r["value"] for r in third if r["time"] == at("2024-08-02")] == [20.0, 21.0, 20.0]


def test_reading_the_same_again_changes_nothing():
    rows = normalise_metric(readings_of(json.dumps(told(1.0, None)).encode()), at("2024-08-03"), "rest")
    later = normalise_metric(readings_of(json.dumps(told(1.0, None)).encode()), at("2024-08-09"), "rest")
    assert revised(later, rows).equals(rows)


def test_point_in_time_metrics_are_known_at_the_end_of_their_day():
    series = Series("glassnode.BTC.pit.mvrv", "onchain", "glassnode", "BTC:pit/mvrv")
    pages, _ = ask(Glassnode, METRICS, {"/v1/metrics/pit/mvrv": told(1.0, 2.0, 3.0, 4.0)}, AUGUST, series)
    rows = rows_of(METRICS, pages)
    assert rows.column("known_at")[0].as_py() == at("2024-08-02T00:15")
    pages, _ = ask(Glassnode, METRICS, {PATH: told(1.0, 2.0, 3.0, 4.0)}, AUGUST, PRICE)
    assert rows_of(METRICS, pages).column("known_at")[0].as_py() > at("2026-01-01")


def test_credits_are_counted_and_never_exceeded(tmp_path):
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.create()
    budgets = Budgets(catalog)
    purse = CatalogPurse(budgets, "glassnode", Allowance("month", "credits", 3), "buy more")
    ether = Series(
        "glassnode.ETH.market.price_usd_close", "onchain", "glassnode", "ETH:market/price_usd_close"
    )
    answers = {PATH: told(1.0, 2.0, 3.0, 4.0)}
    ask(Glassnode, METRICS, answers, AUGUST, PRICE, purse=purse)
    ask(Glassnode, METRICS, answers, AUGUST, ether, purse=purse)
    assert budgets.listed()[0].spent == 3
    with pytest.raises(QuotaSpent, match="3 of 3 credits are spent"):
        ask(Glassnode, METRICS, answers, AUGUST, PRICE, purse=purse)
    assert budgets.listed()[0].spent == 3
    catalog.close()


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(401, b"invalid API key", content_type="text/plain"), AuthError, "invalid API key"),
        (Reply(403, b"your plan has not got it", content_type="text/plain"), AuthError, "your plan"),
        (Reply(200, [{"t": FIRST}]), MalformedAnswer, "'v'"),
        (Reply(200, told(1.0) + told(2.0)), MalformedAnswer, "rising order"),
        (Reply(200, {"error": "?"}), MalformedAnswer, "not the JSON"),
        (Reply(401, {"error": "unknown key"}), AuthError, "unknown key"),
        (Reply(400, b"resolution is not supported", content_type="text/plain"), BadRequest, "resolution"),
        (Reply(404, b"metric not found", content_type="text/plain"), NotFound, "metric not found"),
        (Reply(502, b"<html>bad gateway</html>", content_type="text/html"), VendorDown, "bad gateway"),
        (Reply(200, [{"t": None, "v": 1}]), MalformedAnswer, "cannot be read"),
        (Reply(200, [{"t": FIRST, "v": "much"}]), MalformedAnswer, "much"),
        (Reply(200, [{"t": FIRST, "o": [1, 2]}]), MalformedAnswer, "cannot be read"),
        (Reply(200, [None]), MalformedAnswer, "cannot be read"),
        (Reply(200, [{"t": FIRST, "bulk": [{"a": "BTC", "v": 1}]}]), MalformedAnswer, "'v'"),
    ],
)
def test_errors_are_what_they_say_and_show_no_secret(reply, kind, words):
    with pytest.raises(kind, match=words) as caught:
        ask(Glassnode, METRICS, {PATH: reply}, AUGUST, PRICE, api_key="hunter2")
    assert "hunter2" not in str(caught.value)


def test_the_limit_is_over_after_the_seconds_that_are_left():
    told_limit = Reply(429, b"slow down", {"x-rate-limit-reset": "60"}, "text/plain")
    with pytest.raises(RateLimited) as caught:
        ask(Glassnode, METRICS, {PATH: Turns(told_limit)}, AUGUST, PRICE)
    assert caught.value.retry_after == 60
    with pytest.raises(RateLimited) as caught:
        ask(Glassnode, METRICS, {PATH: Reply(429, b"", {"Retry-After": "7"})}, AUGUST, PRICE)
    assert caught.value.retry_after == 7


def test_names():
    canonical = ("glassnode.BTC.addresses.active_count", "BTC:addresses/active_count")
    for text in ("BTC.addresses.active_count", "btc.addresses/active_count", "BTC.active_addresses"):
        assert Glassnode.named(text) == canonical
    with pytest.raises(ValueError, match=r"BTC\.active_addresses"):
        Glassnode.named("BTC")


def test_what_has_been_told_ends_with_the_last_day_that_was_told():
    pages, _ = ask(Glassnode, METRICS, {PATH: told(1.0, 2.0)}, AUGUST, PRICE)
    last = moment_of(METRICS.times(rows_of(METRICS, pages))[-1])
    assert covered(pages)[-1].end == last + timedelta(days=1)
