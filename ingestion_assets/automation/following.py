"""What follows ingestion: the partitions in which bars really changed, and what is made of them."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from ingestion_assets.automation.jobs import (
    AT_ONCE,
    CAUSE,
    DERIVE_JOB,
    GAP_SCAN_JOB,
    HOURLY,
    QUALITY_JOB,
    REPORT_JOB,
    part,
)
from ingestion_assets.automation.schedules import at_work
from ingestion_assets.intervals import floor, month_of, month_window, parse_moment
from ingestion_assets.partitions import key_of, parts_of, run_requests
from ingestion_assets.tables import DERIVED, INGESTED
from ingestion_assets.tables.features import LOOKBACK

FOLLOWED_AT_ONCE = 2_000
MINUTE, HOUR, WEEK = INGESTED["1m"].grain, DERIVED["1h"].grain, DERIVED["1w"].grain


def derive(every: dict[str, Any]) -> dg.SensorDefinition:
    @dg.sensor(
        **every,
        jobs=[DERIVE_JOB, REPORT_JOB, GAP_SCAN_JOB, QUALITY_JOB],
        description="Features and aggregates of the partitions in which ingestion really changed something.",
    )
    def derive(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
        found = _news(context.instance, int(context.cursor) if context.cursor else None)
        if not found:
            return dg.SkipReason("nothing new")
        if at_work(context.instance, "derive"):
            return dg.SkipReason("the last run of this sensor is still at work")
        outdated: dict[str, set[str]] = defaultdict(set)
        for timeframe, record in found:
            for key, assets in following(timeframe, record):
                outdated[key].update(assets)
        keys_for: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for key, every_asset in outdated.items():
            keys_for[tuple(sorted(every_asset))].append(key)
        order = context.instance.get_dynamic_partitions("market")
        requests = []
        for paths in sorted(keys_for, key=len, reverse=True):
            requests += run_requests(
                DERIVE_JOB.name,
                keys_for[paths],
                order,
                tags={CAUSE: "derive"},
                **part(*paths),
            )
        if requests:
            requests += _looks_that_are_due(context.instance)
        return dg.SensorResult(run_requests=requests, cursor=str(found[-1][1].storage_id))

    return derive


def _news(instance: dg.DagsterInstance, after: int | None) -> list[tuple[str, dg.EventLogRecord]]:
    """Materialisations of bars with their timeframe, oldest first; of each so many that none is left out."""
    found: list[tuple[str, dg.EventLogRecord]] = []
    until = None
    for timeframe in AT_ONCE:
        key = dg.AssetKey(INGESTED[timeframe].path.split("/"))
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, after_storage_id=after),
            limit=FOLLOWED_AT_ONCE,
            ascending=True,
        ).records
        found += [(timeframe, record) for record in records]
        if len(records) == FOLLOWED_AT_ONCE:  # what others have beyond comes with the rest of this one
            until = min(records[-1].storage_id, until or records[-1].storage_id)
    found.sort(key=lambda one: one[1].storage_id)
    return [one for one in found if until is None or one[1].storage_id <= until]


def following(timeframe: str, record: dg.EventLogRecord) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The partitions that a materialisation of bars makes out of date, and which assets of them."""
    materialization, key = record.asset_materialization, record.partition_key
    if materialization is None or key is None:
        return
    at_once = AT_ONCE[timeframe]
    month, series = parts_of(key)
    whole = month_window(month)
    touched, last = whole.start, whole.end
    if "new_rows" in materialization.metadata:  # otherwise not one of ours: somebody reported it by hand
        first = _moment(materialization, "touched_from")
        if first is None:
            return
        touched, last = first, _moment(materialization, "last") or first
    yield key, at_once
    reach = whole.end - LOOKBACK * INGESTED[timeframe].grain
    if last >= reach and whole.end <= datetime.now(UTC):  # the next month's first features look back on it
        yield key_of(month_of(whole.end), series), at_once
    if timeframe != "1m" or floor(touched, HOUR) + HOUR > last + MINUTE:
        return  # minutes of an hour that is still open change no aggregate yet
    yield key, (*at_once, *HOURLY)
    opens = floor(touched, WEEK)
    if f"{opens:%Y-%m}" < month:  # the week that is open when a month begins belongs to the month before
        yield key_of(month_of(opens), series), (*at_once, *HOURLY)


def _moment(materialization: dg.AssetMaterialization, name: str) -> datetime | None:
    value = materialization.metadata.get(name)
    return parse_moment(str(value.value)) if value is not None else None


def _looks_that_are_due(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """A new report when the last is an hour old; and at the very first a look at everything."""
    event = instance.get_latest_materialization_event(dg.AssetKey(["reports", "market_coverage"]))
    if event is not None and datetime.now(UTC).timestamp() - event.timestamp < 3_600:
        return []
    jobs = [REPORT_JOB] if event is not None else [REPORT_JOB, GAP_SCAN_JOB, QUALITY_JOB]
    return [dg.RunRequest(job_name=job.name, tags={CAUSE: "look"}) for job in jobs]
