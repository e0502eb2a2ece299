"""The month or day of a series into which a slice is landed, and how it takes rows.

What is still missing afterwards, and what to tell of it, is land.py's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import numpy as np
import pyarrow as pa

from ingestion_assets import __name__ as package
from ingestion_assets.ingestion.plan import Slice
from ingestion_assets.intervals import Window, intersect
from ingestion_assets.stores.lake import Lake, Merge
from ingestion_assets.stores.lake_file import CorruptFile
from ingestion_assets.tables import Table


class Shelf:
    """Where the rows of a slice belong; `run` and `code_version` are noted in what is written."""

    def __init__(self, table: Table, piece: Slice, lake: Lake, *, run: str, code_version: str) -> None:
        self.table, self.lake = table, lake
        self.series, self.period = piece.series.id, piece.period
        self.notes = {"run": run, "code_version": code_version, "written_by": package}

    @property
    def query(self) -> str:
        """What to paste into DuckDB to look at it."""
        return self.lake.query(self.table, self.series, self.period)

    def set_aside(self, broken: pa.Table) -> None:
        """Rows that broke a promise, with the reason."""
        if broken.num_rows:
            self.lake.quarantine_rows(self.table, self.series, self.period, broken, self.notes)

    def clear(self) -> None:
        """Put a file that cannot be read out of the way."""
        self.lake.quarantine_file(self.table, self.series, self.period)

    def take(
        self,
        rows: pa.Table,
        *,
        replace: Sequence[Window] = (),
        covered: Sequence[Window] = (),
        now: datetime | None = None,
    ) -> Merge:
        """Nothing to land and nothing to replace leaves everything untouched: no empty file is ever written,
        but for events, of which a file may say that there were none."""
        given = rows.num_rows or (covered and not self.table.grid)
        if not given and not (replace and self.lake.footer(self.table, self.series, self.period)):
            return self.held()
        merge = partial(
            self.lake.merge,
            self.table,
            self.series,
            self.period,
            rows,
            notes=self.notes,
            replace=replace,
            covered=covered,
            known_now=now,
        )
        try:
            return merge()
        except CorruptFile:
            # Only its times were read when this was planned, and they were whole; the rest of the month
            # is missing from now on, and the next run fetches it.
            self.clear()
            return merge()

    def held(self) -> Merge:
        """What is there, as the outcome of having done nothing to it."""
        footer = self.lake.footer(self.table, self.series, self.period)
        if footer is None:
            return self._only(0)
        return Merge(footer.rows, 0, 0, 0, footer.first, footer.last, self._url, footer.size)

    def lacks(self, windows: Sequence[Window]) -> list[Window]:
        """Where in these sorted windows nothing is held."""
        if not windows:
            return []
        span = Window(windows[0].start, windows[-1].end)
        return intersect(self.lake.holes(self.table, self.series, span), windows)

    def would_take(self, rows: pa.Table, *, corrupt: bool) -> Merge:
        """What landing them would do."""
        if corrupt:
            return self._only(rows.num_rows)
        held = self.held()
        known = self.lake.keys(self.table, self.series, self.period)
        new = int((~np.isin(self.table.keys(rows), known)).sum())
        return Merge(held.rows + new, new, 0, 0, held.first, held.last, held.path, held.size)

    def _only(self, new: int) -> Merge:
        return Merge(new, new, 0, 0, None, None, self._url, 0)

    @property
    def _url(self) -> str:
        return self.lake.url(self.table, self.series, self.period)
