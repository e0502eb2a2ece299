"""The Prometheus registry: what this process counts itself, and what it looks up for a scrape."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from ingestion_assets.dagster_api import DagsterApi
from ingestion_assets.serving.inference import Inference
from ingestion_assets.serving.lookups import Lookups, parts
from ingestion_assets.serving.models import MetricShown
from ingestion_assets.serving.run_counts import RunCounts
from ingestion_assets.workbench import Workbench

_KINDS: dict[str, Literal["counter", "gauge", "histogram"]] = {"counter": "counter", "histogram": "histogram"}
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
SERVICE = "raw-data-ingestion"
_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_ANSWERS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60)


class Metrics:
    def __init__(self, bench: Workbench, dagster: DagsterApi) -> None:
        disable_created_metrics()  # Prometheus sees by itself when a counter began
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        info = Gauge(
            "service_info", "Which service and version.", ["service", "version"], registry=self.registry
        )
        info.labels(SERVICE, metadata.version("ingestion-assets")).set(1)
        self._reads = Counter(
            "feature_store_reads_total",
            "Requests for features, by where the rows came from.",
            ["domain", "kind", "source"],
            registry=self.registry,
        )
        self._rows = Counter(
            "feature_store_rows_read_total", "Rows given out.", ["domain", "source"], registry=self.registry
        )
        self._seconds = Histogram(
            "feature_store_read_seconds",
            "How long finding the rows took.",
            ["domain", "kind"],
            buckets=_FAST,
            registry=self.registry,
        )

        self._http = Histogram(
            "http_request_seconds",
            "From a request's arrival to the end of its answer.",
            ["route", "method", "status"],
            buckets=_ANSWERS,
            registry=self.registry,
        )
        self.inference = Inference(self.registry, bench.settings.ml_max_workers)
        self.registry.register(Lookups(parts(bench, dagster, RunCounts(self.registry, dagster).look)))

    def serve(self, port: int | None, host: str) -> Callable[[], None]:
        """The same on a port of its own, if one is wanted; gives what ends it."""
        if port is None:
            return lambda: None
        server, thread = start_http_server(port, addr=host, registry=self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join(5)

        return stop

    def shown(self) -> list[MetricShown]:
        """Every sample as the older system showed it; a histogram by its buckets, its sum and its count."""
        now = datetime.now(UTC)
        return [
            MetricShown(
                type=_KINDS.get(family.type, "gauge"),
                name=sample.name,
                value=sample.value if math.isfinite(sample.value) else None,
                timestamp=now,
                labels=sample.labels,
            )
            for family in self.registry.collect()
            for sample in family.samples
        ]

    def read(self, domain: str, kind: str, source: str, rows: int, seconds: float) -> None:
        self._reads.labels(domain, kind, source).inc()
        self._rows.labels(domain, source).inc(rows)
        self._seconds.labels(domain, kind).observe(seconds)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self._http.labels(route, method, str(status)).observe(seconds)


class Stopwatch:
    """ASGI middleware: how long each route takes. Addresses that are no route share one name."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self.metrics.answered(route, method, status, time.perf_counter() - began)
