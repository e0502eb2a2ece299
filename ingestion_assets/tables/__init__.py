"""Contracts: what each table holds and what must be true of it. Imports nothing of ours."""

from ingestion_assets.tables.contract import Column, Promise, Table
from ingestion_assets.tables.derivatives import DERIVATIVES
from ingestion_assets.tables.features import FEATURES
from ingestion_assets.tables.market import DERIVED, INGESTED

ALL: dict[str, Table] = {
    table.path: table for table in (*INGESTED.values(), *DERIVED.values(), *FEATURES.values())
}

__all__ = ["ALL", "DERIVATIVES", "DERIVED", "FEATURES", "INGESTED", "Column", "Promise", "Table"]
