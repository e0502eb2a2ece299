"""Tables on the screen, targets beside what was measured, and the same as JSON in benchmarks/results/."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

RESULTS = Path(__file__).resolve().parent / "results"
console = Console(width=None if sys.stdout.isatty() else 120)


@dataclass(frozen=True)
class Target:
    """One line of what must be shown; `met` is None when it could not be measured."""

    what: str
    target: str
    measured: str
    met: bool | None


def at_least(what: str, wanted: float, got: float | None, form: str = "{:.1f}×") -> Target:
    if got is None:
        return Target(what, "≥ " + form.format(wanted), "not measured", None)
    return Target(what, "≥ " + form.format(wanted), form.format(got), got >= wanted)


def at_most(what: str, wanted: float, got: float | None, form: str = "{:.1f}") -> Target:
    if got is None:
        return Target(what, "≤ " + form.format(wanted), "not measured", None)
    return Target(what, "≤ " + form.format(wanted), form.format(got), got <= wanted)


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    console.print(f"[bold]{title}", highlight=False)
    grid = Grid()
    for number, name in enumerate(columns):
        grid.add_column(name, justify="left" if number == 0 else "right", no_wrap=number == 0)
    for row in rows:
        grid.add_row(*row)
    console.print(grid)


def targets(title: str, lines: list[Target]) -> None:
    console.print(f"[bold]{title}: targets")
    grid = Grid()
    for name in ("", "target", "measured", ""):
        grid.add_column(name, justify="left" if not grid.columns else "right")
    for line in lines:
        mark = {True: "[green]met", False: "[red]missed", None: "[yellow]not measured"}[line.met]
        grid.add_row(line.what, line.target, line.measured, mark)
    console.print(grid)


def note(text: str) -> None:
    console.print(text, highlight=False)


def keep(name: str, figures: Any, lines: list[Target]) -> None:
    """The figures as JSON, in a folder that is not part of the project."""
    RESULTS.mkdir(exist_ok=True)
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()},
        "figures": figures,
        "targets": [asdict(line) for line in lines],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1, default=str))
