"""As fast as it seems to go with the same libraries: fetch, parse columnar, write, nothing else.

No limits, no checks, no ledger, no locks, no retries: a bound to measure ourselves against, not a program
to use. Eight connections; a body becomes CSV by taking away brackets and quotes; months are written by
the threads that parsed them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from pathlib import Path

import aiohttp
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from benchmarks.contenders import MINUTE_MS, Job, job

CONNECTIONS, PAGE = 8, 1_000
WHOLE, REAL = pa.int64(), pa.float64()
COLUMNS = {
    "time": WHOLE,
    "open": REAL,
    "high": REAL,
    "low": REAL,
    "close": REAL,
    "volume": REAL,
    "close_time": WHOLE,
    "quote_volume": REAL,
    "trades": WHOLE,
    "taker_buy_volume": REAL,
    "taker_buy_quote_volume": REAL,
    "unused": WHOLE,
}
LINES = bytes.maketrans(
    b"]", b"\n"
)  # the comma between two rows then opens the second, as an empty first field
READ = csv.ReadOptions(column_names=["nothing", *COLUMNS], use_threads=False, block_size=1 << 26)
PARSE = csv.ParseOptions(quote_char=False)
CONVERT = csv.ConvertOptions(column_types=COLUMNS, include_columns=list(COLUMNS)[:-1])
WHOLE_COLUMNS = [name for name, kind in COLUMNS.items() if kind == WHOLE and name != "unused"]


def store(bodies: list[bytes], path: Path) -> None:
    """A month's bodies into one Parquet file."""
    text = b"".join(b"," + b.translate(LINES, b'"[') for b in bodies)
    table = csv.read_csv(pa.BufferReader(text), READ, PARSE, CONVERT)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        column_encoding=dict.fromkeys(WHOLE_COLUMNS, "DELTA_BINARY_PACKED"),
    )


async def fetch(work: Job) -> None:
    loop = asyncio.get_running_loop()
    waiting = [(s, *month) for s in work.symbols for month in work.months()]
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

            async def page(symbol: str, start: int, end: int) -> bytes:
                params: dict[str, str | int] = {
                    "symbol": symbol.replace("/", ""),
                    "interval": "1m",
                    "startTime": start,
                    "endTime": end - 1,
                    "limit": PAGE,
                }
                async with session.get(f"{work.url}/api/v3/klines", params=params) as response:
                    return await response.read()

            async def worker() -> None:
                """Month after month, its pages one after the other; other workers do other months."""
                while waiting:
                    symbol, month, first, end = waiting.pop()
                    starts = range(first, end, PAGE * MINUTE_MS)
                    bodies = [await page(symbol, start, end) for start in starts]
                    path = Path(work.folder, symbol.replace("/", "-"), f"{month}.parquet")
                    written.append(loop.run_in_executor(threads, store, bodies, path))

            written: list[asyncio.Future[None]] = []
            await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
            await asyncio.gather(*written)


if __name__ == "__main__":
    asyncio.run(fetch(job()))
