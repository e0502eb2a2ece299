"""Fetches again what came from a file that an archive has restated since; checks/archive.py finds these.

The whole month or day is fetched and takes the place of what was held; earlier values stay in `_revisions`.
What fails is tried again the next day.
"""

from datetime import UTC, datetime

import dagster as dg

from ingestion_assets.automation.jobs import CAUSE, FEED_JOBS, job_for, part
from ingestion_assets.automation.schedules import at_work
from ingestion_assets.checks.archive import ARCHIVE_CHECKS
from ingestion_assets.intervals import periods
from ingestion_assets.partitions import key_of, run_requests
from ingestion_assets.resources import workbench
from ingestion_assets.settings import Settings
from ingestion_assets.stores.archive_files import ArchiveFiles
from ingestion_assets.tables import FED

TABLES = [FED["/".join(key.asset_key.path)] for check in ARCHIVE_CHECKS for key in check.check_keys]


def restated_sensor(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        name="restated",
        jobs=[FEED_JOBS[place] for place in sorted({(table.domain, table.cut) for table in TABLES})],
        minimum_interval_seconds=max(300, settings.sensor_interval_sec),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fetches months and days again whose files the archive has restated, a few at a time.",
    )
    def restated(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        if at_work(context.instance, "restated"):
            return dg.SkipReason("the last run of this sensor is still at work")
        bench, now = workbench(), datetime.now(UTC)
        requests: list[dg.RunRequest] = []
        for table in TABLES:
            order = context.instance.get_dynamic_partitions(table.domain)
            wanted = {series.id for series in bench.followed(table)} & set(order)
            keys = dict.fromkeys(
                key_of(period, one.series)
                for one in ArchiveFiles(bench.catalog).restated(table.path)
                if one.series in wanted
                for period in periods(one.window, table.cut)
            )
            op = table.path.replace("/", "__")
            requests += run_requests(
                job_for(table),
                in_turn(list(keys), settings.heal_partitions_per_tick, now.toordinal()),
                order,
                run_key=f"restated:{table.path}:{now:%Y-%m-%d}",
                tags={CAUSE: "restated"},
                run_config={"ops": {op: {"config": {"full_refresh": True}}}},
                **part(table.path),
            )
        return requests or dg.SkipReason("no file was restated")

    return restated


def in_turn(keys: list[str], many: int, day: int) -> list[str]:
    """Some of them, others each day, so that those which fail for ever keep nobody waiting."""
    start = day * many % len(keys) if len(keys) > many else 0
    return (keys[start:] + keys[:start])[:many]
