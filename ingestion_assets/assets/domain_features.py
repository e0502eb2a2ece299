"""Features of on-chain metrics, posts and news: one asset for each table in tables.DOMAIN_FEATURES."""

import functools
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow as pa

from ingestion_assets.computed import computed_asset, months_of
from ingestion_assets.features.addresses import HELD, SENT, address_readings
from ingestion_assets.features.onchain import NEEDED, metric_features
from ingestion_assets.features.texts import text_features
from ingestion_assets.ingestion import Landed
from ingestion_assets.intervals import Window, floor, month_window, subtract
from ingestion_assets.partitions import parts_of
from ingestion_assets.stores.online.names import is_address
from ingestion_assets.stores.texts import judged_texts
from ingestion_assets.tables import Table
from ingestion_assets.tables.domain_features import BUCKETS, LOOKBACK_DAYS, ONCHAIN_1D, ONCHAIN_SOURCES
from ingestion_assets.tables.onchain import BALANCES, METRICS, TRANSACTIONS
from ingestion_assets.workbench import Workbench

Compute = Callable[[Workbench, str, Window], pa.Table]


def domain_features_asset(table: Table, deps: list[dg.AssetDep], compute: Compute) -> dg.AssetsDefinition:
    return computed_asset(table, deps, UPSTREAM[table.name][0], functools.partial(_made, table, compute))


def _made(table: Table, compute: Compute, bench: Workbench, keys: list[str], run: str) -> Generator[Landed]:
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


# The tables that each is made of; it is cut like the first.
UPSTREAM: dict[str, tuple[Table, ...]] = {ONCHAIN_1D.name: ONCHAIN_SOURCES} | {
    name: (texts, sentiment) for name, (_, texts, sentiment) in BUCKETS.items()
}
ASSETS = [
    domain_features_asset(ONCHAIN_1D, [months_of(one, before=1) for one in ONCHAIN_SOURCES], _of_chains),
    *(
        domain_features_asset(
            table, [months_of(texts), months_of(sentiment)], functools.partial(_of_texts, table)
        )
        for table, texts, sentiment in BUCKETS.values()
    ),
]
