"""The same as `online` with a million rows: `python -m benchmarks --only online_million`; not by itself."""

from __future__ import annotations

from typing import Any

from benchmarks import online, report


def measure(*, rounds: int = 3, quick: bool = False) -> tuple[Any, list[report.Target]]:
    return online.measure(rounds=rounds, quick=quick, rows=1_000_000, widths=(8,))
