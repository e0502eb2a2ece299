"""The online store's own work: the job that fills it, the check and the sweep of its keys, when they run."""

from typing import Any

import dagster as dg
from pydantic import Field

from ingestion_assets.assets.online import ASSETS, DOMAIN
from ingestion_assets.automation.jobs import CAUSE
from ingestion_assets.automation.schedules import at_work
from ingestion_assets.automation.sensors import DEPLOYMENT
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.settings import Settings
from ingestion_assets.stores.online import OnlineError, OnlineStore

MAX_KEYS = 1_000
_SET_REDIS = "REDIS_URL is not set: set it to redis://host:6379/0"

ONLINE_JOB = dg.define_asset_job(
    "online_market",
    selection=dg.AssetSelection.assets(*ASSETS).without_checks(),
    description="Put the newest features of the run's partitions online.",
)


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
    description=f"Every key below features:{DOMAIN}: ends by itself, and none went before its time.",
)
def ttl_ok(workbench: WorkbenchResource) -> dg.AssetCheckResult:
    store = workbench.open().online
    if store is None:
        return dg.AssetCheckResult(passed=True, description=f"Nothing is online: {_SET_REDIS}")
    return judged(store)


def judged(store: OnlineStore) -> dg.AssetCheckResult:
    """Rows expire between two writes, so their entries are no fault; rows that vanished before are."""
    found = store.audit(DOMAIN)
    problems = []
    if found.without_ttl:
        problems.append(f"{found.without_ttl} keys would live for ever: run redis_ttl_sweep")
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
    there = settings.redis_url is not None
    wanted = settings.ttl_sweep_enabled or settings.ttl_sweep_cron is not None
    return [
        dg.ScheduleDefinition(
            name="redis_ttl_sweep",
            job=redis_ttl_sweep,
            cron_schedule=sweep_cron(settings),
            execution_timezone=settings.sched_tz,
            default_status=_status(there and wanted),
            description="The sweep at TTL_SWEEP_CRON; on with TTL_SWEEP_ENABLED or TTL_SWEEP_CRON.",
        ),
        dg.ScheduleDefinition(
            name="online_check_hourly",
            job=ONLINE_CHECK_JOB,
            cron_schedule="35 * * * *",
            execution_timezone="UTC",
            default_status=_status(there),
        ),
    ]


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

    return [sweep_on_start]


def _status(running: bool) -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED


ONLINE_JOBS: list[Any] = [ONLINE_JOB, ONLINE_CHECK_JOB, redis_ttl_sweep]
ONLINE_CHECKS = [ttl_ok]
