"""Features on their way online: what a plain Redis client finds, what a broken Redis does to a run."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow.compute as pc
import pytest
import redis

from ingestion_assets.embedded import Redis
from ingestion_assets.intervals import Window, parse_moment
from ingestion_assets.io_managers.online import Upload, upload
from ingestion_assets.stores.online import Place
from ingestion_assets.tables import FEATURES
from ingestion_assets_tests.market_world import M1, failure_text

BTC, ETH = "binance.BTC-USDT", "binance.ETH-USDT"
F1 = FEATURES["1m"]
ONLINE = dg.AssetKey(["online", "market_1m"])


@pytest.fixture
def client(redis_url, world):
    world.setenv(REDIS_URL=redis_url)
    with redis.Redis.from_url(redis_url, decode_responses=True) as plain:
        yield plain


@pytest.fixture
def keys(world):
    """Two series with two hours of features up to now; the partitions that hold them."""
    now = datetime.now(UTC)
    world.register(BTC, ETH, since=now - timedelta(hours=2))
    months = sorted({f"{now - timedelta(hours=n):%Y-%m}" for n in range(3)})
    found = f"{months[0]}|{BTC}", f"{months[-1]}|{ETH}"
    assert world.run(M1, *found).success
    assert world.run(F1, *found).success
    return found


def put_online(world, keys):
    job = world.repository.get_job("online_market").get_subset(
        asset_selection={ONLINE}, asset_check_selection=set()
    )
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[1]}
    return job.execute_in_process(instance=world.instance, tags=tags, raise_on_error=False)


def figures(world):
    found = world.instance.fetch_materializations(ONLINE, limit=100, ascending=True)
    return {
        str(r.partition_key): {k: v.value for k, v in r.asset_materialization.metadata.items()}
        for r in found.records
    }


def lake_rows(world, series, hours=1):
    now = datetime.now(UTC)
    return world.bench.lake.read(F1, series, Window(now - timedelta(hours=hours), now)).to_pylist()


def held(client, name="BTC-USDT"):
    """Time → row, by the keys alone."""
    prefix = f"features:market:{name}:1m:"
    found = {}
    for key in client.scan_iter(f"{prefix}[0-9]*"):
        value = client.get(key)
        if value is not None:
            found[int(key.removeprefix(prefix))] = json.loads(value)
    return found


def agrees_with_lake(world, client, series, name):
    """Every row of the last hour is online with the lake's numbers, and the index lists what is there."""
    rows = lake_rows(world, series)
    online = held(client, name)
    for row in rows[1:]:  # the first may have expired while we looked
        value = online[int(row["time"].timestamp())]
        for column, number in row.items():
            if column == "known_at":
                assert value[column] == number.timestamp()
            elif column != "time":
                assert value[column] == number, column
    index = {int(m) for m in client.zrange(f"features:market:{name}:1m:_idx", 0, -1)}
    assert {int(row["time"].timestamp()) for row in rows[1:]} <= index
    assert len(rows) >= 55


def test_the_last_hour_of_each_series_is_online(world, keys, client):
    run = put_online(world, keys)
    assert run.success
    agrees_with_lake(world, client, BTC, "BTC-USDT")
    agrees_with_lake(world, client, ETH, "ETH-USDT")
    assert all(0 < client.ttl(key) <= 3_600 for key in client.scan_iter("features:*"))

    told = figures(world)[f"{keys[1].split('|')[0]}|{BTC}"]
    assert 0 < told["features_written"] <= 61
    assert told["ttl_seconds"] == 3_600
    assert told["status"] == "ok"
    command = told["query"].strip("`\n").removeprefix("sh\n").split()
    assert command[:2] == ["redis-cli", "-u"]
    with redis.Redis.from_url(command[2]) as another:
        pasted = another.execute_command(command[3], command[4].strip("'"))
    assert json.loads(pasted)["close"] == lake_rows(world, BTC)[-1]["close"]
    last = world.bench.online.latest("market", "BTC-USDT", "1m")
    assert last[0] == int(parse_moment(told["last"]).timestamp())


def test_the_newest_row_and_aggregates_of_each_market_are_cached(world, keys, client):
    world.run("derive_market", *keys)
    latest = json.loads(client.get("market:BTC-USDT:latest"))
    newest = lake_rows(world, BTC)[-1]
    assert (latest["series"], latest["close"]) == (BTC, newest["close"])
    assert latest["time"] == newest["time"].timestamp()
    aggregates = json.loads(client.get("market:ETH-USDT:aggregates"))
    assert aggregates["1h"]["close"] > 0
    assert aggregates["1h"]["time"] % 3_600 == 0
    assert aggregates["time"] == lake_rows(world, ETH)[-1]["time"].timestamp()
    assert all(0 < client.ttl(key) <= 300 for key in client.scan_iter("market:*"))


def test_again_changes_nothing_and_an_older_month_has_nothing_to_write(world, keys, client):
    put_online(world, keys)
    before = held(client)
    assert put_online(world, keys).success
    after = held(client)
    assert {t: row for t, row in before.items() if t in after} == after
    assert put_online(world, (f"2024-01|{BTC}", f"2024-01|{ETH}")).success
    assert figures(world)[f"2024-01|{BTC}"]["features_written"] == 0
    assert figures(world)[f"2024-01|{BTC}"]["status"] == "no_data"


def test_without_redis_it_says_so_and_nothing_counts_as_done(world, keys):
    run = put_online(world, keys)
    assert run.success
    assert "REDIS_URL is not set: nothing is put online" in world.told(run)
    assert figures(world) == {}


def test_a_venue_that_is_not_the_usual_one_keeps_its_name(world, keys, client):
    world.setenv(EXCHANGE_NAME="kraken")
    assert put_online(world, keys).success
    assert client.zcard("features:market:binance.BTC-USDT:1m:_idx") >= 55
    assert client.zcard("features:market:BTC-USDT:1m:_idx") == 0


@pytest.mark.parametrize("fault", ["killed", "frozen", "full", "read only"])
def test_a_redis_that_fails_leaves_the_lake_whole_and_the_next_run_repairs(world, keys, fault):
    with Redis() as server:
        world.setenv(REDIS_URL=server.url, REDIS_TIMEOUT_SEC="1")
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            before = world.lake_files()
            if fault == "killed":
                os.kill(server.pid, signal.SIGKILL)
            elif fault == "frozen":
                os.kill(server.pid, signal.SIGSTOP)
            elif fault == "full":
                client.config_set("maxmemory", "1")
            else:
                client.replicaof("127.0.0.1", "1")

            run = put_online(world, keys)
            assert not run.success
            text = failure_text(run)
            assert "2 series failed, 0 of" in text
            assert BTC in text
            assert ETH in text
            remedy = {
                "killed": "Start it, or correct REDIS_URL",
                "frozen": "no answer within 1 s",
                "full": "raise maxmemory",
                "read only": "let REDIS_URL name the primary",
            }[fault]
            assert remedy in text
            assert f"127.0.0.1:{server.port}" in text
            assert figures(world) == {}
            assert world.lake_files() == before

            if fault == "killed":
                server.stop()
                with Redis(port=server.port):
                    repaired(world, keys, client)
                return
            if fault == "frozen":
                os.kill(server.pid, signal.SIGCONT)
            elif fault == "full":
                client.config_set("maxmemory", "0")
            else:
                client.replicaof("NO", "ONE")
            repaired(world, keys, client)


def repaired(world, keys, client):
    assert put_online(world, keys).success
    agrees_with_lake(world, client, BTC, "BTC-USDT")
    agrees_with_lake(world, client, ETH, "ETH-USDT")


def test_one_series_that_fails_does_not_hold_up_the_others(world, keys, client):
    client.set("features:market:BTC-USDT:1m:_idx", "somebody else's")
    run = put_online(world, keys)
    assert not run.success
    text = failure_text(run)
    assert "1 series failed" in text
    assert "WRONGTYPE" in text
    assert "Another program keeps something else at this key" in text
    agrees_with_lake(world, client, ETH, "ETH-USDT")
    assert {key.split("|")[1] for key in figures(world)} == {ETH}
    assert held(client) == {}, "not a single row of the series that failed"
    client.delete("features:market:BTC-USDT:1m:_idx")
    repaired(world, keys, client)


def test_rows_that_change_in_the_lake_while_they_are_written_are_written_again(world, keys, client):
    """Another run lands other numbers between our reading and our writing."""
    now = datetime.now(UTC)
    window = Window(now - timedelta(minutes=50), now)
    first = world.bench.lake.read(F1, BTC, window)
    second = first.set_column(1, "close", pc.multiply(first["close"], 2.0))
    answers, versions = [first, second], iter("abbb")
    piece = Upload(
        f"{now:%Y-%m}|{BTC}",
        Place("market", "BTC-USDT", "1m"),
        F1,
        lambda: answers.pop(0),
        lambda: next(versions),
    )
    upload(world.bench.online, piece)
    closes = [row["close"] for _, row in sorted(held(client).items())]
    assert closes == second["close"].to_pylist()[-len(closes) :]
