"""Asset checks: no bar is absent that should be there. What is absent goes into the gap ledger."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from ingestion_assets.ingestion.audit import Audit
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.tables import FETCHED, Table
from ingestion_assets.workbench import Workbench

LISTED = 50


class GapCheckConfig(dg.Config):
    recent_months: int | None = Field(
        2, gt=0, description="Look at so many months; null looks at all history."
    )


def gap_audits(
    bench: Workbench,
    table: Table,
    now: datetime,
    recent_months: int | None,
    among: Collection[str] | None = None,
) -> list[Audit]:
    """Audits of the series that follow the table, or of those `among` them."""
    since = None
    if recent_months is not None:
        first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        for _ in range(recent_months - 1):
            first = (first - timedelta(days=1)).replace(day=1)
        since = first
    return [
        bench.audit(table, series, now, since)
        for series in bench.followed(table)
        if among is None or series.id in among
    ]


def _gap_check(table: Table) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table.path.split("/"),
        name="complete",
        description=(
            "No bar is absent that should be there"
            if table.grid
            else "No time is left that was not asked for"
        )
        + "; holes are in the gap ledger with their reasons.",
    )
    def complete(
        context: dg.AssetCheckExecutionContext, config: GapCheckConfig, workbench: WorkbenchResource
    ) -> dg.AssetCheckResult:
        audits = gap_audits(workbench.open(), table, datetime.now(UTC), config.recent_months)
        bad = sorted((a for a in audits if a.absent), key=lambda a: -a.absent)
        for one in bad:
            holes = ", ".join(str(w) for w in one.holes[:5])
            context.log.warning(
                f"gap_detected {one.series.id}: {_amount(table, one.absent)}, longest {one.longest}: {holes}"
            )
        return dg.AssetCheckResult(
            passed=not bad,
            severity=dg.AssetCheckSeverity.WARN,
            description=(
                f"{_amount(table, sum(a.absent for a in bad))} in {len(bad)} of {len(audits)} series"
                if bad
                else f"all {len(audits)} series are complete"
            ),
            metadata={
                "series": len(audits),
                "missing_count": sum(a.absent for a in audits),
                "pending_count": sum(a.pending for a in audits),
                "affirmed_empty_count": sum(a.affirmed for a in audits),
                "longest_minutes": int(
                    max((a.longest for a in audits), default=timedelta()).total_seconds() // 60
                ),
                "coverage": round(min((a.coverage for a in audits), default=1.0), 6),
                "unreadable_files": dg.MetadataValue.json([p for a in audits for p in a.corrupt][:LISTED]),
                "gaps": dg.MetadataValue.json(
                    {a.series.id: [f"{w}" for w in a.holes[:20]] for a in bad[:LISTED]}
                ),
            },
        )

    return complete


def _amount(table: Table, absent: int) -> str:
    """Of events nobody knows how many there are, only of which time they were not asked for."""
    if not table.grid:
        return f"{absent * table.grain / timedelta(hours=1):.3g} h were not asked for"
    return "1 bar is absent" if absent == 1 else f"{absent} bars are absent"


GAP_CHECKS = [_gap_check(table) for table in FETCHED.values()]
