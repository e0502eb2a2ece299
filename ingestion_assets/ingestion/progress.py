"""Who works on which series and how it ended, said in the registry and in the log."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ingestion_assets.ingestion.landed import Landed
from ingestion_assets.ingestion.plan import Slice
from ingestion_assets.intervals import iso
from ingestion_assets.logs import log_line, symbol_execution
from ingestion_assets.registry import Series
from ingestion_assets.stores.registry_table import Registry

PHASE = "rest"


class Progress:
    """Over one piece of work; a series is finished with the last of its slices. A dry run has no registry."""

    def __init__(self, registry: Registry | None, slices: Sequence[Slice], run: str) -> None:
        self._registry, self._run, self._began = registry, run, time.monotonic()
        self._series: dict[str, Series] = {piece.series.id: piece.series for piece in slices}
        self._left = Counter(piece.series.id for piece in slices)
        self._records: Counter[str] = Counter()
        self._errors: dict[str, str] = {}

    def begin(self) -> None:
        if self._registry is not None:
            self._registry.start(self._series, self._run)
        for series in self._series.values():
            symbol_execution("started", **self._about(series))

    def landed(self, landed: Landed) -> None:
        name = landed.slice.series.id
        self._records[name] += landed.new + landed.changed
        log_line(
            "slice_landed",
            symbol=name,
            period=landed.slice.period,
            fetched=landed.fetched,
            inserted=landed.new + landed.changed,
            requests=landed.requests,
            cursor=iso(landed.cursor) if landed.cursor else None,
        )
        if landed.error is not None:
            self._errors.setdefault(name, f"{type(landed.error).__name__}: {landed.error}")
        self._left[name] -= 1
        if self._left[name] == 0:
            self._finish(name)

    def interrupted(self, error: BaseException) -> None:
        """What is not finished now will not be by this run."""
        for name in +self._left:
            self._errors.setdefault(name, f"interrupted: {type(error).__name__} {error}".strip())
            self._finish(name)

    def _finish(self, name: str) -> None:
        error = self._errors.get(name)
        if self._registry is not None:
            self._registry.finish(name, error)
        about = self._about(self._series[name]) | {"records": self._records[name]}
        about["elapsed"] = round(time.monotonic() - self._began, 3)
        if error is None:
            symbol_execution("completed", **about)
        else:
            symbol_execution("failed", level=logging.ERROR, **about, error=error)

    def _about(self, series: Series) -> dict[str, Any]:
        about: dict[str, Any] = {
            "symbol": series.id,
            "strategy": series.strategy.value,
            "phase": PHASE,
            "run": self._run,
        }
        return about | {"kafka": False, "redis": False}
