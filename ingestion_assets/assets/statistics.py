"""Statistics of markets by the hour: one asset for each table in tables.STATISTICS, from hourly candles.

They look back 30 days, so the two months before are read too. A market is compared with those whose
metadata in the registry says `benchmark`, or where none does, with the first few that are enabled.
"""

import functools
from collections.abc import Callable, Generator, Sequence

import dagster as dg
import pyarrow as pa

from ingestion_assets.computed import computed_asset, months_of
from ingestion_assets.features.statistics import Hours, market_comparison, market_snapshot, roi_statistics
from ingestion_assets.ingestion import Landed
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.partitions import parts_of
from ingestion_assets.registry import Series
from ingestion_assets.tables import DERIVED, Table
from ingestion_assets.tables.features import LOOKBACK
from ingestion_assets.tables.statistics import COMPARISON, ROI, SNAPSHOT
from ingestion_assets.workbench import Workbench

BARS = DERIVED["1h"]
COMPARED_WITH = 10
Lookup = Callable[[str, str], Hours]  # of a month and a series
Compute = Callable[[Workbench, Lookup, str, str], pa.Table]


def statistics_asset(table: Table, compute: Compute) -> dg.AssetsDefinition:
    return computed_asset(table, [months_of(BARS, before=2)], BARS, functools.partial(_made, table, compute))


def _made(table: Table, compute: Compute, bench: Workbench, keys: list[str], run: str) -> Generator[Landed]:
    hours = functools.lru_cache(4 * COMPARED_WITH)(functools.partial(_hours, bench))
    for key in sorted(keys):  # month by month, so that what others are compared with is read once
        month, name = parts_of(key)
        rows = functools.partial(compute, bench, hours, month, name)
        yield bench.land_computed(table, key, rows, run=run)


def _hours(bench: Workbench, month: str, name: str) -> Hours:
    whole = month_window(month)
    bars = bench.lake.read(BARS, name, Window(whole.start - LOOKBACK * BARS.grain, whole.end))
    return Hours.of(bars, whole)


def _snapshot(bench: Workbench, hours: Lookup, month: str, name: str) -> pa.Table:
    return market_snapshot(hours(month, name))


def _roi(bench: Workbench, hours: Lookup, month: str, name: str) -> pa.Table:
    return roi_statistics(hours(month, name))


def _comparison(bench: Workbench, hours: Lookup, month: str, name: str) -> pa.Table:
    others = benchmarks(bench.registry.series("market", enabled_only=True), name)
    return market_comparison(hours(month, name), {other: hours(month, other) for other in others})


def benchmarks(enabled: Sequence[Series], name: str) -> list[str]:
    """With which of the enabled series one is compared."""
    chosen = [s for s in enabled if s.metadata.get("benchmark")] or sorted(enabled, key=lambda s: s.id)
    return [s.id for s in chosen[:COMPARED_WITH] if s.id != name]


ASSETS = [
    statistics_asset(SNAPSHOT, _snapshot),
    statistics_asset(ROI, _roi),
    statistics_asset(COMPARISON, _comparison),
]
