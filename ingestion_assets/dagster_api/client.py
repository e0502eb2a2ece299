"""Asking Dagster, its partitions, its backfills.

DagsterError
├── DagsterDown      nobody answers, or not as Dagster does
└── DagsterRefused   Dagster answers, and will not do it
UnknownBackfill      there is no backfill of that id
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

LOCATION = "ingestion_assets"
_DONE = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "COMPLETED", "FAILED", "CANCELED")

_REPOSITORIES = """{repositoriesOrError{__typename ... on PythonError{message}
  ... on RepositoryConnection{nodes{name location{name}}}}}"""
_ADD_PARTITION = """mutation($r:RepositorySelector!,$d:String!,$k:String!){
  addDynamicPartition(repositorySelector:$r,partitionsDefName:$d,partitionKey:$k){__typename
    ... on UnauthorizedError{message} ... on PythonError{message}}}"""
_DELETE_PARTITIONS = """mutation($r:RepositorySelector!,$d:String!,$k:[String!]!){
  deleteDynamicPartitions(repositorySelector:$r,partitionsDefName:$d,partitionKeys:$k){__typename
    ... on UnauthorizedError{message} ... on PythonError{message}}}"""
_PARTITIONS = """query($p:[String!]!){assetNodeOrError(assetKey:{path:$p}){__typename
  ... on AssetNotFoundError{message} ... on AssetNode{partitionKeysByDimension{name partitionKeys}}}}"""
_LAUNCH = """mutation($p:LaunchBackfillParams!){launchPartitionBackfill(backfillParams:$p){__typename
  ... on LaunchBackfillSuccess{backfillId} ... on PythonError{message} ... on UnauthorizedError{message}
  ... on InvalidSubsetError{message} ... on PartitionSetNotFoundError{message}
  ... on PartitionKeysNotFoundError{message} ... on RunConfigValidationInvalid{errors{message}}}}"""
_STATE = """query($id:String!){partitionBackfillOrError(backfillId:$id){__typename
  ... on BackfillNotFoundError{message} ... on PythonError{message}
  ... on PartitionBackfill{status error{message} runs(limit:2000){id status}
    assetBackfillData{assetBackfillStatuses{... on AssetPartitionsStatusCounts{
      numPartitionsTargeted numPartitionsInProgress numPartitionsMaterialized numPartitionsFailed}}}}}}"""
_CANCEL = """mutation($id:String!){cancelPartitionBackfill(backfillId:$id){__typename
  ... on PythonError{message} ... on UnauthorizedError{message}}}"""
_RUNNING = "{runsOrError(filter:{statuses:[STARTING,STARTED,CANCELING]},limit:200){... on Runs{results{id}}}}"
_TERMINATE = """mutation($ids:[String!]!){
  terminateRuns(runIds:$ids,terminatePolicy:SAFE_TERMINATE){__typename}}"""


class DagsterError(Exception):
    """Dagster did not do what was asked; the text says where and why."""


class DagsterDown(DagsterError):
    pass


class DagsterRefused(DagsterError):
    pass


class UnknownBackfill(ValueError):
    pass


@dataclass(frozen=True)
class BackfillState:
    """How far a backfill is."""

    status: str
    targeted: int
    in_progress: int
    materialized: int
    failed: int
    runs: dict[str, str]  # status by run id
    error: str | None

    @property
    def done(self) -> bool:
        return self.status in _DONE

    @property
    def succeeded(self) -> bool:
        return self.status == "COMPLETED_SUCCESS" and self.failed == 0


class DagsterApi:
    def __init__(self, url: str, timeout: float = 60) -> None:
        self.url, self._timeout = url.rstrip("/"), timeout
        near = urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1")
        # A proxy for the outside world does not know this machine's own servers.
        handlers = [urllib.request.ProxyHandler({})] if near else []
        self._opener = urllib.request.build_opener(*handlers)
        self._repository: dict[str, str] | None = None

    def answers(self) -> bool:
        """Whether a Dagster webserver is there."""
        try:
            with self._opener.open(f"{self.url}/server_info", timeout=5) as answer:
                return "dagster_webserver_version" in json.load(answer)
        except (OSError, ValueError):
            return False

    # Partitions

    def partitions(self, asset: str, dimension: str = "series") -> list[str]:
        """The keys of one dimension of an asset's partitions, in Dagster's order."""
        answer = self.ask(_PARTITIONS, {"p": asset.split("/")})["assetNodeOrError"]
        if answer["__typename"] != "AssetNode":
            raise DagsterRefused(f"Dagster at {self.url} knows no asset {asset}: {said(answer)}")
        for one in answer["partitionKeysByDimension"]:
            if one["name"] == dimension:
                return list(one["partitionKeys"])
        return []

    def add_partitions(self, domain: str, names: Sequence[str]) -> None:
        """So that a run may name series that were registered a moment ago; those there already stay."""
        for name in names:
            variables = {"r": self.repository(), "d": domain, "k": name}
            answer = self.ask(_ADD_PARTITION, variables)["addDynamicPartition"]
            if answer["__typename"] not in ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError"):
                raise DagsterRefused(
                    f"Dagster at {self.url} does not take the partition {name!r}: {said(answer)}"
                )

    def delete_partitions(self, domain: str, names: Sequence[str]) -> None:
        """Forget partitions of a dynamic set; what was materialised of them stays."""
        variables = {"r": self.repository(), "d": domain, "k": list(names)}
        answer = self.ask(_DELETE_PARTITIONS, variables)["deleteDynamicPartitions"]
        if answer["__typename"] != "DeleteDynamicPartitionsSuccess":
            raise DagsterRefused(f"Dagster at {self.url} does not forget {', '.join(names)}: {said(answer)}")

    # Backfills

    def launch(
        self, asset: str, keys: list[str], *, title: str, config: dict[str, Any], tags: dict[str, str]
    ) -> str:
        """A real backfill of these partitions; its id."""
        parameters: dict[str, Any] = {
            "assetSelection": [{"path": asset.split("/")}],
            "partitionNames": keys,
            "fromFailure": False,
            "title": title,
            "tags": [{"key": name, "value": value} for name, value in tags.items()],
        }
        if config:
            parameters["runConfigData"] = {"ops": {asset.replace("/", "__"): {"config": config}}}
        answer = self.ask(_LAUNCH, {"p": parameters})["launchPartitionBackfill"]
        if answer["__typename"] != "LaunchBackfillSuccess":
            raise DagsterRefused(f"Dagster at {self.url} refuses the backfill: {said(answer)}")
        return str(answer["backfillId"])

    def state(self, backfill: str) -> BackfillState:
        answer = self.ask(_STATE, {"id": backfill})["partitionBackfillOrError"]
        if answer["__typename"] == "BackfillNotFoundError":
            raise UnknownBackfill(
                f"backfill {backfill!r} is unknown to Dagster at {self.url}: {self.url}/runs lists them"
            )
        if answer["__typename"] != "PartitionBackfill":
            raise DagsterRefused(
                f"Dagster at {self.url} does not tell about backfill {backfill}: {said(answer)}"
            )
        counts = ((answer["assetBackfillData"] or {}).get("assetBackfillStatuses") or [{}])[0]
        return BackfillState(
            status=answer["status"],
            targeted=counts.get("numPartitionsTargeted", 0),
            in_progress=counts.get("numPartitionsInProgress", 0),
            materialized=counts.get("numPartitionsMaterialized", 0),
            failed=counts.get("numPartitionsFailed", 0),
            runs={run["id"]: run["status"] for run in answer["runs"]},
            error=(answer["error"] or {}).get("message"),
        )

    def cancel(self, backfill: str) -> None:
        self.state(backfill)  # Dagster would take any id
        answer = self.ask(_CANCEL, {"id": backfill})["cancelPartitionBackfill"]
        if answer["__typename"] != "CancelBackfillSuccess":
            raise DagsterRefused(f"Dagster at {self.url} does not cancel backfill {backfill}: {said(answer)}")

    def runs_at_work(self) -> list[str]:
        return [run["id"] for run in self.ask(_RUNNING, {})["runsOrError"].get("results", ())]

    def terminate(self, runs: list[str]) -> None:
        """Ask runs to end; those that a shell of its own executes cannot be asked."""
        self.ask(_TERMINATE, {"ids": runs})

    def page(self, backfill: str) -> str:
        return f"{self.url}/runs/b/{backfill}"

    # Asking

    def repository(self) -> dict[str, str]:
        """How Dagster names our definitions; asked once."""
        if self._repository is None:
            answer = self.ask(_REPOSITORIES, {})["repositoriesOrError"]
            for node in answer.get("nodes", ()):
                if node["location"]["name"] == LOCATION:
                    self._repository = {"repositoryName": node["name"], "repositoryLocationName": LOCATION}
                    break
            else:
                raise DagsterRefused(
                    f"Dagster at {self.url} has no code location {LOCATION}: is it another project's, "
                    "or does its code server still load?"
                )
        return self._repository

    def ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 the address is a setting or the user's own
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read(300).decode("utf-8", "replace")
            raise DagsterDown(f"Dagster at {self.url} answers {error.code}: {text}") from None
        except (OSError, ValueError) as error:
            raise DagsterDown(
                f"Dagster at {self.url} does not answer: {error}. Is `make run` still running?"
            ) from None
        if document.get("errors"):
            raise DagsterRefused(
                f"Dagster at {self.url} does not understand us: {document['errors'][0]['message']}"
            )
        return dict(document["data"])


def said(answer: dict[str, Any]) -> str:
    """Why Dagster refused, in its own words."""
    errors = answer.get("errors") or [answer]
    return "; ".join(str(error.get("message", answer["__typename"])) for error in errors)
