"""Vendors that charge are asked so often that what may be spent lasts, and not at all when it is spent."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from ingestion_assets.automation.allowances import Allowances
from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series
from ingestion_assets.sources.snapshots.coingecko import CoinGecko
from ingestion_assets.stores.budgets import period_end, period_of
from ingestion_assets.stores.gap_ledger import MISSING, Hole
from ingestion_assets.tables.snapshots import MARKET_SNAPSHOTS, PRICE_HISTORY
from ingestion_assets.workbench import Workbench
from ingestion_assets_tests.market_world import utc

COINS = ("coingecko.bitcoin-usd", "coingecko.ethereum-usd")
SNAPSHOTS = "hot_snapshots_markets"


@pytest.fixture
def coins(world: Any) -> Any:
    world.setenv(COINGECKO_API_KEY="k")
    for name in COINS:
        symbol = name.removeprefix("coingecko.").replace("-", "/")
        coin = Series(name, "snapshots", "coingecko", symbol, strategy=CoinGecko.strategy)
        world.bench.registry.add_missing([coin])
    world.instance.add_dynamic_partitions("snapshots", list(COINS))
    return world


def asked(bench: Workbench, day: datetime) -> int:
    """At how many ticks of a day snapshots of a coin are asked for."""
    coin = bench.registry.series("snapshots")[0]
    moments = [day + n * timedelta(minutes=5) for n in range(288)]
    return sum(Allowances(bench, moment).pause(MARKET_SNAPSHOTS, coin) is None for moment in moments)


def test_ends_of_days_and_months():
    assert period_end("2024-02-29") == utc(2024, 3, 1)
    assert [period_end(p) for p in ("2024-02", "2024-12", "2023-01")] == [
        utc(2024, 3, 1),
        utc(2025, 1, 1),
        utc(2023, 2, 1),
    ]


def test_a_month_s_allowance_lasts_a_month(coins):
    """Two coins would take 10,440 of 10,000 requests: a snapshot now and then is left out instead."""
    assert 270 <= asked(coins.bench, utc(2024, 6, 1)) < 288
    # The rhythm follows what is left: half of it is little for a month, and much for ten days.
    coins.bench.budgets.reserve("coingecko", "2024-06", 5_000, 10_000)
    assert 115 <= asked(coins.bench, utc(2024, 6, 1)) <= 150
    assert asked(coins.bench, utc(2024, 6, 20)) == 288


def test_who_has_little_is_asked_at_an_even_pace(coins):
    """What is spent on the way changes the rhythm a little, and leaves no long gap and no haste."""
    bench, coin = coins.bench, coins.bench.registry.series("snapshots")[0]
    bench.budgets.reserve("coingecko", "2024-06", 8_000, 10_000)
    ticks = [utc(2024, 6, 1) + n * timedelta(minutes=5) for n in range(2 * 288)]
    asked_at = []
    for moment in ticks:
        if Allowances(bench, moment).pause(MARKET_SNAPSHOTS, coin) is None:
            bench.budgets.reserve("coingecko", "2024-06", 1, 10_000)
            asked_at.append(moment)
    minutes = [(later - before) // timedelta(minutes=1) for before, later in pairwise(asked_at)]
    even = [gap for gap in minutes if gap in (25, 30)]
    assert len(minutes) - len(even) <= 2, minutes  # where the rhythm changed
    assert max(minutes) <= 60


def test_many_series_of_a_vendor_are_looked_up_once(coins):
    series = coins.bench.registry.series("snapshots")
    allowances = Allowances(coins.bench, utc(2024, 6, 1))
    asked_for: list[str] = []
    told = sa.event.listens_for(coins.bench.catalog._engine, "before_cursor_execute")
    told(lambda connection, cursor, statement, *more: asked_for.append(statement))
    counts = []
    for one in series:
        allowances.pause(MARKET_SNAPSHOTS, one)
        counts.append(len(asked_for))
    assert counts[0] == counts[-1] > 0


def test_nothing_is_asked_when_nothing_is_left(coins):
    coins.bench.budgets.reserve("coingecko", "2024-06", 10_000, 10_000)
    outcome = coins.at(SNAPSHOTS, utc(2024, 6, 29, 12))
    assert outcome.run_requests == []
    assert outcome.skip_message == "coingecko: 10000 of 10000 requests spent in 2024-06 (UTC)"
    assert coins.at(SNAPSHOTS, utc(2024, 7, 1)).run_requests, "a new month, a new allowance"


def test_who_skips_a_tick_says_how_often_it_asks(coins):
    coins.bench.budgets.reserve("coingecko", "2024-06", 9_990, 10_000)
    said = coins.at(SNAPSHOTS, utc(2024, 6, 15, 12, 5)).skip_message
    assert "9990 of 10000 requests spent in 2024-06 (UTC); asked every " in said


def test_healing_waits_for_a_new_allowance(coins):
    now = datetime.now(UTC)
    hole = Window(now - timedelta(days=3), now - timedelta(days=2))
    coins.bench.ledger.record(PRICE_HISTORY.path, COINS[0], hole, [Hole(hole, MISSING, "lost")])
    period = period_of(now, "month")
    coins.bench.budgets.reserve("coingecko", period, 10_000, 10_000)
    outcome = coins.tick("healing")
    assert outcome.run_requests == []
    assert outcome.skip_message == f"coingecko: 10000 of 10000 requests spent in {period} (UTC)"
    coins.bench.budgets.settle("coingecko", period, 10_000, 0)
    assert coins.tick("healing").run_requests
