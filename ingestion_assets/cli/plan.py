"""`ingest plan`: what fetching would take, before anything is launched."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli.arguments import AsJson, End, Everything, SeriesNames, Start, Timeframes

if TYPE_CHECKING:
    from ingestion_assets.cli.planning import Planned


def plan(
    series: SeriesNames = None,
    start: Start = None,
    end: End = None,
    timeframe: Timeframes = None,
    everything: Everything = False,
    full_refresh: Annotated[bool, typer.Option("--full-refresh", help="As if nothing were held.")] = False,
    here: Annotated[
        bool, typer.Option("--here", help="As `backfill --here`: to the minute instead of by whole months.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what would be fetched: partitions, bars, requests, weight and time. Launches nothing."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.planning import plan_work, totals
    from ingestion_assets.cli.selection import work
    from ingestion_assets.ingestion import Options

    bench = environment.bench()
    works = work(bench, series or (), timeframe or (), start, end, everything=everything)
    planned = plan_work(bench, works, Options(full_refresh=full_refresh), whole_months=not here)
    if as_json:
        budgets = [dataclasses.asdict(account) for account in bench.accounts()]
        series_told = [one.as_dict() for one in planned]
        output.show_json({"series": series_told, "total": totals(planned), "budgets": budgets})
    else:
        show_plan(planned)
        for account in bench.accounts():
            output.say(f"{account.vendor}: {account.text}")


def show_plan(planned: Sequence[Planned]) -> None:
    from ingestion_assets.cli import output
    from ingestion_assets.cli.planning import totals

    def months(one: Planned) -> str:
        return f"{len(one.needed)} of {len(one.slices)}"

    rows: list[tuple[Any, ...]] = [
        (
            one.work.series.id,
            one.work.timeframe,
            one.work.window.start.date(),
            one.work.window.end.date(),
            months(one),
            one.bars,
            one.requests,
            one.weight,
            output.duration(one.seconds) if one.requests else None,
        )
        for one in planned
    ]
    sums = totals(planned)
    footer = (
        f"{sums['series']} series",
        "",
        "",
        "",
        f"{sums['partitions_needed']} of {sums['partitions']}",
        sums["bars"],
        sums["requests"],
        sums["weight"],
        output.duration(sums["eta_seconds"]) if sums["requests"] else None,
    )
    names = ("series", "timeframe", "from", "to", "months", "bars", "requests", "weight", "about")
    output.table("To be fetched", names, rows, right=names[4:], footer=footer if len(rows) > 1 else None)
    for one in planned:
        for text in one.foregone:
            output.say(f"{one.work.series.id} {one.work.timeframe}: {text}")
