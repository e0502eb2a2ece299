"""What is no market, asked for over HTTP: what is refused before anybody is asked, and where rows lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingestion_assets.tables.domain_features import ONCHAIN_1D
from ingestion_assets.tables.social import POSTS
from ingestion_assets_tests.serving.conftest import TOKEN, Api, serving

NOBODY = "http://127.0.0.1:1"
SOURCES = ("glassnode", "covalent", "x", "reddit", "newsapi", "rss")


@pytest.fixture
def api(home: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """Without a key, and with vendors that nobody simulates."""
    monkeypatch.setenv("EXCHANGE_URLS", json.dumps(dict.fromkeys(SOURCES, NOBODY)))
    with serving(redis_url=redis_url) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("onchain/glassnode", {"symbol": "BTC", "metric": "active_addresses"}, "set GLASSNODE_API_KEY"),
        ("onchain/covalent", {"chain_id": 1, "address": "0x" + "1" * 40}, "set COVALENT_API_KEY"),
        ("social/twitter", {"query": "bitcoin"}, "set TWITTER_BEARER_TOKEN"),
        ("social/reddit", {"query": "bitcoin"}, "set REDDIT_CLIENT_ID and REDDIT_CLIENT_SECRET"),
        ("news/newsapi", {"source_type": "api", "category": "business"}, "set NEWS_API_KEY"),
    ],
)
def test_without_a_key_there_is_no_data_and_nobody_is_asked(
    path: str, body: dict[str, Any], said: str, api: Api
) -> None:
    nothing = api("POST", f"/ingest/{path}", body=body, token=TOKEN)
    assert nothing.status == 200, nothing.body
    documented = {"status": "no_data", "path": None, "features_written": 0}
    assert {name: nothing.json[name] for name in documented} == documented
    assert said in nothing.json["reason"]
    assert api.bench.registry.series() == []


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("news/rss", {"source_type": "rss", "feed_url": "http://10.0.0.1/x"}, "not on the public internet"),
        ("social/twitter", {"query": "x", "since": "2017-01-01T00:00:00Z"}, "since 2017"),
        ("social/twitter", {"query": "x", "since": "2999-01-01T00:00:00"}, "since 2999"),
        ("onchain/glassnode", {"symbol": "BTC"}, "give symbol and metric"),
    ],
)
def test_what_cannot_be_done_is_said_before_anybody_is_asked(
    path: str, body: dict[str, Any], said: str, api: Api
) -> None:
    refused = api("POST", f"/ingest/{path}", body=body, token=TOKEN)
    assert refused.status == 422, refused.body
    assert said in refused.detail
    assert api.bench.registry.series() == []


@pytest.mark.parametrize("path", ["onchain/covalent", "onchain/etherscan", "social/facebook", "news/rss"])
def test_a_source_that_does_not_take_such_a_body_names_the_one_that_does(path: str, api: Api) -> None:
    bodies = {
        "onchain": {"symbol": "BTC", "metric": "active_addresses"},
        "social": {"query": "bitcoin"},
        "news": {"source_type": "api"},
    }
    refused = api("POST", f"/ingest/{path}", body=bodies[path.partition("/")[0]], token=TOKEN)
    assert refused.status == 404
    assert "use " in refused.detail


def test_a_source_with_a_key_is_not_refused_for_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSNODE_API_KEY", "k")
    with serving() as api:
        body = {"symbol": "BTC", "metric": "no such metric"}
        assert api("POST", "/ingest/onchain/glassnode", body=body, token=TOKEN).status == 422
        body["metric"] = "active_addresses"
        answer = api("POST", "/ingest/onchain/glassnode", body=body, token=TOKEN)
    assert answer.status == 503, "only Dagster is missing"
    assert "Dagster" in answer.detail


def keep_posts(api: Api, series: str, ids: list[str], start: datetime) -> None:
    rows = [
        {"id": one, "time": start + timedelta(minutes=n), "kind": "post", "text": "t", "source": "rest"}
        | {"known_at": start + timedelta(minutes=n + 1)}
        for n, one in enumerate(ids)
    ]
    columns = {f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in POSTS.schema}
    api.bench.lake.merge(POSTS, series, f"{start:%Y-%m}", pa.table(columns, POSTS.schema), notes={})


def test_a_platform_beyond_the_window_is_made_of_all_its_series(api: Api) -> None:
    start = datetime(2024, 8, 20, 8, tzinfo=UTC)
    keep_posts(api, "x.bitcoin", ["1", "2", "3"], start)
    keep_posts(api, "x.ether", ["3", "4"], start)
    keep_posts(api, "reddit.bitcoin", ["t3_9"], start)
    at = int(start.timestamp())
    ask = {"timeframe": "1h", "start": at - 60, "end": at + 7_200}
    got = api.get("/ingest/features/social/range", topic="twitter", **ask).json
    assert (got["source"], [row["count"] for row in got["features"]]) == ("lake", [4])
    assert api.get("/ingest/features/social", topic="reddit", timeframe="1h", ts=at).json["count"] == 1
    assert api.get("/ingest/features/social", topic="nobody", timeframe="1h", ts=at).json["count"] == 0
    minutes = api.get("/ingest/features/social/range", topic="twitter", **ask | {"timeframe": "1m"}).json
    assert sum(row["count"] for row in minutes["features"]) == 4


def keep_days(api: Api, series: str, **values: float) -> datetime:
    """One day of a metric or an address, by component."""
    day = datetime(2024, 8, 20, tzinfo=UTC)
    same = {"time": day, "source": "derived", "known_at": day}
    rows = [same | {"component": name, "value": value} for name, value in values.items()]
    columns = {f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in ONCHAIN_1D.schema}
    table = pa.table(columns, ONCHAIN_1D.schema)
    api.bench.lake.merge(ONCHAIN_1D, series, "2024-08", ONCHAIN_1D.in_order(table), notes={})
    return day


def test_parts_of_a_metric_and_addresses_are_read_from_the_lake_by_their_names(api: Api) -> None:
    day = keep_days(api, "glassnode.BTC.indicators.ribbon", ma30=3.0, ma60=6.0)
    keep_days(api, f"covalent.eth-mainnet.0x{'ab' * 20}", transactions=36.0, balance_usd=5.5)
    wallet = f"ETH-mainnet.0x{'AB' * 20}"
    for symbol, metric, value in (
        ("btc", "indicators.ribbon.ma30", 3.0),
        ("BTC", "indicators/ribbon.ma60", 6.0),
        (wallet, "transactions", 36.0),
        (wallet, "balance_usd", 5.5),
    ):
        got = api.get("/ingest/features/onchain", symbol=symbol, metric=metric, ts=int(day.timestamp())).json
        assert [row["value"] for row in got["features"]] == [value], metric
    none = api.get("/ingest/features/onchain", symbol=wallet, metric="sent", ts=int(day.timestamp()))
    assert none.json["count"] == 0


def test_a_metric_of_long_ago_is_read_from_the_lake(api: Api) -> None:
    day = keep_days(api, "glassnode.BTC.addresses.active_count", value=7.0)
    ask = {"ts": int(day.timestamp()), "symbol": "btc"}
    for metric in ("active_addresses", "addresses/active_count", "addresses.active_count"):
        got = api.get("/ingest/features/onchain", metric=metric, **ask).json
        assert (got["source"], got["metric"]) == ("lake", "active_addresses")
        assert [row["value"] for row in got["features"]] == [7.0]
