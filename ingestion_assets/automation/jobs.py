"""What can be launched as a whole: ingest one table, derive, check, report."""

import dagster as dg

from ingestion_assets import checks
from ingestion_assets.tables import DERIVED, FEATURES, INGESTED, Table

# Tags by which sensors and schedules know their own runs.
CAUSE = "ingest/cause"


def _assets_only(tables: list[Table]) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*(t.path.split("/") for t in tables)).without_checks()


def _checks_only(definitions: list[dg.AssetChecksDefinition]) -> dg.AssetSelection:
    return dg.AssetSelection.checks(*definitions)


INGEST_JOB = dg.define_asset_job(
    "ingest_market",
    selection=_assets_only(list(INGESTED.values())),
    description="Fetch what is missing of the selected tables for the partitions of the run.",
)
DERIVE_JOB = dg.define_asset_job(
    "derive_market",
    selection=_assets_only([*DERIVED.values(), *FEATURES.values()]),
    description="Aggregate 1m candles to 1h, 1d and 1w for the partitions of the run.",
)
GAP_SCAN_JOB = dg.define_asset_job(
    "gap_scan",
    selection=_checks_only(checks.GAP_CHECKS),
    description="Look for absent bars; findings go into the gap ledger, from which healing takes its work.",
)
QUALITY_JOB = dg.define_asset_job(
    "quality_scan",
    selection=_checks_only([*checks.PROMISE_CHECKS, *checks.RECONCILE_CHECKS]),
    description="Read the lake again: promises kept, aggregates like the venue's own.",
)
REPORT_JOB = dg.define_asset_job(
    "report_coverage",
    selection=dg.AssetSelection.assets(["reports", "market_coverage"]),
    description="Draw the coverage report.",
)
JOBS = [INGEST_JOB, DERIVE_JOB, GAP_SCAN_JOB, QUALITY_JOB, REPORT_JOB]
EVERY_GAP = dg.RunConfig(
    ops={check.node_def.name: checks.GapCheckConfig(recent_months=None) for check in checks.GAP_CHECKS}
)
