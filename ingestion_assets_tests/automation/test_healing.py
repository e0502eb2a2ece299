"""Healing: what the ledger says is missing is fetched, a little at a time, not for ever, without a hand."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ingestion_assets.automation.jobs import CAUSE
from ingestion_assets.automation.sensors import newest_keys, sensors
from ingestion_assets.checks.complete import gap_audits
from ingestion_assets.ingestion import Options, slices_of
from ingestion_assets.intervals import Window
from ingestion_assets.partitions import RANGE_END, RANGE_START
from ingestion_assets.settings import load_settings
from ingestion_assets.simulator import Fault
from ingestion_assets.stores.gap_ledger import HEALED, MISSING, NO_TRADES, NOT_WANTED, Hole
from ingestion_assets_tests.market_world import M1, M5, asset_key, utc

BTC, ETH, SOL = "binance.BTC-USDT", "binance.ETH-USDT", "binance.SOL-USDT"
DAY = {"since": utc(2024, 1, 31), "until": utc(2024, 2, 1)}


def ranges(outcome) -> list[tuple[str, str]]:
    return [(request.tags[RANGE_START], request.tags[RANGE_END]) for request in outcome.run_requests]


def healing(**environment) -> dg.SensorDefinition:
    return next(s for s in sensors(load_settings(**environment)) if s.name == "healing")


def missing(world, series: str, *windows: Window, table=M1, evidence: str = "lost") -> None:
    for window in windows:
        world.bench.ledger.record(table.path, series, window, [Hole(window, MISSING, evidence)])


def scan(world) -> bool:
    config = {"ops": {"market__ohlcv_1m_complete": {"config": {"recent_months": None}}}}
    assert world.run("gap_scan", run_config=config).success
    return world.evaluation(M1, "complete").passed


def test_a_deleted_file_and_a_punched_hole_are_found_and_healed_without_a_hand(world):
    world.register(BTC, ETH, **DAY)
    gap_audits(world.bench, M1, datetime.now(UTC), None)
    world.run(M1, f"2024-01|{BTC}", f"2024-01|{ETH}")
    honest = {key: world.rows(M1, key) for key in (f"2024-01|{BTC}", f"2024-01|{ETH}")}
    hole = Window(utc(2024, 1, 31, 5), utc(2024, 1, 31, 5, 30))
    world.file(M1, f"2024-01|{BTC}").unlink()
    world.punch(M1, ETH, hole)

    assert world.tick("healing").run_requests == [], "nobody has looked yet"
    assert not scan(world)
    outcome = world.tick("healing")
    assert ranges(outcome) == [(f"2024-01|{BTC}", f"2024-01|{ETH}")]
    assert outcome.run_requests[0].tags[CAUSE] == "healing"
    assert [run.success for run in world.execute(outcome.run_requests)] == [True]

    assert {key: world.rows(M1, key) for key in honest} == honest
    assert scan(world)
    assert world.tick("healing").run_requests == []
    story = world.bench.ledger.story(M1.path, ETH, hole)
    assert [(gap.reason, gap.was) for gap in story if gap.window == hole] == [(HEALED, MISSING)]
    assert story[-1].run.startswith("run:")


def test_an_outage_is_explained_and_not_asked_for_again_until_its_verdict_expires(world):
    world.register(BTC, **DAY)
    hole = Window(utc(2024, 1, 31, 5), utc(2024, 1, 31, 5, 30))
    outage = world.simulator.faults.add(Fault("outage", start=hole.start, end=hole.end))
    world.run(M1, f"2024-01|{BTC}")
    verdict = next(gap for gap in world.bench.ledger.open() if gap.window == hole)
    assert verdict.reason == NO_TRADES
    assert scan(world)
    assert world.tick("healing").run_requests == []

    world.simulator.faults.remove(outage)
    expired = verdict.expires_at + timedelta(minutes=1)
    due = world.bench.ledger.due(expired, 8)
    assert hole in [gap.window for gap in due]
    world.bench.ledger.tried(due, expired)
    assert world.run(M1, f"2024-01|{BTC}").success
    assert len(world.rows(M1, f"2024-01|{BTC}")) == 1_440
    assert hole not in [gap.window for gap in world.bench.ledger.open()]


def test_takes_the_newest_partitions_first_and_only_so_many_at_a_time(world):
    world.register(BTC, ETH, since=utc(2023, 1, 1))
    year = Window(utc(2023, 1, 1), utc(2024, 1, 1))
    missing(world, BTC, year)
    missing(world, ETH, Window(utc(2023, 12, 1), utc(2024, 1, 1)))
    outcome = world.tick(healing(heal_partitions_per_tick=3))
    assert ranges(outcome) == [(f"2023-11|{BTC}", f"2023-11|{BTC}"), (f"2023-12|{BTC}", f"2023-12|{ETH}")]


def test_rests_while_its_last_runs_or_the_start_are_at_work(world):
    world.register(BTC, **DAY)
    missing(world, BTC, Window(*DAY.values()))
    for cause in ("healing", "run_on_start_1m"):
        run = world.pretend("ingest_market", dg.DagsterRunStatus.STARTED, **{CAUSE: cause})
        assert world.tick("healing").run_requests == []
        world.instance.report_run_canceled(run)
    assert [gap.attempts for gap in world.bench.ledger.open()] == [0]
    assert world.tick("healing").run_requests


def test_leaves_series_alone_that_are_disabled_or_do_not_follow_the_table(world):
    world.register(BTC, ETH, **DAY)
    missing(world, BTC, Window(*DAY.values()))
    missing(world, ETH, Window(*DAY.values()), table=M5)
    world.bench.registry.enable(BTC, False)
    outcome = world.tick("healing")
    assert "disabled" in outcome.skip_message
    assert [gap.attempts for gap in world.bench.ledger.open()] == [0, 0]
    world.bench.registry.enable(BTC)
    assert ranges(world.tick("healing")) == [(f"2024-01|{BTC}", f"2024-01|{BTC}")]


def test_what_is_wanted_no_more_is_neither_fetched_nor_counted(world):
    """The ledger was written when the series was wanted from January to March."""
    world.register(BTC, since=utc(2024, 1, 1), until=utc(2024, 4, 1))
    gap_audits(world.bench, M1, datetime.now(UTC), None)
    world.change(BTC, backfill_from=utc(2024, 2, 1), delisted_at=utc(2024, 3, 1))
    (left,) = world.bench.ledger.open()
    assert (left.window, left.reason) == (Window(utc(2024, 2, 1), utc(2024, 3, 1)), MISSING)
    assert ranges(world.tick("healing")) == [(f"2024-02|{BTC}", f"2024-02|{BTC}")]
    story = world.bench.ledger.story(M1.path, BTC, Window(utc(2024, 1, 1), utc(2024, 4, 1)))
    closed = [gap for gap in story if gap.closed_at is not None]
    assert [(gap.window.start, gap.reason, gap.was) for gap in closed] == [
        (utc(2024, 1, 1), NOT_WANTED, MISSING),
        (utc(2024, 3, 1), NOT_WANTED, MISSING),
    ]
    assert "from 2024-02-01T00:00Z to 2024-03-01T00:00Z" in closed[0].evidence
    world.change(BTC, backfill_from=utc(2024, 1, 1))
    assert gap_audits(world.bench, M1, datetime.now(UTC), None)[0].expected == 60 * 1_440
    assert world.bench.ledger.open()[0].window.start == utc(2024, 1, 1), "wanted again"


def test_each_table_has_its_own_requests(world):
    world.register(BTC, timeframes=("1m", "5m"), **DAY)
    for table in (M1, M5):
        missing(world, BTC, Window(*DAY.values()), table=table)
    found = world.tick("healing").run_requests
    assert [request.asset_selection for request in found] == [[asset_key(M1)], [asset_key(M5)]]


def test_waits_longer_after_each_vain_try_and_then_gives_up(world):
    world.register(BTC, **DAY)
    missing(world, BTC, Window(*DAY.values()))
    ledger, now, waits = world.bench.ledger, datetime.now(UTC), []
    for _ in range(3):
        due = ledger.due(now, max_attempts=3)
        assert len(due) == 1
        ledger.tried(due, now)
        waits.append(ledger.open()[0].next_try_at - now)
        assert ledger.due(now + waits[-1] - timedelta(seconds=1), 3) == []
        now += waits[-1]
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]
    assert ledger.due(now + timedelta(days=400), max_attempts=3) == []
    assert ledger.due(now, max_attempts=4)


def test_a_vain_run_keeps_the_count_and_tells_why(world):
    world.register(BTC, **DAY)
    missing(world, BTC, Window(*DAY.values()))
    world.simulator.faults.add(Fault("server_error", path="/api/v3/klines", times=None, status=502))
    runs = world.execute(world.tick("healing").run_requests)
    assert [run.success for run in runs] == [False]
    gap = next(g for g in world.bench.ledger.open() if g.reason == MISSING)
    assert (gap.window, gap.attempts) == (Window(*DAY.values()), 1)
    assert "502" in gap.evidence
    assert world.tick("healing").run_requests == []


def test_long_history_is_fetched_to_its_end_however_many_ticks_that_takes(world):
    """Each tick takes a part of one gap: that it is not all of it does not make the try a vain one."""
    world.register(BTC, since=utc(2023, 5, 31), until=utc(2024, 2, 2), timeframes=("5m",))
    gap_audits(world.bench, M5, datetime.now(UTC), None)
    step = healing(heal_partitions_per_tick=2, heal_max_attempts=2)
    fetched = []
    for _ in range(5):
        outcome = world.tick(step)
        fetched += ranges(outcome)
        assert all(run.success for run in world.execute(outcome.run_requests))
    assert world.tick(step).run_requests == []
    assert len(world.bench.lake.months(M5, BTC)) == 10
    assert fetched[0] == (f"2024-01|{BTC}", f"2024-02|{BTC}")
    assert fetched[-1] == (f"2023-05|{BTC}", f"2023-06|{BTC}")
    assert [gap for gap in world.bench.ledger.open() if gap.reason == MISSING] == []


def test_a_part_that_cannot_be_had_does_not_reset_the_count_of_itself(world):
    """Progress elsewhere in a gap makes the rest due again; the part that failed goes on waiting."""
    world.register(BTC, since=utc(2024, 1, 31), until=utc(2024, 2, 2))
    whole = Window(utc(2024, 1, 31), utc(2024, 2, 2))
    missing(world, BTC, whole)
    now = datetime.now(UTC)
    world.bench.ledger.tried(world.bench.ledger.due(now, 8), now)
    series = world.bench.registry.require(BTC).series
    newest = [piece for piece in slices_of([series], whole) if piece.period == "2024-02"]
    assert all(landed.error is None for landed in world.bench.ingest(M1, newest, run="run:x"))
    rest = [gap for gap in world.bench.ledger.open() if gap.reason == MISSING]
    assert [(gap.window.end, gap.attempts, gap.next_try_at) for gap in rest] == [(utc(2024, 2, 1), 0, None)]
    world.bench.ledger.tried(rest, now)
    world.simulator.faults.add(Fault("server_error", path="/api/v3/klines", times=None))
    older = [piece for piece in slices_of([series], whole) if piece.period == "2024-01"]
    assert all(landed.error for landed in world.bench.ingest(M1, older, run="run:y", options=Options()))
    assert [gap.attempts for gap in world.bench.ledger.open() if gap.reason == MISSING] == [1]


@pytest.mark.parametrize(("limit", "expected"), [(1, ["2024-03"]), (2, ["2024-03", "2024-02"]), (9, 3)])
def test_newest_keys(world, limit, expected):
    world.register(BTC, since=utc(2024, 1, 1))
    missing(world, BTC, Window(utc(2024, 1, 31), utc(2024, 3, 1, 5)))
    keys, taken = newest_keys(world.bench.ledger.open(), limit)
    months = [key.partition("|")[0] for key in keys]
    assert months == expected if isinstance(expected, list) else len(months) == expected
    assert len(taken) == 1
