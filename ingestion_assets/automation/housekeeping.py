"""Forgetting: finished runs and their events, which Dagster keeps for ever.

A run that made the latest materialisation of some partition stays however old it is: with it Dagster
would forget that the partition was ever materialised. Hot runs are soon superseded, so what grows goes.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.settings import Settings

BATCH = 500


class HousekeepingConfig(dg.Config):
    keep_days: int | None = Field(None, gt=0, description="Older runs go; HOUSEKEEPING_DAYS when not given.")
    dry_run: bool = Field(False, description="Only count.")


def runs_to_keep(instance: dg.DagsterInstance) -> set[str]:
    """Runs that made the latest materialisation of some partition of some asset."""
    keep: set[str] = set()
    for key in instance.all_asset_keys():
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
            context.instance.delete_run(run_id)
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
