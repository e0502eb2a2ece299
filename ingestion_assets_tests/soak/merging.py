"""A process that lands candles of one month, one merge after the other, until it is done or killed.

    python -m ingestion_assets_tests.soak.merging '{"location": …, "options": …, "first": 0, …}'

Each merge lands `batch` minutes of `price`, starting `stride` minutes after the last; each completed
merge is told on stdout by the number of its first minute.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ingestion_assets.stores.lake import Lake
from ingestion_assets.tables.market import OHLCV_1M
from ingestion_assets_tests.tables.candles import MONTH, NOTES, candles

PROJECT = Path(__file__).resolve().parent.parent.parent
SERIES = "binance.BTC-USDT"


def start(lake: dict[str, Any], **work: Any) -> subprocess.Popen[str]:
    """`lake` has location and options; `work` is first, stride, batch, count, price."""
    command = [sys.executable, "-m", "ingestion_assets_tests.soak.merging", json.dumps(lake | work)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)


def tell(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main(work: dict[str, Any]) -> None:
    lake = Lake(work["location"], work["options"])
    tell("ready")
    for number in range(work["count"]):
        first = work["first"] + number * work["stride"]
        rows = candles(range(first, first + work["batch"]), work["price"])
        lake.merge(OHLCV_1M, SERIES, MONTH, rows, notes=NOTES)
        tell(first)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
