"""Landing: a fetched slice becomes rows in the lake and entries in the ledger, and figures to show.

What breaks a promise is quarantined with the reason, the rest lands, and the slice counts as failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from ingestion_assets import __name__ as package
from ingestion_assets.ingestion.fetched import Fetched
from ingestion_assets.ingestion.plan import Options, Plan, Slice
from ingestion_assets.intervals import Window, bars, floor, holes, intersect, iso, period_window, subtract
from ingestion_assets.sources.errors import SourceError
from ingestion_assets.stores.gap_ledger import NO_TRADES, GapLedger, Hole
from ingestion_assets.stores.lake import CorruptFile, Lake, Merge
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.tables import Table


class BrokenPromise(SourceError):
    """A vendor's rows are not what the table promises; they are in quarantine."""


@dataclass(frozen=True)
class Landed:
    """What became of a slice."""

    slice: Slice
    table: Table
    error: Exception | None
    status: str  # ok, no_data, dry_run, failed
    fetched: int
    new: int
    changed: int
    dropped: int
    quarantined: int
    rows: int
    expected: int
    holes: list[Hole]
    first: datetime | None
    last: datetime | None
    path: str
    size: int
    requests: int
    seconds: float
    query: str
    delisted_at: datetime | None = None
    touched_from: datetime | None = None

    @property
    def coverage(self) -> float | None:
        return None if self.expected == 0 else min(1.0, self.rows / self.expected)

    def figures(self) -> dict[str, Any]:
        """Small, flat, for a program to read; Dagster's metadata is made from it."""
        return {
            "status": self.status,
            "rows": self.rows,
            "new_rows": self.new,
            "changed_rows": self.changed,
            "dropped_rows": self.dropped,
            "quarantined_rows": self.quarantined,
            "fetched_rows": self.fetched,
            "expected_rows": self.expected,
            "coverage": None if self.coverage is None else round(self.coverage, 6),
            "gaps": "; ".join(f"{h.window} {h.reason}" for h in self.holes[:10]),
            "first": iso(self.first) if self.first else None,
            "last": iso(self.last) if self.last else None,
            "touched_from": iso(self.touched_from) if self.touched_from else None,
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "bytes": self.size,
            "path": self.path,
            "query": self.query,
        }


def land(
    table: Table,
    fetched: Fetched,
    lake: Lake,
    ledger: GapLedger,
    *,
    run: str,
    code_version: str,
    options: Options | None = None,
) -> Landed:
    options = options or Options()
    piece, plan = fetched.slice, fetched.plan
    series, month = piece.series.id, piece.period
    notes = {"run": run, "code_version": code_version, "written_by": package}
    good, broken = table.examine(fetched.rows)
    error = fetched.error
    if broken.num_rows:
        error = error or _broken(table, series, broken)
    if not options.dry_run:
        if plan.corrupt is not None:
            lake.quarantine_file(table, series, month)
        if broken.num_rows:
            lake.quarantine_rows(table, series, month, broken, notes)
        covered = _covered(table, fetched, broken)
        replace = []
        if options.full_refresh and fetched.error is None and not table.keeps:
            replace = plan.missing if covered is None else intersect(plan.missing, covered)
        merge = _merge(table, lake, series, month, good, notes, replace, fetched.now, covered or ())
        unanswered = _unanswered(table, fetched, good, broken)
        _record(table, ledger, fetched, unanswered, run)
    else:
        merge, unanswered = _as_if(table, lake, series, month, good, plan.corrupt is not None), []
    status = "failed" if error else "dry_run" if options.dry_run else "ok" if merge.rows else "no_data"
    return Landed(
        slice=piece,
        table=table,
        error=error,
        status=status,
        fetched=fetched.rows.num_rows,
        new=merge.new,
        changed=merge.changed,
        dropped=merge.dropped,
        quarantined=broken.num_rows,
        rows=merge.rows,
        expected=_expected(table, piece, plan),
        holes=[*fetched.holes, *plan.foregone, *(Hole(w) for w in unanswered)],
        first=merge.first,
        last=merge.last,
        path=merge.path,
        touched_from=merge.touched_from,
        size=merge.size,
        requests=fetched.requests,
        seconds=fetched.seconds,
        query=lake.query(table, series, month),
        delisted_at=fetched.delisted_at,
    )


def _merge(
    table: Table,
    lake: Lake,
    series: str,
    month: str,
    rows: pa.Table,
    notes: dict[str, str],
    replace: list[Window],
    now: datetime | None,
    covered: Sequence[Window] = (),
) -> Merge:
    """Nothing to land and nothing to replace leaves everything untouched: no empty file is ever written,
    but for events, of which a file may say that there were none."""
    given = rows.num_rows or (covered and not table.grid)
    if given or (replace and lake.footer(table, series, month) is not None):
        merge = partial(
            lake.merge,
            table,
            series,
            month,
            rows,
            notes=notes,
            replace=replace,
            covered=covered,
            known_now=now,
        )
        try:
            return merge()
        except CorruptFile:
            # Only its times were read when this was planned, and they were whole; the rest of the month
            # is missing from now on, and the next run fetches it.
            lake.quarantine_file(table, series, month)
            return merge()
    return _held(table, lake, series, month)


def _expected(table: Table, piece: Slice, plan: Plan) -> int:
    """How many rows a whole partition should have; of events nobody can say."""
    whole = piece.window == period_window(piece.period)
    return bars(plan.wanted, table.grain) if whole and table.grid else 0


def _covered(table: Table, fetched: Fetched, broken: pa.Table) -> list[Window] | None:
    """What needs no more fetching; the minute of a row that broke a promise does."""
    if fetched.covered is None:
        return None
    moments = [moment for moment in broken.column(table.clock).to_pylist() if moment is not None]
    spoilt = [Window(floor(m, table.grain), floor(m, table.grain) + table.grain) for m in moments]
    return subtract(fetched.covered, spoilt)


def _held(table: Table, lake: Lake, series: str, month: str) -> Merge:
    footer = lake.footer(table, series, month)
    url = lake.url(table, series, month)
    if footer is None:
        return Merge(0, 0, 0, 0, None, None, url, 0)
    return Merge(footer.rows, 0, 0, 0, footer.first, footer.last, url, footer.size)


def _as_if(table: Table, lake: Lake, series: str, month: str, rows: pa.Table, corrupt: bool) -> Merge:
    """What landing would have done."""
    if corrupt:
        return Merge(rows.num_rows, rows.num_rows, 0, 0, None, None, lake.url(table, series, month), 0)
    held = _held(table, lake, series, month)
    new = int((~np.isin(table.keys(rows), lake.keys(table, series, month))).sum())
    return Merge(held.rows + new, new, 0, 0, held.first, held.last, held.path, held.size)


def _unanswered(table: Table, fetched: Fetched, good: pa.Table, broken: pa.Table) -> list[Window]:
    """What was to be fetched and neither came nor was affirmed empty: still missing."""
    if fetched.error is None and broken.num_rows == 0:
        return []
    if table.grid:
        times = table.times(good)
        lacking = [hole for window in fetched.plan.missing for hole in holes(times, window, table.grain)]
    else:
        lacking = subtract(fetched.plan.missing, _covered(table, fetched, broken) or [])
    return subtract(lacking, [h.window for h in fetched.holes])


def _record(table: Table, ledger: GapLedger, fetched: Fetched, unanswered: list[Window], run: str) -> None:
    """Only what was asked for is settled; the rest of the ledger stays as it is."""
    series = fetched.slice.series
    why = str(fetched.error or "rows broke a promise")[:500]
    found = [*fetched.holes, *fetched.plan.foregone, *(Hole(w, evidence=why) for w in unanswered)]
    examined = [*fetched.plan.missing, *(h.window for h in fetched.plan.foregone)]
    for window in examined:
        inside = [
            Hole(
                Window(max(h.window.start, window.start), min(h.window.end, window.end)), h.reason, h.evidence
            )
            for h in found
            if h.window.start < window.end and window.start < h.window.end
        ]
        ledger.record(table.path, series.id, window, inside, run=run, now=fetched.now)
    empty = [hole.window for hole in fetched.holes if hole.reason == NO_TRADES]
    ledger.corroborate(table.path, series.source, empty)


def _broken(table: Table, series: str, broken: pa.Table) -> BrokenPromise:
    row = broken.slice(0, 1).to_pylist()[0]
    values = {name: row[name] for name in table.payload if not isinstance(row[name], datetime)}
    when = iso(row[table.clock]) if row[table.clock] else "without a time"
    return BrokenPromise(
        f"{broken.num_rows} rows of {series} broke a promise of {table.path} and are in quarantine; "
        f"the first, {when}: {row['broken_promise']} ({values})"
    )


def land_computed(
    table: Table,
    piece: Slice,
    compute: Callable[[], pa.Table],
    lake: Lake,
    *,
    run: str,
    code_version: str,
) -> Landed:
    """A month that was computed from other tables takes the place of what was computed before."""
    started = time.monotonic()
    notes = {"run": run, "code_version": code_version, "written_by": package}
    try:
        rows = compute()
        good, broken = table.examine(rows)
        if broken.num_rows:
            lake.quarantine_rows(table, piece.series.id, piece.period, broken, notes)
        merge = _merge(table, lake, piece.series.id, piece.period, good, notes, [piece.window], None)
    except (StoreError, ValueError, pa.ArrowException) as error:
        nothing = Fetched.nothing(table, piece, error)
        return unlanded(table, nothing, error)
    return Landed(
        slice=piece,
        table=table,
        error=_broken(table, piece.series.id, broken) if broken.num_rows else None,
        status="ok" if merge.rows else "no_data",
        fetched=rows.num_rows,
        new=merge.new,
        changed=merge.changed,
        dropped=merge.dropped,
        quarantined=broken.num_rows,
        rows=merge.rows,
        expected=0,
        holes=[],
        first=merge.first,
        last=merge.last,
        path=merge.path,
        touched_from=merge.touched_from,
        size=merge.size,
        requests=0,
        seconds=time.monotonic() - started,
        query=lake.query(table, piece.series.id, piece.period),
    )


def unlanded(table: Table, fetched: Fetched, error: Exception) -> Landed:
    """A slice that was fetched but could not be kept: nothing of it is in the lake."""
    piece = fetched.slice
    return Landed(
        slice=piece,
        table=table,
        error=error,
        status="failed",
        fetched=fetched.rows.num_rows,
        new=0,
        changed=0,
        dropped=0,
        quarantined=0,
        rows=0,
        expected=0,
        holes=[],
        first=None,
        last=None,
        path="",
        size=0,
        requests=fetched.requests,
        seconds=fetched.seconds,
        query="",
    )


def summary(landed: Iterator[Landed] | list[Landed]) -> dict[str, Any]:
    """Totals of a piece of work, for a closing line or a program."""
    every = list(landed)
    failed: dict[str, str] = {}
    for one in every:
        if one.error is not None:
            failed.setdefault(one.slice.series.id, f"{type(one.error).__name__}: {one.error}")
    seconds = timedelta(seconds=sum(one.seconds for one in every))
    return {
        "partitions": len(every),
        "failed_partitions": sum(one.error is not None for one in every),
        "fetched_rows": sum(one.fetched for one in every),
        "new_rows": sum(one.new for one in every),
        "changed_rows": sum(one.changed for one in every),
        "quarantined_rows": sum(one.quarantined for one in every),
        "requests": sum(one.requests for one in every),
        "busy_seconds": round(seconds.total_seconds(), 1),
        "failed": failed,
    }
