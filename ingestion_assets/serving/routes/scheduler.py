"""Dagster's schedules and sensors: how they stand, all or one switched on or off."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException

from ingestion_assets.dagster_api.automation import Automatic, automatics, switch
from ingestion_assets.serving.context import Context, Given
from ingestion_assets.serving.models import Job, Scheduler
from ingestion_assets.serving.problems import Problem, Responses

router = APIRouter(prefix="/api/v1/scheduler", tags=["scheduler"])
UNKNOWN: Responses = {404: {"model": Problem, "description": "No such schedule or sensor."}}
Name = Annotated[
    str | None,
    Query(max_length=128, description="One schedule or sensor; without it all that start runs."),
]


@router.get("/status", response_model=Scheduler)
def status(given: Given) -> Scheduler:
    return _shown(automatics(given.dagster))


@router.post("/start", response_model=Scheduler, responses=UNKNOWN)
def start(given: Given, name: Name = None) -> Scheduler:
    """Everything as the definitions mean it; one that is named is started even if they mean it to be off."""
    return _switched(given, name, on=True)


@router.post("/stop", response_model=Scheduler, responses=UNKNOWN)
def stop(given: Given, name: Name = None) -> Scheduler:
    """Nothing starts by itself any more; runs at work go on, alerts and freshness are still looked at."""
    return _switched(given, name, on=False)


def _switched(given: Context, name: str | None, *, on: bool) -> Scheduler:
    found = automatics(given.dagster)
    if name is not None:
        meant = [one for one in found if one.name == name]
        if not meant:
            names = ", ".join(sorted(one.name for one in found))
            raise HTTPException(404, f"no schedule or sensor is called {name!r}: there are {names}")
    else:
        meant = [one for one in found if one.starts_runs and (one.meant_to_run or not on)]
    for one in meant:
        if one.running != on:
            switch(given.dagster, one, on)
    return _shown(automatics(given.dagster))


def _shown(found: list[Automatic]) -> Scheduler:
    jobs = [
        Job(
            name=one.name,
            kind="schedule" if one.kind == "schedule" else "sensor",
            trigger=one.rhythm,
            running=one.running,
            next_run_time=_moment(one.next_tick) if one.running else None,
            last_tick=_moment(one.last_tick),
            last_status=one.last_status,
            last_said=one.last_said,
        )
        for one in found
    ]
    return Scheduler(running=any(one.running and one.starts_runs for one in found), jobs=jobs)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
