"""Sensors: the registry mirrored into partitions, the start, freshness, healing."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from ingestion_assets.automation.allowances import Allowances
from ingestion_assets.automation.following import derive
from ingestion_assets.automation.jobs import CAUSE, FEED_JOBS, INGEST_JOB, job_for
from ingestion_assets.automation.schedules import at_work, only, registry_requests
from ingestion_assets.checks.complete import gap_audits
from ingestion_assets.checks.fresh import freshness_result
from ingestion_assets.intervals import periods
from ingestion_assets.partitions import key_of, parts_of, run_requests
from ingestion_assets.resources import workbench
from ingestion_assets.seeds import plant
from ingestion_assets.settings import Settings
from ingestion_assets.sources.errors import AuthError, SourceError
from ingestion_assets.stores.gap_ledger import Gap
from ingestion_assets.stores.registry_table import process_alive
from ingestion_assets.tables import FETCHED

DOMAINS = list(dict.fromkeys(table.domain for table in FETCHED.values()))
DEPLOYMENT = uuid.uuid4().hex  # one for each start of the code server


def run_alive(instance: dg.DagsterInstance, owner: str) -> bool:
    """Whether the run or process that said it works on a series still does."""
    kind, _, rest = owner.partition(":")
    if kind == "pid":
        return process_alive(owner)
    run = instance.get_run_by_id(rest)
    return run is not None and not run.is_finished


def sensors(settings: Settings) -> list[dg.SensorDefinition]:
    every: dict[str, Any] = {
        "minimum_interval_seconds": settings.sensor_interval_sec,
        "default_status": dg.DefaultSensorStatus.RUNNING,
    }

    @dg.sensor(
        **every,
        description="The registry as partitions: new series appear, typed-in partitions are registered, "
        "and series whose run was killed are said to be interrupted.",
    )
    def registry_sync(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
        bench, now = workbench(), datetime.now(UTC)
        lost = bench.registry.release_lost(lambda owner: run_alive(context.instance, owner))
        problems = {} if context.cursor == DEPLOYMENT else plant(bench, now=now)[1]
        again = any(_may_heal(error) for error in problems.values())
        refused: dict[str, Exception] = {}
        fresh = count = 0
        for domain in DOMAINS:
            registered = {s.id for s in bench.registry.series(domain)}
            partitions = context.instance.get_dynamic_partitions(domain)
            typed = [name for name in partitions if name not in registered]
            found = bench.adopt(typed, now, domain)[1]
            refused |= found
            registered |= set(typed) - set(found)
            added = sorted(registered - set(partitions))
            if added:
                context.instance.add_dynamic_partitions(domain, added)
                for name in set(added) - {s.id for s in bench.registry.series(domain)}:  # taken out meanwhile
                    context.instance.delete_dynamic_partition(domain, name)
            new = {*added, *typed} - set(found)
            for table in FETCHED.values() if new else ():
                if table.domain == domain:
                    # What they lack goes into the ledger, from which healing fetches their history.
                    gap_audits(bench, table, now, None, among=new)
            fresh, count = fresh + len(new), count + len(registered)
        problems |= refused
        for name, error in problems.items():
            context.log.error(f"{name}: {type(error).__name__}: {error}")
        said = f"{count} series, {fresh} new, {len(lost)} interrupted, {len(problems)} refused"
        if problems:
            said += ": " + "; ".join(f"{name}: {error}" for name, error in problems.items())
        return dg.SensorResult(skip_reason=said, cursor=context.cursor if again else DEPLOYMENT)

    @dg.sensor(
        **every,
        jobs=[INGEST_JOB, *FEED_JOBS.values()],
        description="One execution of the whole registry when the deployment starts (RUN_ON_START).",
    )
    def run_on_start(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
        if not settings.run_on_start:
            return dg.SkipReason("RUN_ON_START is off")
        if context.cursor == DEPLOYMENT:
            return dg.SkipReason("this deployment has had its start")
        found = registry_requests(context.instance, datetime.now(UTC), cause="run_on_start")
        if isinstance(found, dg.SkipReason):
            return found
        return dg.SensorResult(run_requests=found, cursor=DEPLOYMENT)

    @dg.sensor(
        **every,
        description="Freshness by series, written as the result of each table's `fresh` check without a run.",
    )
    def freshness(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = datetime.now(UTC)
        before = dict(part.split("=", 1) for part in (context.cursor or "").split(";") if "=" in part)
        said, results = {}, []
        for path, table in FETCHED.items():
            if not workbench().followed(table) and path not in before:
                continue  # never looked at; once it was, the last of its series leaving ends what was late
            result = freshness_result(workbench(), table, now)
            names = [*_names(result, "late"), *_names(result, "late_venues")]
            said[path] = f"{now:%Y%m%d%H}{now.minute // 10}:{','.join(names)}"
            if before.get(path) != said[path]:
                results.append(result)
        return dg.SensorResult(
            asset_events=[_evaluation(result) for result in results],
            cursor=";".join(f"{name}={state}" for name, state in said.items()),
        )

    @dg.sensor(
        **every,
        jobs=[INGEST_JOB, *FEED_JOBS.values()],
        description="Fetches what the gap ledger says is missing: new series' history, holes, deleted "
        "months; a few partitions at a time, newest first, waiting longer after each vain try.",
    )
    def healing(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        bench, now = workbench(), datetime.now(UTC)
        due = bench.ledger.due(now, settings.heal_max_attempts)
        busy = at_work(context.instance, "healing")
        if not due or busy:  # a gap may be larger than what is at work of it: do not ask for that again
            return dg.SkipReason(f"{len(due)} gaps are due, {busy} healing runs are at work")
        if at_work(context.instance, "run_on_start"):
            return dg.SkipReason("the newest bars come first: the run at the start is still at work")
        requests: list[dg.RunRequest] = []
        allowances, unpaid = Allowances(bench, now), set()
        for table in FETCHED.values():
            order = context.instance.get_dynamic_partitions(table.domain)
            refusals = {s.id: allowances.refusal(table, s) for s in bench.followed(table)}
            unpaid |= {text for text in refusals.values() if text}
            wanted = {series for series, refusal in refusals.items() if refusal is None} & set(order)
            gaps = [g for g in due if g.table == table.path and g.series in wanted]
            keys, taken = newest_keys(gaps, settings.heal_partitions_per_tick, table.cut)
            bench.ledger.tried(taken, now)
            requests += run_requests(
                job_for(table),
                keys,
                order,
                tags={CAUSE: "healing"},
                **only(table),
            )
        why = "; ".join(sorted(unpaid)) or "the gaps that are due belong to series that are disabled"
        return requests or dg.SkipReason(why)

    return [registry_sync, run_on_start, freshness, healing, derive(every)]


def newest_keys(gaps: Iterable[Gap], limit: int, cut: str = "month") -> tuple[list[str], list[Gap]]:
    """The newest partitions that hold gaps, at most so many, and the gaps that they touch."""
    by_key: dict[str, list[Gap]] = {}
    for gap in gaps:
        for period in periods(gap.window, cut):
            by_key.setdefault(key_of(period, gap.series), []).append(gap)
    keys = sorted(by_key, key=lambda k: parts_of(k)[0], reverse=True)[:limit]
    taken = {gap.id: gap for key in keys for gap in by_key[key]}
    return keys, list(taken.values())


def _may_heal(error: Exception) -> bool:
    """Without a new start: a setting that cannot be read, or lacks a key, stays so until then."""
    return isinstance(error, SourceError) and not isinstance(error, AuthError)


def _names(result: dg.AssetCheckResult, figure: str) -> list[str]:
    value = result.metadata[figure].value
    return sorted(value) if isinstance(value, dict) else []


def _evaluation(result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    assert result.asset_key is not None and result.check_name is not None
    return dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
    )
