"""Hourly, daily and weekly candles from the 1m candles in the lake: one asset for each in tables.DERIVED.

A week belongs to the month in which it opens, so its last days are read from the next month.
"""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import pyarrow as pa

from ingestion_assets.computed import computed_asset, months_of
from ingestion_assets.features.aggregates import aggregate
from ingestion_assets.ingestion import Landed
from ingestion_assets.intervals import Window, floor, month_window
from ingestion_assets.partitions import parts_of
from ingestion_assets.tables import DERIVED, INGESTED, Table
from ingestion_assets.workbench import Workbench

MINUTES = INGESTED["1m"]
_WAIT_FOR_MINUTES = timedelta(hours=1)


def aggregates_asset(table: Table) -> dg.AssetsDefinition:
    minutes = months_of(MINUTES, after=1 if table.grain > timedelta(days=1) else 0)
    return computed_asset(table, [minutes], MINUTES, partial(_aggregated, table))


def _aggregated(table: Table, bench: Workbench, keys: list[str], run: str) -> Generator[Landed]:
    now = datetime.now(UTC)
    for key in keys:
        month, name = parts_of(key)
        compute = partial(_bars, bench, table, name, month_window(month), now)
        yield bench.land_computed(table, key, compute, run=run)


def _bars(bench: Workbench, table: Table, name: str, window: Window, now: datetime) -> pa.Table:
    """A bar is made when its last minute is held, or when that minute is an hour overdue."""
    last = bench.lake.last_time(MINUTES, name)
    held_until = last + MINUTES.grain if last else now - _WAIT_FOR_MINUTES
    closed_until = floor(max(held_until, now - _WAIT_FOR_MINUTES), MINUTES.grain)
    minutes = bench.lake.read(MINUTES, name, Window(window.start, window.end + table.grain))
    return aggregate(minutes, table, window, closed_until)


ASSETS = [aggregates_asset(table) for table in DERIVED.values()]
