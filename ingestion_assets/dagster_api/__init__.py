"""Dagster's GraphQL API, as far as the command line and the HTTP API need it. Loads no Dagster.

Here: asking and being told. Not here: what people are told of it (`cli`, `serving`).

    client       asking; partitions and backfills
    runs         one run launched, followed, read
    automation   schedules and sensors: how they stand, switched on and off; daemons; counts of runs
"""

from ingestion_assets.dagster_api.client import (
    BackfillState,
    DagsterApi,
    DagsterDown,
    DagsterError,
    DagsterRefused,
    UnknownBackfill,
)

__all__ = [
    "BackfillState",
    "DagsterApi",
    "DagsterDown",
    "DagsterError",
    "DagsterRefused",
    "UnknownBackfill",
]
