"""`ingest explain SERIES TIME`: where one bar comes from, or why there is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli.arguments import AsJson

if TYPE_CHECKING:
    from ingestion_assets.registry import Series
    from ingestion_assets.tables import Table
    from ingestion_assets.workbench import Workbench


def explain(
    series: Annotated[str, typer.Argument(metavar="SERIES", help="Like binance.BTC-USDT.")],
    time: Annotated[str, typer.Argument(metavar="TIME", help="Any time within the bar.")],
    timeframe: Annotated[
        str, typer.Option("--timeframe", "-t", metavar="TF", help="1m, 5m, or a derived one: 1h, 1d, 1w.")
    ] = "1m",
    as_json: AsJson = False,
) -> None:
    """Tell who wrote a bar, when and from what, what it said before, or why there is none."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.errors import BadInput
    from ingestion_assets.cli.selection import canonical
    from ingestion_assets.intervals import canonical_timeframe, floor, parse_moment
    from ingestion_assets.tables import DERIVED, INGESTED

    bench = environment.bench()
    name = canonical_timeframe(timeframe)
    table = (INGESTED | DERIVED).get(name)
    if table is None:
        raise BadInput(f"timeframe {timeframe!r} is not kept: use one of {', '.join(INGESTED | DERIVED)}")
    entry = bench.registry.require(canonical(series, bench))
    moment = floor(parse_moment(time), table.grain)
    story = tell(bench, entry.series, table, moment)
    if as_json:
        output.show_json(story)
    else:
        _show(story)


def tell(bench: Workbench, series: Series, table: Table, moment: datetime) -> dict[str, Any]:
    """Everything that lake and ledger know about one bar."""
    from ingestion_assets.intervals import Window, month_of
    from ingestion_assets.stores.lake import CorruptFile

    window, month = Window(moment, moment + table.grain), month_of(moment)
    row = notes = corrupt = None
    try:
        rows = bench.lake.read(table, series.id, window).to_pylist()
        row = rows[0] if rows else None
        footer = bench.lake.footer(table, series.id, month)
        notes = dict(footer.notes) if footer else None
    except CorruptFile as error:
        corrupt = str(error)
    asides = {
        kind: _at(bench, kind, table, series.id, month, moment) for kind in ("_revisions", "_quarantine")
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
    return {
        "series": series.id,
        "table": table.path,
        "time": moment,
        "found": row is not None,
        "why": None if row is not None else corrupt or _why(bench, series, table, moment, ledger),
        "row": row,
        "file": bench.lake.url(table, series.id, month) if notes is not None else None,
        "file_notes": notes,
        "earlier_values": asides["_revisions"],
        "quarantined": asides["_quarantine"],
        "ledger": ledger,
    }


def _at(
    bench: Workbench, kind: str, table: Table, series: str, month: str, moment: datetime
) -> list[dict[str, Any]]:
    rows = bench.lake.aside(kind, table, series, month)
    return [] if rows is None else [row for row in rows.to_pylist() if row[table.key] == moment]


def _why(
    bench: Workbench, series: Series, table: Table, moment: datetime, ledger: list[dict[str, Any]]
) -> str:
    """Why there is no row, by the first cause that fits."""
    from ingestion_assets.intervals import iso
    from ingestion_assets.tables import DERIVED

    open_entries = [entry for entry in ledger if entry["closed_at"] is None]
    settle = timedelta(seconds=bench.settings.settle_seconds)
    now = datetime.now(UTC)
    if moment > now:
        return f"{iso(moment)} lies in the future"
    if moment + table.grain + settle > now:
        return f"the bar is not closed and settled before {iso(moment + table.grain + settle)}"
    if series.listed_at is not None and moment < series.listed_at:
        return f"{series.id} was listed at {iso(series.listed_at)}"
    if series.delisted_at is not None and moment >= series.delisted_at:
        return f"{series.id} was delisted at {iso(series.delisted_at)}"
    if open_entries:
        last = open_entries[-1]
        return f"{last['reason']}: {last['evidence']}" if last["evidence"] else str(last["reason"])
    if table.name in {derived.name for derived in DERIVED.values()}:
        return f"it is made from 1m, and has not been made yet: `ingest explain {series.id} … -t 1m`"
    if series.backfill_from is not None and moment < series.backfill_from:
        return (
            f"{series.id} is ingested from {iso(series.backfill_from)} on: "
            f"`ingest backfill {series.id} --from {iso(moment)}` fetches earlier history"
        )
    return "not asked for yet, or its file is gone: `ingest gaps` tells, `ingest backfill` fetches it"


def _show(story: dict[str, Any]) -> None:
    from ingestion_assets.cli import output

    title = f"{story['series']} {story['table']} {output.cell(story['time'])}"
    if story["found"]:
        notes = story["file_notes"] or {}
        facts = [*story["row"].items(), ("file", story["file"])]
        facts += [(f"file: {name}", value) for name, value in notes.items()]
        output.table(title, ("field", "value"), facts, wrap=("value",))
    else:
        output.say(f"{title}: there is no row. {story['why']}", style="yellow")
    for name, heading in (("earlier_values", "Earlier values"), ("quarantined", "In quarantine")):
        rows = story[name]
        if rows:
            columns = [c for c in rows[0] if c != "time"]
            output.table(heading, columns, ([row.get(c) for c in columns] for row in rows))
    if story["ledger"]:
        columns = ["from", "to", "reason", "was", "found_at", "checked_at", "closed_at", "run", "evidence"]
        rows = ([entry[c] for c in columns] for entry in story["ledger"])
        output.table("In the gap ledger", columns, rows, wrap=("evidence",))
