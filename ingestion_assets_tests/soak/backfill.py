"""A process that backfills all registered series over a window, as the real thing does, until done or killed.

    python -m ingestion_assets_tests.soak.backfill '{"settings": {…}, "window": ["2024-01", "2024-04"]}'

Tells "ready" when it has connected to everything, each partition that gained rows, and at the end
"done" and its figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ingestion_assets.ingestion import slices_of, summary
from ingestion_assets.intervals import Window, parse_moment
from ingestion_assets.settings import load_settings
from ingestion_assets.stores.registry_table import process_owner
from ingestion_assets.tables.market import OHLCV_1M
from ingestion_assets.workbench import Workbench

PROJECT = Path(__file__).resolve().parent.parent.parent


def start(settings: dict[str, Any], window: tuple[str, str]) -> subprocess.Popen[str]:
    work = json.dumps({"settings": settings, "window": window})
    command = [sys.executable, "-m", "ingestion_assets_tests.soak.backfill", work]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)


def tell(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main(work: dict[str, Any]) -> None:
    bench = Workbench(load_settings(_env_file=None, **work["settings"]))
    series = bench.registry.series()
    first, end = map(parse_moment, work["window"])
    bench.lake.inventory(OHLCV_1M)
    tell("ready")
    slices = slices_of(series, Window(first, end))
    landed = []
    for one in bench.ingest(OHLCV_1M, slices, run=process_owner()):
        landed.append(one)
        if one.new:
            tell(f"landed {one.slice.key}")
    tell("done")
    tell(json.dumps(summary(landed)))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
