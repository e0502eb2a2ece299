"""One test's whole world: the simulator as vendor, a lake, a catalog, a Dagster instance. Nothing is faked.

Dagster's storage is SQLite in memory, or in files for the tests that need these; those are a copy of
empty ones, for making their tables takes seconds. Definitions are the real ones.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef

from ingestion_assets import resources
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.partitions import RANGE_END, RANGE_START
from ingestion_assets.registry import Series, parse_id
from ingestion_assets.settings import SIMULATED
from ingestion_assets.simulator import Simulator
from ingestion_assets.tables import INGESTED, Table
from ingestion_assets.workbench import Workbench

M1, M5 = INGESTED["1m"], INGESTED["5m"]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def asset_key(table: Table) -> dg.AssetKey:
    return dg.AssetKey(table.path.split("/"))


class MarketWorld:
    def __init__(
        self, folder: Path, simulator: Simulator, instance: dg.DagsterInstance, patch: pytest.MonkeyPatch
    ) -> None:
        self.folder, self.simulator, self.instance, self._patch = folder, simulator, instance, patch
        self.setenv(
            EXCHANGE_URLS=json.dumps(dict.fromkeys(SIMULATED, simulator.url)),
            DATA_LAKE_PATH=str(folder / "lake"),
            INGEST_STATE_DIR=str(folder / "state"),
            INGESTION_LOOKBACK_DAYS="1",
            HTTP_ATTEMPTS="1",
        )

    def setenv(self, **variables: str) -> None:
        """Change the environment, and let the next user of the workbench see it."""
        for name, value in variables.items():
            self._patch.setenv(name, value)
        self.forget_workbench()

    def forget_workbench(self) -> None:
        if resources.workbench.cache_info().currsize:
            resources.workbench().catalog.close()
        resources.workbench.cache_clear()

    @property
    def bench(self) -> Workbench:
        return resources.workbench()

    @cached_property
    def repository(self) -> dg.RepositoryDefinition:
        from ingestion_assets.definitions import defs

        return defs.get_repository_def()

    # Series and what is held of them

    def register(
        self, *ids: str, since: datetime | None = None, until: datetime | None = None, **facts: Any
    ) -> list[Series]:
        """Registered series, as partitions too; `since` and `until` bound what exists of them."""
        made = []
        for name in ids:
            exchange, symbol = parse_id(name)
            bounds = {"listed_at": since, "backfill_from": since, "delisted_at": until}
            made.append(Series(name, "market", exchange, symbol, **(bounds | facts)))
        self.bench.registry.add_missing(made)
        self.instance.add_dynamic_partitions("market", list(ids))
        return made

    def change(self, name: str, **facts: Any) -> None:
        self.bench.registry.update(dataclasses.replace(self.bench.registry.require(name).series, **facts))

    def file(self, table: Table, key: str) -> Path:
        month, _, series = key.partition("|")
        return self.folder / "lake" / self.bench.lake.path(table, series, month)

    def rows(self, table: Table, key: str) -> list[dict[str, Any]]:
        month, _, series = key.partition("|")
        return self.bench.lake.read(table, series, month_window(month)).to_pylist()  # type: ignore[no-any-return]

    def punch(self, table: Table, series: str, hole: Window) -> None:
        """Take rows out of a file, as if they had never come."""
        for month in {f"{moment:%Y-%m}" for moment in (hole.start, hole.end)}:
            path = self.file(table, f"{month}|{series}")
            if path.exists():
                self.bench.lake.merge(
                    table, series, month, table.schema.empty_table(), notes={}, replace=[hole]
                )

    def lake_files(self) -> dict[str, bytes]:
        root = self.folder / "lake"
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    # Runs

    def run(
        self,
        target: Table | str,
        first: str | None = None,
        last: str | None = None,
        *,
        config: dict[str, Any] | None = None,
        run_config: dict[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """A table's asset over one key or a range, or a whole job by name."""
        run_config = run_config or {}
        if isinstance(target, str):
            job = self.repository.get_job(target)
        else:
            whole = self.repository.get_job(
                "ingest_market" if target in INGESTED.values() else "derive_market"
            )
            job = whole.get_subset(asset_selection={asset_key(target)}, asset_check_selection=set())
            if config:
                run_config = {"ops": {target.path.replace("/", "__"): {"config": config}}}
        if last is None and first is not None:
            return job.execute_in_process(
                run_config, self.instance, partition_key=first, raise_on_error=False
            )
        tags = {RANGE_START: first, RANGE_END: last} if first and last else {}
        return job.execute_in_process(run_config, self.instance, tags=tags, raise_on_error=False)

    def execute(self, requests: Iterable[dg.RunRequest]) -> list[dg.ExecuteInProcessResult]:
        """What the daemon would launch, in this process."""
        done = []
        for request in requests:
            assert request.job_name is not None
            job = self.repository.get_job(request.job_name)
            if request.asset_selection is not None:
                assert request.asset_check_keys is not None, "Dagster would add every check of these assets"
                job = job.get_subset(
                    asset_selection=set(request.asset_selection),
                    asset_check_selection=set(request.asset_check_keys),
                )
            done.append(
                job.execute_in_process(
                    request.run_config, self.instance, tags=dict(request.tags), raise_on_error=False
                )
            )
        return done

    def pretend(self, job: str, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
        """A run that is there and does nothing."""
        return self.instance.create_run_for_job(self.repository.get_job(job), tags=tags, status=status)

    # Automation

    def tick(self, sensor: str | dg.SensorDefinition, cursor: str | None = None) -> Any:
        """One evaluation of a sensor, by name or as defined; what it reports is written down."""
        found = self.repository.get_sensor_def(sensor) if isinstance(sensor, str) else sensor
        context = dg.build_sensor_context(
            self.instance, cursor, repository_def=self.repository, sensor_name=found.name
        )
        outcome = found.evaluate_tick(context)
        for event in outcome.asset_events:
            self.instance.report_runless_asset_event(event)
        return outcome

    def at(self, schedule: str | dg.ScheduleDefinition, moment: datetime) -> Any:
        """One evaluation of a schedule."""
        found = self.repository.get_schedule_def(schedule) if isinstance(schedule, str) else schedule
        context = dg.build_schedule_context(scheduled_execution_time=moment, repository_def=self.repository)
        # It takes references only, and an instance in memory has none.
        context._instance, context._instance_ref = self.instance, InstanceRef.from_dir(str(self.folder))
        return found.evaluate_tick(context)

    # What Dagster remembers

    def materialized(self, table: Table) -> dict[str, dict[str, Any]]:
        """The newest figures of each partition."""
        found = self.instance.fetch_materializations(asset_key(table), limit=10_000, ascending=True)
        return {
            str(record.partition_key): {k: v.value for k, v in record.asset_materialization.metadata.items()}
            for record in found.records
            if record.asset_materialization is not None
        }

    def evaluation(self, table: Table, check: str) -> dg.AssetCheckEvaluation:
        """The newest result of a check."""
        key = dg.AssetCheckKey(asset_key(table), check)
        record = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert record.evaluation is not None, f"{key} has no result"
        return record.evaluation

    def told(self, run: dg.ExecuteInProcessResult) -> str:
        """Everything that was written down about a run."""
        return "\n".join(str(entry) for entry in self.instance.all_logs(run.run_id))


def market_world(
    folder: Path, instance: dg.DagsterInstance, patch: pytest.MonkeyPatch
) -> Iterator[MarketWorld]:
    with Simulator(weight_limit=10**7, raw_limit=10**7) as simulator:
        world = MarketWorld(folder, simulator, instance, patch)
        yield world
        world.forget_workbench()


def empty_instance(folder: Path) -> None:
    """Make the tables of an instance once, to be copied."""
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        instance.get_runs()
        instance.get_dynamic_partitions("market")
        instance.all_asset_keys()


def copied_instance(template: Path, folder: Path) -> dg.DagsterInstance:
    shutil.copytree(template, folder)
    return dg.DagsterInstance.local_temp(str(folder))


def failure_text(run: dg.ExecuteInProcessResult) -> str:
    """What the failed step said."""
    failed = [event for event in run.all_events if event.is_step_failure]
    assert len(failed) == 1, f"{len(failed)} steps failed"
    data = failed[0].step_failure_data
    given = data.user_failure_data
    return str(given.description if given is not None else data.error)
