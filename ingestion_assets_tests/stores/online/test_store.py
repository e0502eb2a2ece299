"""The key contract, seen by a plain Redis client; windows, versions, ranges."""

from __future__ import annotations

import json
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.stores.online import OnlineStore, Place, Written, online_id
from ingestion_assets.tables import FEATURES
from ingestion_assets_tests.stores.online.conftest import BTC, TTL, everything, minutes, rows

FOR_EVER = 20 * 365 * 86_400


def test_the_documented_keys(redis_url, client):
    store = OnlineStore(redis_url, ttl=lambda domain: FOR_EVER)
    store.write("market", "BTC-USDT", "1m", [1724140800], {"close": [59_000.5]})
    store.write("social", "twitter", "1m", [1724140800], {"mean": [0.25]})
    store.write("onchain", "BTC", "active_addresses", [1724100000], {"value": [912_345]})
    store.write("market", "ETH/USDT", "1m", [1724140800], {"close": [2_600.0]})
    assert {key.decode() for key in client.scan_iter()} == {
        "features:market:BTC-USDT:1m:1724140800",
        "features:market:BTC-USDT:1m:_idx",
        "features:social:twitter:1m:1724140800",
        "features:social:twitter:1m:_idx",
        "features:onchain:BTC:active_addresses:1724100000",
        "features:onchain:BTC:active_addresses:_idx",
        "features:market:ETH-USDT:1m:1724140800",
        "features:market:ETH-USDT:1m:_idx",
    }
    assert client.get("features:market:BTC-USDT:1m:1724140800") == b'{"close":59000.5}'
    index = client.zrange("features:market:BTC-USDT:1m:_idx", 0, -1, withscores=True)
    assert index == [(b"1724140800", 1724140800.0)]


def test_an_exchange_is_named_except_the_one_that_is_meant_without():
    assert online_id("binance.BTC-USDT", "binance") == "BTC-USDT"
    assert online_id("kraken.BTC-USDT", "binance") == "kraken.BTC-USDT"
    assert online_id("binance.BTC-USDT-PERP", "Binance ") == "BTC-USDT-PERP"


def test_a_row_of_the_lake_as_any_language_reads_it(store, client):
    table, times = FEATURES["1m"], minutes(2)
    given_rows = {name: [None, 0.1 + 0.2] for name in table.schema.names if name not in ("time", "known_at")}
    given_rows |= {
        "close": [1e-9, 123_456.789],
        "volume": [0.0, 5e-324],
        "hl_range": [0.0, 1.0],
        "is_gap": [True, False],
        "minutes_since_gap": [0, 1023],
        "coverage": [1.0, 0.5],
        "source": ["derived", "derived"],
        "time": times * 1_000_000,
        "known_at": times * 1_000_000 + 65_250_000,
    }
    arrays = [pa.array(given_rows[f.name]).cast(f.type) for f in table.schema]
    store.write(*BTC, times, pa.Table.from_arrays(arrays, schema=table.schema))
    value = json.loads(client.get(f"features:market:BTC-USDT:1m:{times[0]}"))
    assert list(value) == [name for name in table.schema.names if name != "time"]
    assert (value["close"], value["ret_1"], value["is_gap"], value["source"]) == (1e-9, None, True, "derived")
    assert value["known_at"] == times[0] + 65.25
    newest = store.latest(*BTC)
    assert newest[0] == times[1]
    assert (newest[1]["ret_1"], newest[1]["volume"]) == (0.30000000000000004, 5e-324)


def test_every_row_ends_with_its_window_and_the_index_with_its_last_row(store, client):
    times = minutes(50)
    assert store.write(*BTC, times, rows(times)) == 50
    place = Place(*BTC)
    for moment in times[[0, 25, 49]]:
        assert client.expiretime(place.key(moment)) == moment + 60 + TTL
    assert client.expiretime(place.index) == times[-1] + 60 + TTL
    store.write(*BTC, times[:10], rows(times[:10]))
    assert client.expiretime(place.index) == times[-1] + 60 + TTL, "the older rows do not end it sooner"


def test_when_the_time_has_come_nothing_is_left(redis_url, client):
    soon = OnlineStore(redis_url, ttl=lambda domain: 2)
    now = int(time.time())
    soon.write("market", "BTC-USDT", "metric", [now - 1, now], {"value": [1.0, 2.0]})
    assert client.dbsize() > 0
    deadline = time.monotonic() + 60
    while client.dbsize() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert everything(client) == {}
    assert soon.latest("market", "BTC-USDT", "metric") is None
    assert soon.range("market", "BTC-USDT", "metric", 0, now) == []


def test_rows_older_than_the_window_are_not_written(store, client):
    times = np.concatenate([minutes(3, ago=90), minutes(2)])
    assert store.put(*BTC, times, rows(times)) == Written(rows=2, newer=0, expired=3)
    assert client.zcard(Place(*BTC).index) == 2
    assert store.put(*BTC, times[:3], rows(times[:3])) == Written(0, 0, 3)
    assert store.points(*BTC, times[:3].tolist()) == [None] * 3


def test_writing_cuts_off_the_dead_end_of_the_index(store, client):
    client.zadd(Place(*BTC).index, {str(t): int(t) for t in minutes(10, ago=70)})
    times = minutes(2)
    store.write(*BTC, times, rows(times))
    assert [int(m) for m in client.zrange(Place(*BTC).index, 0, -1)] == times.tolist()


def test_a_bar_of_an_hour_is_online_for_the_ttl_after_its_end(store, client):
    hour = int(time.time()) // 3_600 * 3_600 - 3_600
    assert store.write("market", "BTC-USDT", "1h", [hour], {"close": [1.0]}) == 1
    assert client.expiretime(f"features:market:BTC-USDT:1h:{hour}") == hour + 3_600 + TTL
    day = int(time.time()) // 86_400 * 86_400 - 86_400
    assert store.write("onchain", "BTC", "addresses", [day], {"value": [1.0]}, grain=86_400 + 86_400) == 1


# Never older over newer


def test_what_was_known_later_stays_row_by_row(store):
    times = minutes(4)
    later = np.array([0, 100, 0, 100])
    store.write(*BTC, times, rows(times, who=["first"] * 4) | {"known_at": times + 65.0 + later})
    second = rows(times, who=["second"] * 4) | {"known_at": times + 65.0 + 50}
    assert store.put(*BTC, times, second) == Written(rows=2, newer=2, expired=0)
    held = [row["who"] for row in store.points(*BTC, times.tolist())]
    assert held == ["second", "first", "second", "first"]
    again = rows(times, who=["third"] * 4) | {"known_at": times + 65.0 + 50}
    store.write(*BTC, times, again)
    held = [row["who"] for row in store.points(*BTC, times.tolist())]
    assert held == ["third", "first", "third", "first"], "as old as what is held counts as newer"


@pytest.mark.parametrize("lost", ["evicted", "some entries"])
def test_what_was_known_later_stays_even_when_the_index_was_lost(store, client, lost):
    times = minutes(6)
    store.write(*BTC, times[:4], rows(times[:4], known_after=500, who=["newer"] * 4))
    if lost == "evicted":
        client.delete(Place(*BTC).index)
    else:
        client.zrem(Place(*BTC).index, int(times[1]), int(times[2]))
    assert store.put(*BTC, times, rows(times, who=["older"] * 6)) == Written(rows=2, newer=4, expired=0)
    held = [row["who"] for _, row in store.range(*BTC, 0, int(times[-1]))]
    assert held == ["newer"] * 4 + ["older"] * 2, "and the index has them again"
    assert [row["who"] for row in store.points(*BTC, times.tolist())] == ["newer"] * 4 + ["older"] * 2


def test_a_row_of_another_program_gives_way(store, client):
    times = minutes(3)
    for moment, value in zip(times, ["not json", "[1]", '{"known_at": "soon"}'], strict=True):
        client.set(Place(*BTC).key(moment), value)
    assert store.write(*BTC, times, rows(times)) == 3
    assert [moment for moment, _ in store.range(*BTC, 0, int(times[-1]))] == times.tolist()


# Reading


@settings(max_examples=60)
@given(data=st.data())
def test_ranges_and_points_as_a_list_would_give_them(redis_url, client, data):
    client.flushall()
    store = OnlineStore(redis_url, ttl=lambda domain: TTL)
    grid = minutes(50).tolist()
    there = sorted(data.draw(st.sets(st.sampled_from(grid), max_size=50)))
    store.write(*BTC, there, {"n": list(range(len(there)))})
    gone = data.draw(st.sets(st.sampled_from(there))) if there else set()
    if gone:
        client.delete(*(Place(*BTC).key(t) for t in gone))
    left = [(t, {"n": n}) for n, t in enumerate(there) if t not in gone]
    start, end = (data.draw(st.integers(grid[0] - 90, grid[-1] + 90)) for _ in range(2))
    limit, newest = data.draw(st.integers(1, 60)), data.draw(st.booleans())
    inside = [pair for pair in left if start <= pair[0] <= end]
    expected = inside[-limit:] if newest else inside[:limit]
    assert store.range(*BTC, start, end, limit, newest) == expected
    wanted = data.draw(st.lists(st.sampled_from(grid), max_size=60))
    assert store.points(*BTC, wanted) == [dict(left).get(t) for t in wanted]
    assert store.latest(*BTC) == (left[-1] if left else None)
    store.close()


def test_more_rows_than_one_transaction_and_than_one_answer(redis_url, client):
    store = OnlineStore(redis_url, ttl=lambda domain: FOR_EVER)
    times = minutes(12_345)
    assert store.write(*BTC, times, {"n": np.arange(len(times))}) == len(times)
    found = store.range(*BTC, 0, int(times[-1]), limit=20_000)
    assert [t for t, _ in found] == times.tolist()
    assert [row["n"] for _, row in found] == list(range(len(times)))
    assert [row["n"] for row in store.points(*BTC, times.tolist())] == list(range(len(times)))
    assert client.zcard(Place(*BTC).index) == len(times)


def test_unsorted_rows_find_their_places(store):
    times = minutes(5)
    order = [3, 0, 4, 1, 2]
    store.write(*BTC, times[order], {"n": np.arange(5)[order]})
    assert [row["n"] for _, row in store.range(*BTC, 0, int(times[-1]))] == [0, 1, 2, 3, 4]


def test_connections_are_used_again_and_shared_by_threads(store, client):
    import concurrent.futures

    times = minutes(30)
    store.write(*BTC, times, {"n": np.arange(30)})
    before = client.info("stats")["total_connections_received"]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(store.points, *BTC, [int(times[n % 30])]) for n in range(400)]
        assert [done.result()[0]["n"] for done in asked] == [n % 30 for n in range(400)]
    assert client.info("stats")["total_connections_received"] - before <= 8


# What is refused


@pytest.mark.parametrize(
    ("times", "given_rows", "complaint"),
    [
        ([1724140800000], {"n": [1]}, "give epoch seconds, not ms"),
        ([1.5], {"n": [1]}, "give whole epoch seconds"),
        ([-1], {"n": [1]}, "give epoch seconds"),
        ([9_999_999_999], {"n": [1]}, "lies in the future"),
        ([60, 120], {"n": [1]}, "2 times for 1 rows"),
        ([60, 60], {"n": [1, 2]}, "a time is given twice"),
        ([60, 120], {"n": [1, 2], "m": [1]}, "differ in length"),
        ([60, 120], {"ret_1": np.array([1.0, np.inf])}, "column 'ret_1', row 1: inf has no JSON"),
    ],
)
def test_rows_that_cannot_be_meant(store, client, times, given_rows, complaint):
    with pytest.raises(ValueError, match=complaint):
        store.write(*BTC, times, given_rows)
    assert client.dbsize() == 0


@pytest.mark.parametrize("name", ["BTC:USDT", "BTC USDT", "*", "BTC?", "a\nb", ""])
def test_names_that_would_break_keys(store, name):
    with pytest.raises(ValueError, match=r"name .* cannot be part of a Redis key"):
        store.points("market", name, "1m", [60])


def test_limits_and_ttls_that_cannot_be_meant(redis_url, store):
    with pytest.raises(ValueError, match="limit 0: at least 1"):
        store.range(*BTC, 0, 1, limit=0)
    with pytest.raises(ValueError, match="TTL of market: 0 s is not between"):
        OnlineStore(redis_url, ttl=lambda domain: 0).write(*BTC, [60], {"n": [1]})
