"""Contracts: what each table holds and what must be true of it. Imports nothing of ours."""

from ingestion_assets.tables.contract import Column, Promise, Table
from ingestion_assets.tables.derivatives import DERIVATIVES
from ingestion_assets.tables.domain_features import DOMAIN_FEATURES
from ingestion_assets.tables.equities import EQUITIES
from ingestion_assets.tables.features import FEATURES
from ingestion_assets.tables.market import DERIVED, INGESTED
from ingestion_assets.tables.news import NEWS
from ingestion_assets.tables.onchain import ONCHAIN
from ingestion_assets.tables.sentiment import SENTIMENT
from ingestion_assets.tables.snapshots import SNAPSHOTS
from ingestion_assets.tables.social import SOCIAL
from ingestion_assets.tables.statistics import STATISTICS

# What vendors' feeds give; a domain whose tables stand here has assets, schedules, checks and healing.
FED: dict[str, Table] = {
    table.path: table
    for group in (DERIVATIVES, EQUITIES, NEWS, SNAPSHOTS, ONCHAIN, SOCIAL)
    for table in group.values()
}
FETCHED: dict[str, Table] = {table.path: table for table in (*INGESTED.values(), *FED.values())}
ALL: dict[str, Table] = {
    table.path: table
    for group in (INGESTED, DERIVED, FEATURES, STATISTICS, FED, SENTIMENT, DOMAIN_FEATURES)
    for table in group.values()
}

__all__ = [
    "ALL",
    "DERIVATIVES",
    "DERIVED",
    "DOMAIN_FEATURES",
    "EQUITIES",
    "FEATURES",
    "FED",
    "FETCHED",
    "INGESTED",
    "NEWS",
    "ONCHAIN",
    "SENTIMENT",
    "SNAPSHOTS",
    "SOCIAL",
    "STATISTICS",
    "Column",
    "Promise",
    "Table",
]
