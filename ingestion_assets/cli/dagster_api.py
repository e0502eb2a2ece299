"""Dagster's GraphQL API, as far as a backfill needs it. Loads no Dagster."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ingestion_assets.cli.errors import BadInput, Failed

if TYPE_CHECKING:
    from ingestion_assets.settings import Settings

_DONE = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "COMPLETED", "FAILED", "CANCELED")

_REPOSITORIES = """{repositoriesOrError{__typename ... on PythonError{message}
  ... on RepositoryConnection{nodes{name location{name}}}}}"""
_ADD_PARTITION = """mutation($r:RepositorySelector!,$d:String!,$k:String!){
  addDynamicPartition(repositorySelector:$r,partitionsDefName:$d,partitionKey:$k){__typename
    ... on UnauthorizedError{message} ... on PythonError{message}}}"""
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

    def answers(self) -> bool:
        """Whether a Dagster webserver is there."""
        try:
            with self._opener.open(f"{self.url}/server_info", timeout=5) as answer:
                return "dagster_webserver_version" in json.load(answer)
        except (OSError, ValueError):
            return False

    def require(self) -> None:
        if not self.answers():
            raise Failed(
                f"no Dagster UI answers at {self.url}: start it with `make run`, name another one "
                "with --url, or fetch in this process with --here"
            )

    def add_partitions(self, domain: str, names: list[str]) -> None:
        """So that a backfill may name series that were registered a moment ago; those there already stay."""
        repository = self._repository()
        for name in names:
            variables = {"r": repository, "d": domain, "k": name}
            answer = self._ask(_ADD_PARTITION, variables)["addDynamicPartition"]
            if answer["__typename"] not in ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError"):
                raise Failed(f"Dagster at {self.url} does not take the partition {name!r}: {_said(answer)}")

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
        answer = self._ask(_LAUNCH, {"p": parameters})["launchPartitionBackfill"]
        if answer["__typename"] != "LaunchBackfillSuccess":
            raise Failed(f"Dagster at {self.url} refuses the backfill: {_said(answer)}")
        return str(answer["backfillId"])

    def state(self, backfill: str) -> BackfillState:
        answer = self._ask(_STATE, {"id": backfill})["partitionBackfillOrError"]
        if answer["__typename"] == "BackfillNotFoundError":
            raise BadInput(
                f"backfill {backfill!r} is unknown to Dagster at {self.url}: {self.url}/runs lists them"
            )
        if answer["__typename"] != "PartitionBackfill":
            raise Failed(f"Dagster at {self.url} does not tell about backfill {backfill}: {_said(answer)}")
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
        answer = self._ask(_CANCEL, {"id": backfill})["cancelPartitionBackfill"]
        if answer["__typename"] != "CancelBackfillSuccess":
            raise Failed(f"Dagster at {self.url} does not cancel backfill {backfill}: {_said(answer)}")

    def runs_at_work(self) -> list[str]:
        return [run["id"] for run in self._ask(_RUNNING, {})["runsOrError"].get("results", ())]

    def terminate(self, runs: list[str]) -> None:
        """Ask runs to end; those that a shell of its own executes cannot be asked."""
        self._ask(_TERMINATE, {"ids": runs})

    def page(self, backfill: str) -> str:
        return f"{self.url}/runs/b/{backfill}"

    def _repository(self) -> dict[str, str]:
        answer = self._ask(_REPOSITORIES, {})["repositoriesOrError"]
        for node in answer.get("nodes", ()):
            if node["location"]["name"] == "ingestion_assets":
                return {"repositoryName": node["name"], "repositoryLocationName": node["location"]["name"]}
        raise Failed(f"Dagster at {self.url} has no code location ingestion_assets: is it another project's?")

    def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 the address is the user's own
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read(300).decode("utf-8", "replace")
            raise Failed(f"Dagster at {self.url} answers {error.code}: {said}") from None
        except (OSError, ValueError) as error:
            raise Failed(
                f"Dagster at {self.url} does not answer: {error}. Is `make run` still running?"
            ) from None
        if document.get("errors"):
            raise Failed(f"Dagster at {self.url} does not understand us: {document['errors'][0]['message']}")
        return dict(document["data"])


def ui_url(settings: Settings, url: str | None) -> str:
    if url is None:
        everywhere = settings.dagster_host in ("0.0.0.0", "::")  # noqa: S104 told apart, not listened on
        return f"http://{'127.0.0.1' if everywhere else settings.dagster_host}:{settings.dagster_port}"
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise BadInput(f"--url {url!r} is no address: write it like http://127.0.0.1:3000")
    return url.rstrip("/")


def _said(answer: dict[str, Any]) -> str:
    errors = answer.get("errors") or [answer]
    return "; ".join(str(error.get("message", answer["__typename"])) for error in errors)
