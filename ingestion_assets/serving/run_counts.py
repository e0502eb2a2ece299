"""Counting what runs did, from what Dagster recorded of those that ended since the last look.

The runs are other processes, so their figures are read where they wrote them. Counting begins when this
process starts; Prometheus knows that counters start anew.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Histogram

from ingestion_assets.dagster_api import DagsterApi
from ingestion_assets.dagster_api.history import Ended, ended_since
from ingestion_assets.dagster_api.runs import RANGE_START, Run, read_run
from ingestion_assets.serving.ingestion import CAUSE
from ingestion_assets.tables import FETCHED

_AT_ONCE = 500  # runs that are counted at one look; more than ended since the last one
_OVERLAP = 60.0  # seconds that are looked at again: two clocks, and rows that are committed a little late
_BUCKETS = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 900, 3_600)
_MOST_TRIGGERS = 40  # causes that get a name of their own; those are ours, but anybody may tag a run


class RunCounts:
    def __init__(self, registry: CollectorRegistry, dagster: DagsterApi) -> None:
        self._dagster = dagster
        self._since = time.time()
        self._seen: dict[str, float] = {}
        self._triggers: set[str] = set()
        by_run, by_asset = ["trigger", "provider"], ["asset", "domain"]
        self._success = Counter("ingestion_success", "Runs that fetched.", by_run, registry=registry)
        self._failure = Counter(
            "ingestion_failure", "Runs that should have fetched and failed.", by_run, registry=registry
        )
        self._rows = Counter("ingestion_rows", "Rows that are new.", by_asset, registry=registry)
        self._requests = Counter(
            "ingestion_requests", "Requests that vendors were asked.", by_asset, registry=registry
        )
        self._partitions = Counter(
            "ingestion_partitions", "Partitions that were materialised.", by_asset, registry=registry
        )
        self._seconds = Histogram(
            "ingestion_duration_seconds",
            "What one partition took, fetched or made, and landed.",
            by_asset,
            buckets=_BUCKETS,
            registry=registry,
        )
        self._written = Counter(
            "feature_store_rows_written", "Rows put online.", ["asset"], registry=registry
        )
        self._runs = Counter("dagster_runs_ended", "Runs that ended.", ["job", "status"], registry=registry)
        self._run_seconds = Histogram(
            "dagster_run_duration_seconds",
            "From a run's start to its end.",
            ["job"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def look(self) -> None:
        """Count what ended since the last look."""
        found = ended_since(self._dagster, self._since - _OVERLAP, _AT_ONCE)
        for run in sorted(found, key=lambda run: run.updated):
            if run.id not in self._seen and (run.ended or run.updated) >= self._since - _OVERLAP:
                self._count(run, read_run(self._dagster, run.id))
                self._seen[run.id] = run.updated
        newest = max((run.updated for run in found), default=self._since)
        self._since = max(self._since, newest)
        self._seen = {name: at for name, at in self._seen.items() if at >= self._since - 2 * _OVERLAP}

    def _count(self, ended: Ended, run: Run) -> None:
        self._runs.labels(ended.job, ended.status.lower()).inc()
        if ended.started is not None and ended.ended is not None:
            self._run_seconds.labels(ended.job).observe(max(0.0, ended.ended - ended.started))
        fetched = set(FETCHED)
        for one in run.materialized:
            labels = (one.asset, one.asset.partition("/")[0])
            self._partitions.labels(*labels).inc()
            if "new_rows" in one.figures:
                self._rows.labels(*labels).inc(_figure(one.figures["new_rows"]))
            if "seconds" in one.figures:
                self._seconds.labels(*labels).observe(_figure(one.figures["seconds"]))
            if one.asset in fetched:
                self._requests.labels(*labels).inc(_figure(one.figures.get("requests")))
            if "features_written" in one.figures:
                self._written.labels(one.asset).inc(_figure(one.figures["features_written"]))
        providers = self._providers(ended, run, fetched)
        trigger = self._trigger(ended)
        for provider in providers if ended.status != "CANCELED" else ():
            (self._success if ended.status == "SUCCESS" else self._failure).labels(trigger, provider).inc()

    def _providers(self, ended: Ended, run: Run, fetched: Collection[str]) -> set[str]:
        """The venues that a run fetched from, or was to."""
        keys = {one.partition or "" for one in run.materialized if one.asset in fetched}
        if not keys and (ended.job.startswith("ingest_") or "ingest/asked_by" in ended.tags):
            keys = {ended.tags.get(RANGE_START, "")}
        names = {key.partition("|")[2].partition(".")[0] for key in keys}
        return {name for name in names if name}

    def _trigger(self, ended: Ended) -> str:
        cause = ended.tags.get(CAUSE, "manual").removeprefix("api_")
        if cause not in self._triggers and len(self._triggers) >= _MOST_TRIGGERS:
            return "other"
        self._triggers.add(cause)
        return cause


def _figure(value: object) -> float:
    return float(str(value)) if value is not None else 0.0
