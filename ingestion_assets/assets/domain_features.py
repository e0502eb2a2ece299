"""Features of on-chain metrics, posts and news: one asset for each table in tables.DOMAIN_FEATURES."""

import functools
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow as pa

from ingestion_assets.features.addresses import HELD, SENT, address_readings
from ingestion_assets.features.onchain import NEEDED, metric_features
from ingestion_assets.features.texts import text_features
from ingestion_assets.ingestion import Landed
from ingestion_assets.intervals import Window, floor, month_window, subtract
from ingestion_assets.io_managers.lake import Harvest
from ingestion_assets.partitions import keys_of_run, partitions_of, parts_of
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.stores.online.names import is_address
from ingestion_assets.stores.texts import judged_texts
from ingestion_assets.tables import Table
from ingestion_assets.tables.domain_features import BUCKETS, LOOKBACK_DAYS, ONCHAIN_1D, ONCHAIN_SOURCES
from ingestion_assets.tables.onchain import BALANCES, METRICS, TRANSACTIONS
from ingestion_assets.workbench import Workbench

Compute = Callable[[Workbench, str, Window], pa.Table]


def domain_features_asset(table: Table, deps: list[dg.AssetDep], compute: Compute) -> dg.AssetsDefinition:
    @dg.asset(
        key=table.path.split("/"),
        deps=deps,
        partitions_def=partitions_of(UPSTREAM[table.name][0]),
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="lake",
        description=table.text,
    )
    def features(context: dg.AssetExecutionContext, workbench: WorkbenchResource) -> Harvest:
        keys, bench = keys_of_run(context), workbench.open()
        return Harvest(table, _made(bench, table, compute, keys, f"run:{context.run.run_id}"))

    return features


def _made(bench: Workbench, table: Table, compute: Compute, keys: list[str], run: str) -> Generator[Landed]:
    for key in keys:
        month, name = parts_of(key)
        whole = month_window(month)
        yield bench.land_computed(table, key, functools.partial(compute, bench, name, whole), run=run)


def _of_chains(bench: Workbench, name: str, month: Window) -> pa.Table:
    """Of a metric, or of an address."""
    needed = Window(month.start - timedelta(days=LOOKBACK_DAYS), month.end)
    if is_address(name):
        held = subtract([needed], bench.lake.holes(TRANSACTIONS, name, needed))
        readings = address_readings(
            name.rpartition(".")[2],
            bench.lake.read(TRANSACTIONS, name, needed, SENT),
            held,
            bench.lake.read(BALANCES, name, needed, HELD),
        )
    else:
        readings = bench.lake.read(METRICS, name, needed, NEEDED)
    return metric_features(readings, month)


def _of_texts(table: Table, bench: Workbench, name: str, month: Window) -> pa.Table:
    """Of the buckets that have ended: one that is still open would be told wrong."""
    ended = max(month.start, min(month.end, floor(datetime.now(UTC), table.grain)))
    _, texts, sentiment = BUCKETS[table.name]
    rows = judged_texts(bench.lake, texts, sentiment, [name], month)
    return text_features(rows, table, Window(month.start, ended))


def _same_partition(table: Table) -> dg.AssetDep:
    return dg.AssetDep(table.path.split("/"), partition_mapping=dg.IdentityPartitionMapping())


def _and_the_month_before(table: Table) -> dg.AssetDep:
    months = dg.TimeWindowPartitionMapping(start_offset=-1, allow_nonexistent_upstream_partitions=True)
    return dg.AssetDep(
        table.path.split("/"),
        partition_mapping=dg.MultiPartitionMapping(
            {
                "month": dg.DimensionPartitionMapping("month", months),
                "series": dg.DimensionPartitionMapping("series", dg.IdentityPartitionMapping()),
            }
        ),
    )


# The tables that each is made of; it is cut like the first.
UPSTREAM: dict[str, tuple[Table, ...]] = {ONCHAIN_1D.name: ONCHAIN_SOURCES} | {
    name: (texts, sentiment) for name, (_, texts, sentiment) in BUCKETS.items()
}
ASSETS = [
    domain_features_asset(ONCHAIN_1D, [_and_the_month_before(one) for one in ONCHAIN_SOURCES], _of_chains),
    *(
        domain_features_asset(
            table, [_same_partition(texts), _same_partition(sentiment)], functools.partial(_of_texts, table)
        )
        for table, texts, sentiment in BUCKETS.values()
    ),
]
