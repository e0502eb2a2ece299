"""Schedules: the hot tick, those that MARKET_JOBS and its kin ask for, the nightly scans.

A tick asks for one range: the open month × the enabled series, and the month before as long as its last
bars may still be settling. Nothing is asked for while the same tick's last run is still at work.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from ingestion_assets.automation.allowances import Allowances
from ingestion_assets.automation.jobs import (
    AT_ONCE,
    CAUSE,
    DERIVE_JOB,
    EVERY_GAP,
    GAP_SCAN_JOB,
    HOURLY,
    INGEST_JOB,
    QUALITY_JOB,
    REPORT_JOB,
    job_for,
    part,
)
from ingestion_assets.intervals import Window
from ingestion_assets.partitions import key_of, keys_in, run_requests
from ingestion_assets.resources import workbench
from ingestion_assets.seeds import fetched_as
from ingestion_assets.settings import MarketJob, Settings, SettingsError
from ingestion_assets.tables import DERIVED, FED, FETCHED, INGESTED, Table

LOOK_BACK = timedelta(hours=2)
AT_WORK = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def at_work(instance: dg.DagsterInstance, cause: str) -> int:
    """How many runs of this cause, or of a part of it (`run_on_start_1m`), have not ended yet."""
    runs = instance.get_runs(dg.RunsFilter(statuses=AT_WORK), limit=500)
    return sum(f"{run.tags.get(CAUSE, '')}_".startswith(f"{cause}_") for run in runs)


def only(table: Table) -> dict[str, Any]:
    """Of a job with several tables this one, and none of the checks that Dagster would add by itself."""
    return part(table.path)


def tick(
    instance: dg.DagsterInstance,
    table: Table,
    names: Sequence[str],
    now: datetime,
    *,
    cause: str,
    lookback_minutes: int | None = None,
    run_key: str | None = None,
) -> list[dg.RunRequest] | dg.SkipReason:
    """Requests for the newest rows of these series."""
    order = instance.get_dynamic_partitions(table.domain)
    there = [name for name in names if name in set(order)]
    if not there:
        return dg.SkipReason("none of the series is a partition yet: the registry_sync sensor adds them")
    if at_work(instance, cause):
        return dg.SkipReason(f"the last run of {cause} is still at work")
    # What is late by a vendor's nature is still to come of the month before when a month begins.
    usual = max(LOOK_BACK, table.late_after or LOOK_BACK)
    back = timedelta(minutes=lookback_minutes) if lookback_minutes else usual
    config = {}
    if lookback_minutes:
        op = table.path.replace("/", "__")
        config = {"run_config": {"ops": {op: {"config": {"lookback_minutes": lookback_minutes}}}}}
    return run_requests(
        job_for(table),
        keys_in(Window(now - back, now), there, table.cut),
        order,
        run_key=run_key,
        tags={CAUSE: cause},
        **only(table),
        **config,
    )


def _status(running: bool) -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED


def _hot(settings: Settings, table: Table, cron: str) -> dg.ScheduleDefinition:
    timeframe = table.name.removeprefix("ohlcv_")
    taken = {job.series for job in settings.all_market_jobs if fetched_as(job.timeframe) == timeframe}

    @dg.schedule(
        name=f"hot_{timeframe}",
        job=INGEST_JOB,
        cron_schedule=cron,
        execution_timezone=settings.sched_tz,
        default_status=_status(True),
        description=f"Newest {timeframe} bars of the enabled series that no MARKET_JOBS entry has.",
    )
    def hot(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        now = _time(context)
        names = [s.id for s in workbench().followed(table) if s.id not in taken]
        return tick(context.instance, table, names, now, cause=f"hot_{timeframe}", run_key=now.isoformat())

    return hot


def _short(table: Table) -> str:
    """`1m` for the market's candles, `derivatives_funding_rates` for what is not the market's."""
    if table.domain == "market":
        return table.name.removeprefix("ohlcv_")
    return table.path.replace("/", "_")


def _hot_feed(settings: Settings, table: Table) -> dg.ScheduleDefinition:
    name = f"hot_{_short(table)}"

    @dg.schedule(
        name=name,
        job_name=job_for(table),
        cron_schedule=table.cron or "0 * * * *",
        execution_timezone=settings.sched_tz,
        default_status=_status(True),
        description=f"The newest of {table.path} for the enabled series that follow it.",
    )
    def hot(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        now, bench = _time(context), workbench()
        allowances = Allowances(bench, now)
        pauses = {s.id: allowances.pause(table, s) for s in bench.followed(table)}
        names = [series for series, pause in pauses.items() if pause is None]
        if pauses and not names:
            return dg.SkipReason("; ".join(sorted({str(pause) for pause in pauses.values()})))
        return tick(context.instance, table, names, now, cause=name, run_key=f"{name}:{now.isoformat()}")

    return hot


def _market_jobs(
    name: str, variable: str, jobs: Sequence[MarketJob], settings: Settings, *, running: bool = True
) -> list[dg.ScheduleDefinition]:
    """One schedule for each rhythm, fetched timeframe and reach that the entries name."""
    groups: dict[tuple[str, str, int], list[MarketJob]] = defaultdict(list)
    for number, job in enumerate(jobs, start=1):
        timeframe = fetched_as(job.timeframe)
        if timeframe not in INGESTED:
            offered = ", ".join((*INGESTED, *DERIVED))
            raise SettingsError(
                f"{variable}: entry {number} ({job.series}): timeframe {timeframe!r} is not ingested: "
                f"use one of {offered}"
            )
        groups[job.cron, timeframe, job.window_minutes(settings.backfill_lookback_min)].append(job)
    return [
        _market_schedule(f"{name}_{number}", cron, INGESTED[timeframe], minutes, members, settings, running)
        for number, ((cron, timeframe, minutes), members) in enumerate(
            sorted(groups.items(), key=str), start=1
        )
    ]


def _market_schedule(
    name: str,
    cron: str,
    table: Table,
    minutes: int,
    members: Sequence[MarketJob],
    settings: Settings,
    running: bool,
) -> dg.ScheduleDefinition:
    names = list(dict.fromkeys(job.series for job in members))

    @dg.schedule(
        name=name,
        job=INGEST_JOB,
        cron_schedule=cron,
        execution_timezone=settings.sched_tz,
        default_status=_status(running),
        description=f"The last {minutes} min of {', '.join(names)}.",
    )
    def market_job(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        now = _time(context)
        series = workbench().registry.series(table.domain, enabled_only=True)
        enabled = {s.id for s in series if s.rest}
        wanted = [n for n in names if n in enabled]
        return tick(
            context.instance,
            table,
            wanted,
            now,
            cause=name,
            lookback_minutes=minutes,
            run_key=f"{name}:{now.isoformat()}",
        )

    return market_job


def _registry_execute(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="registry_execute",
        job=INGEST_JOB,
        cron_schedule=settings.ingestion_cron_expression or "*/15 * * * *",
        execution_timezone=settings.sched_tz,
        default_status=_status(settings.ingestion_cron_expression is not None),
        description="Newest bars of every table and enabled series, at INGESTION_CRON_EXPRESSION.",
    )
    def registry_execute(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        return registry_requests(context.instance, _time(context), cause="registry_execute")

    return registry_execute


def registry_requests(
    instance: dg.DagsterInstance, now: datetime, *, cause: str
) -> list[dg.RunRequest] | dg.SkipReason:
    """One execution of the whole registry: every table for the series that follow it."""
    requests: list[dg.RunRequest] = []
    skipped = dg.SkipReason("the registry has no enabled series")
    for table in FETCHED.values():
        names = [s.id for s in workbench().followed(table)]
        if not names:
            continue
        part = f"{cause}_{_short(table)}"
        found = tick(instance, table, names, now, cause=part, run_key=f"{part}:{now.isoformat()}")
        if isinstance(found, dg.SkipReason):
            skipped = found
        else:
            requests += found
    return requests or skipped


def _backfill_window(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The polling window of the BACKFILL_ variables: off unless BACKFILL_ENABLED."""
    minutes = max(1, settings.backfill_interval_sec // 60)
    cron = f"*/{minutes} * * * *" if minutes < 60 else f"0 */{min(23, minutes // 60)} * * *"
    jobs = [
        MarketJob(
            exchange=settings.backfill_exchange,
            symbol=symbol,
            timeframe=timeframe,
            cron=cron,
            lookback_minutes=settings.backfill_lookback_min,
        )
        for symbol in settings.backfill_symbols
        for timeframe in settings.backfill_timeframes
    ]
    return _market_jobs(
        "backfill_window", "BACKFILL_TIMEFRAMES", jobs, settings, running=settings.backfill_enabled
    )


@dg.schedule(
    name="derive_nightly",
    job=DERIVE_JOB,
    cron_schedule="30 0 * * *",
    execution_timezone="UTC",
    default_status=_status(True),
    description="What is made of minutes, for the last two months again: a series may stop in mid-hour.",
)
def derive_nightly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    now = _time(context)
    recent = {f"{moment:%Y-%m}" for moment in (now, now.replace(day=1) - timedelta(days=1))}
    held = workbench().lake.inventory(INGESTED["1m"])
    keys = [key_of(month, name) for name, months in held.items() for month in months if month in recent]
    order = context.instance.get_dynamic_partitions("market")
    paths = (*HOURLY, *AT_ONCE["1m"])
    requests = run_requests(DERIVE_JOB.name, keys, order, tags={CAUSE: "derive"}, **part(*paths))
    return requests or dg.SkipReason("no minutes of these months are held")


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    nightly: dict[str, Any] = {"execution_timezone": "UTC", "default_status": _status(True)}
    return [
        _hot(settings, INGESTED["1m"], settings.hot_cron),
        _hot(settings, INGESTED["5m"], settings.hot_5m_cron),
        *(_hot_feed(settings, table) for table in FED.values()),
        *_market_jobs("market_jobs", "MARKET_JOBS", settings.market_jobs, settings),
        *_market_jobs("market_ingest_jobs", "MARKET_INGEST_JOBS", settings.market_ingest_jobs, settings),
        *_backfill_window(settings),
        derive_nightly,
        _registry_execute(settings),
        dg.ScheduleDefinition(
            name="gap_scan_hourly", job=GAP_SCAN_JOB, cron_schedule="25 * * * *", **nightly
        ),
        dg.ScheduleDefinition(
            # Ten minutes past, for the last bars of the day have to settle first.
            name="gap_scan_nightly",
            job=GAP_SCAN_JOB,
            cron_schedule="10 0 * * *",
            run_config=EVERY_GAP,
            **nightly,
        ),
        dg.ScheduleDefinition(
            name="quality_scan_nightly", job=QUALITY_JOB, cron_schedule="40 0 * * *", **nightly
        ),
        dg.ScheduleDefinition(
            name="report_coverage_daily", job=REPORT_JOB, cron_schedule="50 0 * * *", **nightly
        ),
    ]


def _time(context: dg.ScheduleEvaluationContext) -> datetime:
    return context.scheduled_execution_time.astimezone(UTC)
