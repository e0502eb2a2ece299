"""The definitions as Dagster loads them: complete, quiet, light, and usable from the shell."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

import ingestion_assets.assets
from ingestion_assets.tables import ALL, DERIVED, FED, FETCHED
from ingestion_assets_tests.market_world import M1, asset_key, utc

PROJECT = Path(ingestion_assets.assets.__file__).parents[2]
PYDANTIC_1_OR_2 = "dagster_shared.dagster_model.pydantic_compat_layer"
HEAVY = ("ccxt", "matplotlib", "duckdb", "pandas", "polars", "aiohttp", "hypothesis")


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    from ingestion_assets.definitions import defs

    return defs.get_repository_def()


@pytest.fixture(scope="module")
def graph(repository):
    return repository.asset_graph


@pytest.mark.parametrize("table", ALL.values(), ids=lambda table: table.name)
class TestEveryTable:
    def test_is_an_asset_with_description_owner_group_and_kinds(self, graph, table):
        node = graph.get(asset_key(table))
        assert node.description.startswith(table.text)
        assert (table.needs in node.description) == (table.needs != "none"), "what key it takes"
        assert node.owners == ["team:market-data"]
        assert node.group_name == table.domain
        assert {"python", "parquet"} <= node.kinds

    def test_shows_its_columns_with_units_and_types(self, graph, table):
        schema = graph.get(asset_key(table)).metadata["dagster/column_schema"]
        assert [column.name for column in schema.columns] == table.schema.names
        for column, stated in zip(schema.columns, table.columns, strict=True):
            assert column.description == stated.text
            assert column.constraints.nullable is not stated.required

    def test_is_cut_by_month_or_day_and_series(self, graph, table):
        partitions = graph.get(asset_key(table)).partitions_def
        assert {d.name for d in partitions.partitions_defs} == {table.cut, "series"}
        assert graph.get(asset_key(table)).backfill_policy == dg.BackfillPolicy.single_run()

    def test_is_checked(self, graph, table):
        names = {key.name for key in graph.asset_check_keys if key.asset_key == asset_key(table)}
        assert "promises" in names
        assert names >= ({"complete", "fresh"} if table in FETCHED.values() else set())

    def test_has_a_freshness_badge_when_it_comes_from_a_venue(self, graph, table):
        policy = graph.get(asset_key(table)).freshness_policy
        assert (policy is not None) == (table in FETCHED.values())


def test_no_asset_is_left_outside(repository, graph):
    """Every asset that a module in assets/ defines is loaded, and no table is without an asset."""
    folder = Path(ingestion_assets.assets.__file__).parent
    defined = set()
    for path in sorted(folder.glob("*.py")):
        module = importlib.import_module(f"ingestion_assets.assets.{path.stem}")
        found = [value for value in vars(module).values() if isinstance(value, dg.AssetsDefinition)]
        found += [a for value in vars(module).values() if isinstance(value, list) for a in value]
        found = [value for value in found if isinstance(value, dg.AssetsDefinition)]
        assert found or path.stem == "__init__", f"{path.name} defines no asset"
        defined |= {key for asset in found for key in asset.keys}
    assert defined == set(graph.materializable_asset_keys)
    assert {asset_key(table) for table in ALL.values()} <= defined


def test_assets_name_their_upstreams_by_key_and_import_no_sibling():
    for path in Path(ingestion_assets.assets.__file__).parent.glob("*.py"):
        names = [
            node.module or ""
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
        ]
        assert not [name for name in names if name.startswith("ingestion_assets.assets")], path.name


def test_everything_that_runs_by_itself_does_so_from_the_start(repository):
    sensors = {sensor.name: sensor.default_status for sensor in repository.sensor_defs}
    names = {"registry_sync", "run_on_start", "freshness", "healing", "derive", "alerts"}
    names |= {"sweep_on_start", "online_catch_up", "sentiment_news", "sentiment_social"}
    names |= {"features_onchain", "features_social", "features_news", "restated"}
    assert sensors == dict.fromkeys(names, dg.DefaultSensorStatus.RUNNING)
    running = {
        s.name for s in repository.schedule_defs if s.default_status == dg.DefaultScheduleStatus.RUNNING
    }
    nightly = {"gap_scan_hourly", "gap_scan_nightly", "quality_scan_nightly", "report_coverage_daily"}
    nightly |= {"online_check_hourly"}
    feeds = {f"hot_{table.path.replace('/', '_')}" for table in FED.values()}
    assert running == {"hot_1m", "hot_5m", "housekeeping_nightly", "derive_nightly", *nightly, *feeds}
    jobs = {"ingest_market", "derive_market", "gap_scan", "quality_scan", "report_coverage", "housekeeping"}
    assert jobs <= {job.name for job in repository.get_all_jobs()}


def test_runs_stay_in_their_process(repository):
    """A step in a process of its own would cost an interpreter's start each time."""
    assert repository.get_job("ingest_market").executor_def.name == "in_process"


def test_derived_tables_depend_on_the_minutes(graph):
    for table in DERIVED.values():
        assert graph.get(asset_key(table)).parent_keys == {asset_key(M1)}


LOAD = """
import json, sys, warnings
before = set(sys.modules)
import ingestion_assets.definitions as d
d.defs.get_repository_def()
print(json.dumps({"modules": sorted({name.partition(".")[0] for name in set(sys.modules) - before})}))
"""


def shell(world_folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    home = world_folder / "home"
    home.mkdir(exist_ok=True)  # the shell's working folder too, so that no file of the checkout is read
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(PROJECT),
        "INGEST_STATE_DIR": str(world_folder / "state"),
        "DATA_LAKE_PATH": str(world_folder / "lake"),
    }
    return subprocess.run(
        command, env=variables | environment, cwd=home, capture_output=True, text=True, timeout=240
    )


def test_loads_without_a_warning_without_heavy_imports_and_without_touching_anything(tmp_path):
    """Only dagster's own modules may warn, of what pydantic will take away in its next version."""
    done = shell(
        tmp_path,
        sys.executable,
        *(
            "-W",
            "error",
            "-W",
            "ignore::DeprecationWarning:dagster_shared.dagster_model.pydantic_compat_layer",
        ),
        *("-c", LOAD),
        MARKET_JOBS=json.dumps([{"exchange": "binance", "symbol": "BTC/USDT", "cron": "*/7 * * * *"}]),
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])["modules"]
    assert not set(HEAVY) & set(loaded)
    assert [path.name for path in tmp_path.iterdir()] == ["home"], "loading makes no file"


def test_a_wrong_setting_keeps_them_from_loading_and_is_named(tmp_path):
    jobs = json.dumps(
        [{"exchange": "binance", "symbol": "BTC/USDT", "timeframe": "15m", "cron": "0 * * * *"}]
    )
    done = shell(tmp_path, sys.executable, "-c", "import ingestion_assets.definitions", MARKET_JOBS=jobs)
    assert done.returncode != 0
    assert "MARKET_JOBS: entry 1 (binance.BTC-USDT): timeframe '15m' is not ingested" in done.stderr


def test_the_shell_materialises_a_partition_and_a_range(world_on_disk):
    """The commands of the README, as they are typed."""
    world, names = world_on_disk, ("binance.BTC-USDT", "binance.ETH-USDT")
    world.register(*names, since=utc(2024, 1, 31), until=utc(2024, 2, 2))
    line, module = "dagster asset materialize --select market/ohlcv_1m", "ingestion_assets.definitions"
    told = (PROJECT / "README.md").read_text()
    assert f"export DAGSTER_MODULE_NAME={module}\n{line} --partition " in told
    assert "--partition-range " in told
    given = {
        "DAGSTER_MODULE_NAME": module,
        "DAGSTER_HOME": str(world.folder / "dagster"),
        "EXCHANGE_URLS": json.dumps({"binance": world.simulator.url}),
    }
    one = f"--partition 2024-01|{names[0]}"
    several = f"--partition-range 2024-01|{names[0]}...2024-02|{names[1]}"
    for keys, held in ((one, 1), (several, 4)):
        done = shell(world.folder, *f"{line} {keys}".split(), **given)
        assert done.returncode == 0, done.stderr
        assert len(world.materialized(M1)) == held
    assert world.bench.lake.inventory(M1) == {name: ["2024-01", "2024-02"] for name in names}
