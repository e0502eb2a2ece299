"""Rows that come as they come, on no grid: in the lake, and what of them is in Redis."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pyarrow as pa

from ingestion_assets.intervals import month_of
from ingestion_assets.tables import Table
from ingestion_assets.tables.domain_features import BUCKETS, ONCHAIN_1D
from ingestion_assets.workbench import Workbench

DAY, MINUTE = 86_400, 60
METRIC = "glassnode.BTC.addresses.active_count"
MINUTES = BUCKETS["social_1m"][0]


def keep(bench: Workbench, table: Table, series: str, rows: list[dict[str, object]]) -> None:
    """In the lake, each row with a `time` in epoch seconds."""
    by_month: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        moment = datetime.fromtimestamp(float(str(row["time"])), UTC)
        whole = {"source": "derived", "known_at": moment + table.grain} | row | {"time": moment}
        by_month.setdefault(month_of(moment), []).append(whole)
    for month, inside in by_month.items():
        columns = {f.name: pa.array([row.get(f.name) for row in inside], f.type) for f in table.schema}
        given_rows = table.in_order(pa.table(columns, table.schema))
        bench.lake.merge(table, series, month, given_rows, notes={})


def keep_days(bench: Workbench, days: list[int]) -> None:
    keep(bench, ONCHAIN_1D, METRIC, [{"time": at, "component": "value", "value": float(at)} for at in days])
    keep(bench, ONCHAIN_1D, METRIC, [{"time": at, "component": "other", "value": 0.5} for at in days])


def put(bench: Workbench, domain: str, name: str, qualifier: str, times: list[int], grain: int) -> None:
    assert bench.online is not None
    columns = {"value": [float(at) for at in times]}
    bench.online.write(domain, name, qualifier, times, columns, grain)


def days_back(count: int) -> list[int]:
    today = int(time.time()) // DAY * DAY
    return [today - n * DAY for n in range(count, 0, -1)]
