"""Pace: how much of a vendor's weight limit a long job uses, and that nothing is ever rejected.

The vendor allows what the real one does, 100 units of weight a second, but counts in windows of 10 s, so
that several whole ones fit into a minute; it answers 429 to whatever is above. Only windows that lie
wholly inside the job count: in the first and the last one there is not work enough.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.backfill import START, SYMBOLS
from benchmarks.measure import environment, python, run
from benchmarks.vendor import Vendor

LIMIT, SECONDS = 1_000, 10


def measure(*, rounds: int = 3, quick: bool = False, latency_ms: int = 50) -> tuple[Any, list[report.Target]]:
    days = 80 if quick else 240
    names = SYMBOLS[:10]
    end = START + timedelta(days=days)
    with (
        Vendor([s.replace("/", "") for s in names], START, end) as vendor,
        tempfile.TemporaryDirectory(prefix="pace-") as folder,
    ):
        vendor.set(latency_ms=latency_ms, limit=LIMIT, seconds=SECONDS)
        window = (int(moment.timestamp() * 1_000) for moment in (START, end))
        command = python("benchmarks.contenders.source_and_lake", vendor.url, folder, *window, *names)
        cost = run(command, environment(), Path(folder))
        state = vendor.state()
    windows = [used for _, used in sorted((int(n), used) for n, used in state["used"].items())]
    whole = windows[1:-1]
    used = sum(whole) / (LIMIT * len(whole))
    candles = len(names) * days * 1_440
    figures = {
        "windows": windows,
        "used": used,
        "rejected": state["rejected"],
        "wall": cost.wall,
        "candles_per_second": candles / cost.wall,
    }
    rows = [[str(n), f"{u:,}", f"{u / LIMIT:.1%}"] for n, u in enumerate(windows, 1)]
    title = f"Pace: {LIMIT:,} units of weight in each {SECONDS} s, {latency_ms} ms latency"
    report.table(title, ["window", "used", "of the limit"], rows)
    report.note(
        f"{candles:,} candles in {cost.wall:.1f} s; {state['rejected']} of {state['requests']} rejected"
    )
    return figures, [
        report.at_least(f"of the limit, {len(whole)} whole windows", 0.95, used, "{:.1%}"),
        report.at_most("requests rejected", 0, state["rejected"], "{:.0f}"),
    ]
