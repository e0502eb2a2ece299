"""The Prometheus registry: what this process counts itself, and what it looks up for a scrape."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from importlib import metadata
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from ingestion_assets.serving.models import MetricShown

_KINDS: dict[str, Literal["counter", "gauge", "histogram"]] = {"counter": "counter", "histogram": "histogram"}
SERVICE = "raw-data-ingestion"
_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_SLOW = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300)


class Metrics:
    def __init__(self) -> None:
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
            if not sample.name.endswith("_created")
        ]

    def read(self, domain: str, kind: str, source: str, rows: int, seconds: float) -> None:
        self._reads.labels(domain, kind, source).inc()
        self._rows.labels(domain, source).inc(rows)
        self._seconds.labels(domain, kind).observe(seconds)
