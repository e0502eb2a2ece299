"""One Dagster run of this project's own definitions, as a process: what `dagster asset materialize` does.

Everything lies in one folder: DAGSTER_HOME with the project's dagster.yaml, the catalog, the lake.
"""

from __future__ import annotations

import shutil
import sys
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.measure import ROOT, Cost, environment, python, run


def available() -> bool:
    return (ROOT / "ingestion_assets" / "definitions.py").exists()


def settings(url: str, folder: Path) -> dict[str, str]:
    """The environment of an installation of its own in a folder."""
    home, state = folder / "home", folder / "state"
    for place in (home, state):
        place.mkdir(exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copy(ROOT / "dagster.yaml", home)
    return environment(
        DAGSTER_HOME=str(home),
        INGEST_STATE_DIR=str(state),
        DATA_LAKE_PATH=str(folder / "lake"),
        PROFILE="live",
        BINANCE_URL=url,
    )


def prepare(url: str, folder: Path, start: datetime, end: datetime, symbols: list[str]) -> dict[str, str]:
    """Register the series and their partitions, as an installation has them before a run begins."""
    env = settings(url, folder)
    window = (int(moment.timestamp() * 1_000) for moment in (start, end))
    run(python("benchmarks.contenders.installation", url, folder, *window, *symbols), env, folder)
    return env


def materialize(env: dict[str, str], folder: Path, *which: str) -> Cost:
    program = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "ingestion_assets.definitions"]
    return run([*program, "--select", "market/ohlcv_1m", *which], env, folder)


def backfill(url: str, folder: Path, start: datetime, end: datetime, symbols: list[str]) -> Cost:
    """All months × all series in one run."""
    env = prepare(url, folder, start, end, symbols)
    return materialize(env, folder, "--partition-range", span(start, end - timedelta(days=1), symbols))


def span(first: datetime, last: datetime, symbols: list[str]) -> str:
    """The partition range of all these series from one month to another."""
    names = [f"binance.{symbol.replace('/', '-')}" for symbol in symbols]
    return f"{first:%Y-%m}|{names[0]}...{last:%Y-%m}|{names[-1]}"
