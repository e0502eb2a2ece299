"""Rows of the feature table for tests: plain numbers by which each row is known again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa

from ingestion_assets.intervals import month_of
from ingestion_assets.tables import FEATURES, Table
from ingestion_assets.workbench import Workbench

TABLE = FEATURES["1m"]
SERIES = "binance.BTC-USDT"
FLAGS = {"is_gap": False, "minutes_since_gap": 100, "coverage": 1.0, "hl_range": 0.001, "source": "derived"}


def rows(times: Sequence[int], mark: float = 0.0) -> pa.Table:
    """One row each; `close` is the time in minutes + the mark, ret_1 is not given."""
    columns = {name: [value] * len(times) for name, value in FLAGS.items()}
    columns["time"] = [datetime.fromtimestamp(at, UTC) for at in times]
    columns["known_at"] = [datetime.fromtimestamp(at + 65, UTC) for at in times]
    columns["close"] = [at / 60 + mark for at in times]
    columns["volume"] = [1.5] * len(times)
    return TABLE.conform(pa.table(columns))


def keep(bench: Workbench, times: Sequence[int], mark: float = 0.0) -> None:
    """In the lake."""
    by_month: dict[str, list[int]] = {}
    for at in times:
        by_month.setdefault(month_of(datetime.fromtimestamp(at, UTC)), []).append(at)
    for month, inside in by_month.items():
        bench.lake.merge(TABLE, SERIES, month, rows(inside, mark), notes={"run": "test"})


def put_online(bench: Workbench, times: Sequence[int], mark: float = 0.0) -> None:
    assert bench.online is not None
    bench.online.write("market", bench.online_id(SERIES), "1m", list(times), rows(times, mark))


def keep_numbered(bench: Workbench, table: Table, moments: Sequence[datetime], **more: object) -> None:
    """In the lake, rows of any table whose numbers are all the row's own number."""
    for number, moment in enumerate(moments):
        values: dict[str, object] = {}
        for column in table.columns:
            values[column.name] = moment if pa.types.is_timestamp(column.type) else float(number + 1)
            if column.kind == "string":
                values[column.name] = "derived"
        values |= {name: value for name, value in more.items() if name in values}
        rows = table.conform(pa.Table.from_pylist([values]))
        bench.lake.merge(table, SERIES, month_of(moment), rows, notes={"run": "test"})
