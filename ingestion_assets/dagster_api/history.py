"""Runs that are over or under way, as far as counting them needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingestion_assets.dagster_api.client import DagsterApi, DagsterRefused, said
from ingestion_assets.dagster_api.runs import ENDED

STATUSES = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING", "SUCCESS", "FAILURE", "CANCELED")
_PAGE = 50
_COUNTS = (
    "{"
    + " ".join(
        f"{status}: runsOrError(filter:{{statuses:[{status}]}}){{__typename ... on Runs{{count}}}}"
        for status in STATUSES
    )
    + "}"
)
_ENDED = """query($f:RunsFilter!,$n:Int!,$c:String){runsOrError(filter:$f,limit:$n,cursor:$c){__typename
  ... on PythonError{message} ... on InvalidPipelineRunsFilterError{message}
  ... on Runs{results{id jobName status startTime endTime updateTime tags{key value}}}}}"""


@dataclass(frozen=True)
class Ended:
    """A run that is over."""

    id: str
    job: str
    status: str
    started: float | None
    ended: float | None
    updated: float
    tags: Mapping[str, str]


def counts(api: DagsterApi) -> dict[str, int]:
    """How many runs Dagster remembers, by status."""
    answer = api.ask(_COUNTS, {})
    return {status: int(answer[status].get("count", 0)) for status in STATUSES}


def ended_since(api: DagsterApi, moment: float, limit: int) -> list[Ended]:
    """Runs that ended after the moment, at most so many, the last launched first."""
    wanted: dict[str, Any] = {"statuses": list(ENDED), "updatedAfter": moment}
    found: list[Ended] = []
    while len(found) < limit:
        cursor = found[-1].id if found else None
        page = min(_PAGE, limit - len(found))
        answer = api.ask(_ENDED, {"f": wanted, "n": page, "c": cursor})["runsOrError"]
        if answer["__typename"] != "Runs":
            raise DagsterRefused(f"Dagster at {api.url} does not list its runs: {said(answer)}")
        found += _ended(answer["results"])
        if len(answer["results"]) < page:
            break
    return found


def _ended(results: list[dict[str, Any]]) -> list[Ended]:
    return [
        Ended(
            id=run["id"],
            job=run["jobName"],
            status=run["status"],
            started=run["startTime"],
            ended=run["endTime"],
            updated=run["updateTime"],
            tags={tag["key"]: tag["value"] for tag in run["tags"]},
        )
        for run in results
    ]
