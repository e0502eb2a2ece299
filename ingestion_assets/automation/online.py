"""The online store's own work: the job that fills it, the check and the sweep of its keys, when they run."""

import json
from typing import Any

import dagster as dg
from pydantic import Field

from ingestion_assets.assets.online import ASSETS, DOMAIN
from ingestion_assets.automation.domain_features import DOMAIN_FEATURE_JOBS
from ingestion_assets.automation.jobs import CAUSE
from ingestion_assets.automation.schedules import at_work
from ingestion_assets.automation.sensors import DEPLOYMENT
from ingestion_assets.checks.leak import held_back
from ingestion_assets.partitions import run_requests
from ingestion_assets.resources import WorkbenchResource, workbench
from ingestion_assets.settings import Settings
from ingestion_assets.stores.online import OnlineError, OnlineStore
from ingestion_assets.stores.online.keys import ROOT
from ingestion_assets.tables import DOMAIN_FEATURES, FEATURES, Table
from ingestion_assets.tables.domain_features import domain_of

MAX_KEYS = 1_000
LOOKED_AT_ONCE = 2_000
CATCH_UP = "online_catch_up"
_SET_REDIS = "REDIS_URL is not set: set it to redis://host:6379/0"

ONLINE_JOB = dg.define_asset_job(
    "online_market",
    selection=dg.AssetSelection.assets(*ASSETS).without_checks(),
    description="Put the newest features of the run's partitions online.",
)

_FILLING = {DOMAIN: ONLINE_JOB} | DOMAIN_FEATURE_JOBS  # by domain, the job that has its assets `online/…`


class SweepConfig(dg.Config):
    pattern: str | None = Field(None, description="Which keys; TTL_SWEEP_PATTERN when not given.")
    ttl_default: int | None = Field(
        None, gt=0, description="Seconds for keys without a TTL; TTL_SWEEP_TTL when not given."
    )
    max_keys: int = Field(MAX_KEYS, gt=0, description="Look at so many keys; the next sweep goes on there.")
    from_the_start: bool = Field(False, description="Do not go on where the last sweep ended.")


@dg.op(
    out=dg.Out(dict, description="pattern, scanned, ttl_set, pruned, cursor"),
    description="Give keys without a TTL one and take dead entries out of indexes, a bounded number at once.",
)
def sweep_keys(
    context: dg.OpExecutionContext, config: SweepConfig, workbench: WorkbenchResource
) -> dict[str, str | int]:
    bench = workbench.open()
    settings, store = bench.settings, bench.online
    if store is None:
        raise dg.Failure(_SET_REDIS, allow_retries=False)
    pattern = config.pattern or settings.ttl_sweep_pattern
    mark = f"redis_ttl_sweep:{pattern}"
    kept = context.instance.daemon_cursor_storage
    cursor = 0 if config.from_the_start else int(kept.get_cursor_values({mark}).get(mark, 0))
    try:
        swept = store.sweep(pattern, config.ttl_default or settings.ttl_sweep_ttl, config.max_keys, cursor)
    except (OnlineError, ValueError) as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    kept.set_cursor_values({mark: str(swept.cursor)})
    figures: dict[str, str | int] = {
        "pattern": swept.pattern,
        "scanned": swept.scanned,
        "ttl_set": swept.ttl_set,
        "pruned": swept.pruned,
        "cursor": swept.cursor,
    }
    context.add_output_metadata(figures)
    context.log.info(", ".join(f"{name} {value}" for name, value in figures.items()))
    return figures


@dg.job(description="TTL for keys without one, and indexes without dead entries; see stores/online.")
def redis_ttl_sweep() -> None:
    sweep_keys()


@dg.asset_check(
    asset=ASSETS[0],
    name="ttl_ok",
    description=f"Every key below {ROOT}:, of every domain, ends by itself, and none went before its time.",
)
def ttl_ok(workbench: WorkbenchResource) -> dg.AssetCheckResult:
    store = workbench.open().online
    if store is None:
        return dg.AssetCheckResult(passed=True, description=f"Nothing is online: {_SET_REDIS}")
    return judged(store)


def judged(store: OnlineStore) -> dg.AssetCheckResult:
    """Rows expire between two writes, so their entries are no fault; rows that vanished before are."""
    found = store.audit()
    problems = []
    if found.without_ttl:
        problems.append(f"{found.without_ttl} keys would live for ever: run redis_ttl_sweep with {ROOT}:*")
    if found.vanished:
        problems.append(
            f"{found.vanished} rows went before their time: look for evictions (maxmemory) and deletions"
        )
    return dg.AssetCheckResult(
        passed=not problems,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(problems) or f"{found.keys} keys, all with a TTL",
        metadata={
            "keys": found.keys,
            "indexes": found.indexes,
            "without_ttl": found.without_ttl,
            "members": found.members,
            "dead_members": found.dead,
            "vanished": found.vanished,
            "examples": dg.MetadataValue.json(found.examples),
        },
    )


ONLINE_CHECK_JOB = dg.define_asset_job(
    "online_check", selection=dg.AssetSelection.checks(ttl_ok), description="Look at the TTL of every key."
)


def sweep_cron(settings: Settings) -> str:
    """TTL_SWEEP_CRON, or every TTL_SWEEP_INTERVAL_SEC as nearly as cron can say it."""
    minutes = max(1, settings.ttl_sweep_interval_sec // 60)
    every = f"*/{minutes} * * * *" if minutes < 60 else f"0 */{min(23, minutes // 60)} * * *"
    return settings.ttl_sweep_cron or every


def online_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The sweep is on with TTL_SWEEP_ENABLED or TTL_SWEEP_CRON; without Redis nothing is asked for."""
    wanted = settings.ttl_sweep_enabled or settings.ttl_sweep_cron is not None
    return [
        _schedule("redis_ttl_sweep", redis_ttl_sweep, sweep_cron(settings), settings.sched_tz, wanted),
        _schedule("online_check_hourly", ONLINE_CHECK_JOB, "35 * * * *", "UTC", True),
    ]


def _schedule(name: str, job: Any, cron: str, zone: str, running: bool) -> dg.ScheduleDefinition:
    status = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(name=name, job=job, cron_schedule=cron, execution_timezone=zone, default_status=status)
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if workbench().online is None:
            return dg.SkipReason(_SET_REDIS)
        if at_work(context.instance, name):
            return dg.SkipReason(f"the last run of {name} is still at work")
        return dg.RunRequest(tags={CAUSE: name})

    return tick


def online_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    @dg.sensor(
        job=redis_ttl_sweep,
        minimum_interval_seconds=settings.sensor_interval_sec,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="One sweep when the deployment starts (RUN_ON_START), after the first ingestion.",
    )
    def sweep_on_start(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
        if not settings.run_on_start:
            return dg.SkipReason("RUN_ON_START is off")
        if settings.redis_url is None:
            return dg.SkipReason(_SET_REDIS)
        if context.cursor == DEPLOYMENT:
            return dg.SkipReason("this deployment has had its sweep")
        if at_work(context.instance, "run_on_start"):
            return dg.SkipReason("the newest bars come first: the run at the start is still at work")
        request = dg.RunRequest(run_key=f"sweep:{DEPLOYMENT}", tags={CAUSE: "sweep_on_start"})
        return dg.SensorResult(run_requests=[request], cursor=DEPLOYMENT)

    @dg.sensor(
        jobs=[*_FILLING.values()],
        minimum_interval_seconds=settings.sensor_interval_sec,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Puts online what landed in a run that failed before it came to that, or at that.",
    )
    def online_catch_up(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
        if settings.redis_url is None:
            return dg.SkipReason(_SET_REDIS)
        if at_work(context.instance, CATCH_UP):
            return dg.SkipReason("the last catching up is still at work")
        marks: dict[str, int] = json.loads(context.cursor) if context.cursor else {}
        requests: list[dg.RunRequest] = []
        for table in (*FEATURES.values(), *DOMAIN_FEATURES.values()):
            if held_back(context.instance, table):
                continue
            keys, marks[table.name] = left_behind(context.instance, table, marks.get(table.name))
            domain = domain_of(table)
            requests += run_requests(
                _FILLING[domain].name,
                keys,
                context.instance.get_dynamic_partitions(domain),
                tags={CAUSE: CATCH_UP},
                asset_selection=[dg.AssetKey(["online", table.name])],
                asset_check_keys=[],
            )
        skipped = None if requests else "every run that made features put them online"
        return dg.SensorResult(run_requests=requests, skip_reason=skipped, cursor=json.dumps(marks))

    return [sweep_on_start, online_catch_up]


def left_behind(instance: dg.DagsterInstance, table: Table, after: int | None) -> tuple[set[str], int]:
    """Partitions whose features landed in a run that failed, and up to where was looked.

    A run that is still at work is looked at the next time; one that is seen for the first time, at the
    very first tick, is left alone: what it made will soon have left the online window.
    """
    key = dg.AssetKey(table.path.split("/"))
    if after is None:
        newest = instance.fetch_materializations(key, limit=1).records
        return set(), newest[0].storage_id if newest else 0
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, after_storage_id=after), limit=LOOKED_AT_ONCE, ascending=True
    ).records
    keys: set[str] = set()
    states: dict[str, dg.DagsterRun | None] = {}
    for record in found:
        if record.run_id not in states:
            states[record.run_id] = instance.get_run_by_id(record.run_id)
        run = states[record.run_id]
        if run is not None and not run.is_finished:
            break
        after = record.storage_id
        if run is not None and run.status != dg.DagsterRunStatus.SUCCESS and record.partition_key:
            keys.add(record.partition_key)
    return keys, after


ONLINE_JOBS: list[Any] = [ONLINE_JOB, ONLINE_CHECK_JOB, redis_ttl_sweep]
ONLINE_CHECKS = [ttl_ok]
