"""Features by point and range: what is asked for is found, wherever it is, and its place is told."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.embedded import Redis
from ingestion_assets.serving.reading import spliced
from ingestion_assets_tests.serving.conftest import Api, Reply, serving
from ingestion_assets_tests.serving.feature_rows import keep, put_online

POINT, RANGE = "/ingest/features/market", "/ingest/features/market/range"
NEWEST = {"symbol": "BTC/USDT", "timeframe": "1m"}
OLD = 1_724_140_800  # the time in the older system's examples


def minutes(count: int, ago: int = 40) -> list[int]:
    """Bars in a row that are young enough for Redis and old enough to be due."""
    now = int(time.time()) // 60 * 60
    return [now - 60 * (ago - n) for n in range(count)]


def closes(reply: Reply) -> list[float]:
    assert reply.status == 200, reply.body
    assert reply.json["count"] == len(reply.json["features"])
    return [row["close"] for row in reply.json["features"]]


def test_a_row_is_read_by_its_time_in_whatever_spelling(api: Api) -> None:
    times = minutes(20)
    put_online(api.bench, times)
    at = times[3]
    iso = datetime.fromtimestamp(at, UTC).isoformat()
    for symbol in ("BTC/USDT", "BTCUSDT", "btc-usdt", "binance.BTC-USDT"):
        for timeframe in ("1m", "1min", "1 minute"):
            for ts in (at, at * 1_000, at * 1_000_000, iso):
                got = api.get(POINT, symbol=symbol, timeframe=timeframe, ts=ts)
                assert closes(got) == [at / 60]
    assert got.json["series"] == "binance.BTC-USDT"
    assert (got.json["timeframe"], got.json["source"], got.json["missing"]) == ("1m", "redis", [])
    (row,) = got.json["features"]
    assert row["ts"] == at
    assert row["ret_1"] is None
    assert row["source"] == "derived"


def test_several_times_come_oldest_first_and_those_not_held_are_named(api: Api) -> None:
    times = minutes(10, ago=12)
    put_online(api.bench, times[:8])
    got = api.get(POINT, **NEWEST, ts=[times[5], times[2], times[9], times[5]])
    assert [row["ts"] for row in got.json["features"]] == [times[2], times[5]]
    assert got.json["missing"] == [times[9]]
    assert got.json["source"] == "redis"


def test_a_range_is_read_page_by_page_to_its_end(api: Api) -> None:
    times = minutes(25, ago=26)
    put_online(api.bench, times)
    found: list[int] = []
    start: int | None = times[0]
    pages = 0
    while start is not None:
        page = api.get(RANGE, **NEWEST, start=start, end=times[-1], limit=10).json
        found += [row["ts"] for row in page["features"]]
        start, pages = page["next"], pages + 1
    assert found == times
    assert pages == 3


def test_without_a_limit_a_page_has_a_hundred_rows(api: Api) -> None:
    times = [OLD + 60 * n for n in range(130)]
    keep(api.bench, times)
    page = api.get(RANGE, **NEWEST, start=times[0], end=times[-1]).json
    assert (page["count"], page["next"]) == (100, times[100])


def test_what_is_older_than_the_online_window_comes_from_the_lake(api: Api) -> None:
    times = [OLD + 60 * n for n in range(30)]
    keep(api.bench, times)
    got = api.get(RANGE, **NEWEST, start=OLD, end=times[-1], limit=10)
    assert closes(got) == [at / 60 for at in times[:10]]
    assert (got.json["source"], got.json["next"]) == ("lake", times[10])
    point = api.get(POINT, **NEWEST, ts=[times[4], times[20]])
    assert closes(point) == [times[4] / 60, times[20] / 60]
    assert point.json["source"] == "lake"


def test_what_nobody_holds_is_an_empty_answer_that_says_where_was_looked(api: Api) -> None:
    got = api.get(RANGE, **NEWEST, start=OLD, end=OLD + 1_200, limit=10)
    assert (closes(got), got.json["source"], got.json["next"]) == ([], "lake", None)
    assert api.get(POINT, **NEWEST, ts=OLD).json["missing"] == [OLD]


def test_a_range_over_the_end_of_a_month_is_one_range(api: Api) -> None:
    edge = int(datetime(2024, 9, 1, tzinfo=UTC).timestamp())
    times = [edge + 60 * n for n in range(-5, 5)]
    keep(api.bench, times)
    got = api.get(RANGE, **NEWEST, start="2024-08-01", end="2024-09-30", limit=100)
    assert closes(got) == [at / 60 for at in times]


def test_rows_that_redis_has_lost_come_from_the_lake(api: Api) -> None:
    times = minutes(30, ago=50)
    keep(api.bench, times)
    put_online(api.bench, times[:10])
    got = api.get(RANGE, **NEWEST, start=times[0], end=times[-1], limit=100)
    assert (closes(got), got.json["source"]) == ([at / 60 for at in times], "lake")
    point = api.get(POINT, **NEWEST, ts=[times[2], times[20]])
    assert (closes(point), point.json["source"]) == ([times[2] / 60, times[20] / 60], "lake")


def test_a_bar_that_is_not_due_yet_is_not_looked_for_in_the_lake(api: Api) -> None:
    times = minutes(10, ago=8)
    put_online(api.bench, times[:-3])
    keep(api.bench, times, mark=0.5)
    got = api.get(RANGE, **NEWEST, start=times[0], end=times[-1], limit=100)
    assert (len(closes(got)), got.json["source"]) == (7, "redis")


def test_without_redis_the_lake_answers_and_says_so(home: Path) -> None:
    times = minutes(20)
    with Redis() as redis, serving(redis_url=redis.url) as api:
        keep(api.bench, times)
        put_online(api.bench, times)
        assert api.get(RANGE, **NEWEST, start=times[0], end=times[-1]).json["source"] == "redis"
        assert redis.pid is not None
        os.kill(redis.pid, signal.SIGKILL)
        got = api.get(RANGE, **NEWEST, start=times[0], end=times[-1])
        assert (closes(got), got.json["source"]) == ([at / 60 for at in times], "lake")
        assert api.get(POINT, **NEWEST, ts=times[0]).json["source"] == "lake"
        lost = api.get("/ingest/features/social", topic="twitter", timeframe="5m", ts=times[0])
        assert lost.status == 503
        assert "Redis" in lost.detail and "Start it" in lost.detail


def test_a_frozen_redis_holds_up_nobody_but_who_needs_it(home: Path) -> None:
    times = minutes(20)
    with Redis() as redis, serving(redis_url=redis.url, redis_timeout_sec=1.0) as api:
        keep(api.bench, times)
        put_online(api.bench, times)
        assert redis.pid is not None
        os.kill(redis.pid, signal.SIGSTOP)
        try:
            got = api.get(RANGE, **NEWEST, start=times[0], end=times[-1])
            assert (len(closes(got)), got.json["source"]) == (20, "lake")
            assert api.get("/health").json == {"status": "ok"}
            deep = api.get("/health", deep=1)
            assert (deep.status, deep.json["redis"]["status"]) == (503, "failed")
        finally:
            os.kill(redis.pid, signal.SIGCONT)
        assert api.get(RANGE, **NEWEST, start=times[0], end=times[-1]).json["source"] == "redis"


def test_another_exchange_has_rows_of_its_own(api: Api) -> None:
    times = minutes(3)
    assert api.bench.online is not None
    api.bench.online.write("market", "kraken.BTC-USDT", "1m", times, {"close": [7.0] * 3})
    put_online(api.bench, times)
    assert closes(api.get(POINT, **NEWEST, ts=times[0], exchange="kraken")) == [7.0]
    assert closes(api.get(POINT, symbol="kraken.BTC-USDT", timeframe="1m", ts=times[0])) == [7.0]
    assert closes(api.get(POINT, **NEWEST, ts=times[0])) == [times[0] / 60]


def test_onchain_and_social_rows_are_read_by_the_same_contract(api: Api) -> None:
    times = minutes(4)
    assert api.bench.online is not None
    api.bench.online.write("onchain", "BTC", "active_addresses", times, {"value": [1.0, 2.0, 3.0, 4.0]})
    api.bench.online.write("social", "twitter", "1m", times, {"count": [1, 2, 3, 4]})
    chain = {"symbol": "BTC", "metric": "active_addresses"}
    got = api.get("/ingest/features/onchain", **chain, ts=times[1]).json
    assert (got["metric"], got["features"]) == ("active_addresses", [{"ts": times[1], "value": 2.0}])
    page = api.get("/ingest/features/onchain/range", **chain, start=times[0], end=times[-1], limit=3).json
    assert [row["value"] for row in page["features"]] == [1.0, 2.0, 3.0]
    talk = {"topic": "twitter", "timeframe": "1m"}
    got = api.get("/ingest/features/social/range", **talk, start=times[0], end=times[-1]).json
    assert [row["count"] for row in got["features"]] == [1, 2, 3, 4]
    assert api.get("/ingest/features/social", **talk, ts=times[3]).json["features"][0]["count"] == 4


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 4e9),
            st.dictionaries(
                st.text(),
                st.floats(allow_nan=False, allow_infinity=False) | st.none() | st.text(),
                min_size=1,
            ),
        )
    )
)
def test_splicing_gives_what_parsing_and_writing_anew_would(
    given_rows: list[tuple[int, dict[str, object]]],
) -> None:
    import orjson

    stored = [(at, orjson.dumps(row)) for at, row in given_rows]
    assert orjson.loads(spliced(stored)) == [{"ts": at} | row for at, row in given_rows]


@pytest.mark.parametrize("path", [POINT, RANGE])
def test_the_example_calls_of_the_older_system_are_understood(path: str, api: Api) -> None:
    times = [OLD + 60 * n for n in range(20)]
    keep(api.bench, times)
    query = (
        "symbol=BTC/USDT&timeframe=1m&start=1724140800&end=1724142000&limit=10&ts=1724140800&ts=1724140860"
    )
    assert closes(api.get(f"{path}?{query}"))[:2] == [times[0] / 60, times[1] / 60]
