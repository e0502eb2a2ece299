"""Redis killed, frozen, full, read-only, locked: an error that says so, no wrong value, soon repaired."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import redis

from ingestion_assets.embedded import Redis, free_port
from ingestion_assets.stores.online import OnlineError, Place
from ingestion_assets.stores.online.store import BATCH
from ingestion_assets_tests.stores.online.conftest import BTC, index_and_rows_agree, minutes, opened, rows

SECRET = "hunter2-hunter2"


def test_nobody_there(monkeypatch):
    port = free_port()
    store = opened(f"redis://me:{SECRET}@127.0.0.1:{port}/3")
    with pytest.raises(OnlineError) as caught:
        store.write(*BTC, minutes(1), rows(minutes(1)))
    assert f"Redis 127.0.0.1:{port}/3, writing 1 rows of market BTC-USDT 1m" in str(caught.value)
    assert "Start it, or correct REDIS_URL" in str(caught.value)
    assert SECRET not in str(caught.value)
    with pytest.raises(OnlineError, match="reading market BTC-USDT 1m"):
        store.latest(*BTC)


def test_killed_in_mid_write_and_started_again(own_redis):
    """With nothing kept on disk it comes back empty, which is never taken for rows that are missing."""
    times, stop = minutes(2_000), threading.Event()
    store = opened(own_redis.url, ttl=10 * 86_400)
    errors: list[OnlineError] = []

    def write_on() -> None:
        while not stop.is_set():
            try:
                store.write(*BTC, times, rows(times))
            except OnlineError as error:
                errors.append(error)
                return

    writer = threading.Thread(target=write_on)
    writer.start()
    while not opened(own_redis.url).latest(*BTC):
        time.sleep(0.01)
    os.kill(own_redis.pid, signal.SIGKILL)
    writer.join(60)
    stop.set()
    assert errors
    assert errors[0].server == f"127.0.0.1:{own_redis.port}/0"
    own_redis.stop()
    with Redis(port=own_redis.port) as again, redis.Redis.from_url(again.url) as client:
        assert store.range(*BTC, 0, int(times[-1])) == []
        assert store.write(*BTC, times, rows(times)) == 2_000
        assert len(index_and_rows_agree(client)) == 2_000


def test_killed_with_a_log_on_disk_comes_back_without_half_a_transaction(tmp_path):
    times = minutes(5_000)
    with Redis(directory=tmp_path / "redis") as server:
        store = opened(server.url, ttl=10 * 86_400)

        def write_on() -> None:
            for version in range(1_000):
                try:
                    store.write(*BTC, times, rows(times, known_after=65 + version))
                except OnlineError:
                    return

        writer = threading.Thread(target=write_on)
        writer.start()
        while not opened(server.url).latest(*BTC):
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(server.pid, signal.SIGKILL)
        writer.join(60)
    with Redis(directory=tmp_path / "redis") as again, redis.Redis.from_url(again.url) as client:
        found = index_and_rows_agree(client)
        versions = [row["known_at"] - t for t, row in opened(again.url).range(*BTC, 0, 1 << 40, limit=9_999)]
        assert len(versions) == len(found)
        assert len(found) % BATCH == 0
        for start in range(0, len(versions), BATCH):
            assert len(set(versions[start : start + BATCH])) == 1, "one transaction, one version"


def test_frozen(own_redis):
    times = minutes(40)
    store = opened(own_redis.url, timeout=0.3)
    store.write(*BTC, times[:20], rows(times[:20], who=["old"] * 20))
    os.kill(own_redis.pid, signal.SIGSTOP)
    for work in (
        lambda: store.write(*BTC, times, rows(times, who=["new"] * 40)),
        lambda: store.range(*BTC, 0, int(times[-1])),
        lambda: store.points(*BTC, [int(times[0])]),
        lambda: store.latest(*BTC),
        lambda: store.sweep("features:*", 60, 10),
    ):
        with pytest.raises(OnlineError, match=r"no answer within 0\.3 s\. It is frozen, overloaded"):
            work()
    os.kill(own_redis.pid, signal.SIGCONT)
    with redis.Redis.from_url(own_redis.url) as client:
        who = {row["who"] for _, row in opened(own_redis.url).range(*BTC, 0, int(times[-1]))}
        assert len(who) == 1, "what was asked of a frozen server happens whole or not at all"
        assert opened(own_redis.url).write(*BTC, times, rows(times, who=["new"] * 40)) == 40
        assert len(index_and_rows_agree(client)) == 40


def test_a_write_that_a_frozen_server_carries_out_late_does_not_hide_a_newer_one(own_redis):
    """It may still lie in the server's buffer when another run has already written."""
    times = minutes(5)
    slow, quick = opened(own_redis.url, timeout=0.2), opened(own_redis.url)
    slow.ping()
    quick.ping()
    os.kill(own_redis.pid, signal.SIGSTOP)
    with pytest.raises(OnlineError):
        slow.write(*BTC, times, rows(times, who=["late"] * 5))
    os.kill(own_redis.pid, signal.SIGCONT)
    quick.write(*BTC, times, rows(times, known_after=100, who=["newer"] * 5))
    quick.ping()
    assert [row["who"] for _, row in quick.range(*BTC, 0, int(times[-1]))] == ["newer"] * 5


def test_full(own_redis):
    times = minutes(3_000)
    store = opened(own_redis.url, ttl=10 * 86_400)
    with redis.Redis.from_url(own_redis.url) as client:
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used + 600_000)
        with pytest.raises(OnlineError, match=r"OOM.*raise maxmemory, or shorten FEATURE_TTL_SEC"):
            store.write(*BTC, times, rows(times))
        assert len(index_and_rows_agree(client)) in range(BATCH, 3_000, BATCH)
        reached = store.latest(*BTC)
        assert reached is not None
        assert reached[0] < times[-1], "what is served says how old it is"
        client.config_set("maxmemory", 0)
        store.write(*BTC, times, rows(times))
        assert len(index_and_rows_agree(client)) == 3_000


def test_read_only(own_redis):
    times = minutes(5)
    store = opened(own_redis.url)
    store.write(*BTC, times, rows(times, who=["old"] * 5))
    with redis.Redis.from_url(own_redis.url) as client:
        client.replicaof("127.0.0.1", "1")
        with pytest.raises(OnlineError, match=r"READONLY.*let REDIS_URL name the primary"):
            store.write(*BTC, times, rows(times, known_after=90, who=["new"] * 5))
        assert {row["who"] for _, row in store.range(*BTC, 0, int(times[-1]))} == {"old"}
        client.replicaof("NO", "ONE")
        store.write(*BTC, times, rows(times, known_after=90, who=["new"] * 5))
        assert {row["who"] for _, row in store.range(*BTC, 0, int(times[-1]))} == {"new"}


def test_a_password_is_needed_and_never_shown(own_redis):
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("requirepass", SECRET)
    where = f"127.0.0.1:{own_redis.port}/0"
    for url in (f"redis://{where}", f"redis://:wrong-{SECRET}@{where}"):
        with pytest.raises(OnlineError) as caught:
            opened(url).latest(*BTC)
        assert "REDIS_URL" in str(caught.value)
        assert where in str(caught.value)
        assert SECRET not in str(caught.value)
    assert opened(f"redis://:{SECRET}@{where}").latest(*BTC) is None


def test_an_address_that_is_none_is_said_so():
    for url in ("localhost:6379", "http://localhost:6379", "redis://h:port"):
        with pytest.raises(OnlineError, match="REDIS_URL"):
            opened(url).ping()


def test_somebody_else_s_key_in_the_way(redis_url):
    store, times = opened(redis_url), minutes(3)
    with redis.Redis.from_url(redis_url) as client:
        client.set(Place(*BTC).index, "mine")
        for work in (lambda: store.write(*BTC, times, rows(times)), lambda: store.range(*BTC, 0, 1)):
            with pytest.raises(OnlineError, match=r"WRONGTYPE.*Another program keeps something else"):
                work()
        assert client.dbsize() == 1
