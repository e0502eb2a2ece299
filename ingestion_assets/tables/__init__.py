"""Contracts: what each table holds and what must be true of it. Imports nothing of ours."""

from ingestion_assets.tables.contract import Column, Promise, Table
from ingestion_assets.tables.derivatives import DERIVATIVES
from ingestion_assets.tables.equities import EQUITIES
from ingestion_assets.tables.features import FEATURES
from ingestion_assets.tables.market import DERIVED, INGESTED
from ingestion_assets.tables.snapshots import SNAPSHOTS
from ingestion_assets.tables.statistics import STATISTICS

ALL: dict[str, Table] = {
    table.path: table for group in (INGESTED, DERIVED, FEATURES, STATISTICS) for table in group.values()
}

__all__ = [
    "ALL",
    "DERIVATIVES",
    "DERIVED",
    "EQUITIES",
    "FEATURES",
    "INGESTED",
    "SNAPSHOTS",
    "STATISTICS",
    "Column",
    "Promise",
    "Table",
]
