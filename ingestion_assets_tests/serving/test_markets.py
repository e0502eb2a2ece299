"""Markets as the older system showed them: rows of the lake, the newest first of all from the cache."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from ingestion_assets.embedded import Redis
from ingestion_assets.registry import Series
from ingestion_assets.stores.cache import LATEST
from ingestion_assets.tables import DERIVED, FEATURES, STATISTICS, Table
from ingestion_assets_tests.serving.conftest import Api, serving
from ingestion_assets_tests.serving.feature_rows import SERIES, keep_numbered

HOUR = timedelta(hours=1)
NEWEST = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - HOUR


def test_markets_are_listed_with_their_two_assets(api: Api) -> None:
    for name, symbol in ((SERIES, "BTC/USDT"), ("binance.BTC-USDT-PERP", "BTC/USDT:USDT")):
        api.bench.registry.add(Series(name, "market", "binance", symbol, description="Bitcoin"))
    listed = api.get("/api/markets").json
    assert [(one["series"], one["baseAsset"], one["quoteAsset"]) for one in listed] == [
        (SERIES, "BTC", "USDT"),
        ("binance.BTC-USDT-PERP", "BTC", "USDT"),
    ]


@pytest.mark.parametrize(
    ("kind", "table", "column"),
    [
        ("snapshots", STATISTICS["market_snapshot"], "price"),
        ("statistics", STATISTICS["roi_statistics"], None),
        ("comparisons", STATISTICS["market_comparison"], "price_ratio"),
        ("aggregates", DERIVED["1h"], "close"),
    ],
)
def test_the_newest_rows_come_oldest_first_and_older_ones_by_their_time(
    kind: str, table: Table, column: str | None, api: Api
) -> None:
    moments = [NEWEST - n * HOUR for n in range(5)][::-1]
    keep_numbered(api.bench, table, moments, other="binance.ETH-USDT")
    got = api.get(f"/api/markets/BTC-USDT/{kind}", limit=2).json
    assert (got["series"], got["table"], got["count"]) == (SERIES, table.path, 2)
    assert [row["ts"] for row in got["rows"]] == [int(m.timestamp()) for m in moments[-2:]]
    if column:
        assert [row[column] for row in got["rows"]] == [4.0, 5.0]
    span = {"start": moments[0].isoformat(), "end": int(moments[2].timestamp()), "limit": 2}
    got = api.get(f"/api/markets/BTC/USDT/{kind}", **span).json
    assert [row["ts"] for row in got["rows"]] == [int(m.timestamp()) for m in moments[:2]]


def keep_features(api: Api, minute: datetime) -> None:
    keep_numbered(api.bench, FEATURES["1m"], [minute - timedelta(minutes=1), minute])
    keep_numbered(api.bench, DERIVED["1h"], [NEWEST])


def test_the_latest_is_the_caches(api: Api) -> None:
    entry = {"time": int(time.time()), "close": 7.5}
    keep_features(api, NEWEST)
    api.bench.cache.put("BTC-USDT", LATEST, entry)
    shown = {"series": SERIES, "what": "latest", "source": "cache", "entry": entry}
    assert api.get("/api/markets/BTCUSDT/latest").json == shown


def check_filled_from_the_lake(api: Api) -> None:
    """Nobody in this process has put anything into its cache."""
    missing = api.get("/api/markets/BTC-USDT/latest")
    assert missing.status == 404
    assert f"no features of {SERIES} are held" in missing.detail
    keep_features(api, NEWEST)
    answers = [api.get("/api/markets/BTC-USDT/latest").json for _ in range(2)]
    assert [one["source"] for one in answers] == ["lake", "cache"]
    for one in answers:
        assert (one["entry"]["time"], one["entry"]["close"]) == (int(NEWEST.timestamp()), 2.0)
    answers = [api.get("/api/markets/BTC-USDT/latest", what="aggregates").json for _ in range(2)]
    assert [one["source"] for one in answers] == ["lake", "cache"]
    for one in answers:
        assert one["entry"]["1h"]["time"] == one["entry"]["time"] == int(NEWEST.timestamp())
        assert one["entry"]["1d"] is None


def test_a_cache_that_has_nothing_is_filled_from_the_lake(api: Api, redis_url: str) -> None:
    check_filled_from_the_lake(api)
    with redis.Redis.from_url(redis_url) as client:
        assert 0 < client.ttl("market:BTC-USDT:latest") <= 300
    api.bench.cache.put("BTC-USDT", LATEST, {"time": time.time(), "close": 9.5})
    assert api.get("/api/markets/BTC-USDT/latest").json["entry"]["close"] == 9.5, "ingestion is later"


def test_without_redis_the_newest_come_from_the_lake_and_then_from_memory(home: Path) -> None:
    with serving() as api:
        check_filled_from_the_lake(api)


@pytest.mark.parametrize("trouble", ["full", "gone"])
def test_a_redis_that_keeps_nothing_is_in_nobodys_way(trouble: str, home: Path) -> None:
    with Redis() as server, serving(redis_url=server.url) as api, redis.Redis.from_url(server.url) as client:
        keep_features(api, NEWEST)
        if trouble == "full":
            client.config_set("maxmemory", "1")
        else:
            client.shutdown(nosave=True)
        for _ in range(2):
            answer = api.get("/api/markets/BTC-USDT/latest")
            assert (answer.status, answer.json["entry"]["close"]) == (200, 2.0), answer.body


@pytest.mark.parametrize(
    "query",
    [
        "snapshots?limit=0",
        "snapshots?limit=10001",
        "snapshots?start=0",
        "snapshots?start=2024-01-01&end=2020-01-01",
        "snapshots?start=2010-01-01",
        "aggregates?timeframe=7m",
        "aggregates?timeframe=15m",
        "secrets",
    ],
)
def test_what_cannot_be_meant_is_refused(query: str, api: Api) -> None:
    assert api.get(f"/api/markets/BTC-USDT/{query}").status == 422
    assert api.get(f"/api/markets/*/{query}").status == 422
