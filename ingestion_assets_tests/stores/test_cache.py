"""The cache of newest rows: TTL, patterns, memory while Redis is away, never an earlier time over a later."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import time

import pytest
import redis

from ingestion_assets.embedded import Redis
from ingestion_assets.stores.cache import AGGREGATES, LATEST, MarketCache
from ingestion_assets.stores.online import OnlineError
from ingestion_assets.stores.online.line import Lines


def entry(moment: float, **more: object) -> dict[str, object]:
    return {"time": moment} | more


@pytest.fixture(params=["redis", "memory"])
def cache(request, redis_url):
    return MarketCache(Lines(redis_url, 5.0) if request.param == "redis" else None, 300)


def test_what_is_put_is_got(cache):
    assert cache.get("BTC-USDT", LATEST) is None
    assert cache.put("BTC-USDT", LATEST, entry(60, close=1.5, note=None))
    assert cache.get("BTC-USDT", LATEST) == {"time": 60, "close": 1.5, "note": None}
    assert cache.get("BTC-USDT", AGGREGATES) is None
    assert cache.get("ETH-USDT", LATEST) is None


def test_an_earlier_time_does_not_replace_a_later(cache):
    cache.put("BTC-USDT", LATEST, entry(120, v=1))
    assert not cache.put("BTC-USDT", LATEST, entry(60, v=2))
    assert cache.get("BTC-USDT", LATEST)["v"] == 1
    assert cache.put("BTC-USDT", LATEST, entry(120, v=3))
    assert cache.get("BTC-USDT", LATEST)["v"] == 3


def test_patterns_are_forgotten(cache):
    for name in ("BTC-USDT", "kraken.ETH-USD"):
        for kind in (LATEST, AGGREGATES):
            cache.put(name, kind, entry(60))
    assert cache.invalidate("market:*:latest") == 2
    assert cache.get("BTC-USDT", LATEST) is None
    assert cache.get("BTC-USDT", AGGREGATES) is not None
    assert cache.invalidate("market:kraken.*") == 1
    assert cache.invalidate("market:*:latest") == 0
    with pytest.raises(ValueError, match="names no cache entry"):
        cache.invalidate("*")


def test_entries_end(redis_url):
    for lines in (Lines(redis_url, 5.0), None):
        cache = MarketCache(lines, 1)
        cache.put("BTC-USDT", LATEST, entry(60))
        deadline = time.monotonic() + 60
        while cache.get("BTC-USDT", LATEST) is not None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert cache.get("BTC-USDT", LATEST) is None
        assert cache.put("BTC-USDT", LATEST, entry(0)), "what has ended is in nobody's way"


def test_the_keys_as_any_program_finds_them(redis_url):
    MarketCache(Lines(redis_url, 5.0), 300).put("BTC/USDT", LATEST, entry(60, close=2.5))
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == [b"market:BTC-USDT:latest"]
        assert json.loads(client.get("market:BTC-USDT:latest")) == {"time": 60, "close": 2.5}
        assert 290 < client.ttl("market:BTC-USDT:latest") <= 300


def test_while_redis_is_away_this_process_remembers_and_then_forgets():
    with Redis() as server:
        cache = MarketCache(Lines(server.url, 0.3), 300)
        cache.put("BTC-USDT", LATEST, entry(60))
        os.kill(server.pid, signal.SIGSTOP)
        assert cache.get("BTC-USDT", LATEST) is None, "what only Redis knows is not known now"
        assert cache.put("BTC-USDT", LATEST, entry(120))
        assert cache.get("BTC-USDT", LATEST) == {"time": 120}
        os.kill(server.pid, signal.SIGCONT)
        deadline = time.monotonic() + 60
        while cache.get("BTC-USDT", LATEST) == {"time": 120} and time.monotonic() < deadline:
            time.sleep(0.02)  # until it has worked off what it was asked meanwhile
        cache.put("BTC-USDT", LATEST, entry(180))
        assert cache.get("BTC-USDT", LATEST) == {"time": 180}
        os.kill(server.pid, signal.SIGSTOP)
        assert cache.get("BTC-USDT", LATEST) is None, "what was remembered before has had its day"
        with pytest.raises(OnlineError, match="removing market"):
            cache.invalidate("market:*")
        os.kill(server.pid, signal.SIGCONT)


def test_many_writers_leave_the_latest(redis_url):
    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        caches = [MarketCache(Lines(redis_url, 5.0), 300) for _ in range(6)]
        puts = [
            threads.submit(caches[n % 6].put, "BTC-USDT", LATEST, entry((n * 37) % 100)) for n in range(100)
        ]
        assert [done.result() for done in puts].count(True) >= 1
    assert caches[0].get("BTC-USDT", LATEST) == {"time": 99}
