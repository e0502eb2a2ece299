"""Housekeeping on an instance in files: what nothing depends on any more goes, with all that it left."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context

from ingestion_assets.automation.housekeeping import old_runs, runs_to_keep
from ingestion_assets_tests.market_world import M1, asset_key, utc

BTC, ETH = "binance.BTC-USDT", "binance.ETH-USDT"


def left_behind(world, run_id: str) -> list[Path]:
    """Files that carry a run's name."""
    return [path for path in (world.folder / "dagster").rglob("*") if run_id in path.name]


def age(world, days: int, *runs: dg.ExecuteInProcessResult) -> None:
    """Make runs as old as that; nothing of Dagster's own does."""
    moment = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.000000")
    with sqlite3.connect(next((world.folder / "dagster").rglob("runs.db"))) as database:
        for run in runs:
            database.execute("UPDATE runs SET create_timestamp = ? WHERE run_id = ?", (moment, run.run_id))


def partition_status(world) -> set[str]:
    """The partitions that Dagster calls materialised."""
    with partition_loading_context(dynamic_partitions_store=world.instance):
        return {str(key) for key in world.instance.get_materialized_partitions(asset_key(M1))}


def test_superseded_runs_go_and_those_that_a_partition_stands_on_stay(world_on_disk):
    world = world_on_disk
    world.register(BTC, ETH, since=utc(2024, 1, 31, 23), until=utc(2024, 2, 1, 1))
    only_one_of_january = world.run(M1, f"2024-01|{BTC}")
    superseded = world.run(M1, f"2024-02|{BTC}")
    failed = world.run(M1, f"2024-02|{BTC}", config={"full_refresh": True, "verify": True})
    last = world.run(M1, f"2024-02|{BTC}", f"2024-02|{ETH}")
    report = world.run("report_coverage")
    young = world.run(M1, f"2024-02|{BTC}")
    age(world, 31, only_one_of_january, superseded, failed, last, report)
    before = partition_status(world)
    assert len(before) == 3

    limit = datetime.now(UTC) - timedelta(days=30)
    assert set(old_runs(world.instance, limit)) == {
        run.run_id for run in (only_one_of_january, superseded, failed, last, report)
    }
    stay = {run.run_id for run in (only_one_of_january, last, report, young)}
    assert runs_to_keep(world.instance) == stay

    dry = world.run("housekeeping", run_config={"ops": {"forget_old_runs": {"config": {"dry_run": True}}}})
    assert "2 of 5 runs older than 30 days would be forgotten, 3 stay" in world.told(dry)
    assert left_behind(world, superseded.run_id)

    done = world.run("housekeeping")
    assert done.success
    assert {run.run_id for run in world.instance.get_runs()} == stay | {dry.run_id, done.run_id}
    for gone in (superseded, failed):
        assert world.instance.get_run_by_id(gone.run_id) is None
        assert left_behind(world, gone.run_id) == []
    assert partition_status(world) == before
    assert world.materialized(M1)[f"2024-01|{BTC}"]["rows"] == 60
    assert world.instance.get_latest_materialization_event(dg.AssetKey(["reports", "market_coverage"]))


def test_the_days_are_a_setting_and_runs_at_work_are_never_old(world_on_disk):
    world = world_on_disk
    world.setenv(HOUSEKEEPING_DAYS="3")
    at_work = world.pretend("ingest_market", dg.DagsterRunStatus.STARTED)
    ended = world.pretend("ingest_market", dg.DagsterRunStatus.FAILURE)
    age(world, 4, at_work, ended)  # type: ignore[arg-type]
    assert world.run("housekeeping").success
    left = [run.run_id for run in world.instance.get_runs() if run.job_name == "ingest_market"]
    assert left == [at_work.run_id]
