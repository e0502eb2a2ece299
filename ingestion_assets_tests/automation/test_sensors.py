"""Sensors: the registry as partitions, the start of a deployment, freshness, aggregates that follow."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ingestion_assets.automation.jobs import CAUSE
from ingestion_assets.automation.sensors import DEPLOYMENT, outdated, run_alive, sensors
from ingestion_assets.intervals import Window
from ingestion_assets.partitions import RANGE_END, RANGE_START
from ingestion_assets.registry import Status
from ingestion_assets.settings import load_settings
from ingestion_assets.simulator import Fault
from ingestion_assets.stores.registry_table import process_owner
from ingestion_assets.tables import DERIVED
from ingestion_assets_tests.market_world import M1, M5, asset_key, utc
from ingestion_assets_tests.test_checks import hold

BTC, ETH, SOL = "binance.BTC-USDT", "binance.ETH-USDT", "binance.SOL-USDT"


def sensor(name: str, **environment) -> dg.SensorDefinition:
    return next(s for s in sensors(load_settings(**environment)) if s.name == name)


def ranges(outcome) -> list[tuple[str, str]]:
    tags = [request.tags for request in outcome.run_requests]
    return [(tag[RANGE_START], tag[RANGE_END]) for tag in tags if RANGE_START in tag]


class TestRegistrySync:
    def test_plants_what_is_shipped_and_makes_partitions_of_it(self, world):
        outcome = world.tick("registry_sync")
        assert outcome.skip_message == "3 series, 3 new, 0 interrupted, 0 refused"
        assert world.instance.get_dynamic_partitions("market") == [BTC, ETH, SOL]
        frames = {s.id: s.timeframes for s in world.bench.registry.series()}
        assert frames == {BTC: ("1m", "5m"), ETH: ("1m",), SOL: ("1m",)}
        assert outcome.cursor == DEPLOYMENT
        pending = {(gap.table, gap.series) for gap in world.bench.ledger.open()}
        assert pending == {(M1.path, BTC), (M1.path, ETH), (M1.path, SOL), (M5.path, BTC)}

    def test_plants_what_the_environment_asks_for_and_says_what_it_could_not(self, world):
        job = {"exchange": "binance", "symbol": "LTC/USDT", "timeframe": "5m", "cron": "*/5 * * * *"}
        world.setenv(INGESTION_MARKETS="BTC/USDT,NOPE/USDT", MARKET_JOBS=json.dumps([job]))
        outcome = world.tick("registry_sync")
        assert world.instance.get_dynamic_partitions("market") == [BTC, "binance.LTC-USDT"]
        assert "1 refused: binance.NOPE-USDT" in outcome.skip_message
        assert outcome.cursor != DEPLOYMENT, "what could not be planted is tried again"
        world.setenv(INGESTION_MARKETS="BTC/USDT")
        assert world.tick("registry_sync").cursor == DEPLOYMENT

    def test_plants_once_for_each_deployment_so_that_what_was_removed_stays_away(self, world):
        cursor = world.tick("registry_sync").cursor
        world.bench.registry.remove(SOL)
        world.tick("registry_sync", cursor)
        assert world.bench.registry.get(SOL) is not None, "its partition is still there, as if typed in"
        world.bench.registry.remove(SOL)
        world.instance.delete_dynamic_partition("market", SOL)
        world.tick("registry_sync", cursor)
        assert world.bench.registry.get(SOL) is None

    def test_registers_what_was_typed_in_and_asks_for_its_history(self, world):
        cursor = world.tick("registry_sync").cursor
        world.instance.add_dynamic_partitions("market", ["binance.NOPE-USDT", "binance.LTC-USDT", "no id"])
        outcome = world.tick("registry_sync", cursor)
        assert outcome.skip_message.startswith("4 series, 1 new, 0 interrupted, 2 refused: ")
        assert "binance has no market 'NOPE/USDT'" in outcome.skip_message
        assert "series id 'no id'" in outcome.skip_message
        assert outcome.cursor == DEPLOYMENT
        assert world.bench.registry.require("binance.LTC-USDT").series.listed_at == utc(2017, 12, 13, 3)
        assert {gap.series for gap in world.bench.ledger.open()} == {BTC, ETH, SOL, "binance.LTC-USDT"}

    def test_goes_on_when_the_venue_does_not_answer(self, world):
        world.tick("registry_sync")
        world.register("binance.ADA-USDT")
        world.instance.delete_dynamic_partition("market", "binance.ADA-USDT")
        world.instance.add_dynamic_partitions("market", ["binance.LTC-USDT"])
        world.simulator.faults.add(Fault("server_error", times=None, status=502))
        outcome = world.tick("registry_sync", DEPLOYMENT)
        assert "502" in outcome.skip_message
        assert "binance.ADA-USDT" in world.instance.get_dynamic_partitions("market")
        world.simulator.faults.clear()
        assert world.tick("registry_sync", DEPLOYMENT).skip_message.endswith("0 refused")

    def test_a_series_whose_run_was_killed_is_said_to_be_interrupted(self, world):
        world.tick("registry_sync")
        alive = world.pretend("ingest_market", dg.DagsterRunStatus.STARTED)
        killed = world.pretend("ingest_market", dg.DagsterRunStatus.FAILURE)
        world.bench.registry.start([BTC], f"run:{alive.run_id}")
        world.bench.registry.start([ETH], f"run:{killed.run_id}")
        world.bench.registry.start([SOL], "run:never-was")
        outcome = world.tick("registry_sync", DEPLOYMENT)
        assert "2 interrupted" in outcome.skip_message
        states = {e.series.id: (e.status, e.error_message) for e in world.bench.registry.entries()}
        assert states[BTC] == (Status.RUNNING, None)
        assert states[ETH][0] == states[SOL][0] == Status.ERROR
        assert "interrupted" in states[ETH][1]

    def test_a_shell_that_works_on_a_series_is_asked_itself(self, world):
        assert run_alive(world.instance, process_owner())
        host, pid = process_owner().split(":")[1:3]
        assert not run_alive(world.instance, f"pid:{host}:{pid}:long ago")


class TestRunOnStart:
    def test_asks_for_the_whole_registry_once_for_each_deployment(self, world):
        assert "registry_sync" in world.tick("run_on_start").skip_message or not world.bench.registry.series()
        world.tick("registry_sync")
        outcome = world.tick("run_on_start")
        assert [r.asset_selection for r in outcome.run_requests] == [[asset_key(M1)], [asset_key(M5)]]
        assert {r.tags[CAUSE] for r in outcome.run_requests} == {"run_on_start_1m", "run_on_start_5m"}
        assert outcome.cursor == DEPLOYMENT
        assert "has had its start" in world.tick("run_on_start", outcome.cursor).skip_message
        assert world.tick("run_on_start", "another deployment").run_requests

    def test_is_off_when_asked(self, world):
        world.tick("registry_sync")
        assert "RUN_ON_START is off" in world.tick(sensor("run_on_start", run_on_start=False)).skip_message


class TestFreshness:
    def test_writes_results_when_something_changes_or_ten_minutes_have_passed(self, world):
        world.register(BTC, ETH, since=utc(2024, 1, 1))
        now = datetime.now(UTC)
        hold(world, BTC, now)
        hold(world, ETH, now)
        first = world.tick("freshness")
        assert [event.check_name for event in first.asset_events] == ["fresh"]
        assert world.evaluation(M1, "fresh").passed
        slot = f"{datetime.now(UTC):%Y%m%d%H}{datetime.now(UTC).minute // 10}"
        again = world.tick("freshness", first.cursor)
        assert again.asset_events == [] or slot not in first.cursor
        assert world.tick("freshness", first.cursor.replace("=", "=1")).asset_events, "ten minutes later"

    def test_a_late_series_is_written_down_and_its_disabling_ends_that(self, world):
        world.register(BTC, since=utc(2024, 1, 1))
        hold(world, BTC, datetime.now(UTC) - timedelta(hours=2))
        late = world.tick("freshness")
        assert not world.evaluation(M1, "fresh").passed
        world.bench.registry.enable(BTC, False)
        world.tick("freshness", late.cursor)
        assert world.evaluation(M1, "fresh").passed

    def test_a_table_that_nobody_follows_has_no_result(self, world):
        assert world.tick("freshness").asset_events == []


class TestDerive:
    """Aggregates are asked for exactly where minutes changed."""

    @pytest.fixture
    def ingested(self, world):
        world.register(BTC, ETH, SOL, since=utc(2024, 1, 31), until=utc(2024, 2, 10))
        world.run(M1, f"2024-01|{BTC}", f"2024-02|{SOL}")
        return world

    def test_follows_what_changed_and_then_rests(self, ingested):
        outcome = ingested.tick("derive")
        assert ranges(outcome)[0] == (f"2024-01|{BTC}", f"2024-02|{SOL}")
        assert {request.job_name for request in outcome.run_requests[1:]} == {
            "report_coverage", "gap_scan", "quality_scan",
        }  # fmt: skip
        assert ingested.tick("derive", outcome.cursor).skip_message == "nothing new"
        ingested.run(M1, f"2024-01|{BTC}", f"2024-02|{SOL}")
        unchanged = ingested.tick("derive", outcome.cursor)
        assert unchanged.run_requests == []
        assert int(unchanged.cursor) > int(outcome.cursor)

    def test_follows_one_series_and_not_its_neighbours(self, ingested):
        cursor = ingested.tick("derive").cursor
        ingested.punch(M1, ETH, Window(utc(2024, 1, 31, 5), utc(2024, 1, 31, 6)))
        ingested.run(M1, f"2024-01|{BTC}", f"2024-01|{SOL}")
        outcome = ingested.tick("derive", cursor)
        assert ranges(outcome)[:1] == [(f"2024-01|{ETH}", f"2024-01|{ETH}")]

    def test_days_of_a_week_that_opened_in_the_month_before_change_that_month_too(self, ingested):
        cursor = ingested.tick("derive").cursor
        ingested.punch(M1, BTC, Window(utc(2024, 2, 3), utc(2024, 2, 4)))
        ingested.run(M1, f"2024-02|{BTC}")
        outcome = ingested.tick("derive", cursor)
        assert ranges(outcome)[:1] == [(f"2024-01|{BTC}", f"2024-02|{BTC}")]
        later = outcome.cursor
        ingested.punch(M1, BTC, Window(utc(2024, 2, 8), utc(2024, 2, 9)))
        ingested.run(M1, f"2024-02|{BTC}")
        assert ranges(ingested.tick("derive", later))[:1] == [(f"2024-02|{BTC}", f"2024-02|{BTC}")]

    def test_waits_while_the_last_aggregation_is_at_work_and_forgets_nothing(self, ingested):
        run = ingested.pretend("derive_market", dg.DagsterRunStatus.STARTED, **{CAUSE: "derive"})
        waiting = ingested.tick("derive")
        assert "still at work" in waiting.skip_message
        assert not waiting.cursor
        ingested.instance.report_run_canceled(run)
        assert ranges(ingested.tick("derive"))[0] == (f"2024-01|{BTC}", f"2024-02|{SOL}")

    def test_one_series_that_fails_does_not_hold_up_the_tables_of_the_others(self, world):
        world.register(BTC, ETH, since=utc(2024, 1, 31), until=utc(2024, 2, 1))
        world.simulator.faults.add(Fault("server_error", path="/api/v3/klines", symbol="ETHUSDT", times=None))
        assert not world.run(M1, f"2024-01|{BTC}", f"2024-01|{ETH}").success
        outcome = world.tick("derive")
        assert ranges(outcome)[0] == (f"2024-01|{BTC}", f"2024-01|{BTC}")
        assert all(run.success for run in world.execute(outcome.run_requests[:1]))
        assert all(
            len(world.rows(DERIVED[name], f"2024-01|{BTC}")) == n for name, n in (("1h", 24), ("1d", 1))
        )


def record(key: str, **figures) -> dg.EventLogRecord:
    """A materialisation of minutes with these figures, as it is read back."""
    with dg.DagsterInstance.ephemeral() as instance:
        shown = {name: value for name, value in figures.items() if value is not None}
        instance.report_runless_asset_event(
            dg.AssetMaterialization(asset_key(M1), partition=key, metadata=shown)
        )
        return instance.fetch_materializations(asset_key(M1), limit=1).records[0]


@pytest.mark.parametrize(
    ("touched", "last", "months"),
    [
        ("2024-05-15T13:55Z", "2024-05-15T13:58Z", []),
        ("2024-05-15T13:55Z", "2024-05-15T13:59Z", ["2024-05"]),
        ("2024-05-15T13:55Z", "2024-05-15T14:03Z", ["2024-05"]),
        (None, "2024-05-15T14:03Z", []),
        ("2024-05-05T23:59Z", "2024-05-06T00:03Z", ["2024-05", "2024-04"]),
        ("2024-05-06T00:00Z", "2024-05-06T01:03Z", ["2024-05"]),
    ],
)
def test_which_partitions_a_change_of_minutes_makes_out_of_date(touched, last, months):
    found = list(outdated(record(f"2024-05|{BTC}", new_rows=5, touched_from=touched, last=last)))
    assert found == [f"{month}|{BTC}" for month in months]


def test_a_materialisation_that_somebody_reported_by_hand_counts_as_a_change():
    assert list(outdated(record(f"2024-05|{BTC}"))) == [f"2024-05|{BTC}"]
