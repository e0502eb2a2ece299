"""Statistics of markets by the hour: one asset for each table in tables.STATISTICS, from hourly candles.

They look back 30 days, so the two months before are read too. A market is compared with those whose
metadata in the registry says `benchmark`, or where none does, with the first few that are enabled.
"""

import functools
from collections.abc import Callable, Generator, Sequence

import dagster as dg
import pyarrow as pa

from ingestion_assets.features.statistics import Hours, market_comparison, market_snapshot, roi_statistics
from ingestion_assets.ingestion import Landed
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.io_managers.lake import Harvest
from ingestion_assets.partitions import MARKET, keys_of_run, parts_of
from ingestion_assets.registry import Series
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.tables import DERIVED, Table
from ingestion_assets.tables.features import LOOKBACK
from ingestion_assets.tables.statistics import COMPARISON, ROI, SNAPSHOT
from ingestion_assets.workbench import Workbench

BARS = DERIVED["1h"]
COMPARED_WITH = 10
Lookup = Callable[[str, str], Hours]  # of a month and a series


def statistics_asset(
    table: Table, compute: Callable[[Workbench, Lookup, str, str], pa.Table]
) -> dg.AssetsDefinition:
    upstream = dg.AssetDep(
        BARS.path.split("/"),
        partition_mapping=dg.MultiPartitionMapping(
            {
                "month": dg.DimensionPartitionMapping(
                    "month",
                    dg.TimeWindowPartitionMapping(
                        start_offset=-2, allow_nonexistent_upstream_partitions=True
                    ),
                ),
                "series": dg.DimensionPartitionMapping("series", dg.IdentityPartitionMapping()),
            }
        ),
    )

    @dg.asset(
        key=table.path.split("/"),
        deps=[upstream],
        partitions_def=MARKET,
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="lake",
        description=table.text,
    )
    def statistics(context: dg.AssetExecutionContext, workbench: WorkbenchResource) -> Harvest:
        bench, keys = workbench.open(), keys_of_run(context)
        return Harvest(table, _made(bench, table, compute, keys, f"run:{context.run.run_id}"))

    return statistics


def _made(
    bench: Workbench,
    table: Table,
    compute: Callable[[Workbench, Lookup, str, str], pa.Table],
    keys: list[str],
    run: str,
) -> Generator[Landed]:
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
