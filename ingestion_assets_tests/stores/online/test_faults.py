"""Redis killed, frozen, full, read-only, cut off in mid-write, raced for: no wrong value, soon repaired."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.embedded import Redis, free_port
from ingestion_assets.stores.online import OnlineError, OnlineStore, Place
from ingestion_assets.stores.online.store import BATCH
from ingestion_assets_tests.servers import FaultyProxy
from ingestion_assets_tests.stores.online.conftest import BTC, TTL, everything, minutes, rows
from ingestion_assets_tests.stores.online.cutting_proxy import CuttingProxy

SECRET = "hunter2-hunter2"


def opened(url: str, timeout: float = 5.0, ttl: int = TTL) -> OnlineStore:
    return OnlineStore(url, ttl=lambda domain: ttl, timeout=timeout)


def index_and_rows_agree(client: redis.Redis) -> dict[int, bytes]:
    """Every row is in the index, every entry has its row, everything has an end; the rows by time."""
    place = Place(*BTC)
    held = everything(client)
    index = {int(member) for member, _ in held.pop(place.index.encode(), [])}
    found = {int(key.rsplit(b":", 1)[1]): value for key, value in held.items()}
    assert set(found) == index
    pipe = client.pipeline(transaction=False)
    for key in (*held, place.index):
        pipe.expiretime(key)
    assert all(ends > 0 for ends in pipe.execute()) or not held
    return found


# Cut off in mid-write


@settings(max_examples=40)
@given(share=st.floats(0, 1), before=st.booleans())
def test_a_write_cut_anywhere_lands_in_whole_transactions_and_is_repaired_by_the_next(
    redis_server, redis_url, share, before
):
    """3,000 rows are several transactions; `before` says that older numbers are already there."""
    store, ttl = opened(redis_url, ttl=10 * 86_400), 10 * 86_400
    times = minutes(3_000)
    first, second = rows(times, who=["a"] * 3_000), rows(times, who=["b"] * 3_000, known_after=90)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        if before:
            store.write(*BTC, times, first)
        length = 700_000
        with CuttingProxy(redis_server.port, cut_after=int(share * length)) as proxy:
            through = opened(proxy.url, ttl=ttl)
            try:
                through.write(*BTC, times, second)
                assert proxy.cuts == 0
            except OnlineError as error:
                assert "writing 3000 rows of market BTC-USDT 1m" in str(error) or proxy.cuts > 0
            through.close()
            proxy.settle()
            newest = [row["who"] for row in store.points(*BTC, times.tolist()) if row]
        found = index_and_rows_agree(client)
        whole = newest.count("b")
        assert whole % BATCH == 0, "a transaction is there whole or not at all"
        assert newest == ["b"] * whole + ["a"] * ((3_000 - whole) if before else 0)
        assert len(found) == len(newest)
        assert store.write(*BTC, times, second) == 3_000
        assert len(index_and_rows_agree(client)) == 3_000
        assert [row["who"] for row in store.points(*BTC, times.tolist())] == ["b"] * 3_000
    store.close()


def test_one_reset_is_healed_without_a_word(redis_server, redis_url):
    times = minutes(50)
    for cut_after in (500, 3_000, 9_000):
        with CuttingProxy(redis_server.port, cut_after=cut_after, times=1) as proxy:
            store = opened(proxy.url)
            assert store.write(*BTC, times, rows(times)) == 50
            assert len(store.range(*BTC, 0, int(times[-1]))) == 50
            store.close()


@pytest.mark.parametrize("with_reset", [False, True])
def test_an_answer_cut_short_is_an_error_and_never_half_a_range(redis_server, redis_url, with_reset):
    times = minutes(60)
    opened(redis_url).write(*BTC, times, rows(times))
    with FaultyProxy(redis_server.port) as proxy:
        proxy.cut_with_reset = with_reset
        store = opened(f"redis://{proxy.address}/0")
        whole = store.range(*BTC, 0, int(times[-1]))
        assert len(whole) == 60
        for cut_after in range(1, 9_000, 450):
            proxy.cut_after = cut_after
            try:
                assert store.range(*BTC, 0, int(times[-1])) == whole
            except OnlineError as error:
                assert "reading market BTC-USDT 1m" in str(error)
        proxy.heal()
        assert store.range(*BTC, 0, int(times[-1])) == whole
        store.close()


def test_connections_that_broke_while_idle_are_replaced(redis_server, redis_url):
    times = minutes(3)
    with FaultyProxy(redis_server.port) as proxy:
        store = opened(f"redis://{proxy.address}/0")
        store.write(*BTC, times, rows(times))
        for _ in range(3):
            proxy.reset_all()
            assert len(store.range(*BTC, 0, int(times[-1]))) == 3
            proxy.reset_all()
            assert store.write(*BTC, times, rows(times)) == 3
        store.close()


# Dead, frozen, full, read-only, locked


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


# Two writers


def race(url: str, seed: int, times: list[int], rounds: int) -> None:
    """Write the series again and again, each row each time with a version of its own."""
    store, random = opened(url, ttl=10 * 86_400), np.random.default_rng(seed)
    moments = np.array(times)
    for _ in range(rounds):
        versions = random.integers(0, 1_000_000, len(times))
        store.write(*BTC, moments, {"version": versions, "known_at": versions})


def test_racing_writers_leave_the_newest_of_each_row(redis_url):
    times = minutes(1_500).tolist()
    seeds, rounds = (1, 2, 3), 30
    expected = np.zeros(len(times), int)
    for seed in seeds:
        random = np.random.default_rng(seed)
        for _ in range(rounds):
            expected = np.maximum(expected, random.integers(0, 1_000_000, len(times)))
    fork = multiprocessing.get_context("spawn")
    writers = [fork.Process(target=race, args=(redis_url, seed, times, rounds)) for seed in seeds]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    with redis.Redis.from_url(redis_url) as client:
        assert len(index_and_rows_agree(client)) == len(times)
    held = opened(redis_url).points(*BTC, times)
    assert [row["version"] for row in held] == expected.tolist()
