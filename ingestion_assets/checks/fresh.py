"""Asset checks: freshness by the time of the data, series by series, and venue by venue."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from ingestion_assets.ingestion.audit import Lateness, lateness
from ingestion_assets.intervals import iso
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.tables import FETCHED, Table
from ingestion_assets.workbench import Workbench

SERIES_LATE_FACTOR = 4 / 3  # a single series is called late a little after its venue would be


def freshness_result(bench: Workbench, table: Table, now: datetime) -> dg.AssetCheckResult:
    """Late series, and venues most of whose series are late; alerts.py turns these into messages."""
    settle = timedelta(seconds=bench.settings.settle_seconds)
    limit = bench.patience(table)
    entries = bench.registry.entries(table.domain)
    known_since = {entry.series.id: entry.created_at for entry in entries}
    states = lateness(table, bench.followed(table), bench.lake, now, settle, known_since)
    late, venues = judge_lateness(states, limit)
    worst = max(states, key=lambda s: s.late_by, default=None)
    errors = {entry.series.id: entry.error_message for entry in entries if entry.error_message}
    return dg.AssetCheckResult(
        check_name="fresh",
        asset_key=table.path.split("/"),
        passed=not late and not venues,
        severity=dg.AssetCheckSeverity.ERROR,
        description=_freshness_text(late, venues, len(states), limit),
        metadata={
            "series": len(states),
            "late_series": len(late),
            "worst_minutes": int(worst.late_by.total_seconds() // 60) if worst else 0,
            "late": dg.MetadataValue.json({s.series.id: _late_facts(s, errors) for s in late}),
            "late_venues": dg.MetadataValue.json(venues),
        },
    )


def judge_lateness(states: list[Lateness], limit: timedelta) -> tuple[list[Lateness], dict[str, str]]:
    """Late series one by one, except where most of a venue is late: then it is the venue."""
    by_venue: dict[str, list[Lateness]] = defaultdict(list)
    for state in states:
        by_venue[state.series.source].append(state)
    venues = {}
    late: list[Lateness] = []
    for venue, members in by_venue.items():
        behind = [m for m in members if m.late_by > limit]
        if len(behind) >= 3 and len(behind) * 2 >= len(members):
            venues[venue] = f"{len(behind)} of {len(members)} series of {venue} are late"
        else:
            late += [m for m in behind if m.late_by > limit * SERIES_LATE_FACTOR]
    return late, venues


def _late_facts(state: Lateness, errors: dict[str, str]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "minutes": int(state.late_by.total_seconds() // 60),
        "last": iso(state.last) if state.last else None,
    }
    if errors.get(state.series.id):
        facts["cause"] = str(errors[state.series.id])[:300]
    return facts


def _freshness_text(late: list[Lateness], venues: dict[str, str], count: int, limit: timedelta) -> str:
    if not late and not venues:
        return f"all {count} series are less than {int(limit.total_seconds() // 60)} min behind"
    return "; ".join([*venues.values(), *(str(s) for s in late[:10])])


def _fresh_check(table: Table) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table.path.split("/"),
        name="fresh",
        description="By the time of the data, series by series: no newest bar is far behind the present.",
    )
    def fresh(workbench: WorkbenchResource) -> dg.AssetCheckResult:
        return freshness_result(workbench.open(), table, datetime.now(UTC))

    return fresh


FRESH_CHECKS = [_fresh_check(table) for table in FETCHED.values()]
