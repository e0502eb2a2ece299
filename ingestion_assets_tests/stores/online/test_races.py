"""Two writers of one series: the newest of each row stays, whoever comes when."""

from __future__ import annotations

import multiprocessing
import time

import numpy as np
import pytest
import redis

from ingestion_assets.stores.online import OnlineStore, Place
from ingestion_assets.stores.online.values import Rows
from ingestion_assets.stores.online.writing import Batch, land
from ingestion_assets_tests.stores.online.conftest import (
    BTC,
    TTL,
    index_and_rows_agree,
    minutes,
    opened,
    rows,
)


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


@pytest.mark.parametrize("before", [False, True])
def test_a_writer_who_comes_in_between_is_seen(store, redis_url, before):
    """The rival writes when a batch has seen what Redis holds and is about to be sent."""
    times, place = minutes(40), Place(*BTC)
    rival = OnlineStore(redis_url, ttl=lambda domain: TTL)
    mine = Rows(rows(times, who=["mine"] * 40))
    if before:
        store.write(*BTC, times, rows(times, who=["older"] * 40, known_after=1))

    class Overtaken(Batch):
        overtaken = False

        def transaction(self, *seen):
            packed = super().transaction(*seen)
            if not self.overtaken:
                self.overtaken = True
                theirs = np.array(self.times[:5])
                rival.write(*BTC, theirs, rows(theirs, known_after=500, who=["rival"] * 5))
            return packed

    batches = (
        Overtaken(place, times[n : n + 10].tolist(), mine, n, n + 10, TTL + 60) for n in (0, 10, 20, 30)
    )
    kept = store.lines.run("racing", lambda line: land(line, batches, place, int(time.time())))
    assert [row["who"] for _, row in store.range(*BTC, 0, int(time.time()))] == (
        ["rival"] * 5 + ["mine"] * 5
    ) * 4
    assert kept == 20
