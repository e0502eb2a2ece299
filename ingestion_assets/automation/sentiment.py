"""What follows texts: how those that are new or were edited sound."""

from typing import Any

import dagster as dg

from ingestion_assets.automation.jobs import CAUSE
from ingestion_assets.automation.schedules import at_work
from ingestion_assets.partitions import run_requests
from ingestion_assets.settings import Settings
from ingestion_assets.tables import SENTIMENT, Table
from ingestion_assets.tables.sentiment import POSTS_SENTIMENT, TEXTS

AT_ONCE = 500

SENTIMENT_JOBS = {
    table.path: dg.define_asset_job(
        f"sentiment_{table.domain}",
        selection=dg.AssetSelection.assets(table.path.split("/")).without_checks(),
        description=f"How the texts of {TEXTS[table.path].path} sound, for the partitions of the run.",
    )
    for table in SENTIMENT.values()
}


def sentiment_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    return [
        _follow(table, settings, running=table is not POSTS_SENTIMENT or settings.social_sentiment_enrich)
        for table in SENTIMENT.values()
    ]


def _follow(table: Table, settings: Settings, *, running: bool) -> dg.SensorDefinition:
    texts, job = TEXTS[table.path], SENTIMENT_JOBS[table.path]
    cause = job.name

    @dg.sensor(
        name=cause,
        job=job,
        minimum_interval_seconds=settings.sensor_interval_sec,
        default_status=dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED,
        description=f"Judges what {texts.path} really gained or changed.",
    )
    def follow(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
        records = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=dg.AssetKey(texts.path.split("/")),
                after_storage_id=int(context.cursor) if context.cursor else None,
            ),
            limit=AT_ONCE,
            ascending=True,
        ).records
        if not records:
            return dg.SkipReason("nothing new")
        if at_work(context.instance, cause):
            return dg.SkipReason("the last run of this sensor is still at work")
        keys = list(dict.fromkeys(key for record in records if (key := changed_key(record)) is not None))
        order = context.instance.get_dynamic_partitions(table.domain)
        requests = run_requests(job.name, keys, order, tags={CAUSE: cause})
        return dg.SensorResult(run_requests=requests, cursor=str(records[-1].storage_id))

    return follow


def changed_key(record: dg.EventLogRecord) -> str | None:
    """The partition, unless its materialisation says that nothing changed."""
    event = record.asset_materialization
    if event is None or record.partition_key is None:
        return None
    figures: dict[str, Any] = {name: value.value for name, value in event.metadata.items()}
    told = [figures[name] for name in ("new_rows", "changed_rows", "dropped_rows") if name in figures]
    return record.partition_key if not told or any(told) else None
