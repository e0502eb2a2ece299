"""What follows metrics, posts and news: their features, in the lake and online."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from ingestion_assets.assets.domain_features import UPSTREAM
from ingestion_assets.automation.jobs import CAUSE
from ingestion_assets.automation.schedules import at_work
from ingestion_assets.automation.sentiment import changed_key
from ingestion_assets.intervals import month_of, month_window
from ingestion_assets.partitions import key_of, parts_of, run_requests
from ingestion_assets.settings import Settings
from ingestion_assets.tables import DOMAIN_FEATURES
from ingestion_assets.tables.domain_features import domain_of

AT_ONCE = 500
LAST_BUCKET = timedelta(days=1)  # so long a month is looked at after its end, as its last bucket has to end
DOMAINS = tuple(dict.fromkeys(domain_of(table) for table in DOMAIN_FEATURES.values()))


def paths_of(domain: str) -> list[str]:
    """The assets that are made of a domain's tables, in their order."""
    tables = [table for table in DOMAIN_FEATURES.values() if domain_of(table) == domain]
    return [*(table.path for table in tables), *(f"online/{table.name}" for table in tables)]


def followed_by(domain: str) -> list[str]:
    """The tables of which they are made."""
    tables = [table for table in DOMAIN_FEATURES.values() if domain_of(table) == domain]
    return list(dict.fromkeys(one.path for table in tables for one in UPSTREAM[table.name]))


DOMAIN_FEATURE_JOBS = {
    domain: dg.define_asset_job(
        f"features_{domain}",
        selection=dg.AssetSelection.assets(*(path.split("/") for path in paths_of(domain))).without_checks(),
        description=f"Features of {', '.join(followed_by(domain))}, in the lake and online.",
    )
    for domain in DOMAINS
}


def domain_feature_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    return [_follow(domain, settings) for domain in DOMAINS]


def _follow(domain: str, settings: Settings) -> dg.SensorDefinition:
    job = DOMAIN_FEATURE_JOBS[domain]
    upstream = followed_by(domain)

    @dg.sensor(
        name=job.name,
        job=job,
        minimum_interval_seconds=settings.sensor_interval_sec,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Makes features of what {' and '.join(upstream)} gained; of the open month after every "
        "look, because buckets end.",
    )
    def follow(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
        marks: dict[str, int] = json.loads(context.cursor) if context.cursor else {}
        now, keys = datetime.now(UTC), set()
        for path in upstream:
            records = context.instance.fetch_materializations(
                dg.AssetRecordsFilter(
                    asset_key=dg.AssetKey(path.split("/")), after_storage_id=marks.get(path)
                ),
                limit=AT_ONCE,
                ascending=True,
            ).records
            for record in records:
                marks[path] = record.storage_id
                keys |= _affected(record, now, looks_back=domain == "onchain")
        if not keys:
            return dg.SensorResult(skip_reason="nothing new", cursor=json.dumps(marks))
        if at_work(context.instance, job.name):
            return dg.SkipReason("the last run of this sensor is still at work")
        order = context.instance.get_dynamic_partitions(domain)
        requests = run_requests(job.name, keys, order, tags={CAUSE: job.name})
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(marks))

    return follow


def _affected(record: dg.EventLogRecord, now: datetime, *, looks_back: bool) -> set[str]:
    """The partitions to make anew; the days of a month are looked back on from the next one."""
    if record.partition_key is None:
        return set()
    month, series = parts_of(record.partition_key)
    if changed_key(record) is None:
        return {record.partition_key} if month >= month_of(now - LAST_BUCKET) else set()
    following = month_of(month_window(month).end)
    if looks_back and following <= month_of(now):
        return {record.partition_key, key_of(following, series)}
    return {record.partition_key}
