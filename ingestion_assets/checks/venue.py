"""Asset checks: bars that are made here are like those that the venue makes of the same length."""

import asyncio
import random
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from ingestion_assets.intervals import Window, ceiling, iso
from ingestion_assets.registry import Series
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.sources.errors import SourceError
from ingestion_assets.stores.lake_file import CorruptFile
from ingestion_assets.tables import DERIVED, Table
from ingestion_assets.tables.market import candles
from ingestion_assets.workbench import Workbench

LISTED = 50


class ReconcileConfig(dg.Config):
    series: int = Field(2, gt=0, description="Compare so many series, others each day.")
    bars: int = Field(24, gt=0, description="Compare so many bars of each.")


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


RECONCILE_CHECKS = [_reconcile_check(DERIVED[name]) for name in ("1h", "1d")]
