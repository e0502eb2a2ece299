"""A progress bar on stderr, and the closing figures of a backfill."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from ingestion_assets.cli import output


class Bar(Protocol):
    def set(self, done: float, text: str) -> None: ...


class _Quiet:
    def set(self, done: float, text: str) -> None:
        """A program reads the closing figures; nobody looks on."""


class _Rich:
    def __init__(self, progress: Any, task: Any) -> None:
        self._progress, self._task = progress, task

    def set(self, done: float, text: str) -> None:
        self._progress.update(self._task, completed=done, text=text)


@contextlib.contextmanager
def bar(title: str, total: float, *, quiet: bool) -> Iterator[Bar]:
    if quiet:
        yield _Quiet()
        return
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[text]}"),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=output.err(), speed_estimate_period=120) as shown:
        yield _Rich(shown, shown.add_task(title, total=max(total, 1), text=""))


def closing(started: datetime, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Start, end and rate around the figures of a piece of work."""
    ended = datetime.now(UTC)
    seconds = max(1e-9, (ended - started).total_seconds())
    rows = figures.get("new_rows", 0)
    return {
        "status": "failed" if figures.get("failed") else "ok",
        "started": started.isoformat(timespec="seconds"),
        "ended": ended.isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        **figures,
        "rows_per_second": round(rows / seconds, 1),
    }
