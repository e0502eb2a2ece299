"""`ingest plan`: what fetching would take, before anything is launched."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli.arguments import (
    AsJson,
    Domains,
    End,
    Everything,
    SeriesNames,
    Start,
    Tables,
    Timeframes,
)

if TYPE_CHECKING:
    from ingestion_assets.cli.planning import Planned
    from ingestion_assets.workbench import Workbench


def plan(
    series: SeriesNames = None,
    start: Start = None,
    end: End = None,
    timeframe: Timeframes = None,
    table: Tables = None,
    domain: Domains = None,
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
    from ingestion_assets.cli.table_choice import choice
    from ingestion_assets.ingestion import Options

    bench = environment.bench()
    meant = choice(timeframe or (), table or (), domain or ())
    works = work(bench, series or (), meant, start, end, everything=everything)
    planned = plan_work(bench, works, Options(full_refresh=full_refresh), whole_months=not here)
    if as_json:
        series_told = [one.as_dict() for one in planned]
        budgets = budgets_told(bench, planned)
        output.show_json({"series": series_told, "total": totals(planned), "budgets": budgets})
    else:
        show_plan(planned)
        show_budgets(bench, planned)


def budgets_told(bench: Workbench, planned: Sequence[Planned]) -> list[dict[str, Any]]:
    """Each vendor's account, what this takes of it, and what would be left."""
    from ingestion_assets.cli.asking import takes

    told = []
    for account in bench.accounts():
        needed = takes(account, (one for work in planned for one in work.asked))
        left = None if account.limit is None else account.limit - account.spent - needed
        told.append(dataclasses.asdict(account) | {"needed": needed, "left_after": left})
    return told


def show_budgets(bench: Workbench, planned: Sequence[Planned]) -> None:
    from ingestion_assets.cli import output
    from ingestion_assets.cli.asking import budget_text, takes

    for account in bench.accounts():
        output.say(budget_text(account, takes(account, (one for work in planned for one in work.asked))))


def show_plan(planned: Sequence[Planned]) -> None:
    from ingestion_assets.cli import output
    from ingestion_assets.cli.planning import totals

    def partitions(one: Planned) -> str:
        return f"{len(one.needed)} of {len(one.slices)}"

    rows: list[tuple[Any, ...]] = [
        (
            one.work.series.id,
            one.work.table.path,
            one.work.window.start.date(),
            one.work.window.end.date(),
            partitions(one),
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
    names = ("series", "table", "from", "to", "partitions", "bars", "requests", "weight", "about")
    output.table("To be fetched", names, rows, right=names[4:], footer=footer if len(rows) > 1 else None)
    if any(one.bars and not one.work.table.grid for one in planned):
        output.say("Of events, bars are the stretches of time to be fetched, and requests at least so many.")
    for one in planned:
        for text in one.foregone:
            output.say(f"{one.work.series.id} {one.work.table.path}: {text}")
