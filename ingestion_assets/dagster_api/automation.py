"""What Dagster does by itself: schedules, sensors and daemons; how they stand, switched on and off.

`start` puts back the status that the definitions give, so it never starts what was meant to be off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingestion_assets.dagster_api.client import DagsterApi, DagsterRefused, said

_STATE = "status id selectorId ticks(limit:1){timestamp status error{message} skipReason}"
_ALL = (
    """query($r:RepositorySelector!){
  schedulesOrError(repositorySelector:$r){__typename ... on PythonError{message}
    ... on Schedules{results{name cronSchedule executionTimezone defaultStatus pipelineName
      futureTicks(limit:1){results{timestamp}} scheduleState{"""
    + _STATE
    + """}}}}
  sensorsOrError(repositorySelector:$r){__typename ... on PythonError{message}
    ... on Sensors{results{name minIntervalSeconds defaultStatus targets{pipelineName} sensorState{"""
    + _STATE
    + """}}}}}"""
)
_RESET_SCHEDULE = """mutation($s:ScheduleSelector!){resetSchedule(scheduleSelector:$s){__typename
  ... on PythonError{message} ... on UnauthorizedError{message}}}"""
_RESET_SENSOR = """mutation($s:SensorSelector!){resetSensor(sensorSelector:$s){__typename
  ... on PythonError{message} ... on UnauthorizedError{message}}}"""
_START_SCHEDULE = """mutation($s:ScheduleSelector!){startSchedule(scheduleSelector:$s){__typename
  ... on PythonError{message} ... on UnauthorizedError{message}}}"""
_START_SENSOR = """mutation($s:SensorSelector!){startSensor(sensorSelector:$s){__typename
  ... on PythonError{message} ... on UnauthorizedError{message}}}"""
_STOP_SCHEDULE = """mutation($id:String!){stopRunningSchedule(id:$id){__typename
  ... on PythonError{message} ... on UnauthorizedError{message}}}"""
_STOP_SENSOR = """mutation($id:String!){stopSensor(id:$id){__typename
  ... on PythonError{message} ... on UnauthorizedError{message}}}"""
_DAEMONS = """{instance{daemonHealth{allDaemonStatuses{daemonType required healthy lastHeartbeatTime}}}}"""


@dataclass(frozen=True)
class Automatic:
    """A schedule or a sensor."""

    name: str
    kind: str  # schedule, sensor
    rhythm: str
    running: bool
    meant_to_run: bool
    starts_runs: bool
    next_tick: float | None
    last_tick: float | None
    last_status: str | None
    last_said: str | None
    id: str


@dataclass(frozen=True)
class Daemon:
    name: str
    healthy: bool
    last_heartbeat: float | None


def automatics(api: DagsterApi) -> list[Automatic]:
    answer = api.ask(_ALL, {"r": api.repository()})
    found = []
    for kind, field in (("schedule", "schedulesOrError"), ("sensor", "sensorsOrError")):
        if "results" not in answer[field]:
            raise DagsterRefused(f"Dagster at {api.url} does not list its {kind}s: {said(answer[field])}")
        found += [_automatic(kind, one) for one in answer[field]["results"]]
    return found


def switch(api: DagsterApi, one: Automatic, on: bool) -> None:
    """On: as the definitions mean it, or started when they mean it to be off."""
    name = {"schedule": "scheduleName", "sensor": "sensorName"}[one.kind]
    selector = {"s": {**api.repository(), name: one.name}}
    if on and one.meant_to_run:
        query = {"schedule": _RESET_SCHEDULE, "sensor": _RESET_SENSOR}[one.kind]
        answer = api.ask(query, selector)
    elif on:
        query = {"schedule": _START_SCHEDULE, "sensor": _START_SENSOR}[one.kind]
        answer = api.ask(query, selector)
    else:
        query = {"schedule": _STOP_SCHEDULE, "sensor": _STOP_SENSOR}[one.kind]
        answer = api.ask(query, {"id": one.id})
    result = next(iter(answer.values()))
    if result["__typename"] in ("PythonError", "UnauthorizedError") or "NotFound" in result["__typename"]:
        raise DagsterRefused(
            f"Dagster at {api.url} does not switch {one.kind} {one.name} {'on' if on else 'off'}: "
            f"{said(result)}"
        )


def daemons(api: DagsterApi) -> list[Daemon]:
    """Those that have to run."""
    health = api.ask(_DAEMONS, {})["instance"]["daemonHealth"]
    return [
        Daemon(one["daemonType"], bool(one["healthy"]), one["lastHeartbeatTime"])
        for one in health["allDaemonStatuses"]
        if one["required"]
    ]


def _automatic(kind: str, one: dict[str, Any]) -> Automatic:
    state = one[f"{kind}State"]
    tick = (state["ticks"] or [None])[0]
    future = one.get("futureTicks", {}).get("results") or [None]
    rhythm = one["cronSchedule"] if kind == "schedule" else f"every {one['minIntervalSeconds']} s"
    return Automatic(
        name=one["name"],
        kind=kind,
        rhythm=rhythm,
        running=state["status"] == "RUNNING",
        meant_to_run=one["defaultStatus"] == "RUNNING",
        starts_runs=kind == "schedule" or bool(one["targets"]),
        next_tick=future[0]["timestamp"] if future[0] else None,
        last_tick=tick["timestamp"] if tick else None,
        last_status=tick["status"] if tick else None,
        last_said=((tick["error"] or {}).get("message") or tick["skipReason"]) if tick else None,
        id=state["id"],
    )
