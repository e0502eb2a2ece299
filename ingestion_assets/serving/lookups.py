"""Metrics that are looked up for a scrape: the registry, the ledger, the lake, Redis, Dagster.

A scrape gives what is remembered and at most sets the next look going; only the very first one waits. What
cannot be looked at has no samples, instead of old ones, and is 0 in `metrics_part_up`. Metrics by series
are given for METRICS_MAX_SERIES of them, the latest first; the others are in the sums.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from redis import RedisError

from ingestion_assets.dagster_api import DagsterApi, DagsterError
from ingestion_assets.dagster_api.automation import automatics, daemons
from ingestion_assets.dagster_api.history import counts
from ingestion_assets.ingestion.audit import lateness
from ingestion_assets.intervals import bars
from ingestion_assets.logs import log_line
from ingestion_assets.serving.ingestion import following
from ingestion_assets.sources.governor import spent
from ingestion_assets.stores.catalog import CatalogError
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.stores.online import OnlineError
from ingestion_assets.tables import ALL, FETCHED
from ingestion_assets.workbench import Workbench

Look = Callable[[], list[Metric]]
KNOWN_TROUBLE = (CatalogError, StoreError, OnlineError, DagsterError, RedisError)


@dataclass
class Part:
    """Something to look at now and then."""

    name: str
    look: Look
    seconds: float  # that a look stays good
    found: list[Metric] = field(default_factory=list)
    up: bool = False
    looked_at: float = float("-inf")


class Lookups(Collector):
    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts = list(parts)
        self._looking = threading.Lock()

    def describe(self) -> list[Metric]:
        """Registering must not look anything up."""
        return []

    def collect(self) -> Iterable[Metric]:
        if any(part.looked_at == float("-inf") for part in self.parts):
            self.refresh()
        elif any(self._due(part) for part in self.parts) and not self._looking.locked():
            threading.Thread(target=self.refresh, name="metrics", daemon=True).start()
        up = GaugeMetricFamily("metrics_part_up", "Whether this could be looked up.", labels=["part"])
        for part in self.parts:
            up.add_metric([part.name], float(part.up))
            yield from part.found
        yield up

    def refresh(self) -> None:
        """Look again at what is due; one at a time."""
        with self._looking:
            for part in self.parts:
                if self._due(part):
                    try:
                        part.found, part.up = part.look(), True
                    except Exception as error:  # noqa: BLE001 whatever it was, its old values are not today's
                        part.found, part.up = [], False
                        foreseen = isinstance(error, KNOWN_TROUBLE)
                        text = str(error) if foreseen else f"{type(error).__name__}: {error}"
                        level = logging.INFO if foreseen else logging.ERROR
                        log_line("metrics_part_down", level=level, part=part.name, error=text)
                    part.looked_at = time.monotonic()

    @staticmethod
    def _due(part: Part) -> bool:
        return time.monotonic() - part.looked_at >= part.seconds


def parts(bench: Workbench, dagster: DagsterApi, count_runs: Callable[[], None]) -> list[Part]:
    def dagster_part() -> list[Metric]:
        count_runs()
        return _dagster(dagster)

    return [
        Part("registry", lambda: _registry(bench), 15),
        Part("gaps", lambda: _gaps(bench), 30),
        Part("freshness", lambda: _freshness(bench), 60),
        Part("redis", lambda: _redis(bench), 15),
        Part("dagster", dagster_part, 15),
    ]


def _registry(bench: Workbench) -> list[Metric]:
    found = GaugeMetricFamily("ingestion_series", "Registered series.", labels=["domain", "status"])
    tally: dict[tuple[str, str], int] = {}
    for entry in bench.registry.entries():
        key = (entry.series.domain, entry.status.value)
        tally[key] = tally.get(key, 0) + 1
    for key, count in tally.items():
        found.add_metric(list(key), count)
    return [found]


def _gaps(bench: Workbench) -> list[Metric]:
    labels = ["asset", "domain", "reason"]
    gaps = GaugeMetricFamily("ingestion_gaps", "Holes in the ledger that are not healed.", labels=labels)
    absent = GaugeMetricFamily("ingestion_gap_bars", "Bars that those holes lack.", labels=labels)
    tally: dict[tuple[str, str, str], tuple[int, int]] = {}
    for gap in bench.ledger.open():
        table = ALL.get(gap.table)
        key = (gap.table, table.domain if table else gap.table.partition("/")[0], gap.reason)
        count, lacking = tally.get(key, (0, 0))
        tally[key] = (count + 1, lacking + (bars([gap.window], table.grain) if table else 0))
    for key, (count, lacking) in tally.items():
        gaps.add_metric(list(key), count)
        absent.add_metric(list(key), lacking)
    return [gaps, absent]


def _freshness(bench: Workbench) -> list[Metric]:
    settings, now = bench.settings, datetime.now(UTC)
    settle = timedelta(seconds=settings.settle_seconds)
    lag = GaugeMetricFamily(
        "ingestion_freshness_lag_seconds",
        "How far the newest bar held is behind the newest that could be.",
        labels=["asset", "series"],
    )
    worst = GaugeMetricFamily(
        "ingestion_freshness_lag_max_seconds", "The same of the latest series of an asset.", labels=["asset"]
    )
    stale = GaugeMetricFamily(
        "ingestion_stale_series",
        "Series that are further behind than FRESHNESS_MINUTES, or than is usual where rows come late.",
        labels=["asset"],
    )
    left_out = GaugeMetricFamily(
        "metrics_series_left_out", "Series beyond METRICS_MAX_SERIES.", labels=["asset"]
    )
    entries = {entry.series.id: entry for entry in bench.registry.entries(enabled_only=True)}
    known = {name: entry.created_at for name, entry in entries.items()}
    for table in FETCHED.values():
        followed = [entries[name].series for name in following(bench, table) if name in entries]
        states = lateness(table, followed, bench.lake, now, settle, known)
        states.sort(key=lambda state: state.late_by, reverse=True)
        for state in states[: settings.metrics_max_series]:
            lag.add_metric([table.path, state.series.id], state.late_by.total_seconds())
        worst.add_metric([table.path], states[0].late_by.total_seconds() if states else 0)
        stale.add_metric([table.path], sum(state.late_by > bench.patience(table) for state in states))
        left_out.add_metric([table.path], max(0, len(states) - settings.metrics_max_series))
    return [lag, worst, stale, left_out]


def _redis(bench: Workbench) -> list[Metric]:
    store = bench.online
    if store is None:
        return []
    store.ping()
    used = GaugeMetricFamily(
        "vendor_weight_used", "Request weight spent in the vendor's present window.", labels=["pool"]
    )
    limit = GaugeMetricFamily("vendor_weight_limit", "What may be spent in a window.", labels=["pool"])
    url = bench.settings.redis_url.get_secret_value() if bench.settings.redis_url else ""
    for pool, (weight, allowed) in spent(url, bench.settings.redis_timeout_sec).items():
        used.add_metric([pool], weight)
        limit.add_metric([pool], allowed)
    return [used, limit]


def _dagster(dagster: DagsterApi) -> list[Metric]:
    runs = GaugeMetricFamily("dagster_runs", "Runs that Dagster remembers.", labels=["status"])
    for status, count in counts(dagster).items():
        runs.add_metric([status.lower()], count)
    age = GaugeMetricFamily(
        "dagster_last_tick_age_seconds", "Time since the last tick.", labels=["kind", "name"]
    )
    running = GaugeMetricFamily("dagster_automation_running", "1 when it is on.", labels=["kind", "name"])
    failed = GaugeMetricFamily(
        "dagster_last_tick_failed", "1 when the last tick failed.", labels=["kind", "name"]
    )
    for one in automatics(dagster):
        labels = [one.kind, one.name]
        running.add_metric(labels, float(one.running))
        if one.last_tick is not None:
            age.add_metric(labels, max(0.0, time.time() - one.last_tick))
            failed.add_metric(labels, float(one.last_status == "FAILURE"))
    beats = GaugeMetricFamily("dagster_daemon_healthy", "1 with a heartbeat.", labels=["daemon"])
    for daemon in daemons(dagster):
        beats.add_metric([daemon.name], float(daemon.healthy))
    return [runs, age, running, failed, beats]
