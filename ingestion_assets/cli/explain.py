"""`ingest explain SERIES TIME`: where a bar or an event comes from, or why there is none."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ingestion_assets.cli.arguments import AsJson

SHOWN = 3


def explain(
    series: Annotated[str, typer.Argument(metavar="SERIES", help="Like binance.BTC-USDT.")],
    time: Annotated[str, typer.Argument(metavar="TIME", help="Any time within the bar, or of the event.")],
    timeframe: Annotated[
        str | None,
        typer.Option("--timeframe", "-t", metavar="TF", help="1m, 5m, or a derived one: 1h, 1d, 1w."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", metavar="TABLE", help="Like funding_rates. Without it: 1m, or the only one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell who wrote a row, when and from what, what it said before, or why there is none."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.explaining import tell
    from ingestion_assets.cli.selection import canonical
    from ingestion_assets.cli.table_choice import one_table
    from ingestion_assets.intervals import floor, parse_moment

    bench = environment.bench()
    one = bench.registry.require(canonical(series, bench)).series
    kept = one_table(one, timeframe, table)
    story = tell(bench, one, kept, floor(parse_moment(time), kept.grain))
    if as_json:
        output.show_json(story)
    else:
        _show(story)


def _show(story: dict[str, Any]) -> None:
    from ingestion_assets.cli import output

    title = f"{story['series']} {story['table']} {output.cell(story['time'])}"
    if story["found"]:
        notes = story["file_notes"] or {}
        rows = story["rows"][:SHOWN]
        facts = [item for row in rows for item in row.items()]
        if len(story["rows"]) > SHOWN:
            facts.append(("and more", f"{len(story['rows']) - SHOWN} rows of that time: --json"))
        facts.append(("file", story["file"]))
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
