"""Figures, times and tables as people and programs read them. stdout holds results, stderr the talk."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_NO_EDGE = 5_000
_BETWEEN = 3  # two columns
_LEGIBLE = 40  # of a text that is wrapped
STATUS_STYLES = {"idle": "green", "running": "cyan", "error": "red", "disabled": "dim"}


@functools.cache
def _console(stderr: bool) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:  # a file or a pipe has no edge to wrap at
        console.width = _NO_EDGE
    return console


def out() -> Console:
    return _console(False)


def err() -> Console:
    return _console(True)


def say(text: str, style: str | None = None) -> None:
    """A line for people; markup in it is not interpreted, since it may quote anything."""
    err().print(text, style=style, markup=False)


def show_json(value: Any) -> None:
    """Pure JSON and nothing else on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, default=_plain) + "\n")
    sys.stdout.flush()


def table(
    title: str | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    right: Iterable[str] = (),
    wrap: Iterable[str] = (),
    footer: Sequence[Any] | None = None,
    styles: Mapping[str, str] | None = None,
) -> None:
    """A table on stdout. Long texts belong in `wrap` columns; a cell found in `styles` is shown so.

    Nothing is cut off: where the terminal is too narrow for the other columns, its lines wrap.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    right, wrap = set(right), set(wrap)
    grid = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    grid.show_footer = footer is not None
    needed = 0
    lines = [[cell(value) for value in row] for row in rows]
    for number, name in enumerate(columns):
        last = cell(footer[number]) if footer is not None else ""
        grid.add_column(
            name,
            justify="right" if name in right else "left",
            footer=Text(last),
            overflow="fold",
            no_wrap=name not in wrap,
        )
        widest = max(cell_len(text) for text in (name, last, *(row[number] for row in lines)))
        needed += _BETWEEN + (min(widest, _LEGIBLE) if name in wrap else widest)
    for row in lines:
        grid.add_row(*(Text(text, style=(styles or {}).get(text, "")) for text in row))
    console = out()
    edge = console.width
    console.width = max(edge, needed)
    console.print(grid, soft_wrap=False)
    console.width = edge


def cell(value: Any) -> str:
    from ingestion_assets.intervals import iso

    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return number(value)
    if isinstance(value, float):
        return f"{value:,.10g}"
    if isinstance(value, datetime):
        return iso(value) if value.tzinfo else value.isoformat(sep=" ")
    if isinstance(value, timedelta):
        return duration(value)
    return str(value)


def number(value: float) -> str:
    return f"{value:,.0f}"


def duration(length: timedelta | float) -> str:
    """The two largest units: 45 s, 3 min 20 s, 2 h 5 min, 4 d 3 h."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    left = round(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def plural(count: int, one: str, many: str | None = None) -> str:
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        from ingestion_assets.intervals import iso

        return iso(value) if value.tzinfo else value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
