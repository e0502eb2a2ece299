"""Sweeps: keys without a TTL get one, indexes lose dead entries and nothing else, in bounded steps."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.stores.online import OnlineError, OnlineStore, Place, sweeping
from ingestion_assets_tests.stores.online.conftest import BTC, TTL, minutes, rows

INDEX = Place(*BTC).index


def round_trip(store, pattern, max_keys, ttl=60):
    """Sweeps until it has been round: scanned, ttl_set, pruned, and how many it took."""
    cursor, totals, sweeps = 0, [0, 0, 0], 0
    while True:
        swept = store.sweep(pattern, ttl, max_keys, cursor)
        totals = [t + v for t, v in zip(totals, (swept.scanned, swept.ttl_set, swept.pruned), strict=True)]
        cursor, sweeps = swept.cursor, sweeps + 1
        if cursor == 0:
            return (*totals, sweeps)


def test_keys_without_a_ttl_get_one_and_others_keep_theirs(store, client):
    times = minutes(20)
    store.write(*BTC, times, rows(times))
    foreign = [f"features:market:ETH-USDT:1m:{t}" for t in times[:7]]
    client.mset(dict.fromkeys(foreign, "{}"))
    ends = {key: client.expiretime(key) for key in client.scan_iter("features:market:BTC-USDT:*")}
    assert store.audit("market").without_ttl == 7
    swept = store.sweep("features:market:*", 1_234, 1_000)
    assert (swept.scanned, swept.ttl_set, swept.pruned, swept.cursor) == (28, 7, 0, 0)
    assert all(1_000 < client.ttl(key) <= 1_234 for key in foreign)
    assert {key: client.expiretime(key) for key in ends} == ends
    assert store.audit("market").without_ttl == 0
    assert store.sweep("features:market:*", 1_234, 1_000).ttl_set == 0


def test_a_writer_who_sets_a_ttl_between_the_look_and_the_sweeps_own_is_right(store, client, monkeypatch):
    key = "features:market:ETH-USDT:1m:60"
    client.set(key, "{}")
    look = sweeping._without_ttl

    def overtaken(line, keys):
        found = look(line, keys)
        assert [client.expire(one, 50_000) for one in found] == [True] * len(found)
        return found

    monkeypatch.setattr(sweeping, "_without_ttl", overtaken)
    assert store.sweep("features:market:*", 60, 1_000).ttl_set == 0
    assert client.ttl(key) > 40_000


def test_an_index_never_gets_a_ttl_and_loses_only_entries_whose_row_is_gone(store, client):
    times = minutes(50).tolist()
    client.zadd(INDEX, {str(t): t for t in times})
    client.mset({Place(*BTC).key(t): "{}" for t in times[::2]})
    swept = store.sweep("features:market:*", 60, 10_000)
    assert (swept.ttl_set, swept.pruned) == (25, 25)
    assert client.ttl(INDEX) == -1
    assert [int(m) for m in client.zrange(INDEX, 0, -1)] == times[::2]
    client.delete(*(Place(*BTC).key(t) for t in times))
    assert store.sweep("features:market:*", 60, 10_000).pruned == 25
    assert client.dbsize() == 0, "an index without entries is gone"


def test_what_is_written_while_an_index_is_looked_at_stays(store, client, redis_url, monkeypatch):
    """A writer who brings an entry's row back between the look and the removal wins."""
    times = minutes(3)
    client.zadd(INDEX, {str(t): int(t) for t in times})
    rival, look = OnlineStore(redis_url, ttl=lambda domain: TTL), sweeping._dead

    def look_and_lose(line, index):
        found = look(line, index)
        rival.write(*BTC, times, rows(times))
        return found

    monkeypatch.setattr(sweeping, "_dead", look_and_lose)
    assert store.sweep("features:market:*", 60, 100).pruned == 0
    assert [t for t, _ in store.range(*BTC, 0, int(times[-1]))] == times.tolist()


@settings(max_examples=25)
@given(max_keys=st.integers(1, 300), bare=st.integers(0, 150), kept=st.integers(0, 150))
def test_bounded_sweeps_come_round_and_miss_nothing(redis_url, client, max_keys, bare, kept):
    client.flushall()
    store = OnlineStore(redis_url, ttl=lambda domain: TTL)
    for n in range(bare):
        client.set(f"features:market:A:1m:{n}", "{}")
    for n in range(kept):
        client.set(f"features:market:B:1m:{n}", "{}", ex=500)
        client.set(f"elsewhere:{n}", "x")
    scanned, ttl_set, _, sweeps = round_trip(store, "features:market:*", max_keys)
    assert ttl_set == bare
    assert scanned >= bare + kept
    assert sweeps <= bare + 2 * kept + 2
    assert all(client.ttl(f"elsewhere:{n}") == -1 for n in range(kept))
    store.close()


def test_one_sweep_looks_at_no_more_keys_than_it_may(store, client):
    client.mset({f"features:market:A:1m:{n}": "{}" for n in range(500)})
    cursor = 0
    for _ in range(5):
        swept = store.sweep("features:market:*", 60, 25, cursor)
        assert 0 < swept.scanned <= 25
        cursor = swept.cursor


@pytest.mark.parametrize("pattern", ["*", "feat*", "celery*", "", "?eatures:*"])
def test_keys_that_are_not_ours_are_out_of_reach(store, client, pattern):
    client.set("celery-task-meta-1", "x")
    for work in (lambda: store.sweep(pattern, 60, 10), lambda: store.remove(pattern)):
        with pytest.raises(ValueError, match="reaches beyond our keys: begin it with features: or market:"):
            work()
    assert client.ttl("celery-task-meta-1") == -1


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [((0, 10, 0), "ttl_default 0"), ((60, 0, 0), "max_keys 0"), ((60, 10, -1), "cursor -1")],
)
def test_numbers_that_cannot_be_meant(store, numbers, complaint):
    with pytest.raises(ValueError, match=complaint):
        store.sweep("features:*", *numbers)


def test_the_audit_tells_rows_that_vanished_from_those_whose_time_was_up(store, client):
    times = minutes(10)
    store.write(*BTC, times, rows(times))
    client.zadd(INDEX, {str(t): int(t) for t in minutes(4, ago=90)})
    found = store.audit("market")
    assert (found.keys, found.indexes, found.members) == (11, 1, 14)
    assert (found.without_ttl, found.dead, found.vanished) == (0, 4, 0)
    client.delete(*(Place(*BTC).key(t) for t in times[:3]))
    client.persist(Place(*BTC).key(times[5]))
    found = store.audit("market")
    assert (found.without_ttl, found.dead, found.vanished) == (1, 7, 3)
    assert found.examples == [Place(*BTC).key(times[5])]
    assert store.audit("social").keys == 0


def test_removing_by_pattern(store, client):
    times = minutes(5)
    store.write(*BTC, times, rows(times))
    store.write("market", "ETH-USDT", "1m", times, rows(times))
    assert store.remove("features:market:ETH-USDT:*") == 6
    assert client.dbsize() == 6


def test_a_sweep_of_a_redis_that_does_not_answer(own_redis):
    store = OnlineStore(own_redis.url, timeout=0.3)
    store.ping()
    os.kill(own_redis.pid, signal.SIGSTOP)
    with pytest.raises(OnlineError, match=r"sweeping features:market:\*: no answer"):
        store.sweep("features:market:*", 60, 10)
    os.kill(own_redis.pid, signal.SIGCONT)
