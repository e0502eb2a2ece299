"""One file of the lake: a month's or day's rows as Parquet bytes, back again, and what its footer tells.

Where files lie, and how rows come into one that is there, is the lake's affair (lake.py).

Beside the rows stand notes, each named `ingestion_assets.…`: who wrote them, the table, its version, and
for a reader of the footer alone
    holes     of a grid, where the holes between the rows begin and end
    covered   of events, where the stretches of which all are held begin and end
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion_assets.intervals import Window, edges, micros, moment_of
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.tables import Table

_META = b"ingestion_assets."
HOLES, COVERED = "holes", "covered"  # begin,end,begin,end… in microseconds
_MOST_HOLES_NOTED = 2_000  # a footer is read whole
# Rows of a row group, which is the least that is decoded: eight days of minutes, so that a month of them
# comes in four; of events, an hour of a market that is busy.
_GROUP_OF_GRID, _GROUP_OF_EVENTS = 11_520, 32_768
_ZSTD_LEVEL = 2  # on groups of this size it makes up for what they compress worse than a whole month
_FRAME = 12  # a Parquet file's magic number at both ends, and the length of its footer
# What pyarrow raises for bytes that are no Parquet, or that a failing store gave.
UNREADABLE = (OSError, pa.ArrowException, UnicodeDecodeError)


class CorruptFile(StoreError):
    """A Parquet file in the lake cannot be read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path} is not a readable Parquet file ({reason}): it is quarantined and its month refetched"
        )
        self.path = path


@dataclass(frozen=True)
class Footer:
    """What a file says of itself without its rows being read."""

    rows: int
    first: datetime | None
    last: datetime | None
    size: int
    notes: Mapping[str, str]


# Writing


def encode(table: Table, rows: pa.Table, notes: Mapping[str, str]) -> bytes:
    """Parquet bytes: zstd, times as differences, everything about the writing in the notes.

    Floats are plain and without statistics: nobody looks for a price, and they are most of the columns.
    """
    metadata = {_META + name.encode(): value.encode() for name, value in notes.items()}
    metadata[_META + b"table"] = table.path.encode()
    metadata[_META + b"schema_version"] = str(table.version).encode()
    rows = rows.replace_schema_metadata(metadata)
    names = [f.name for f in rows.schema if pa.types.is_dictionary(f.type)]
    whole = [f.name for f in rows.schema if pa.types.is_timestamp(f.type) or pa.types.is_integer(f.type)]
    group = _GROUP_OF_GRID if table.grid else _GROUP_OF_EVENTS
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows,
        sink,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        use_dictionary=names,
        column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        row_group_size=group,
        write_batch_size=group,
        write_statistics=[f.name for f in rows.schema if not pa.types.is_floating(f.type)],
        write_page_checksum=True,
    )
    return sink.getvalue().to_pybytes()


def notes_on_time(table: Table, rows: pa.Table, covered: Iterable[Window]) -> dict[str, str]:
    """Where a grid's rows have holes between them, or which time the events cover."""
    if not table.grid:
        return {COVERED: ",".join(str(micros(edge)) for window in covered for edge in window)}
    inner = edges(table.times(rows), table.grain)[1:-1]
    return {HOLES: ",".join(map(str, inner))} if 0 < len(inner) <= 2 * _MOST_HOLES_NOTED else {}


# Reading


def opened(source: Any, table: Table, fs: Any = None) -> pq.ParquetFile:
    """A file whose footer is read; raises one of UNREADABLE when it is no file of the table."""
    file = pq.ParquetFile(source, filesystem=fs, page_checksum_verification=True)
    held = file.schema_arrow
    for key in (table.schema.field(name) for name in dict.fromkeys((table.key, table.clock))):
        if key.name not in held.names or held.field(key.name).type != key.type:
            raise pa.ArrowInvalid(f"it has no column {key.name} of type {key.type}")
    return file


def opened_bytes(content: bytes, place: str, table: Table) -> pq.ParquetFile:
    try:
        return opened(pa.BufferReader(content), table)
    except UNREADABLE as error:
        raise CorruptFile(place, str(error)) from error


def decode(content: bytes, place: str, table: Table) -> pa.Table:
    """All rows of a file, in today's columns."""
    file = opened_bytes(content, place, table)
    try:
        return in_todays_columns(file.read(use_threads=False), table, table.schema.names)
    except UNREADABLE as error:
        raise CorruptFile(place, str(error)) from error


def rows_around(file: pq.ParquetFile, table: Table, window: Window, columns: list[str]) -> pa.Table:
    """The rows of a window and some before and after: only those row groups are read that can hold one."""
    first, end = micros(window.start), micros(window.end)
    spans = enumerate(_spans(file.metadata, table))
    groups = [number for number, span in spans if span is None or (span[0] < end and span[1] >= first)]
    return file.read_row_groups(groups, columns=columns, use_threads=False)


def rows_within(rows: pa.Table, table: Table, window: Window) -> pa.Table:
    """Of rows that lie in order of time those of a window."""
    first, end = np.searchsorted(table.times(rows), [micros(window.start), micros(window.end)])
    return rows.slice(first, end - first)


def in_todays_columns(rows: pa.Table, table: Table, names: Sequence[str]) -> pa.Table:
    """Rows as an older schema version may have stored them, in the columns that the table has now."""
    arrays = []
    for name in names:
        kind = table.schema.field(name).type
        if name not in rows.column_names:
            arrays.append(pa.nulls(rows.num_rows, kind))
        else:
            column = rows.column(name)
            arrays.append(column if column.type == kind else column.cast(kind))
    return pa.Table.from_arrays(arrays, schema=pa.schema([table.schema.field(name) for name in names]))


# By the footer alone


def footer_of(file: pq.ParquetFile, table: Table) -> Footer:
    metadata = file.metadata
    first, last = (moment_of(end) for end in ends) if (ends := _ends(metadata, table)) else (None, None)
    notes = {
        name.removeprefix(_META).decode(): value.decode()
        for name, value in (metadata.metadata or {}).items()
        if name.startswith(_META)
    }
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    columns = (group.column(number) for group in groups for number in range(metadata.num_columns))
    size = sum(column.total_compressed_size for column in columns) + metadata.serialized_size + _FRAME
    return Footer(metadata.num_rows, first, last, size, notes)


def stretches_of(file: pq.ParquetFile, table: Table) -> list[int] | None:
    """Where the stretches that are held begin and end, in turn; None when the footer does not tell.

    Of a grid it is believed when that many rows just fill those stretches, for keys are unique. Somebody
    else's file, without the note, tells as much when it has no hole.
    """
    metadata = file.metadata
    if not table.grid:
        return _noted(metadata, COVERED)
    ends, step = _ends(metadata, table), table.grain // timedelta(microseconds=1)
    if ends is None:
        return None
    stretches = [ends[0], *_noted(metadata, HOLES), ends[1] + step]
    filled = sum(stretches[1::2]) - sum(stretches[::2])
    return stretches if filled == metadata.num_rows * step else None


def covered_by(content: bytes, place: str, table: Table) -> list[Window]:
    """The time of which all events are held; of a grid that is told by its rows."""
    if table.grid:
        return []
    noted = [moment_of(edge) for edge in _noted(opened_bytes(content, place, table).metadata, COVERED)]
    return [Window(start, end) for start, end in zip(noted[::2], noted[1::2], strict=True)]


def _noted(metadata: pq.FileMetaData, name: str) -> list[int]:
    text = (metadata.metadata or {}).get(_META + name.encode(), b"")
    return [int(edge) for edge in text.split(b",") if edge]


def _ends(metadata: pq.FileMetaData, table: Table) -> tuple[int, int] | None:
    """The lowest and the highest time as microseconds."""
    known = [span for span in _spans(metadata, table) if span is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def _spans(metadata: pq.FileMetaData, table: Table) -> list[tuple[int, int] | None]:
    """The lowest and the highest time of each row group by its statistics; None where it has none."""
    index = metadata.schema.names.index(table.clock)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    told = (group.column(index).statistics for group in groups)
    return [(s.min_raw, s.max_raw) if s is not None and s.has_min_max else None for s in told]
