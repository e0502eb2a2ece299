"""What lake and ledger know about one bar or event: its row, its file, its past, or why it is not there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ingestion_assets.intervals import Window, iso, moment_of, periods
from ingestion_assets.stores.lake_file import COVERED, HOLES, CorruptFile
from ingestion_assets.tables import DERIVED, FED

if TYPE_CHECKING:
    from ingestion_assets.registry import Series
    from ingestion_assets.tables import Table
    from ingestion_assets.workbench import Workbench


def tell(bench: Workbench, series: Series, table: Table, moment: datetime) -> dict[str, Any]:
    """Everything that lake and ledger know about one bar, or about the events of one step of time."""
    window = Window(moment, moment + table.grain)
    (month,) = periods(window, table.cut)
    rows: list[dict[str, Any]] = []
    notes = corrupt = None
    asked = False
    try:
        rows = bench.lake.read(table, series.id, window).to_pylist()
        asked = not bench.lake.holes(table, series.id, window)
        footer = bench.lake.footer(table, series.id, month)
        notes = {name: _readable(name, value) for name, value in footer.notes.items()} if footer else None
    except CorruptFile as error:
        corrupt = str(error)
    asides = {
        kind: _at(bench, kind, table, series.id, month, window) for kind in ("_revisions", "_quarantine")
    }
    ledger = [
        {
            "from": gap.window.start,
            "to": gap.window.end,
            "reason": gap.reason,
            "was": gap.was,
            "evidence": gap.evidence,
            "attempts": gap.attempts,
            "found_at": gap.found_at,
            "checked_at": gap.checked_at,
            "expires_at": gap.expires_at,
            "closed_at": gap.closed_at,
            "run": gap.run,
        }
        for gap in bench.ledger.story(table.path, series.id, window)
    ]
    why = None
    if not rows:
        why = corrupt or _why(bench, series, table, moment, ledger, asked=asked)
    return {
        "series": series.id,
        "table": table.path,
        "time": moment,
        "found": bool(rows),
        "why": why,
        "row": rows[0] if rows else None,
        "rows": rows,
        "file": bench.lake.url(table, series.id, month) if notes is not None else None,
        "file_notes": notes,
        "earlier_values": asides["_revisions"],
        "quarantined": asides["_quarantine"],
        "ledger": ledger,
    }


def _readable(name: str, note: str) -> str:
    """Edges of stretches of time as a person writes them."""
    if name not in (HOLES, COVERED):
        return note
    moments = [iso(moment_of(int(edge))) for edge in note.split(",") if edge]
    return ", ".join(f"{start} … {end}" for start, end in zip(moments[::2], moments[1::2], strict=True))


def _at(
    bench: Workbench, kind: str, table: Table, series: str, month: str, window: Window
) -> list[dict[str, Any]]:
    rows = bench.lake.aside(kind, table, series, month)
    if rows is None:
        return []
    return [row for row in rows.to_pylist() if window.start <= row[table.clock] < window.end]


def _why(
    bench: Workbench,
    series: Series,
    table: Table,
    moment: datetime,
    ledger: list[dict[str, Any]],
    *,
    asked: bool,
) -> str:
    """Why there is no row, by the first cause that fits."""
    open_entries = [entry for entry in ledger if entry["closed_at"] is None]
    settle = timedelta(seconds=bench.settings.settle_seconds)
    now = datetime.now(UTC)
    if moment > now:
        return f"{iso(moment)} lies in the future"
    if not table.grid and asked:
        return f"this time was fetched, and {series.source} had nothing of it"
    if table in FED.values():
        feeds = bench.feeds(table, series)
        until = max((feed.offered(now).end for _, feed in feeds), default=now)
        if moment + table.grain > until:
            return f"{', '.join(kind.name for kind, _ in feeds)} gives nothing after {iso(until)} yet"
    elif moment + table.grain + settle > now:
        return f"the bar is not closed and settled before {iso(moment + table.grain + settle)}"
    if series.listed_at is not None and moment < series.listed_at:
        return f"{series.id} was listed at {iso(series.listed_at)}"
    if series.delisted_at is not None and moment >= series.delisted_at:
        return f"{series.id} was delisted at {iso(series.delisted_at)}"
    if open_entries:
        last = open_entries[-1]
        return f"{last['reason']}: {last['evidence']}" if last["evidence"] else str(last["reason"])
    if table in DERIVED.values():
        return f"it is made from 1m, and has not been made yet: `ingest explain {series.id} … -t 1m`"
    if series.backfill_from is not None and moment < series.backfill_from:
        return (
            f"{series.id} is ingested from {iso(series.backfill_from)} on: "
            f"`ingest backfill {series.id} --from {iso(moment)}` fetches earlier history"
        )
    return "not asked for yet, or its file is gone: `ingest gaps` tells, `ingest backfill` fetches it"
