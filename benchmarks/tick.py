"""A hot tick: five new minutes of 50 series in one Dagster run, and who spends its CPU.

The split: a process that only imports what a run imports; our work in a program without Dagster; what is
left is Dagster's own. The open month is as full as the calendar has it, so each tick rewrites real files.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import dagster_run, report
from benchmarks.measure import middle, python, run
from benchmarks.vendor import Vendor

SERIES = 50
_STEP_MS = 300_000
_SETTLED_MS = 30_000  # half a minute past the full one, so that its bar is settled
_IMPORTED = "dagster._cli, ingestion_assets.definitions, aiohttp, ingestion_assets.sources.market.binance"


def symbols(count: int) -> list[str]:
    """Markets of the simulator that trade now."""
    from ingestion_assets.simulator.symbols import BINANCE

    return [f"{s.base}/{s.quote}" for s in BINANCE.values() if s.ended_ms is None][:count]


def measure(*, rounds: int = 3, quick: bool = False) -> tuple[Any, list[report.Target]]:
    wanted = 15.0
    if not dagster_run.available():
        report.note("[yellow]No ingestion_assets/definitions.py yet: the hot tick is left out.")
        return {}, [report.at_most("CPU s of a hot tick over 50 series", wanted, None)]
    names = symbols(SERIES)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    # Yesterday's month end would close the month under our feet; an hour is what this may take.
    month = (now + timedelta(hours=1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = min(month, now - timedelta(hours=3))
    clock = int(now.timestamp() * 1_000) - (2 * rounds + 1) * _STEP_MS + _SETTLED_MS
    with (
        Vendor([s.replace("/", "") for s in names], start, now + timedelta(hours=2)) as vendor,
        tempfile.TemporaryDirectory(prefix="tick-") as name,
    ):
        folder = Path(name)
        env = dagster_run.prepare(vendor.url, folder, start, now + timedelta(days=60), names)
        vendor.set(now_ms=clock)
        alone = python("benchmarks.contenders.tick_alone")
        filled = run(alone, env, folder).said
        months = {(now - timedelta(minutes=40)).strftime("%Y-%m"), now.strftime("%Y-%m")}
        if len(months) > 1:
            raise RuntimeError("the month has just turned: run this again in an hour")
        span = dagster_run.span(now, now, names)
        imports, works, runs = [], [], []
        for _ in range(rounds):
            imports.append(run([sys.executable, "-c", f"import {_IMPORTED}"], env, folder).cpu)
            clock += _STEP_MS
            vendor.set(now_ms=clock)
            works.append(_fresh(run(alone, env, folder).said)["work"])
            clock += _STEP_MS
            vendor.set(now_ms=clock)
            runs.append(dagster_run.materialize(env, folder, "--partition-range", span))
            checked = _fresh_through_dagster(vendor)
    total, starting, ours = middle(r.cpu for r in runs), middle(imports), middle(works)
    figures = {
        "series": SERIES,
        "rows_per_file": filled["rows"] // SERIES,
        "requests": checked,
        "wall": middle(r.wall for r in runs),
        "cpu": total,
        "interpreter_and_imports": starting,
        "ours": ours,
        "dagster": total - starting - ours,
        "peak_mb": max(r.peak_mb for r in runs),
    }
    report.table(
        f"A hot tick, {SERIES} series, {figures['rows_per_file']:,} rows in each file",
        ["", "CPU s", "share"],
        [
            [what, f"{value:.2f}", f"{value / total:.0%}"]
            for what, value in (
                ("interpreter and imports", starting),
                ("Dagster's own", figures["dagster"]),
                ("ours: plan, fetch, land", ours),
                ("total", total),
            )
        ],
    )
    report.note(f"wall {figures['wall']:.1f} s, peak memory {figures['peak_mb']:.0f} MB")
    theirs = (starting + figures["dagster"]) / total
    return figures, [
        report.at_most("CPU s of a hot tick over 50 series", wanted, total),
        report.at_least("of that not our own work", 0.5, theirs, "{:.0%}"),
    ]


def _fresh(said: Any) -> Any:
    if said["new"] != SERIES * _STEP_MS // 60_000:
        raise RuntimeError(f"a tick of {SERIES} series found {said['new']} new rows, 5 each are right")
    return said


def _fresh_through_dagster(vendor: Vendor) -> int:
    """A run that asked for nothing would be cheap and worth nothing."""
    requests = int(vendor.state()["requests"])
    if requests < SERIES:
        raise RuntimeError(f"the Dagster run asked {requests} times, {SERIES} are the least")
    return requests
