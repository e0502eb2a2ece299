"""Landing: a fetched slice becomes rows in the lake and entries in the ledger, and figures to show.

What breaks a promise is quarantined with the reason, the rest lands, and the slice counts as failed. Rows
that are held go away only when all is fetched again and everything was answered and is as promised.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from ingestion_assets.ingestion.fetched import Fetched
from ingestion_assets.ingestion.landed import Landed, unlanded
from ingestion_assets.ingestion.plan import Options, Plan, Slice
from ingestion_assets.ingestion.shelf import Shelf
from ingestion_assets.intervals import Window, bars, floor, intersect, iso, period_window, subtract, union
from ingestion_assets.sources.errors import SourceError
from ingestion_assets.stores.archive_files import ArchiveFiles
from ingestion_assets.stores.gap_ledger import NO_TRADES, GapLedger, Hole
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.tables import Table


class BrokenPromise(SourceError):
    """A vendor's rows are not what the table promises; they are in quarantine."""


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
    options, piece, plan = options or Options(), fetched.slice, fetched.plan
    shelf = Shelf(table, piece, lake, run=run, code_version=code_version)
    good, broken = table.examine(fetched.rows)
    error = fetched.error or _broken(table, piece, broken)
    unanswered: list[Window] = []
    if options.dry_run:
        merge = shelf.would_take(good, corrupt=plan.corrupt is not None)
    else:
        if plan.corrupt is not None:
            shelf.clear()
        shelf.set_aside(broken)
        covered = _covered(table, fetched, broken)
        replace: list[Window] = []
        if options.full_refresh and error is None and not table.keeps:
            replace = plan.missing if covered is None else intersect(plan.missing, covered)
        merge = shelf.take(good, replace=replace, covered=covered or (), now=fetched.now)
        if options.verify or options.full_refresh:
            fetched = dataclasses.replace(fetched, holes=_unheld(shelf, fetched.holes))
        if error is None or not options.full_refresh:  # or what was restated has not been replaced
            _note_files(table, ledger, fetched, covered or (), options)
        if error is not None:
            unanswered = _unanswered(shelf, fetched)
        examined = [*plan.missing, *(fetched.besides if error is None else ())]
        _record(table, ledger, fetched, examined, unanswered, run)
    return Landed.of(
        table,
        fetched,
        merge,
        error=error,
        dry_run=options.dry_run,
        quarantined=broken.num_rows,
        expected=_expected(table, piece, plan),
        holes=[*fetched.holes, *plan.foregone, *(Hole(w) for w in unanswered)],
        query=shelf.query,
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
    shelf = Shelf(table, piece, lake, run=run, code_version=code_version)
    try:
        rows = compute()
        good, broken = table.examine(rows)
        shelf.set_aside(broken)
        merge = shelf.take(good, replace=[piece.window])
    except (StoreError, ValueError, pa.ArrowException) as error:
        return unlanded(table, Fetched.nothing(table, piece, error), error)
    made = Fetched(piece, Plan(piece, [], []), rows, seconds=time.monotonic() - started)
    return Landed.of(
        table,
        made,
        merge,
        error=_broken(table, piece, broken),
        quarantined=broken.num_rows,
        query=shelf.query,
    )


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


def _note_files(
    table: Table, ledger: GapLedger, fetched: Fetched, covered: Sequence[Window], options: Options
) -> None:
    if fetched.files or (options.full_refresh and covered):
        files, now = ArchiveFiles(ledger.catalog), fetched.now or datetime.now(UTC)
        files.landed(table.path, fetched.slice.series.id, covered, fetched.files, now)


def _unheld(shelf: Shelf, holes: Sequence[Hole]) -> list[Hole]:
    """A row that its vendor gives no more, and that was not replaced, is no hole."""
    lacking = shelf.lacks(union(hole.window for hole in holes))
    return [Hole(w, h.reason, h.evidence) for h in holes for w in intersect([h.window], lacking)]


def _unanswered(shelf: Shelf, fetched: Fetched) -> list[Window]:
    """What was to be fetched and is neither held now nor was affirmed empty: still missing."""
    return subtract(shelf.lacks(fetched.plan.missing), [h.window for h in fetched.holes])


def _record(
    table: Table,
    ledger: GapLedger,
    fetched: Fetched,
    examined: list[Window],
    unanswered: list[Window],
    run: str,
) -> None:
    """Only what was asked for is settled; the rest of the ledger stays as it is."""
    series = fetched.slice.series
    why = str(fetched.error or "rows broke a promise")[:500]
    found = [*fetched.holes, *fetched.plan.foregone, *(Hole(w, evidence=why) for w in unanswered)]
    for window in (*union(examined), *(h.window for h in fetched.plan.foregone)):
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


def _broken(table: Table, piece: Slice, broken: pa.Table) -> BrokenPromise | None:
    if broken.num_rows == 0:
        return None
    row = broken.slice(0, 1).to_pylist()[0]
    values = {name: row[name] for name in table.payload if not isinstance(row[name], datetime)}
    when = iso(row[table.clock]) if row[table.clock] else "without a time"
    return BrokenPromise(
        f"{broken.num_rows} rows of {piece.series.id} broke a promise of {table.path} and are in quarantine; "
        f"the first, {when}: {row['broken_promise']} ({values})"
    )
