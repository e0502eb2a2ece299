"""`ingest cache` and `ingest sweep`, and how they find the Redis of a running stack."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
import redis

from ingestion_assets.cli import online
from ingestion_assets.cli.online import stack_redis
from ingestion_assets.embedded import free_port
from ingestion_assets.workbench import Workbench
from ingestion_assets_tests.cli.conftest import Ingest

SECRET = "hunter2-hunter2"


@pytest.fixture
def client(ingest: Ingest, redis_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_URL", redis_url)
    newest = int(time.time()) // 60 * 60 - 60
    bench = Workbench()
    bench.online.write("market", "BTC-USDT", "1m", [newest - 60, newest], {"close": [1.0, 2.0]})
    for name in ("BTC-USDT", "ETH-USDT"):
        bench.cache.put(name, "latest", {"time": newest})
        bench.cache.put(name, "aggregates", {"time": newest})
    with redis.Redis.from_url(redis_url, decode_responses=True) as plain:
        yield plain


def test_entries_of_the_cache_are_deleted_by_pattern(ingest: Ingest, client) -> None:
    done = ingest("cache", "invalidate", "market:*:latest", "market:ETH-USDT:*").ok()
    assert "2 keys of market:*:latest deleted" in done.err
    assert "1 key of market:ETH-USDT:* deleted" in done.err
    assert sorted(client.scan_iter("market:*")) == ["market:BTC-USDT:aggregates"]
    ingest("cache", "invalidate", "features:*").ok()
    assert client.keys() == ["market:BTC-USDT:aggregates"]


@pytest.mark.parametrize("command", [("cache", "invalidate", "*"), ("sweep", "*")])
def test_keys_that_are_not_ours_are_refused(ingest: Ingest, client, command) -> None:
    before = client.dbsize()
    done = ingest(*command)
    assert done.code == 2
    assert "reaches beyond our keys" in done.err
    assert client.dbsize() == before


def test_a_sweep_tells_what_it_did(ingest: Ingest, client) -> None:
    client.set("features:market:A:1m:60", "{}")
    client.zadd("features:market:A:1m:_idx", {"60": 60, "120": 120})
    done = ingest("sweep", "--json", "--ttl", "90").ok()
    assert done.json == {"pattern": "features:market:*", "scanned": 5, "ttl_set": 1, "pruned": 1}
    assert 80 < client.ttl("features:market:A:1m:60") <= 90
    assert "5 keys of features:market:*: 0 had no TTL" in ingest("sweep").ok().err
    assert ingest("sweep", "--max-keys", "1", "--json").ok().json["scanned"] >= 1


def test_a_redis_that_is_not_there(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    done = ingest("sweep")
    assert done.code == 1
    assert "there is no Redis: set REDIS_URL" in done.err
    monkeypatch.setenv("REDIS_URL", f"redis://:{SECRET}@127.0.0.1:{free_port()}/0")
    for command in (("sweep",), ("cache", "invalidate", "market:*")):
        done = ingest(*command)
        assert done.code == 1
        assert "Start it, or correct REDIS_URL" in done.err
        assert SECRET not in done.err + done.out


def test_a_stack_s_redis_is_found_by_its_state_folder(
    ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = Path(Workbench().settings.ingest_state_dir)
    state.mkdir(exist_ok=True)
    monkeypatch.setattr(online, "USUAL_PORT", free_port())
    with stack_redis(state) as url:
        assert url.endswith(f":{online.USUAL_PORT}/0")
        with redis.Redis.from_url(url) as client:
            client.set("market:BTC-USDT:latest", "{}")
            assert "1 key of market:*" in ingest("cache", "invalidate", "market:*").ok().err
    assert ingest("sweep").code == 1


def test_a_stack_takes_another_port_when_the_usual_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(online, "USUAL_PORT", taken.getsockname()[1])
        with stack_redis(tmp_path) as url, redis.Redis.from_url(url) as client:
            assert client.ping()
            assert str(online.USUAL_PORT) not in url
