"""`ingest registry …`: what is ingested."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli.arguments import AsJson

if TYPE_CHECKING:
    from ingestion_assets.stores.registry_table import Entry

app = typer.Typer(help="What is ingested: list it, add to it, switch it on and off.", no_args_is_help=True)

One = Annotated[str, typer.Argument(metavar="SERIES", help="Like binance.BTC-USDT.")]


@app.command()
def init(as_json: AsJson = False) -> None:
    """Make the registry's tables and register the first series, as far as they are missing."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.errors import Failed
    from ingestion_assets.cli.setup import prepare
    from ingestion_assets.seeds import plant, seeds

    settings = environment.settings()
    prepare(settings)
    bench = environment.bench()
    added, errors = plant(bench)
    _mirror(seeds(settings).keys() - errors.keys())
    if as_json:
        output.show_json({"added": added, "errors": {name: str(error) for name, error in errors.items()}})
    else:
        there = output.plural(len(bench.registry.series()), "series", "series")
        output.say(f"The registry at {bench.catalog.place} holds {there}; new: {', '.join(added) or 'none'}.")
    if errors:
        raise Failed("\n".join(f"{name}: {error}" for name, error in errors.items()))


@app.command("list")
def show_all(as_json: AsJson = False) -> None:
    """Every series with its status."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.selection import ago

    entries = environment.bench().registry.entries()
    if as_json:
        output.show_json([as_dict(entry) for entry in entries])
        return
    if not entries:
        output.say("No series is registered: `ingest registry add EXCHANGE SYMBOL` adds one.")
        return
    output.table(
        None,
        ("series", "timeframes", "strategy", "since", "status", "last run", "message"),
        (
            (
                entry.series.id,
                " ".join(entry.series.timeframes),
                entry.series.strategy.value,
                entry.series.backfill_from and entry.series.backfill_from.date(),
                entry.status.value,
                ago(entry.last_backfill),
                (entry.error_message or "").partition("\n")[0],
            )
            for entry in entries
        ),
        wrap=("message",),
        styles=output.STATUS_STYLES,
    )


@app.command()
def show(series: One, as_json: AsJson = False) -> None:
    """Everything that is known of one series."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.selection import canonical

    bench = environment.bench()
    facts = as_dict(bench.registry.require(canonical(series, bench)))
    if as_json:
        output.show_json(facts)
        return
    output.table(
        None,
        ("field", "value"),
        ((name, " ".join(v) if isinstance(v, list) else v or None) for name, v in facts.items()),
        wrap=("value",),
    )


@app.command()
def enable(series: One) -> None:
    """Ingest a series again from now on, and what it missed meanwhile."""
    _switch(series, True)


@app.command()
def disable(series: One) -> None:
    """Ingest a series no longer; its history stays readable."""
    _switch(series, False)


@app.command()
def remove(series: One) -> None:
    """Forget a series; what the lake holds of it stays."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.selection import canonical
    from ingestion_assets.seeds import seeds

    bench = environment.bench()
    name = canonical(series, bench)
    entry = bench.registry.require(name)
    with environment.instance() as instance:
        bench.forget(entry.series, lambda: instance.delete_dynamic_partition(entry.series.domain, name))
    output.say(f"{name} is no longer registered; its files stay in {bench.settings.data_lake_path}.")
    if name in seeds(bench.settings):
        output.say(
            f"The settings name {name} as one of the first series, so it will be registered again: "
            f"take it out there, or keep it and use `ingest registry disable {name}`.",
            style="yellow",
        )


@app.command()
def add(
    exchange: Annotated[
        str,
        typer.Argument(help="A name of ccxt's, like binance or kraken, or a vendor's: polygon, x."),
    ],
    symbol: Annotated[str, typer.Argument(help="Like ETH/USD, AAPL, bitcoin or BTC.active_addresses.")],
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From when on. Without it: INGESTION_LOOKBACK_DAYS ago."),
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="How it is fetched: flatpack_api; of perpetuals flatpack.")
    ] = None,
    timeframe: Annotated[
        list[str] | None,
        typer.Option("--timeframe", "-t", metavar="TF", help="1m (default), 5m; may be repeated."),
    ] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    no_backfill: Annotated[bool, typer.Option("--no-backfill", help="Register only.")] = False,
    here: Annotated[bool, typer.Option("--here", help="Fetch the history in this process.")] = False,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Dagster's UI, if elsewhere.")] = None,
    as_json: AsJson = False,
) -> None:
    """Register a market of an exchange, or what else a vendor has, and fetch its history."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.backfill import run_backfill
    from ingestion_assets.cli.dagster_ui import ui_url
    from ingestion_assets.cli.registry_file import Given, described
    from ingestion_assets.dagster_api import DagsterApi
    from ingestion_assets.intervals import iso
    from ingestion_assets.tables import FETCHED

    bench = environment.bench()
    environment.dagster_home()
    given = Given.checked(
        {
            "exchange": exchange,
            "symbol": symbol,
            "since": since,
            "strategy": strategy,
            "timeframes": timeframe or ["1m"],
            "description": description,
        }
    )
    now = datetime.now(UTC)
    series = described(bench, given, now)
    bench.registry.add(series)
    bench.expect([series], now)
    _mirror([series.id])
    start = iso(series.backfill_from) if series.backfill_from else "now"
    kept = series.timeframes or [
        table.name for table in FETCHED.values() if series.follows(table) and bench.feeds(table, series)
    ]
    output.say(f"{series.id} is registered: {' '.join(kept)} from {start} on.", style="green")
    if series.domain != "market" and not here:
        output.say(
            "Its history is fetched by the running stack, a few partitions at a time; without one by "
            f"`ingest backfill {series.id} --here`."
        )
        no_backfill = True
    if no_backfill:
        if as_json:
            output.show_json(as_dict(bench.registry.require(series.id)))
        return
    place = ui_url(bench.settings, url)
    if not here and url is None and not DagsterApi(place).answers():
        output.say(f"No Dagster UI answers at {place}, so the history is fetched in this process.")
        here = True
    run_backfill(bench, [series.id], here=here, url=url, as_json=as_json)


@app.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="YAML: a list of {exchange, symbol, since, …}.")
    ],
    as_json: AsJson = False,
) -> None:
    """Register the series in a YAML file: all of them, or none when one of them is wrong."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.registry_file import read

    bench = environment.bench()
    environment.dagster_home()
    now = datetime.now(UTC)
    series = read(file, bench, now)
    bench.registry.add_missing(series)
    bench.expect(series, now)
    _mirror([one.id for one in series])
    if as_json:
        output.show_json([as_dict(bench.registry.require(one.id)) for one in series])
        return
    names = " ".join(one.id for one in series)
    output.say(f"{output.plural(len(series), 'series', 'series')} registered: {names}", style="green")
    output.say(f"`ingest plan {names}` tells what fetching their history takes, `ingest backfill …` does it.")


def as_dict(entry: Entry) -> dict[str, Any]:
    series = dataclasses.asdict(entry.series)
    series |= {"strategy": entry.series.strategy.value, "timeframes": list(entry.series.timeframes)}
    rest = {f.name: getattr(entry, f.name) for f in dataclasses.fields(entry) if f.name != "series"}
    return series | rest | {"status": entry.status.value}


def _switch(text: str, enabled: bool) -> None:
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.selection import canonical

    bench = environment.bench()
    name = canonical(text, bench)
    bench.registry.enable(name, enabled)
    output.say(f"{name} is {'enabled' if enabled else 'disabled'}.")


def _mirror(names: Any) -> None:
    """Dagster's partitions, now instead of at the registry-sync sensor's next tick."""
    from ingestion_assets.cli import environment
    from ingestion_assets.cli.stack_preparation import add_partitions

    known = {one.id: one.domain for one in environment.bench().registry.series()}
    with environment.instance() as instance:
        for domain in sorted({known.get(name, "market") for name in names}):
            mine = sorted(name for name in names if known.get(name, "market") == domain)
            add_partitions(instance, mine, domain)
