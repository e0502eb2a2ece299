"""`ingest backfill`: fetch history, by a real Dagster backfill or in this process, and follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

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
    from ingestion_assets.cli.table_choice import Choice
    from ingestion_assets.workbench import Workbench


def backfill(
    series: SeriesNames = None,
    start: Start = None,
    end: End = None,
    timeframe: Timeframes = None,
    table: Tables = None,
    domain: Domains = None,
    everything: Everything = False,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Fetch everything again and replace what is held.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Fetch a sample of what is held and compare.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Fetch and check, but write nothing; with --here.")
    ] = False,
    here: Annotated[
        bool, typer.Option("--here", help="In this process, to the minute; Dagster does not hear of it.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Dagster's UI. Without it: DAGSTER_PORT here.")
    ] = None,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="Launch it and leave.")] = False,
    cancel: Annotated[str | None, typer.Option(metavar="ID", help="Cancel a backfill instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch what is missing. Without --here as a Dagster backfill of whole months or days."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.dagster_ui import require, ui_url
    from ingestion_assets.cli.table_choice import choice
    from ingestion_assets.dagster_api import DagsterApi

    if cancel is not None:
        api = DagsterApi(ui_url(environment.settings(), url))
        require(api)
        api.cancel(cancel)
        output.say(f"Backfill {cancel} is being cancelled; its runs stop at the next partition.")
        return
    run_backfill(
        environment.bench(),
        series or (),
        choice(timeframe or (), table or (), domain or ()),
        start,
        end,
        everything=everything,
        full_refresh=full_refresh,
        verify=verify,
        dry_run=dry_run,
        here=here,
        url=url,
        follow=not no_follow,
        as_json=as_json,
    )


def run_backfill(
    bench: Workbench,
    names: Sequence[str],
    choice: Choice | None = None,
    start: str | None = None,
    end: str | None = None,
    *,
    everything: bool = False,
    full_refresh: bool = False,
    verify: bool = False,
    dry_run: bool = False,
    here: bool = False,
    url: str | None = None,
    follow: bool = True,
    as_json: bool = False,
) -> None:
    from ingestion_assets.cli import output
    from ingestion_assets.cli.dagster_backfill import backfill_by_dagster
    from ingestion_assets.cli.dagster_ui import require, ui_url
    from ingestion_assets.cli.errors import BadInput
    from ingestion_assets.cli.here_backfill import backfill_here
    from ingestion_assets.cli.plan import show_budgets, show_plan
    from ingestion_assets.cli.planning import plan_work, totals
    from ingestion_assets.cli.selection import work
    from ingestion_assets.cli.table_choice import Choice
    from ingestion_assets.dagster_api import DagsterApi
    from ingestion_assets.ingestion import Options

    options = Options(full_refresh=full_refresh, dry_run=dry_run, verify=verify)
    works = work(bench, names, choice or Choice(), start, end, everything=everything)
    if dry_run and not here:
        raise BadInput(
            "--dry-run: a Dagster backfill counts what it does not materialise as failed: add --here, "
            "or use `ingest plan`"
        )
    api = None if here else DagsterApi(ui_url(bench.settings, url))
    if api is not None:
        require(api)
    planned = plan_work(bench, works, options, whole_months=not here)
    if not as_json:
        show_plan(planned)
        show_budgets(bench, planned)
    if not any(one.needed for one in planned):
        if as_json:
            output.show_json({"status": "nothing_to_do", "plan": totals(planned)})
        elif verify:
            output.say("Nothing to compare: the lake holds nothing of that.")
        else:
            output.say("Nothing to fetch: the lake holds every bar that there is.", style="green")
        return
    if api is None:
        backfill_here(bench, planned, options, as_json=as_json)
    else:
        backfill_by_dagster(bench, api, planned, options, follow=follow, as_json=as_json)
