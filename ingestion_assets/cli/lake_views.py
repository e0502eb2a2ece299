"""DuckDB with a view for each table of the lake, and for registry and gap ledger.

The lake is read through Arrow, with the same file systems and credentials as everything else here: one
way that works for a folder, S3 and GCS alike, and needs no extension of DuckDB's to be downloaded.
Projections and filters are pushed down into the Parquet files.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pads
import sqlalchemy as sa

from ingestion_assets.stores.catalog import GAPS, SERIES, Catalog, UtcTime
from ingestion_assets.tables import ALL, Table

if TYPE_CHECKING:
    import duckdb

    from ingestion_assets.workbench import Workbench

_TIME = pa.timestamp("us", tz="UTC")


def connect(bench: Workbench) -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    for table in ALL.values():
        hidden = f"_{table.domain}_{table.name}"
        connection.register(hidden, dataset(bench, table))
        connection.execute(f"create schema if not exists {table.domain}")
        # Where a row lies comes first; DuckDB's own order of columns would put it last.
        connection.execute(
            f"create view {table.domain}.{table.name} as "  # noqa: S608 our own names
            f"select series, {table.cut}, * exclude (series, {table.cut}) from {hidden}"
        )
    connection.register("registry", _rows(bench.catalog, SERIES))
    connection.register("gaps", _rows(bench.catalog, GAPS))
    return connection


def dataset(bench: Workbench, table: Table) -> Any:
    """The files of a table with series and month or day as columns; opens none of them."""
    places = pa.schema([("series", pa.string()), (table.cut, pa.string())])
    objects, folder = bench.lake.home(table)
    files = objects.list(folder, "/part-0.parquet")
    fields = [pa.field(f.name, _plain(f.type)) for f in table.schema]
    schema = pa.schema([*fields, *places])
    if not files:
        return schema.empty_table()
    return pads.dataset(
        [objects.full(path) for path in files],
        schema=schema,
        format="parquet",
        filesystem=objects.fs,
        partitioning=pads.HivePartitioning(places),
        partition_base_dir=objects.full(folder),
    )


def _plain(kind: pa.DataType) -> pa.DataType:
    """Names are stored as dictionaries, which differ from file to file; a query wants text."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _rows(catalog: Catalog, table: sa.Table) -> pa.Table:
    with catalog.read() as db:
        rows = [dict(row) for row in db.execute(sa.select(table)).mappings()]
    for row in rows:
        row.update(
            {name: json.dumps(value) for name, value in row.items() if isinstance(value, (list, dict))}
        )
    return pa.Table.from_pylist(rows, schema=pa.schema([(c.name, _arrow(c.type)) for c in table.columns]))


def _arrow(kind: Any) -> pa.DataType:
    if isinstance(kind, sa.Boolean):
        return pa.bool_()
    if isinstance(kind, sa.Integer):
        return pa.int64()
    return _TIME if isinstance(kind, UtcTime) else pa.string()
