"""What Redis holds only in part is not served as the whole: rows that come as they come, on no grid."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.intervals import Window
from ingestion_assets.serving.lake_rows import Subject, first_rows, first_times
from ingestion_assets.serving.reading import Features
from ingestion_assets.tables.domain_features import BUCKETS, ONCHAIN_1D
from ingestion_assets.tables.social import POSTS
from ingestion_assets_tests.serving.conftest import Api
from ingestion_assets_tests.serving.sparse_rows import (
    DAY,
    METRIC,
    MINUTE,
    MINUTES,
    days_back,
    keep,
    keep_days,
    put,
)

ONCHAIN = {"symbol": "BTC", "metric": "active_addresses"}
QUERY = {"topic": "twitter.bitcoin", "timeframe": "1m"}


def asked(api: Api, domain: str, times: list[int], **ask: object) -> tuple[str, list[int], int | None]:
    ask = {"start": times[0], "end": times[-1], "limit": 10_000} | ask
    got = api.get(f"/ingest/features/{domain}/range", **ask).json
    return got["source"], [row["ts"] for row in got["features"]], got["next"]


def test_a_metric_that_was_flushed_and_written_in_part_is_read_from_the_lake(
    api: Api, redis_url: str
) -> None:
    days = days_back(25)
    keep_days(api.bench, days)
    assert asked(api, "onchain", days, **ONCHAIN) == ("lake", days, None)
    put(api.bench, "onchain", "BTC", "active_addresses", days, DAY)
    assert asked(api, "onchain", days, **ONCHAIN) == ("redis", days, None)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    put(api.bench, "onchain", "BTC", "active_addresses", days[-2:], DAY)
    assert asked(api, "onchain", days, **ONCHAIN) == ("lake", days, None)
    assert asked(api, "onchain", days, **ONCHAIN, limit=10) == ("lake", days[:10], days[9] + 1)
    assert asked(api, "onchain", days[-2:], **ONCHAIN) == ("redis", days[-2:], None)


def test_an_upload_that_was_cut_off_is_read_from_the_lake(api: Api) -> None:
    now = int(time.time()) // MINUTE * MINUTE
    times = [now - MINUTE * n for n in range(1_300, 20, -1)]
    keep(api.bench, MINUTES, "x.bitcoin", [{"time": at, "count": 1, "judged": 0} for at in times])
    put(api.bench, "social", "twitter.bitcoin", "1m", times[:500], MINUTE)
    assert asked(api, "social", times, **QUERY) == ("lake", times, None)
    assert asked(api, "social", times[:500], **QUERY) == ("redis", times[:500], None)
    assert asked(api, "social", times, **QUERY, limit=500) == ("redis", times[:500], times[499] + MINUTE)
    put(api.bench, "social", "twitter.bitcoin", "1m", times, MINUTE)
    assert asked(api, "social", times, **QUERY) == ("redis", times, None)


def test_a_platform_is_compared_with_the_posts_of_all_its_series(api: Api) -> None:
    now = int(time.time()) // MINUTE * MINUTE
    times = [now - MINUTE * n for n in (300, 299, 250, 90, 60)]
    for number, at in enumerate(times):
        series = ("x.bitcoin", "x.ether")[number % 2]
        keep(api.bench, POSTS, series, [{"id": str(at), "time": at + 7, "kind": "post", "text": "t"}])
    keep(
        api.bench, POSTS, "reddit.ether", [{"id": "t3_9", "time": times[0] + 60, "kind": "post", "text": "t"}]
    )
    ask = {"topic": "twitter", "timeframe": "1m"}
    put(api.bench, "social", "twitter", "1m", times[2:], MINUTE)
    assert asked(api, "social", times, **ask) == ("lake", times, None)
    put(api.bench, "social", "twitter", "1m", times, MINUTE)
    assert asked(api, "social", times, **ask) == ("redis", times, None)


def test_a_row_that_is_not_due_yet_is_not_missed(api: Api) -> None:
    now = int(time.time()) // MINUTE * MINUTE
    times = [now - MINUTE * n for n in (90, 60, 2)]
    keep(api.bench, MINUTES, "x.bitcoin", [{"time": at, "count": 1, "judged": 0} for at in times])
    put(api.bench, "social", "twitter.bitcoin", "1m", times[:2], MINUTE)
    assert asked(api, "social", times, **QUERY) == ("redis", times[:2], None)


@pytest.mark.parametrize("limit", [3, 10, 100])
def test_whatever_redis_has_lost_the_answer_is_whole(limit: int, api: Api, redis_url: str) -> None:
    days = [at for number, at in enumerate(days_back(28)) if number % 5]
    keep_days(api.bench, days)
    reading, subject = Features(api.bench), Subject("onchain", "BTC", "active_addresses", METRIC)

    @settings(max_examples=25, deadline=None)
    @given(st.sets(st.sampled_from(days)), st.integers(0, 27), st.integers(0, 27))
    def ask(held: set[int], first: int, last: int) -> None:
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        if held:
            put(api.bench, "onchain", "BTC", "active_addresses", sorted(held), DAY)
        start, end = days[0] + min(first, last) * DAY, days[0] + max(first, last) * DAY
        found = reading.range(subject, start, end, limit)
        assert [at for at, _ in found.rows] == [at for at in days if start <= at <= end][:limit]

    ask()


def test_the_lakes_times_are_those_of_its_rows(api: Api) -> None:
    """The whole point of reading less is that it tells the same."""
    now = int(time.time()) // DAY * DAY
    posts = [
        {"id": str(n), "time": now - 40 * DAY + n * 7_777, "kind": "post", "text": "t"} for n in range(400)
    ]
    keep(api.bench, POSTS, "x.bitcoin", posts[::2])
    keep(api.bench, POSTS, "x.ether", posts[1::3])
    keep_days(api.bench, days_back(40))
    hours = BUCKETS["social_1h"][0]
    for table, subject in (
        (hours, Subject("social", "twitter", "1h", "x")),
        (ONCHAIN_1D, Subject("onchain", "BTC", "active_addresses", METRIC)),
    ):
        for first, last, limit in ((40, 0, 10_000), (33, 20, 10_000), (40, 0, 50), (1, 0, 5), (90, 60, 5)):
            moments = [
                datetime.fromtimestamp(now - n * DAY, UTC) + timedelta(seconds=1) for n in (first, last)
            ]
            window = Window(*moments)
            rows = first_rows(api.bench.lake, table, subject, window, limit)
            told = [int(moment.timestamp()) for moment in rows.column("time").to_pylist()]
            assert first_times(api.bench.lake, table, subject, window, limit) == told
