"""A month of the simulated archive's files of trades, into a folder: `archive FOLDER YYYY-MM SYMBOL`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ingestion_assets.intervals import month_window, periods
from ingestion_assets.simulator import Clock, World
from ingestion_assets.simulator.answers import Market
from ingestion_assets.simulator.binance_vision import BinanceVision
from ingestion_assets.simulator.faults import Faults
from ingestion_assets.simulator.perpetuals import Perpetuals

folder, month, symbol = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
market = Market(World(), Clock(), Faults())
vendor = BinanceVision(market, Perpetuals(market))
days = list(periods(month_window(month), "day"))
for day in days:
    name = f"/data/futures/um/daily/aggTrades/{symbol}/{symbol}-aggTrades-{day}.zip"
    for path in (name, f"{name}.CHECKSUM"):
        answer, _ = vendor.answer(path, {})
        place = folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(answer.body)
print(json.dumps({"days": len(days)}))
