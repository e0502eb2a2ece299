"""Metrics, posts, news from the vendor to Redis: what a plain client finds under the older system's keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow as pa
import pytest
import redis

from ingestion_assets.registry import Series
from ingestion_assets.settings import load_settings
from ingestion_assets.tables import DOMAIN_FEATURES, Table
from ingestion_assets.tables.news import NEWS_ITEMS
from ingestion_assets.tables.onchain import BALANCES, METRICS, TRANSACTIONS
from ingestion_assets.tables.social import POSTS
from ingestion_assets_tests.market_world import asset_key
from ingestion_assets_tests.sources.news.feeds import item, rss, served
from ingestion_assets_tests.sources.replay import Replay

NOW = datetime.now(UTC)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
LATE, OPEN = f"{NOW - timedelta(hours=3):%Y-%m}", f"{NOW:%Y-%m}"
ACTIVE = "glassnode.BTC.addresses.active_count"
SOCIAL = ("x.bitcoin", "x.ether")


@pytest.fixture
def client(redis_url, world):
    world.setenv(REDIS_URL=redis_url, GLASSNODE_API_KEY="k", TWITTER_BEARER_TOKEN="k")
    with redis.Redis.from_url(redis_url, decode_responses=True) as plain:
        yield plain


def register(world, domain: str, since: datetime, *names: str) -> None:
    vendors = {kind.serves: kind for kind in world.bench.vendors}
    made = []
    for name in names:
        source, _, rest = name.partition(".")
        symbol = vendors[source].named(rest)[1]
        made.append(Series(name, domain, source, symbol, listed_at=since, backfill_from=since))
    world.bench.registry.add_missing(made)
    world.instance.add_dynamic_partitions(domain, list(names))


def ingest(world, table: Table, first: str, last: str) -> None:
    job = world.repository.get_job(f"ingest_{table.domain}").get_subset(
        asset_selection={asset_key(table)}, asset_check_selection=set()
    )
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    assert job.execute_in_process({}, world.instance, tags=tags, raise_on_error=False).success


def follow(world, sensor: str, cursor: str | None = None) -> str:
    tick = world.tick(sensor, cursor)
    assert tick.run_requests
    assert {run.success for run in world.execute(tick.run_requests)} == {True}
    return tick.cursor


def values(client: redis.Redis, prefix: str) -> dict[int, dict]:
    found = client.zrange(f"{prefix}:_idx", 0, -1)
    return {int(at): json.loads(client.get(f"{prefix}:{at}")) for at in found}


def test_a_metric_is_read_by_coin_and_name_day_by_day(world, client):
    since = TODAY - timedelta(days=45)
    register(world, "onchain", since, ACTIVE)
    ingest(world, METRICS, f"{since:%Y-%m}|{ACTIVE}", f"{OPEN}|{ACTIVE}")
    cursor = follow(world, "features_onchain")
    rows = values(client, "features:onchain:BTC:active_addresses")
    days = sorted(rows)
    assert len(days) >= 27
    assert all(at % 86_400 == 0 for at in days)
    newest = rows[days[-1]]
    assert newest["value"] - rows[days[-2]]["value"] == pytest.approx(newest["change_1d"])
    assert newest["z_30d"] is not None and newest["pct_30d"] is not None
    month = f"{datetime.fromtimestamp(days[-1], UTC):%Y-%m}"
    held = world.rows(DOMAIN_FEATURES["onchain_1d"], f"{month}|{ACTIVE}")[-1]
    assert (held["value"], held["mean_30d"]) == (newest["value"], newest["mean_30d"])
    assert 0 < client.ttl(f"features:onchain:BTC:active_addresses:{days[-1]}") <= 31 * 86_400
    assert not world.tick("features_onchain", cursor).run_requests


def test_each_part_of_a_metric_has_keys_of_its_own(world, client):
    since, ribbon = TODAY - timedelta(days=5), "glassnode.BTC.indicators.hash_ribbon"
    register(world, "onchain", since, ribbon)
    ingest(world, METRICS, f"{since:%Y-%m}|{ribbon}", f"{OPEN}|{ribbon}")
    follow(world, "features_onchain")
    month = f"{TODAY - timedelta(days=2):%Y-%m}"
    held = world.rows(DOMAIN_FEATURES["onchain_1d"], f"{month}|{ribbon}")
    assert {row["component"] for row in held} == {"ma30", "ma60"}
    for row in held[-2:]:
        name = f"features:onchain:BTC:indicators.hash_ribbon.{row['component']}"
        found = values(client, name)[int(row["time"].timestamp())]
        assert (found["value"], found["component"]) == (row["value"], row["component"])
    assert not list(client.scan_iter("features:onchain:BTC:indicators.hash_ribbon:*"))


def test_what_an_address_did_and_held_is_read_by_chain_and_address(world, client):
    """The simulated one sends something every forty minutes; a day counts when it has ended."""
    world.setenv(COVALENT_API_KEY="k")
    wallet, since = f"eth-mainnet.0x{'ab' * 20}", TODAY - timedelta(days=4)
    series = f"covalent.{wallet}"
    register(world, "onchain", since, series)
    for table in (TRANSACTIONS, BALANCES):
        ingest(world, table, f"{since:%Y-%m}|{series}", f"{OPEN}|{series}")
    follow(world, "features_onchain")
    rows = {
        name: values(client, f"features:onchain:{wallet}:{name}")
        for name in ("transactions", "sent", "received", "fees", "balance_usd")
    }
    days = [int((TODAY - timedelta(days=n)).timestamp()) for n in (4, 3, 2, 1)]
    for name in ("transactions", "sent", "received", "fees"):
        assert sorted(rows[name]) == days, "today has not ended"
    assert {row["value"] for row in rows["transactions"].values()} <= {35.0, 36.0, 37.0}
    told = [
        row for m in sorted({f"{since:%Y-%m}", OPEN}) for row in world.rows(TRANSACTIONS, f"{m}|{series}")
    ]
    third = [row for row in told if int(row["time"].timestamp()) // 86_400 * 86_400 == days[2]]
    assert rows["transactions"][days[2]]["value"] == len(third)
    sent = [row for row in third if row["from_address"] == f"0x{'ab' * 20}"]
    assert rows["fees"][days[2]]["value"] == sum(int(row["fees_paid"]) for row in sent) / 10**18
    quotes = [row["quote"] for row in world.rows(BALANCES, f"{OPEN}|{series}") if row["quote"] is not None]
    assert list(rows["balance_usd"]) == [int(TODAY.timestamp())]
    assert rows["balance_usd"][int(TODAY.timestamp())]["value"] == pytest.approx(sum(quotes))


def test_posts_are_counted_and_judged_for_each_query_and_for_the_platform(world, client):
    register(world, "social", (NOW - timedelta(hours=3)).replace(second=0, microsecond=0), *SOCIAL)
    ingest(world, POSTS, f"{LATE}|{SOCIAL[0]}", f"{OPEN}|{SOCIAL[1]}")
    cursor = follow(world, "features_social")
    before = values(client, "features:social:twitter:1h")
    assert {row["judged"] for row in before.values()} == {0}
    assert {row["sentiment_mean"] for row in before.values()} == {None}

    cursor_of_sentiment = follow(world, "sentiment_social")
    assert cursor_of_sentiment
    follow(world, "features_social", cursor)
    both, bitcoin, ether = (
        values(client, f"features:social:{topic}:1h")
        for topic in ("twitter", "twitter.bitcoin", "twitter.ether")
    )
    assert len(both) >= 2
    for at, row in both.items():
        assert row["count"] == bitcoin[at]["count"] + ether[at]["count"] == row["judged"]
        assert 0 < row["share_positive"] + row["share_negative"] <= 1
    assert list(both) == [at for at in both if at + 3_600 <= datetime.now(UTC).timestamp()]
    minutes = values(client, "features:social:twitter:1m")
    hour = max(both)
    inside = [row["count"] for at, row in minutes.items() if hour <= at < hour + 3_600]
    assert sum(inside) == both[hour]["count"]

    told = world.instance.get_latest_materialization_event(dg.AssetKey(["online", "social_1h"]))
    figures = {name: value.value for name, value in told.asset_materialization.metadata.items()}
    assert figures["features_written"] > 0
    assert "features:social:twitter" in figures["keys"]


def put_online(world, domain: str, first: str, last: str, *tables: str) -> None:
    """The assets `online/…` of these tables, or all features of a domain with what is online of them."""
    job = world.repository.get_job(f"features_{domain}")
    if tables:
        wanted = {dg.AssetKey(["online", table]) for table in tables}
        job = job.get_subset(asset_selection=wanted, asset_check_selection=set())
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    assert job.execute_in_process({}, world.instance, tags=tags, raise_on_error=False).success


def test_metrics_that_redis_has_lost_come_back_with_the_next_run_beyond_its_month_too(world, client):
    world.setenv(FEATURE_TTL_OVERRIDES=json.dumps({"onchain": 45 * 86_400}))
    since = TODAY - timedelta(days=50)
    register(world, "onchain", since, ACTIVE)
    ingest(world, METRICS, f"{since:%Y-%m}|{ACTIVE}", f"{OPEN}|{ACTIVE}")
    follow(world, "features_onchain")
    before = values(client, "features:onchain:BTC:active_addresses")
    assert len({f"{datetime.fromtimestamp(at, UTC):%Y-%m}" for at in before}) > 1
    client.flushall()
    put_online(world, "onchain", f"{OPEN}|{ACTIVE}", f"{OPEN}|{ACTIVE}", "onchain_1d")
    assert values(client, "features:onchain:BTC:active_addresses") == before


def test_posts_that_redis_has_lost_come_back_likewise_for_query_and_platform(world, client):
    world.setenv(FEATURE_TTL_OVERRIDES=json.dumps({"social": 45 * 86_400}))
    register(world, "social", NOW - timedelta(days=50), *SOCIAL)
    months = set()
    for number, series in enumerate(SOCIAL):
        for days in (40, 30, 20, 10, 1):
            at = TODAY - timedelta(days=days, minutes=number)
            row = {
                "id": f"{number}{days}",
                "time": at,
                "kind": "post",
                "text": "t",
                "source": "rest",
                "known_at": at,
            }
            columns = {f.name: pa.array([row.get(f.name)], f.type) for f in POSTS.schema}
            months.add(f"{at:%Y-%m}")
            world.bench.lake.merge(POSTS, series, f"{at:%Y-%m}", pa.table(columns, POSTS.schema), notes={})
    put_online(world, "social", f"{min(months)}|{SOCIAL[0]}", f"{OPEN}|{SOCIAL[1]}")
    prefixes = [f"features:social:{topic}:1h" for topic in ("twitter", "twitter.bitcoin", "twitter.ether")]
    before = [values(client, prefix) for prefix in prefixes]
    assert [len(rows) for rows in before] == [10, 5, 5]
    client.flushall()
    put_online(world, "social", f"{OPEN}|{SOCIAL[0]}", f"{OPEN}|{SOCIAL[1]}", "social_1m", "social_1h")
    assert [values(client, prefix) for prefix in prefixes] == before


def test_rows_of_slow_domains_stay_longer_unless_said_otherwise():
    settings = load_settings(feature_ttl_overrides={"news": 60})
    assert settings.feature_ttl("market") == 3_600
    assert settings.feature_ttl("news") == 60
    assert settings.feature_ttl("onchain") > 2 * 86_400 > settings.feature_ttl("social") > 3_600


def test_news_are_counted_by_feed_and_a_story_of_two_feeds_once_for_all(world, client):
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(minutes=30)
    story = "https://paper.example/one"
    first = rss(
        item("a", at=at, title="Bitcoin soars", link=story), item("b", at=at, title="Exchange hacked")
    )
    second = rss(item("c", at=at, title="Bitcoin soars", link=f"{story}?utm_source=rss"))
    with Replay({"/a": served(first), "/b": served(second)}) as replay:
        world.setenv(EXCHANGE_URLS=json.dumps({"rss": replay.url}))
        since = at - timedelta(hours=1)
        made = [
            Series(f"rss.{n}", "news", "rss", n, listed_at=since, metadata={"url": f"{replay.url}/{n}"})
            for n in ("a", "b")
        ]
        world.bench.registry.add_missing(made)
        world.instance.add_dynamic_partitions("news", ["rss.a", "rss.b"])
        ingest(world, NEWS_ITEMS, f"{since:%Y-%m}|rss.a", f"{OPEN}|rss.b")
    follow(world, "sentiment_news")
    follow(world, "features_news")
    hour = int(at.replace(minute=0).timestamp())
    feed, both = (values(client, f"features:news:{name}:1h")[hour] for name in ("rss.a", "rss"))
    assert (feed["count"], feed["share_positive"], feed["share_negative"]) == (2, 0.5, 0.5)
    assert (both["count"], both["judged"]) == (2, 2)
