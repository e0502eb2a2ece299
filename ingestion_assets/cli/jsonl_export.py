"""`ingest export jsonl`: what the lake holds as files of JSON lines, for programs that read those."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingestion_assets.cli.arguments import AsJson, End, Start
from ingestion_assets.cli.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

    from ingestion_assets.intervals import Window
    from ingestion_assets.registry import Series
    from ingestion_assets.stores.jsonl import Exported
    from ingestion_assets.tables import Table
    from ingestion_assets.workbench import Workbench

FOLDER = Path("app/data/binance")
PERIODS = (
    "5m",
    "15m",
    "30m",
    "1h",
    "2h",
    "4h",
    "6h",
    "12h",
    "1d",
)  # in which the exchange tells open interest

app = typer.Typer(help="The lake's tables as files for other programs.", no_args_is_help=True)


@app.callback()
def export() -> None:
    """The lake's tables as files for other programs."""


@app.command()
def jsonl(
    series: Annotated[str, typer.Argument(metavar="SERIES", help="Like binance.BTC-USDT-PERP.")],
    table: Annotated[
        list[str] | None,
        typer.Option("--table", "-t", metavar="TABLE", help="Like derivatives/ohlcv_1m; else all it has."),
    ] = None,
    start: Start = None,
    end: End = None,
    interval: Annotated[str, typer.Option(help="Of 1m candles in the file.")] = "1m",
    oi_period: Annotated[
        str, typer.Option(help=f"Of open interest in the file: {', '.join(PERIODS)}.")
    ] = "5m",
    output: Annotated[Path, typer.Option(metavar="FOLDER")] = FOLDER,
    as_json: AsJson = False,
) -> None:
    """One file for each table, put in its place when it is whole."""
    from ingestion_assets.cli import environment
    from ingestion_assets.cli import output as show
    from ingestion_assets.cli.selection import window_bounds
    from ingestion_assets.intervals import Window
    from ingestion_assets.tables import ALL

    check_folder(output)
    spacings = {"ohlcv_1m": check_interval(interval), "open_interest_5m": check_period(oi_period)}
    bench = environment.bench()
    known = bench.registry.require(series.strip()).series
    if unknown := [name for name in table or () if name not in ALL]:
        raise BadInput(f"--table {unknown[0]!r} is unknown: use one of {', '.join(ALL)}")
    wanted = [ALL[name] for name in table] if table else [t for t in ALL.values() if t.domain == known.domain]
    first, last = window_bounds(start, end, datetime.now(UTC))
    done = []
    for one in wanted:
        since = first or bench.lake.first_time(one, known.id)
        if since is None:
            if table:
                raise BadInput(f"--table {one.path!r}: the lake holds nothing of {known.id} there")
            continue
        spacing = spacings.get(one.name, "")
        done.append((one, export_window(bench, one, known, Window(since, last), output, spacing)))
    if as_json:
        show.show_json([{"table": t.path, "path": str(e.path), "records": e.rows} for t, e in done])
        return
    for one, made in done:
        show.say(f"{made.path}: {show.number(made.rows)} lines of {one.path}", style="green")
    if not done:
        show.say(f"The lake holds nothing of {known.id}.")


def check_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise BadInput(f"--output {path} is a file: name a folder")


def check_interval(text: str) -> str:
    from ingestion_assets.intervals import canonical_timeframe

    try:
        return canonical_timeframe(text)
    except ValueError as error:
        raise BadInput(f"--interval: {error}") from None


def check_period(text: str) -> str:
    if text not in PERIODS:
        raise BadInput(f"--oi-period {text!r} is unknown: use one of {', '.join(PERIODS)}")
    return text


def export_window(
    bench: Workbench, table: Table, series: Series, window: Window, folder: Path, interval: str
) -> Exported:
    """A window of a table as a file; candles and open interest at the interval that is asked for."""
    from ingestion_assets.stores.jsonl import file_name, write

    symbol = series.symbol.partition(":")[0].replace("/", "")
    name = file_name(table, symbol, interval)
    return write(table, _pieces(bench, table, series, window, interval), folder / name)


def _pieces(
    bench: Workbench, table: Table, series: Series, window: Window, interval: str
) -> Iterator[pa.Table]:
    """Month by month or day by day, so that memory stays small."""
    from ingestion_assets.features.aggregates import aggregate
    from ingestion_assets.intervals import (
        TIMEFRAMES,
        Window,
        ceiling,
        floor,
        intersect,
        period_window,
        periods,
    )
    from ingestion_assets.tables.market import aggregates

    length = TIMEFRAMES.get(interval, table.grain)
    for period in periods(window, table.cut):
        whole = period_window(period)
        if table.name == "ohlcv_1m" and interval != "1m":
            # A bar belongs to the month in which it opens, and may end in the next one.
            bars = aggregates(interval, length, length // table.grain)
            for part in intersect([window], [whole]):
                opens = Window(ceiling(part.start, length), ceiling(part.end, length))
                rows = bench.lake.read(table, series.id, opens)
                yield aggregate(rows, bars, opens, floor(window.end, length))
            continue
        for part in intersect([window], [whole]):
            rows = bench.lake.read(table, series.id, part)
            yield _every(table, rows, length) if table.grid and length > table.grain else rows


def _every(table: Table, rows: pa.Table, length: timedelta) -> pa.Table:
    """The rows at full multiples: open interest is a level, not a sum."""
    import pyarrow as pa

    times = table.times(rows)
    return rows.filter(pa.array(times % (length // timedelta(microseconds=1)) == 0))
