"""This project, without Dagster: `ours {archive|api} START END`; where to ask is in the environment."""

from __future__ import annotations

import json
import sys

from ingestion_assets.ingestion import slices_of, summary
from ingestion_assets.intervals import Window, parse_moment
from ingestion_assets.registry import Series, Strategy
from ingestion_assets.tables.derivatives import AGG_TRADES_UM
from ingestion_assets.workbench import Workbench

strategy = {"archive": Strategy.FLATPACK, "api": Strategy.FLATPACK_API}[sys.argv[1]]
window = Window(parse_moment(sys.argv[2]), parse_moment(sys.argv[3]))
bench = Workbench()
bench.catalog.create()
series = Series("binance.BTC-USDT-PERP", "derivatives", "binance", "BTC/USDT:USDT", strategy)
bench.registry.add_missing([series])
landed = list(bench.ingest(AGG_TRADES_UM, slices_of([series], window, "day"), run="benchmark"))
figures = summary(landed)
assert not figures["failed"], figures["failed"]
print(json.dumps({"rows": figures["new_rows"], "requests": figures["requests"]}))
