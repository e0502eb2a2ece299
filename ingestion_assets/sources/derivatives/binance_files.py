"""The files of Binance's archive: a zip with one CSV in it, read as a stream, to rows of a table. Pure.

The first line tells whether it is a header; columns are then found by name, otherwise by their place.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ingestion_assets.sources.derivatives.binance_rows import (
    full_minutes,
    in_micros,
    settled_together,
    table_of,
)
from ingestion_assets.sources.errors import MalformedAnswer
from ingestion_assets.sources.market.binance import normalise_klines
from ingestion_assets.tables.arrays import numbers
from ingestion_assets.tables.contract import TIME
from ingestion_assets.tables.derivatives import AGG_TRADES_UM, FUNDING_RATES, OPEN_INTEREST_5M, PERP_1M

_BLOCK = 8 << 20
_MICROSECOND = timedelta(microseconds=1)

# Columns by place, as files without a header have them, with the names that headers give them.
_KLINES = {
    "open_time": ("time", pa.int64()),
    "open": ("open", pa.float64()),
    "high": ("high", pa.float64()),
    "low": ("low", pa.float64()),
    "close": ("close", pa.float64()),
    "volume": ("volume", pa.float64()),
    "close_time": ("close_time", pa.int64()),
    "quote_volume": ("quote_volume", pa.float64()),
    "count": ("trades", pa.int64()),
    "taker_buy_volume": ("taker_buy_volume", pa.float64()),
    "taker_buy_quote_volume": ("taker_buy_quote_volume", pa.float64()),
}
_TRADES = {
    "agg_trade_id": ("id", pa.int64()),
    "price": ("price", pa.float64()),
    "quantity": ("quantity", pa.float64()),
    "first_trade_id": ("first_trade_id", pa.int64()),
    "last_trade_id": ("last_trade_id", pa.int64()),
    "transact_time": ("time", pa.int64()),
    "is_buyer_maker": ("buyer_is_maker", pa.bool_()),
}
_METRICS = {
    "create_time": ("time", pa.string()),
    "symbol": ("symbol", pa.string()),
    "sum_open_interest": ("open_interest", pa.float64()),
    "sum_open_interest_value": ("open_interest_value", pa.float64()),
    "count_toptrader_long_short_ratio": ("top_account_ratio", pa.float64()),
    "sum_toptrader_long_short_ratio": ("top_position_ratio", pa.float64()),
    "count_long_short_ratio": ("account_ratio", pa.float64()),
    "sum_taker_long_short_vol_ratio": ("taker_volume_ratio", pa.float64()),
}
_FUNDING = {
    "calc_time": ("time", pa.int64()),
    "funding_interval_hours": ("interval_hours", pa.int32()),
    "last_funding_rate": ("rate", pa.float64()),
}
_OTHER_NAMES = {
    "quote_asset_volume": "quote_volume",
    "number_of_trades": "count",
    "taker_buy_base_asset_volume": "taker_buy_volume",
    "taker_buy_quote_asset_volume": "taker_buy_quote_volume",
}
_IN_EVERY_LINE = ("id", "time", "close_time")
Columns = dict[str, tuple[str, pa.DataType]]


@dataclass(frozen=True)
class Archive:
    """An open zip, and what to call it in messages."""

    file: IO[bytes]
    name: str


def candles(archive: Archive, settle: timedelta, origin: str) -> pa.Table:
    rows = _read(archive, _KLINES)
    columns = {name: numbers(rows.column(name)) for name, _ in _KLINES.values()}
    return PERP_1M.distinct(normalise_klines(columns, PERP_1M, settle, origin))


def trades(archive: Archive, settle: timedelta, origin: str) -> pa.Table:
    rows = _read(archive, _TRADES)
    times = in_micros(numbers(rows.column("time")))
    columns = {name: rows.column(name) for name, _ in _TRADES.values()} | {"time": times}
    made = table_of(AGG_TRADES_UM, columns, times + settle // _MICROSECOND, origin)
    return AGG_TRADES_UM.distinct(made)


def open_interest(archive: Archive, origin: str) -> pa.Table:
    """A row without a number says nothing and is left out; that it is missing will be seen."""
    rows = _read(archive, _METRICS)
    given = pc.and_(rows.column("open_interest").is_valid(), rows.column("open_interest_value").is_valid())
    rows = rows.filter(given)
    times = _moments(rows.column("time"), archive)
    columns = {name: rows.column(name) for name, _ in _METRICS.values() if name != "symbol"}
    known = times + OPEN_INTEREST_5M.grain // _MICROSECOND
    made = table_of(OPEN_INTEREST_5M, columns | {"time": times}, known, origin)
    return OPEN_INTEREST_5M.distinct(made)


def funding(archive: Archive, settle: timedelta, origin: str) -> pa.Table:
    rows = _read(archive, _FUNDING)
    stamps = in_micros(numbers(rows.column("time")))
    _, last = np.unique(stamps[::-1], return_index=True)  # of a moment that is told twice
    rows, stamps = rows.take(pa.array(len(stamps) - 1 - last)), stamps[len(stamps) - 1 - last]
    first, rates = settled_together(stamps, rows.column("rate").to_pylist())
    rows, stamps = rows.take(pa.array(first)), stamps[first]
    columns = {
        "time": full_minutes(stamps),
        "settled_at": stamps,
        "rate": rates,
        "interval_hours": rows.column("interval_hours"),
    }
    return table_of(FUNDING_RATES, columns, stamps + settle // _MICROSECOND, origin)


def _read(archive: Archive, columns: Columns) -> pa.Table:
    """The wanted columns, under our names; what the CSV holds is in memory a block at a time."""
    try:
        with zipfile.ZipFile(archive.file) as zipped:
            names = [info.filename for info in zipped.infolist() if not info.is_dir()]
            if len(names) != 1:
                raise MalformedAnswer(f"{archive.name} holds {len(names)} files, one was expected")
            with zipped.open(names[0]) as peek:
                head = peek.readline(4_096).lstrip(b"\xef\xbb\xbf").decode("utf-8", "replace").strip()
            with zipped.open(names[0]) as text:
                rows = pa.Table.from_batches(list(_batches(text, head, columns, archive)), _schema(columns))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise MalformedAnswer(f"{archive.name} is no whole zip file: {error}") from None
    except pa.ArrowInvalid as error:
        raise MalformedAnswer(f"{archive.name} is not the CSV that was expected: {error}") from None
    for name in _IN_EVERY_LINE:
        if name in rows.column_names and rows.column(name).null_count:
            raise MalformedAnswer(f"{archive.name} has a line without {name}")
    return rows


def _batches(text: IO[bytes], head: str, columns: Columns, archive: Archive) -> Iterator[pa.RecordBatch]:
    if not head:
        return
    titles = _titles(head, columns, archive)
    reader = csv.open_csv(
        text,
        read_options=csv.ReadOptions(
            column_names=titles, skip_rows=0 if _is_data(head) else 1, block_size=_BLOCK, use_threads=False
        ),
        convert_options=csv.ConvertOptions(
            column_types={title: kind for title, (_, kind) in columns.items()},
            include_columns=list(columns),
            strings_can_be_null=True,
        ),
    )
    for batch in reader:
        yield batch.rename_columns([name for name, _ in columns.values()])


def _titles(head: str, columns: Columns, archive: Archive) -> list[str]:
    """The file's column names: those of its header, or by place when it has none."""
    fields = [field.strip().strip('"') for field in head.split(",")]
    if _is_data(head):
        if len(fields) < len(columns):
            raise MalformedAnswer(f"{archive.name} has {len(fields)} columns, {len(columns)} are needed")
        return [*columns, *(f"extra_{n}" for n in range(len(fields) - len(columns)))]
    titles = [_OTHER_NAMES.get(title, title) for title in (f.lower().replace(" ", "_") for f in fields)]
    if missing := [name for name in columns if name not in titles]:
        raise MalformedAnswer(f"{archive.name} has no column {missing[0]!r}; it has {', '.join(fields)}")
    return titles


def _is_data(head: str) -> bool:
    return head.lstrip('"')[:1].isdigit()


def _schema(columns: Columns) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.values()])


def _moments(texts: pa.ChunkedArray, archive: Archive) -> np.ndarray:
    """`2024-08-01 00:05:00`, or a number of ms or µs, as µs."""
    if len(texts) and str(texts[0]).isdigit():
        return in_micros(numbers(texts.cast(pa.int64())))
    try:
        return numbers(texts.cast(pa.timestamp("us")).cast(TIME))
    except pa.ArrowInvalid as error:
        raise MalformedAnswer(f"{archive.name}: a time cannot be read ({error})") from None
