"""The usual script: ccxt's fetch_trades page by page, pandas, Parquet: `ccxt_pandas URL START_MS END_MS`."""

from __future__ import annotations

import json
import sys

import ccxt
import pandas as pd

url, start, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = ccxt.binanceusdm({"enableRateLimit": False, "options": {"fetchMarkets": {"types": ["linear"]}}})
client.urls["api"]["fapiPublic"] = f"{url}/fapi/v1"
client.load_markets()
trades = client.fetch_trades("BTC/USDT:USDT", start, 1000)
while trades[-1]["timestamp"] < end:
    trades += client.fetch_trades("BTC/USDT:USDT", None, 1000, {"fromId": int(trades[-1]["id"]) + 1})
frame = pd.DataFrame(trades)[["id", "timestamp", "price", "amount", "side"]]
frame = frame[frame["timestamp"] < end]
frame.to_parquet("trades.parquet")
print(json.dumps({"rows": len(frame)}))
