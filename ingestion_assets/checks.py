"""Asset checks: gaps, freshness by series, promises kept in the lake, aggregates like the venue's own.

Each looks at the lake and the ledger through the workbench. Checks are not partitioned: what they find
is listed by series in their metadata.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from ingestion_assets.ingestion.audit import Audit, Lateness, lateness
from ingestion_assets.intervals import Window, ceiling, iso
from ingestion_assets.registry import Series
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.sources.errors import SourceError
from ingestion_assets.stores.lake_file import CorruptFile
from ingestion_assets.tables import DERIVED, DOMAIN_FEATURES, FEATURES, FETCHED, SENTIMENT, STATISTICS, Table
from ingestion_assets.tables.market import candles
from ingestion_assets.workbench import Workbench

LISTED = 50
SERIES_LATE_FACTOR = 4 / 3  # a single series is called late a little after its venue would be


class GapCheckConfig(dg.Config):
    recent_months: int | None = Field(
        2, gt=0, description="Look at so many months; null looks at all history."
    )


class PromiseCheckConfig(dg.Config):
    months: int = Field(1, gt=0, description="Read so many of the newest months of each series.")


class ReconcileConfig(dg.Config):
    series: int = Field(2, gt=0, description="Compare so many series, others each day.")
    bars: int = Field(24, gt=0, description="Compare so many bars of each.")


def followed(bench: Workbench, table: Table) -> list[Series]:
    """The series that the table should have: enabled, wanted in it, and with the key that it takes."""
    series = bench.registry.series(table.domain, enabled_only=True)
    return [s for s in series if s.follows(table) and bench.askable(table, s)]


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
        for series in followed(bench, table)
        if among is None or series.id in among
    ]


def freshness_result(bench: Workbench, table: Table, now: datetime) -> dg.AssetCheckResult:
    """Late series, and venues most of whose series are late; alerts.py turns these into messages."""
    settle = timedelta(seconds=bench.settings.settle_seconds)
    limit = bench.patience(table)
    entries = bench.registry.entries(table.domain)
    known_since = {entry.series.id: entry.created_at for entry in entries}
    states = lateness(table, followed(bench, table), bench.lake, now, settle, known_since)
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


def _gap_check(table: Table) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table.path.split("/"),
        name="complete",
        description="No bar is absent that should be there; holes are in the gap ledger with their reasons.",
    )
    def complete(
        context: dg.AssetCheckExecutionContext, config: GapCheckConfig, workbench: WorkbenchResource
    ) -> dg.AssetCheckResult:
        audits = gap_audits(workbench.open(), table, datetime.now(UTC), config.recent_months)
        bad = sorted((a for a in audits if a.absent), key=lambda a: -a.absent)
        for one in bad:
            holes = ", ".join(str(w) for w in one.holes[:5])
            context.log.warning(
                f"gap_detected {one.series.id}: {one.absent} bars, longest {one.longest}: {holes}"
            )
        return dg.AssetCheckResult(
            passed=not bad,
            severity=dg.AssetCheckSeverity.WARN,
            description=(
                f"{sum(a.absent for a in bad)} bars are absent in {len(bad)} of {len(audits)} series"
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


def _fresh_check(table: Table) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table.path.split("/"),
        name="fresh",
        description="By the time of the data, series by series: no newest bar is far behind the present.",
    )
    def fresh(workbench: WorkbenchResource) -> dg.AssetCheckResult:
        return freshness_result(workbench.open(), table, datetime.now(UTC))

    return fresh


def _promise_check(table: Table) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table.path.split("/"),
        name="promises",
        description="What is held keeps the promises: " + "; ".join(p.text for p in table.promises),
    )
    def promises(config: PromiseCheckConfig, workbench: WorkbenchResource) -> dg.AssetCheckResult:
        bench = workbench.open()
        broken: dict[str, str] = {}
        rows = 0
        for name, months in bench.lake.inventory(table).items():
            for month in months[-config.months :]:
                try:
                    good, bad = bench.lake.examine(table, name, month)
                except CorruptFile as error:
                    broken[f"{month}|{name}"] = str(error)
                    continue
                rows += good.num_rows + bad.num_rows
                if bad.num_rows:
                    broken[f"{month}|{name}"] = f"{bad.num_rows} rows: {bad.column('broken_promise')[0]}"
        return dg.AssetCheckResult(
            passed=not broken,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{len(broken)} months break a promise"
            if broken
            else f"{rows:,} rows keep every promise",
            metadata={"rows": rows, "broken": dg.MetadataValue.json(dict(list(broken.items())[:LISTED]))},
        )

    return promises


def _reconcile_check(table: Table) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table.path.split("/"),
        name="like_the_venue",
        description="A sample of complete bars is the same as the venue's own bars of this length.",
    )
    def like_the_venue(config: ReconcileConfig, workbench: WorkbenchResource) -> dg.AssetCheckResult:
        bench, now = workbench.open(), datetime.now(UTC)
        day = random.Random(f"{table.name} {now:%Y-%m-%d}")  # noqa: S311 a sample, not a secret
        held = sorted(bench.lake.inventory(table))
        known = {s.id: s for s in bench.registry.series(table.domain)}
        chosen = [known[n] for n in day.sample(held, min(config.series, len(held))) if n in known]
        compared, different, unreachable = 0, {}, {}
        for series in chosen:
            try:
                count, bad = asyncio.run(reconcile(bench, table, series, config.bars, day))
            except (SourceError, CorruptFile) as error:
                unreachable[series.id] = f"{type(error).__name__}: {error}"
                continue
            compared += count
            different.update(bad)
        return dg.AssetCheckResult(
            passed=not different and not unreachable,
            severity=dg.AssetCheckSeverity.WARN,
            description=(
                f"{len(different)} of {compared} bars differ, {len(unreachable)} series could not be compared"
                if different or unreachable
                else f"{compared} bars of {len(chosen)} series are the same"
            ),
            metadata={
                "compared": compared,
                "different": dg.MetadataValue.json(dict(list(different.items())[:LISTED])),
                "unreachable": dg.MetadataValue.json(unreachable),
            },
        )

    return like_the_venue


async def reconcile(
    bench: Workbench, table: Table, series: Series, count: int, choose: random.Random
) -> tuple[int, dict[str, str]]:
    """Compare some complete bars of one series with the venue's; how many, and which differ in what."""
    last = bench.lake.last_time(table, series.id)
    first = bench.lake.first_time(table, series.id)
    if first is None or last is None:
        return 0, {}
    plain = candles(table.name.removeprefix("ohlcv_"), table.grain)
    async with bench.source(series.source) as source:
        # What the venue no longer serves cannot be compared.
        served = source.horizon(plain, await source.now()) or first
        first = max(first, ceiling(served, table.grain))
        steps = max(0, (last - first) // table.grain - count + 1)
        start = first + table.grain * choose.randint(0, steps)
        window = Window(start, start + table.grain * count)
        ours = {row["time"]: row for row in bench.lake.read(table, series.id, window).to_pylist()}
        theirs = {row["time"]: row for row in (await source.page(series.symbol, plain, window)).to_pylist()}
    different = {}
    compared = 0
    for moment, row in ours.items():
        if row["coverage"] < 1:
            continue
        compared += 1
        other = theirs.get(moment)
        if other is None:
            different[f"{series.id} {iso(moment)}"] = "the venue has no such bar"
            continue
        unlike = [
            f"{name}: {row[name]} here, {other[name]} there"
            for name in ("open", "high", "low", "close", "volume")
            if abs(row[name] - other[name]) > 1e-6 * max(abs(row[name]), abs(other[name]))
        ]
        if unlike:
            different[f"{series.id} {iso(moment)}"] = "; ".join(unlike)
    return compared, different


GAP_CHECKS = [_gap_check(table) for table in FETCHED.values()]
FRESH_CHECKS = [_fresh_check(table) for table in FETCHED.values()]
PROMISE_CHECKS = [
    _promise_check(table)
    for group in (FETCHED, DERIVED, FEATURES, STATISTICS, SENTIMENT, DOMAIN_FEATURES)
    for table in group.values()
]
RECONCILE_CHECKS = [_reconcile_check(DERIVED[name]) for name in ("1h", "1d")]
CHECKS = [*GAP_CHECKS, *FRESH_CHECKS, *PROMISE_CHECKS, *RECONCILE_CHECKS]
