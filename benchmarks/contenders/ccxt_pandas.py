"""What one writes first: ccxt page by page without its rate limiter, pandas, `to_parquet`."""

from __future__ import annotations

from pathlib import Path

import ccxt
import pandas as pd

from benchmarks.contenders import MINUTE_MS, job


def main() -> None:
    work = job()
    exchange = ccxt.binance({"enableRateLimit": False, "options": {"fetchMarkets": {"types": ["spot"]}}})
    exchange.urls["api"]["public"] = f"{work.url}/api/v3"
    for symbol in work.symbols:
        for month, start, end in work.months():
            rows: list[list[float]] = []
            since = start
            while since < end:
                page = exchange.fetch_ohlcv(symbol, "1m", since, 1_000)
                if not page:
                    break
                rows += page
                since = page[-1][0] + MINUTE_MS
            frame = pd.DataFrame(rows, columns=["time", "open", "high", "low", "close", "volume"])
            frame = frame[frame["time"] < end]
            frame["time"] = pd.to_datetime(frame["time"], unit="ms", utc=True)
            folder = Path(work.folder, symbol.replace("/", "-"))
            folder.mkdir(parents=True, exist_ok=True)
            frame.to_parquet(folder / f"{month}.parquet")


if __name__ == "__main__":
    main()
