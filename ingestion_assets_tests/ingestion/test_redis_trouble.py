"""Redis is for pace and for reading quickly: whatever ails it, what was fetched is in the lake."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
import redis

from ingestion_assets.embedded import Redis
from ingestion_assets_tests.ingestion.conftest import NOW, Bench, window

PART = window("2024-03-05T06:00Z", "2024-03-05T11:00Z")
BTC, ETH = "binance.BTC-USDT", "binance.ETH-USDT"


def full(server: Redis, client: redis.Redis) -> None:
    client.config_set("maxmemory", "1")
    client.config_set("maxmemory-policy", "noeviction")


def read_only(server: Redis, client: redis.Redis) -> None:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")


def forbidding(server: Redis, client: redis.Redis) -> None:
    client.execute_command("ACL", "SETUSER", "default", "-@write")


def locked(server: Redis, client: redis.Redis) -> None:
    client.config_set("requirepass", "nobody knows")


def killed(server: Redis, client: redis.Redis | None = None) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)


TROUBLES = [full, read_only, forbidding, locked, killed]
Trouble = Callable[[Redis, redis.Redis], None]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_everything_lands_and_one_line_tells_of_it(
    trouble: Trouble, make_bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    with Redis() as server, redis.Redis.from_url(server.url) as client:
        bench = make_bench(redis_url=server.url)
        series = bench.series(BTC, ETH)
        trouble(server, client)
        bench.ingest_all(series, PART)
        for one in series:
            bench.assert_equal(one, PART)
    told = [record.message for record in caplog.records if "paces itself alone" in record.message]
    assert len(told) == 1


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_a_series_is_registered_all_the_same(trouble: Trouble, make_bench: Callable[..., Bench]) -> None:
    with Redis() as server, redis.Redis.from_url(server.url) as client:
        bench = make_bench(redis_url=server.url)
        trouble(server, client)
        found, refused = bench.workbench.adopt([ETH], NOW)
        assert (list(found), refused) == ([ETH], {})


def test_redis_that_goes_between_two_runs_stops_neither(make_bench: Callable[..., Bench]) -> None:
    with Redis() as server:
        bench = make_bench(redis_url=server.url)
        series = bench.series(BTC)
        bench.ingest_all(series, window("2024-03-05T06:00Z", "2024-03-05T08:00Z"))
        killed(server)
        bench.ingest_all(series, PART)
        bench.assert_equal(series[0], PART)
