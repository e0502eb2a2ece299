"""The newest features of each series in Redis, for trading code: one asset for each table in tables.FEATURES.

Only the online window is read and written: the bars that ended within the domain's TTL. A partition of an
older month is looked at and has nothing to write.
"""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import pyarrow as pa

from ingestion_assets.computed import online_asset
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.io_managers.online import Upload
from ingestion_assets.partitions import MARKET, parts_of
from ingestion_assets.stores.cache import AGGREGATES, LATEST
from ingestion_assets.stores.newest import aggregates_entry, features_entry
from ingestion_assets.stores.online import OnlineStore, Place
from ingestion_assets.tables import FEATURES, Table
from ingestion_assets.workbench import Workbench

DOMAIN = "market"


def market_online_asset(timeframe: str, table: Table) -> dg.AssetsDefinition:
    text = (
        f"FEATURE_TTL_SEC after the end of its bar, as `features:{DOMAIN}:<id>:{timeframe}:<epoch seconds>`."
    )
    return online_asset(table, MARKET, text, partial(_pieces, timeframe, table))


def _pieces(
    timeframe: str, table: Table, bench: Workbench, store: OnlineStore, keys: list[str]
) -> Generator[Upload]:
    life = timedelta(seconds=store.life(DOMAIN, timeframe, int(table.grain.total_seconds())))
    for key in keys:
        month, series = parts_of(key)
        place = Place(DOMAIN, bench.online_id(series), timeframe)
        yield Upload(
            key,
            place,
            table,
            partial(_newest, bench, table, series, month, life),
            partial(_version, bench, table, series, month),
            partial(_refresh_cache, bench, series) if timeframe == "1m" else None,
        )


def _newest(bench: Workbench, table: Table, series: str, month: str, life: timedelta) -> pa.Table:
    """The rows of a month that lie in the online window."""
    now, whole = datetime.now(UTC), month_window(month)
    start = max(whole.start, now - life)
    if start >= whole.end:
        return table.schema.empty_table()
    return bench.lake.read(table, series, Window(start, whole.end))


def _refresh_cache(bench: Workbench, series: str, rows: pa.Table) -> None:
    """market:…:latest and market:…:aggregates as they are after this ingestion."""
    if not rows.num_rows:
        return
    name = bench.online_id(series)
    newest = features_entry(series, rows.slice(rows.num_rows - 1))
    bench.cache.put(name, LATEST, newest)
    bench.cache.put(name, AGGREGATES, aggregates_entry(bench.lake, series, newest["time"]))


def _version(bench: Workbench, table: Table, series: str, month: str) -> object:
    """By what to tell that the lake's file is another one than before."""
    return bench.lake.footer(table, series, month)


ASSETS = [market_online_asset(timeframe, table) for timeframe, table in FEATURES.items()]
