"""Aggregated trades: a month of the archive's files, and some hours by the API.

The archive's files lie rendered in a folder and are served from there; the bare program reads the same
files from the folder itself, without a server, checks, keys or notes. The API is the simulated one for
both who ask it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.measure import Cost, environment, interleaved, python, run, typical

MONTH, SYMBOL = "2024-07", "BTCUSDT"
START = datetime(2024, 7, 1, tzinfo=UTC)
BARE, OURS = "bare unzip + Arrow CSV + Parquet", "this project, from the archive"
CCXT, BY_API = "ccxt fetch_trades + pandas", "this project, by the API"
MOST_MB = 600
_ENOUGH = 10**8


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _serving(command: list[str], port: int) -> Iterator[str]:
    process = subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _rows(cost: Cost) -> str:
    return f"{cost.said['rows']:,}"


def measure(*, rounds: int, quick: bool) -> tuple[Any, list[report.Target]]:
    hours = 4 if quick else 70  # a million trades and a little more
    end = START + (timedelta(days=3) if quick else timedelta(days=31))
    until = START + timedelta(hours=hours)
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        archive = root / "archive"
        run(python("benchmarks.contenders.trades.archive", archive, MONTH, SYMBOL), environment(), root)
        if quick:
            for path in sorted(archive.rglob("*.zip"))[3:]:
                path.unlink()
        files, vendor = _free_port(), _free_port()
        serve = python("http.server", files, "--bind", "127.0.0.1", "--directory", archive)
        there = stack.enter_context(_serving(serve, files))
        limits = f"weight_limit={_ENOUGH}, raw_limit={_ENOUGH}"
        code = f"from ingestion_assets.simulator import serve; serve({vendor}, {limits})"
        api = stack.enter_context(_serving([sys.executable, "-c", code], vendor))

        def ours(how: str, last: datetime) -> Any:
            with tempfile.TemporaryDirectory(dir=root) as folder:
                urls = {"binance": api, "binance_usdm": api, "binance_vision": there}
                env = environment(
                    PROFILE="live",
                    EXCHANGE_URLS=json.dumps(urls),
                    DATA_LAKE_PATH=f"{folder}/lake",
                    INGEST_STATE_DIR=f"{folder}/state",
                )
                module = "benchmarks.contenders.trades.ours"
                return run(python(module, how, START.isoformat(), last.isoformat()), env, Path(folder))

        def other(module: str, *arguments: object) -> Any:
            with tempfile.TemporaryDirectory(dir=root) as folder:
                command = python(f"benchmarks.contenders.trades.{module}", *arguments)
                return run(command, environment(), Path(folder))

        ms = [int(moment.timestamp() * 1_000) for moment in (START, until)]
        costs = interleaved(
            rounds, {BARE: lambda: other("bare", archive), OURS: lambda: ours("archive", end)}
        ) | interleaved(
            1 if quick else min(rounds, 2),
            {CCXT: lambda: other("ccxt_pandas", api, *ms), BY_API: lambda: ours("api", until)},
        )
    figures = {name: typical(many) for name, many in costs.items()}
    report.table(
        f"Trades: {_rows(figures[OURS])} from the archive, {_rows(figures[BY_API])} by the API",
        ["", "wall s", "CPU s", "rows/s", "peak MB"],
        [
            [name, f"{c.wall:.1f}", f"{c.cpu:.1f}", f"{c.said['rows'] / c.wall:,.0f}", f"{c.peak_mb:.0f}"]
            for name, c in figures.items()
        ],
    )
    assert figures[BARE].said["rows"] == figures[OURS].said["rows"]
    assert figures[CCXT].said["rows"] == figures[BY_API].said["rows"]
    archive_ratio = figures[BARE].wall / figures[OURS].wall
    targets = [
        report.at_least("of the bare program's rows/s, from the archive", 0.6, archive_ratio, "{:.2f}"),
        report.at_most("peak memory for the month, MB", MOST_MB, figures[OURS].peak_mb, "{:.0f}"),
        report.at_least("faster than ccxt + pandas by the API", 5, figures[CCXT].wall / figures[BY_API].wall),
    ]
    return {name: vars(cost) for name, cost in figures.items()}, targets
