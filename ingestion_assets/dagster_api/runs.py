"""One run of a job: launched, followed, read when it has ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingestion_assets.dagster_api.client import DagsterApi, DagsterRefused, said

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
ENDED = ("SUCCESS", "FAILURE", "CANCELED")

_LAUNCH = """mutation($p:ExecutionParams!){launchRun(executionParams:$p){__typename
  ... on LaunchRunSuccess{run{id}} ... on PythonError{message} ... on UnauthorizedError{message}
  ... on InvalidSubsetError{message} ... on PipelineNotFoundError{message}
  ... on RunConfigValidationInvalid{errors{message}}}}"""
_ASSETS = "{assetNodes{assetKey{path} isMaterializable}}"
_AT_WORK = """query($f:RunsFilter!){runsOrError(filter:$f,limit:20){__typename ... on PythonError{message}
  ... on InvalidPipelineRunsFilterError{message} ... on Runs{results{id}}}}"""
_UNENDED = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
_STATUS = """query($id:ID!){runOrError(runId:$id){__typename ... on RunNotFoundError{message}
  ... on PythonError{message} ... on Run{status}}}"""
_TOLD = """query($id:ID!){runOrError(runId:$id){__typename ... on RunNotFoundError{message}
  ... on PythonError{message} ... on Run{status startTime endTime
    assetMaterializations{partition assetKey{path} metadataEntries{...Figure}}
    eventConnection{events{__typename
      ... on ExecutionStepFailureEvent{stepKey error{message}
        failureMetadata{description metadataEntries{...Figure}}}
      ... on RunFailureEvent{message error{message}}
      ... on ExecutionStepOutputEvent{metadataEntries{...Figure}}}}}}}
fragment Figure on MetadataEntry{label ... on IntMetadataEntry{intValue} ... on FloatMetadataEntry{floatValue}
  ... on TextMetadataEntry{text} ... on PathMetadataEntry{path} ... on UrlMetadataEntry{url}
  ... on BoolMetadataEntry{boolValue} ... on JsonMetadataEntry{jsonString}}"""
FAILED_SERIES = "failed_series"  # what a step that failed for some series only calls these
_VALUES = ("intValue", "floatValue", "text", "path", "url", "boolValue", "jsonString")


@dataclass(frozen=True)
class Materialized:
    """One partition that a run materialised, with the figures it was recorded with."""

    asset: str
    partition: str | None
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class Failure:
    """A step that failed; with the series for which it did and the cause of each, where it tells."""

    step: str
    text: str
    series: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    id: str
    status: str
    started: float | None = None
    ended: float | None = None
    materialized: Sequence[Materialized] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)  # metadata that ops gave with their outputs
    failures: Sequence[Failure] = ()

    @property
    def failure(self) -> str:
        return "; ".join(one.text for one in self.failures if one.text)

    @property
    def done(self) -> bool:
        return self.status in ENDED

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCESS"


def launch_run(
    api: DagsterApi,
    job: str,
    *,
    assets: Sequence[str] | None = None,
    keys: tuple[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Ask for a run of a job, of some of its assets only, over a range of partitions; the run's id."""
    selector: dict[str, Any] = {**api.repository(), "pipelineName": job}
    if assets is not None:
        selector["assetSelection"] = [{"path": asset.split("/")} for asset in assets]
        selector["assetCheckSelection"] = []  # Dagster would add every check of these assets
    marks = dict(tags or {})
    if keys is not None:
        marks |= {RANGE_START: keys[0], RANGE_END: keys[1]}
    parameters = {
        "selector": selector,
        "runConfigData": {"ops": dict(config)} if config else {},
        "mode": "default",
        "executionMetadata": {"tags": [{"key": name, "value": value} for name, value in marks.items()]},
    }
    answer = api.ask(_LAUNCH, {"p": parameters})["launchRun"]
    if answer["__typename"] != "LaunchRunSuccess":
        raise DagsterRefused(f"Dagster at {api.url} refuses a run of {job}: {said(answer)}")
    return str(answer["run"]["id"])


def assets(api: DagsterApi) -> set[str]:
    """What can be materialised, by path."""
    nodes = api.ask(_ASSETS, {})["assetNodes"]
    return {"/".join(node["assetKey"]["path"]) for node in nodes if node["isMaterializable"]}


def at_work(api: DagsterApi, tag: str, value: str) -> list[str]:
    """Runs with this tag that have not ended, newest first."""
    wanted = {"statuses": _UNENDED, "tags": [{"key": tag, "value": value}]}
    answer = api.ask(_AT_WORK, {"f": wanted})["runsOrError"]
    if answer["__typename"] != "Runs":
        raise DagsterRefused(f"Dagster at {api.url} does not list its runs: {said(answer)}")
    return [run["id"] for run in answer["results"]]


def run_ended(api: DagsterApi, run: str) -> bool:
    return _found(api, _STATUS, run)["status"] in ENDED


def read_run(api: DagsterApi, run: str) -> Run:
    """Everything that an answer may need of a run that has ended."""
    told = _found(api, _TOLD, run)
    failures: list[Failure] = []
    outputs: dict[str, Any] = {}
    for event in told["eventConnection"]["events"]:
        if event["__typename"] == "ExecutionStepFailureEvent":
            failures.append(_failure(event))
        elif event["__typename"] == "RunFailureEvent" and not failures:
            text = (event.get("error") or {}).get("message") or event["message"]
            failures.append(Failure("", text.strip()))
        elif event["__typename"] == "ExecutionStepOutputEvent":
            outputs |= _figures(event)
    return Run(
        id=run,
        status=told["status"],
        started=told["startTime"],
        ended=told["endTime"],
        materialized=[
            Materialized("/".join(one["assetKey"]["path"]), one["partition"], _figures(one))
            for one in told["assetMaterializations"]
        ],
        outputs=outputs,
        failures=failures,
    )


def run_page(api: DagsterApi, run: str) -> str:
    return f"{api.url}/runs/{run}"


def _found(api: DagsterApi, query: str, run: str) -> dict[str, Any]:
    answer = api.ask(query, {"id": run})["runOrError"]
    if answer["__typename"] != "Run":
        raise DagsterRefused(f"Dagster at {api.url} does not tell about run {run}: {said(answer)}")
    return dict(answer)


def _failure(event: Mapping[str, Any]) -> Failure:
    given = event.get("failureMetadata") or {}
    text = given.get("description") or (event.get("error") or {}).get("message") or ""
    named = _figures(given).get(FAILED_SERIES) if given else None
    return Failure(event["stepKey"] or "", text.strip(), json.loads(named) if named else {})


def _figures(event: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for entry in event["metadataEntries"]:
        value = next((entry[name] for name in _VALUES if entry.get(name) is not None), None)
        if value is not None:
            found[entry["label"]] = value
    return found
