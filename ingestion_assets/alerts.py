"""What is wrong, from the latest asset checks and runs, and telling it to a webhook.

One message when something begins to be wrong, one when it is over; a venue that is down as a whole is
one message, not one for each of its series. The state is in the catalog (stores/alert_log.py), so a
webhook that is down for a while gets its messages later.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg

from ingestion_assets.io_managers.lake import PARTIAL_FAILURE
from ingestion_assets.settings import load_settings
from ingestion_assets.stores.alert_log import Alert, AlertLog, Notice

TIMEOUT = 10
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)  # below, it writes whole addresses
_SEVERITY = {dg.AssetCheckSeverity.WARN: "warning", dg.AssetCheckSeverity.ERROR: "error"}


class WebhookError(Exception):
    """The webhook did not take a message; the text does not name its address, which may be secret."""


def post(url: str, notice: Notice) -> None:
    import requests

    try:
        answer = requests.post(url, json=notice.body(), timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        raise WebhookError(
            f"ALERT_WEBHOOK_URL: no answer ({type(error).__name__}); "
            f"{notice.key} will be told at the next tick"
        ) from None
    if answer.status_code >= 300:
        raise WebhookError(
            f"ALERT_WEBHOOK_URL: HTTP {answer.status_code}; {notice.key} will be told at the next tick"
        )


def alerts_of_check(key: str, evaluation: dg.AssetCheckEvaluation) -> list[Alert]:
    """A freshness check speaks of venues and series, every other check of itself."""
    if evaluation.passed:
        return []
    facts = {name: value.value for name, value in evaluation.metadata.items()}
    severity = _SEVERITY[evaluation.severity]
    if evaluation.check_name != "fresh":
        text = f"check {evaluation.check_name} of {key} failed: {evaluation.description}"
        return [Alert(f"check:{key}:{evaluation.check_name}", severity, text, _small(facts))]
    found = [
        Alert(f"fresh:{key}:venue:{venue}", "critical", f"{key}: {text}", {"venue": venue})
        for venue, text in _mapping(facts.get("late_venues")).items()
    ]
    late = _mapping(facts.get("late"))
    for series, about in late.items():
        cause = f" ({about['cause']})" if about.get("cause") else ""
        text = f"{key}: {series} is {about['minutes']} min behind{cause}"
        found.append(Alert(f"fresh:{key}:series:{series}", severity, text, {"series": series, **about}))
    return found


def cause_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """What the first step that failed said, or what became of the run as a whole."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    for entry in instance.all_logs(run.run_id, of_type=kinds):
        data = entry.dagster_event.event_specific_data if entry.dagster_event else None
        given = getattr(data, "user_failure_data", None)
        error = getattr(data, "error", None)
        text = given.description if given else (error.cause or error).message if error else entry.user_message
        if text:
            return str(text).strip()[:500]
    return "see the run"


def alerts_of_runs(records: Iterable[dg.DagsterRun], cause: Callable[[dg.DagsterRun], str]) -> list[Alert]:
    """The newest finished run of each job, when it failed as a whole.

    Where only some series failed the run says so by a tag: those are told by freshness, one by one.
    """
    newest: dict[str, dg.DagsterRun] = {}
    for run in records:
        newest.setdefault(run.job_name, run)
    return [
        Alert(
            f"run:{job}",
            "error",
            f"run of {job} failed",
            {"run_id": run.run_id, "job": job, "cause": cause(run)},
        )
        for job, run in newest.items()
        if run.status == dg.DagsterRunStatus.FAILURE and PARTIAL_FAILURE not in run.tags
    ]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _small(facts: dict[str, Any]) -> dict[str, Any]:
    """Figures and short texts; long lists stay in the UI."""
    return {name: value for name, value in facts.items() if isinstance(value, int | float | str | bool)}


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=load_settings().sensor_interval_sec,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells ALERT_WEBHOOK_URL what begins to be wrong and what is over, each once.",
)
def alert_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    from ingestion_assets.resources import workbench

    settings = load_settings()
    if settings.alert_webhook_url is None:
        return dg.SkipReason("ALERT_WEBHOOK_URL is not set: nobody to tell")
    assert context.repository_def is not None
    log = AlertLog(
        workbench().catalog,
        min_severity=settings.alert_min_severity,
        cooldown=timedelta(minutes=settings.alert_cooldown_min),
    )
    wrong, seen = [], set()
    check_keys = list(context.repository_def.asset_graph.asset_check_keys)
    records = context.instance.event_log_storage.get_latest_asset_check_execution_by_key(check_keys)
    for check_key, record in records.items():
        name = check_key.asset_key.to_user_string()
        if isinstance(record.evaluation, dg.AssetCheckEvaluation):  # not one that is only planned
            seen.add(f"{name}:{check_key.name}")
            wrong += alerts_of_check(name, record.evaluation)
    finished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE])
    runs = context.instance.get_runs(finished, limit=200)
    wrong += alerts_of_runs(runs, partial(cause_of, context.instance))
    jobs = {run.job_name for run in runs}

    def watched(key: str) -> bool:
        kind, _, rest = key.partition(":")
        if kind == "run":
            return rest in jobs
        asset, _, check = rest.partition(":")
        return f"{asset}:fresh" in seen if kind == "fresh" else f"{asset}:{check}" in seen

    url = settings.alert_webhook_url.get_secret_value()
    told = log.update(wrong, watched, lambda notice: post(url, notice))
    return dg.SkipReason(f"told {len(told)}, {len(wrong)} things are wrong now")
