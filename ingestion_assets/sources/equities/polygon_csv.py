"""A day's flat file: from packed CSV of all tickers to a table on disk, and from that the rows of one."""

from __future__ import annotations

import gzip
import zlib
from datetime import timedelta
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from ingestion_assets.sources.equities.polygon_rows import bars_of, in_micros
from ingestion_assets.sources.errors import MalformedAnswer
from ingestion_assets.tables.arrays import numbers
from ingestion_assets.tables.equities import EQUITY_1M

_BLOCK = 4 << 20
_COLUMNS = {
    "ticker": pa.string(),  # NA and NULL are tickers
    "volume": pa.float64(),
    "open": pa.float64(),
    "close": pa.float64(),
    "high": pa.float64(),
    "low": pa.float64(),
    "window_start": pa.int64(),
    "transactions": pa.int64(),
}


def convert(packed: IO[bytes], target: Path, name: str) -> None:
    """The CSV as Parquet: a ticker's lines stand together, so that few pieces have to be read for one."""
    schema = pa.schema(list(_COLUMNS.items()))
    try:
        with gzip.open(packed) as text, pq.ParquetWriter(target, schema, compression="lz4") as out:
            reader = csv.open_csv(
                text,
                read_options=csv.ReadOptions(block_size=_BLOCK, use_threads=False),
                convert_options=csv.ConvertOptions(column_types=_COLUMNS, include_columns=list(_COLUMNS)),
            )
            for batch in reader:
                if batch.column("window_start").null_count:
                    raise pa.ArrowInvalid("a line has no window_start")
                out.write_batch(batch)
    except (gzip.BadGzipFile, EOFError, zlib.error, pa.ArrowInvalid, KeyError) as error:
        target.unlink(missing_ok=True)
        raise MalformedAnswer(f"{name} is not the packed CSV that was expected: {error}") from None


def rows_of(path: Path, ticker: str, settle: timedelta, origin: str) -> pa.Table:
    """The bars of one ticker, oldest first; of two of the same minute the later line."""
    found = pq.read_table(path, filters=[("ticker", "==", ticker)], use_threads=False)
    times = in_micros(numbers(found.column("window_start")))
    columns = {name: found.column(name) for name in _COLUMNS if name not in ("ticker", "window_start")}
    return EQUITY_1M.distinct(bars_of(times, columns, settle, origin))
