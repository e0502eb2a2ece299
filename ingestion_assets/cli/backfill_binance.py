"""`ingest backfill-binance`: a window of one perpetual, kind by kind, and a summary for schedulers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli.errors import BadInput, Failed
from ingestion_assets.cli.jsonl_export import FOLDER, PERIODS, check_interval, check_period, export_window

if TYPE_CHECKING:
    from ingestion_assets.ingestion import Landed, Options
    from ingestion_assets.intervals import Window
    from ingestion_assets.registry import Series
    from ingestion_assets.tables import Table
    from ingestion_assets.workbench import Workbench


@dataclass(frozen=True)
class Stage:
    """One kind of data, and at what interval it is written out."""

    name: str
    table: Table
    interval: str


def backfill_binance(
    symbol: Annotated[str, typer.Option(metavar="SYMBOL", help="A USDT-margined perpetual, like BTCUSDT.")],
    window_days: Annotated[int, typer.Option(min=1, help="So many days, up to now.")] = 60,
    resume: Annotated[
        bool, typer.Option("--resume", help="Fetch only what is missing in the window; the default.")
    ] = False,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Fetch the whole window again and replace what is held.")
    ] = False,
    skip_candles: Annotated[bool, typer.Option("--skip-candles")] = False,
    skip_trades: Annotated[bool, typer.Option("--skip-trades")] = False,
    skip_open_interest: Annotated[bool, typer.Option("--skip-open-interest")] = False,
    skip_funding: Annotated[bool, typer.Option("--skip-funding")] = False,
    interval: Annotated[
        str, typer.Option(help="Of the candles in files; 1m are fetched, others are made of them.")
    ] = "1m",
    oi_period: Annotated[str, typer.Option(help=f"Of open interest in files: {', '.join(PERIODS)}.")] = "5m",
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where the window is written as JSON lines as well.")
    ] = FOLDER,
    no_files: Annotated[
        bool, typer.Option("--no-files", help="Only into the lake: trades of weeks make large files.")
    ] = False,
) -> None:
    """Candles, trades, open interest and funding of a Binance perpetual: the archive first, then the API."""
    from ingestion_assets.cli import environment
    from ingestion_assets.cli import output as show
    from ingestion_assets.ingestion import Options
    from ingestion_assets.intervals import Window, iso
    from ingestion_assets.tables.derivatives import AGG_TRADES_UM, FUNDING_RATES, OPEN_INTEREST_5M, PERP_1M

    if resume and full_refresh:
        raise BadInput("--resume and --full-refresh exclude each other: leave one of them out")
    stages = [
        stage
        for stage, skipped in (
            (Stage("candles", PERP_1M, check_interval(interval)), skip_candles),
            (Stage("open_interest", OPEN_INTEREST_5M, check_period(oi_period)), skip_open_interest),
            (Stage("funding", FUNDING_RATES, ""), skip_funding),
            (Stage("trades", AGG_TRADES_UM, ""), skip_trades),
        )
        if not skipped
    ]
    if not stages:
        raise BadInput("everything is skipped: leave out at least one --skip option")
    bench = environment.bench()
    began, end = time.monotonic(), datetime.now(UTC).replace(microsecond=0)
    series = perpetual(bench, symbol, end)
    window = Window(end - timedelta(days=window_days), end)
    show.say(f"{series.id}, {window}: {', '.join(stage.name for stage in stages)}")
    options = Options(full_refresh=full_refresh)
    figures = {stage.name: _run(bench, stage, series, window, options) for stage in stages}
    files = {}
    if not no_files:
        for stage in stages:
            made = export_window(bench, stage.table, series, window, output, stage.interval)
            files[stage.name] = {"path": str(made.path), "records": made.rows}
    seconds = time.monotonic() - began
    failed = {name: one["failed"] for name, one in figures.items() if one["failed"]}
    show.show_json(
        {
            "status": "failed" if failed else "ok",
            "symbol": symbol,
            "series": series.id,
            "start": iso(window.start),
            "end": iso(window.end),
            "mode": "full_refresh" if full_refresh else "resume",
            "seconds": round(seconds, 3),
            "totals": {name: one["records"] for name, one in figures.items()},
            "stages": figures,
            "files": files,
        }
    )
    if failed:
        causes = "\n".join(f"  {name}: {'; '.join(why)}" for name, why in failed.items())
        raise Failed(f"{', '.join(failed)} failed. What landed stays; the same command goes on.\n{causes}")


def perpetual(bench: Workbench, symbol: str, now: datetime) -> Series:
    """The series of a perpetual, registered now if it was not yet; `BTCUSDT`, `BTC/USDT:USDT` or its id."""
    from ingestion_assets.registry import series_id

    text = symbol.strip().removeprefix("binance.").upper()
    plain = series_id("binance", text.partition(":")[0].removesuffix("-PERP"))
    found, refused = bench.adopt([f"{plain}-PERP"], now)
    if refused:
        raise next(iter(refused.values()))
    return next(iter(found.values()))


def _run(bench: Workbench, stage: Stage, series: Series, window: Window, options: Options) -> dict[str, Any]:
    """Oldest first, so that the cursor goes forward; a line for each partition."""
    from ingestion_assets.cli import output as show
    from ingestion_assets.ingestion import slices_of
    from ingestion_assets.intervals import iso
    from ingestion_assets.stores.registry_table import process_owner

    began = time.monotonic()
    pieces = sorted(slices_of([series], window, stage.table.cut), key=lambda piece: piece.period)
    landed: list[Landed] = []
    work = bench.ingest(stage.table, pieces, run=process_owner(), options=options)
    with contextlib.closing(work):
        for one in work:
            landed.append(one)
            cursor = min(one.cursor, window.end) if one.cursor else None
            show.say(
                f"{stage.name} {one.slice.period}: fetched {one.fetched}, inserted {one.new}, "
                f"next cursor {iso(cursor) if cursor else '–'}"
                + (f", failed: {one.error}" if one.error else "")
            )
    seconds = max(1e-9, time.monotonic() - began)
    held = _held(bench, stage.table, series, window)
    fetched = sum(one.fetched for one in landed)
    return held | {
        "fetched": fetched,
        "inserted": sum(one.new for one in landed),
        "changed": sum(one.changed for one in landed),
        "requests": sum(one.requests for one in landed),
        "seconds": round(seconds, 3),
        "records_per_second": round(fetched / seconds, 1),
        "unrecoverable": _lost(landed),
        "failed": [f"{one.slice.period}: {one.error}" for one in landed if one.error is not None],
    }


def _held(bench: Workbench, table: Table, series: Series, window: Window) -> dict[str, Any]:
    """How much of the window is held, and from when until when."""
    from ingestion_assets.intervals import iso, moment_of

    count, earliest, latest = 0, None, None
    for rows in _by_period(bench, table, series, window):
        if rows.num_rows:
            times = table.times(rows)
            count += rows.num_rows
            earliest = earliest or moment_of(times[0])
            latest = moment_of(times[-1])
    return {
        "records": count,
        "earliest": iso(earliest) if earliest else None,
        "latest": iso(latest) if latest else None,
    }


def _by_period(bench: Workbench, table: Table, series: Series, window: Window) -> Iterator[Any]:
    from ingestion_assets.intervals import intersect, period_window, periods

    for period in periods(window, table.cut):
        for part in intersect([window], [period_window(period)]):
            yield bench.lake.read(table, series.id, part, [table.clock])


def _lost(landed: list[Landed]) -> list[str]:
    from ingestion_assets.stores.gap_ledger import UNRECOVERABLE

    return [f"{h.window}: {h.evidence}" for one in landed for h in one.holes if h.reason == UNRECOVERABLE]
