"""What can be launched as a whole: ingest one table, derive, check, report."""

import itertools
from collections.abc import Iterable
from typing import Any

import dagster as dg

from ingestion_assets.checks.archive import ARCHIVE_CHECKS
from ingestion_assets.checks.complete import GAP_CHECKS, GapCheckConfig
from ingestion_assets.checks.leak import LEAK_CHECKS
from ingestion_assets.checks.promises import PROMISE_CHECKS
from ingestion_assets.checks.sources import AGREEMENT_CHECKS
from ingestion_assets.checks.venue import RECONCILE_CHECKS
from ingestion_assets.tables import DERIVED, FEATURES, FED, INGESTED, STATISTICS, Table

# Tags by which sensors and schedules know their own runs.
CAUSE = "ingest/cause"

# What follows the bars of a timeframe after every change of them, and what after an hour of minutes is over.
AT_ONCE = {timeframe: (table.path, f"online/{table.name}") for timeframe, table in FEATURES.items()}
HOURLY = tuple(table.path for table in (*DERIVED.values(), *STATISTICS.values()))


def _assets_only(paths: Iterable[str]) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*(path.split("/") for path in paths)).without_checks()


def part(*paths: str) -> dict[str, Any]:
    """Of a job these assets with the checks that block what follows, and no others that Dagster would add."""
    keys = [dg.AssetKey(path.split("/")) for path in paths]
    blocking = [key for check in LEAK_CHECKS for key in check.check_keys if key.asset_key in keys]
    return {"asset_selection": keys, "asset_check_keys": blocking}


def job_for(table: Table) -> str:
    """The name of the job that fetches a table."""
    job = FEED_JOBS[table.domain, table.cut] if table.path in FED else INGEST_JOB
    return job.name


def _checks_only(definitions: list[dg.AssetChecksDefinition]) -> dg.AssetSelection:
    return dg.AssetSelection.checks(*definitions)


INGEST_JOB = dg.define_asset_job(
    "ingest_market",
    selection=_assets_only(table.path for table in INGESTED.values()),
    description="Fetch what is missing of the selected tables for the partitions of the run.",
)
# Tables of a domain that are cut alike have a job: a run's range is of one kind of partitions.
FEED_JOBS = {
    (domain, cut): dg.define_asset_job(
        f"ingest_{domain}" + ("_by_day" if cut == "day" else ""),
        selection=_assets_only(t.path for t in FED.values() if (t.domain, t.cut) == (domain, cut)),
        description="Fetch what is missing of the selected tables for the partitions of the run.",
    )
    for domain, cut in sorted({(table.domain, table.cut) for table in FED.values()})
}
DERIVE_JOB = dg.define_asset_job(
    "derive_market",
    selection=_assets_only({*HOURLY, *itertools.chain(*AT_ONCE.values())}) | _checks_only(LEAK_CHECKS),
    description="What is made of candles, for the partitions of the run: aggregates, statistics, features.",
)
GAP_SCAN_JOB = dg.define_asset_job(
    "gap_scan",
    selection=_checks_only(GAP_CHECKS),
    description="Look for absent bars; findings go into the gap ledger, from which healing takes its work.",
)
QUALITY_JOB = dg.define_asset_job(
    "quality_scan",
    selection=_checks_only([*PROMISE_CHECKS, *RECONCILE_CHECKS, *AGREEMENT_CHECKS, *ARCHIVE_CHECKS]),
    description="Read the lake again: promises kept, aggregates like the venue's own, archive like API, "
    "files as they were published.",
)
REPORT_JOB = dg.define_asset_job(
    "report_coverage",
    selection=dg.AssetSelection.assets(["reports", "market_coverage"]),
    description="Draw the coverage report.",
)
JOBS = [INGEST_JOB, *FEED_JOBS.values(), DERIVE_JOB, GAP_SCAN_JOB, QUALITY_JOB, REPORT_JOB]
EVERY_GAP = dg.RunConfig(
    ops={check.node_def.name: GapCheckConfig(recent_months=None) for check in GAP_CHECKS}
)
