"""Tables as files of JSON lines, for programs that read those: a copy of the lake, never its record.

A file is written beside its place and put there when it is whole, so that a reader sees the old one or
the new one. Times are milliseconds since 1970.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ingestion_assets.tables import Table


@dataclass(frozen=True)
class Shape:
    """What a table's file and its fields are called; fields not named keep the column's name."""

    file: str
    fields: Mapping[str, str]


# As the files were called before there was a lake.
_SHAPES = {
    "derivatives/ohlcv_1m": Shape("{symbol}_{interval}_candles.jsonl", {"time": "open_time"}),
    "derivatives/agg_trades_um": Shape("{symbol}_agg_trades.jsonl", {"time": "timestamp"}),
    "derivatives/open_interest_5m": Shape("{symbol}_open_interest_{interval}.jsonl", {"time": "timestamp"}),
    "derivatives/funding_rates": Shape(
        "{symbol}_funding_rates.jsonl", {"time": "funding_time", "rate": "funding_rate"}
    ),
}
_LEFT_OUT = ("source", "known_at")


@dataclass(frozen=True)
class Exported:
    path: Path
    rows: int


def shape_of(table: Table) -> Shape:
    return _SHAPES.get(table.path, Shape("{symbol}_" + table.name + ".jsonl", {}))


def file_name(table: Table, symbol: str, interval: str) -> str:
    """`btcusdt_1m_candles.jsonl`."""
    return shape_of(table).file.format(symbol=symbol.lower(), interval=interval)


def write(table: Table, pieces: Iterable[pa.Table], path: Path) -> Exported:
    """All rows, piece by piece; the file takes its place when the last one is in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                rows += piece.num_rows
                file.write(lines(table, piece))
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Exported(path, rows)


def lines(table: Table, rows: pa.Table) -> bytes:
    if rows.num_rows == 0:
        return b""
    import polars as pl

    names = [name for name in rows.column_names if name not in _LEFT_OUT]
    frame = pl.DataFrame(pl.from_arrow(rows.select(names)))
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    return (
        frame.with_columns(pl.col(name).dt.epoch("ms") for name in times)
        .rename(dict(shape_of(table).fields), strict=False)
        .write_ndjson()
        .encode()
    )


def _umask() -> int:
    """What `open` would have kept from others; the system tells it only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
