"""Sensors: the registry as partitions, the start of a deployment, freshness."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from ingestion_assets.automation.jobs import CAUSE
from ingestion_assets.automation.sensors import DEPLOYMENT, run_alive, sensors
from ingestion_assets.registry import Status
from ingestion_assets.settings import load_settings
from ingestion_assets.simulator import Fault
from ingestion_assets.stores.registry_table import process_owner
from ingestion_assets_tests.checks.test_market import hold
from ingestion_assets_tests.market_world import M1, M5, asset_key, utc

BTC, ETH, SOL = "binance.BTC-USDT", "binance.ETH-USDT", "binance.SOL-USDT"


def sensor(name: str, **environment) -> dg.SensorDefinition:
    return next(s for s in sensors(load_settings(**environment)) if s.name == name)


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

    def test_what_cannot_be_read_keeps_nobody_from_becoming_a_partition(self, world):
        world.setenv(INGESTION_MARKETS="binance.SPX,BTC/USDT,SPX,coingecko.bitcoin")
        outcome = world.tick("registry_sync")
        assert world.instance.get_dynamic_partitions("market") == [BTC]
        assert world.instance.get_dynamic_partitions("snapshots") == ["mock.SPX-USD"]
        assert "2 refused: INGESTION_MARKETS: binance.SPX: " in outcome.skip_message
        assert "coingecko needs a key: set COINGECKO_API_KEY" in outcome.skip_message
        assert outcome.cursor == DEPLOYMENT, "it is not asked for again before the next start"

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
