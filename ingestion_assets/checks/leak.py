"""Checks that nothing of the future is in what is computed of the past; they block what would follow.

A sample of the newest rows of a table is computed from all bars that are held, and again from bars that
end at the row: a single other bit is a leak. They run with what they check, so they are kept small.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from ingestion_assets.features.market import market_features
from ingestion_assets.features.statistics import Hours, market_snapshot, roi_statistics
from ingestion_assets.intervals import Window, iso, month_window
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.tables import DERIVED, FEATURES, INGESTED, Table
from ingestion_assets.tables.features import LOOKBACK
from ingestion_assets.tables.statistics import ROI, SNAPSHOT
from ingestion_assets.workbench import Workbench

NAME = "no_leak"
SPAN = 300  # rows of a series from which cuts are chosen
Compute = Callable[[pa.Table, Window], pa.Table]


class LeakConfig(dg.Config):
    series: int = Field(2, gt=0, description="Try so many series, others each time.")
    cuts: int = Field(4, gt=0, description="Cut the future off at so many rows of each.")


def leaks(compute: Compute, bars: pa.Table, window: Window, cuts: int, choose: random.Random) -> list[str]:
    """The rows of the window, of those tried, that are others when the future is cut off behind them."""
    whole = compute(bars, window)
    found = []
    for place in sorted(choose.sample(range(whole.num_rows), min(cuts, whole.num_rows))):
        end = whole.column("time")[place]
        again = compute(bars.filter(pc.less_equal(bars.column("time"), end)), window)
        past = whole.slice(0, place + 1)
        names = [
            name for name in whole.column_names if again.num_rows != place + 1 or again[name] != past[name]
        ]
        if names:
            found.append(f"{iso(end.as_py())}: {', '.join(names)}")
    return found


def _sampled(
    bench: Workbench, table: Table, bars: Table, compute: Compute, config: LeakConfig, now: datetime
) -> tuple[int, dict[str, list[str]]]:
    choose = random.Random(f"{table.path} {iso(now)}")  # noqa: S311 a sample, not a secret
    held = bench.lake.inventory(table)
    found: dict[str, list[str]] = {}
    chosen = choose.sample(sorted(held), min(config.series, len(held)))
    for name in chosen:
        last = bench.lake.footer(table, name, held[name][-1])
        if last is None or last.last is None:
            continue
        window = Window(last.last - (SPAN - 1) * table.grain, month_window(held[name][-1]).end)
        rows = bench.lake.read(bars, name, Window(window.start - LOOKBACK * bars.grain, window.end))
        if leaking := leaks(compute, rows, window, config.cuts, choose):
            found[name] = leaking
    return len(chosen), found


def leak_check(table: Table, bars: Table, compute: Compute) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table.path.split("/"),
        name=NAME,
        blocking=True,
        description="Rows made of bars that end with them are the same: nothing of the future is in them.",
    )
    def no_leak(config: LeakConfig, workbench: WorkbenchResource) -> dg.AssetCheckResult:
        tried, found = _sampled(workbench.open(), table, bars, compute, config, datetime.now(UTC))
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.ERROR,
            description=(
                f"the future is in rows of {', '.join(found)}" if found else f"{tried} series: no leak"
            ),
            metadata={"series": tried, "leaks": dg.MetadataValue.json(found)},
        )

    return no_leak


def held_back(instance: dg.DagsterInstance, table: Table) -> bool:
    """Whether the newest look at a table found a leak, so that nothing of it is to go further."""
    key = dg.AssetCheckKey(dg.AssetKey(table.path.split("/")), NAME)
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    looked = [r.evaluation for r in records if isinstance(r.evaluation, dg.AssetCheckEvaluation)]
    return bool(looked) and not looked[0].passed


def _features(table: Table, bars: pa.Table, window: Window) -> pa.Table:
    return market_features(bars, table, window)


def _of_hours(compute: Callable[[Hours], pa.Table], bars: pa.Table, window: Window) -> pa.Table:
    return compute(Hours.of(bars, window))


LEAK_CHECKS = [
    *(
        leak_check(table, INGESTED[timeframe], partial(_features, table))
        for timeframe, table in FEATURES.items()
    ),
    leak_check(SNAPSHOT, DERIVED["1h"], partial(_of_hours, market_snapshot)),
    leak_check(ROI, DERIVED["1h"], partial(_of_hours, roi_statistics)),
]
