"""Features of market bars: one asset for each table in tables.FEATURES, all made alike.

The first bars of a month look back into the month before, so its end is read too. What is held and still
that of its bars stays; only what follows the first difference is computed, and comes out as it would if
all were.
"""

import functools
from collections.abc import Callable, Generator
from datetime import datetime

import dagster as dg
import pyarrow as pa
from pydantic import Field

from ingestion_assets.computed import months_of
from ingestion_assets.features.market import CHECKED, NEEDED, first_outdated, market_features
from ingestion_assets.ingestion import Landed
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.io_managers.lake import Harvest
from ingestion_assets.partitions import keys_of_run, partitions_of, parts_of
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.tables import FEATURES, INGESTED, Table
from ingestion_assets.tables.features import LOOKBACK
from ingestion_assets.workbench import Workbench


class FeaturesConfig(dg.Config):
    full_refresh: bool = Field(False, description="Compute all again, also what is held and not outdated.")


def features_asset(table: Table, bars: Table) -> dg.AssetsDefinition:
    @dg.asset(
        key=table.path.split("/"),
        deps=[months_of(bars, before=1)],
        partitions_def=partitions_of(bars),
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="lake",
        description=table.text,
    )
    def features(
        context: dg.AssetExecutionContext, config: FeaturesConfig, workbench: WorkbenchResource
    ) -> Harvest:
        keys, run = keys_of_run(context), f"run:{context.run.run_id}"
        return Harvest(table, _made(workbench.open(), table, bars, keys, run, config.full_refresh))

    return features


def _made(
    bench: Workbench, table: Table, bars: Table, keys: list[str], run: str, full_refresh: bool
) -> Generator[Landed]:
    for key in keys:
        month, name = parts_of(key)
        whole = month_window(month)
        needed = Window(whole.start - LOOKBACK * bars.grain, whole.end)
        rows = functools.cache(functools.partial(bench.lake.read, bars, name, needed, NEEDED))
        since = whole.start if full_refresh else _outdated_from(bench, table, name, month, rows)
        window = Window(since, whole.end)
        compute = functools.partial(_features, rows, table, window)
        yield bench.land_computed(table, key, compute, window=window, run=run)


def _features(rows: Callable[[], pa.Table], table: Table, window: Window) -> pa.Table:
    return market_features(rows(), table, window)


def _outdated_from(
    bench: Workbench, table: Table, name: str, month: str, rows: Callable[[], pa.Table]
) -> datetime:
    """Where a month's features are no longer what its bars give; its end when they are so throughout."""
    whole = month_window(month)
    try:
        footer = bench.lake.footer(table, name, month)
        if footer is None or footer.notes.get("schema_version") != str(table.version):
            return whole.start
        held = bench.lake.read(table, name, whole, CHECKED)
        return first_outdated(rows(), held, table, whole) or whole.end
    except StoreError:  # what cannot be read is made anew, or is named when that needs it too
        return whole.start


ASSETS = [features_asset(table, INGESTED[timeframe]) for timeframe, table in FEATURES.items()]
