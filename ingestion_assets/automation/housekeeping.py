"""Forgetting: finished runs and their events, which Dagster keeps for ever.

A run that made the latest materialisation of some partition stays however old it is: with it Dagster
would forget that the partition was ever materialised. Hot runs are soon superseded, so what grows goes.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from pydantic import Field

from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.settings import Settings

BATCH = 500


class HousekeepingConfig(dg.Config):
    keep_days: int | None = Field(None, gt=0, description="Older runs go; HOUSEKEEPING_DAYS when not given.")
    dry_run: bool = Field(False, description="Only count.")


def runs_to_keep(instance: dg.DagsterInstance) -> set[str]:
    """Runs that made the latest materialisation of some asset or of some partition of it."""
    keep: set[str] = set()
    for key in instance.all_asset_keys():
        newest = instance.get_latest_materialization_event(key)
        keep |= {newest.run_id} if newest is not None else set()
        latest = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        ids = list(latest.values())
        for start in range(0, len(ids), BATCH):
            chunk = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + BATCH])
            keep |= {r.run_id for r in instance.fetch_materializations(chunk, limit=BATCH).records}
    return keep


def old_runs(instance: dg.DagsterInstance, before: datetime) -> list[str]:
    """Finished runs from before, oldest first."""
    found: list[str] = []
    cursor = None
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    while True:
        wanted = dg.RunsFilter(statuses=ended, created_before=before)
        records = instance.get_run_records(wanted, limit=BATCH, cursor=cursor)
        found += [record.dagster_run.run_id for record in records]
        if len(records) < BATCH:
            return found[::-1]
        cursor = found[-1]


def forget(instance: dg.DagsterInstance, run_id: str) -> None:
    """Its row, its events, what it printed; on SQLite its own file too, which Dagster leaves behind."""
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    own_file = getattr(instance.event_log_storage, "path_for_shard", None)
    if own_file is not None:
        for path in Path(own_file(run_id)).parent.glob(f"{run_id}.db*"):
            path.unlink(missing_ok=True)


@dg.op(description="Delete finished runs that nothing depends on any more, with their events.")
def forget_old_runs(
    context: dg.OpExecutionContext, config: HousekeepingConfig, workbench: WorkbenchResource
) -> None:
    days = config.keep_days or workbench.open().settings.housekeeping_days
    candidates = old_runs(context.instance, datetime.now(UTC) - timedelta(days=days))
    keep = runs_to_keep(context.instance)
    gone = [run_id for run_id in candidates if run_id not in keep]
    if not config.dry_run:
        for run_id in gone:
            forget(context.instance, run_id)
    context.log.info(
        f"{len(gone)} of {len(candidates)} runs older than {days} days "
        f"{'would be' if config.dry_run else 'are'} forgotten, {len(candidates) - len(gone)} stay"
    )


@dg.job(description="Keep the run history small; see automation/housekeeping.py for what stays.")
def housekeeping() -> None:
    forget_old_runs()


def housekeeping_schedule(settings: Settings) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="housekeeping_nightly",
        job=housekeeping,
        cron_schedule="20 1 * * *",
        execution_timezone=settings.sched_tz,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
