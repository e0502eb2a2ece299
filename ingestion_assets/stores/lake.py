"""The Parquet lake: one deterministic file per table, series and month or day, readable by anything.

    <lake>/<domain>/<table>/series=<id>/month=2024-08/part-0.parquet      sorted by time, key unique
    <lake>/<domain>/<table>/series=<id>/day=2024-08-01/part-0.parquet     of tables that are cut by days
    <lake>/_revisions/…      rows that a later answer replaced by other values
    <lake>/_quarantine/…     rows that broke a promise, with the reason; files that could not be read

Writing is merging: union by key, newer wins, never fewer rows than before unless a window is replaced
on purpose. Rows whose values are the same as those held keep their source and known_at, so landing the
same answer twice changes nothing, not even the file.

Of a grid, what is held is what has rows. Of events, each file notes for which time all of them are held.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion_assets.intervals import (
    Window,
    edges,
    holes_between,
    micros,
    moment_of,
    period_window,
    periods,
    union,
)
from ingestion_assets.stores.merging import merged_rows
from ingestion_assets.stores.objects import Objects, StoreError, open_objects
from ingestion_assets.tables import Table

_META = b"ingestion_assets."
_HOLES, _COVERED = "holes", "covered"  # begin,end,begin,end… in microseconds
_MOST_HOLES_NOTED = 2_000  # a footer is read whole
_FRAME = 12  # a Parquet file's magic number at both ends, and the length of its footer
# What pyarrow raises for bytes that are no Parquet, or that a failing store gave.
_UNREADABLE = (OSError, pa.ArrowException, UnicodeDecodeError)


class CorruptFile(StoreError):
    """A Parquet file in the lake cannot be read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path} is not a readable Parquet file ({reason}): it is quarantined and its month refetched"
        )
        self.path = path


@dataclass(frozen=True)
class Merge:
    """What landing some rows did to one month of one series."""

    rows: int
    new: int
    changed: int
    dropped: int
    first: datetime | None
    last: datetime | None
    path: str
    size: int
    touched_from: datetime | None = None  # when the oldest bar that is new, changed or gone opens


@dataclass(frozen=True)
class Footer:
    """What a month's file says of itself without its rows being read."""

    rows: int
    first: datetime | None
    last: datetime | None
    size: int
    notes: Mapping[str, str]


class Lake:
    def __init__(
        self,
        location: str,
        options: Mapping[str, Any] | None = None,
        domain_locations: Mapping[str, str] | None = None,
    ) -> None:
        self.objects = open_objects(location, options)
        self._domains = {d: open_objects(place, options) for d, place in (domain_locations or {}).items()}

    def home(self, table: Table) -> tuple[Objects, str]:
        """The store that holds a table and the table's folder in it."""
        own = self._domains.get(table.domain)
        return (own, table.name) if own is not None else (self.objects, table.path)

    def path(self, table: Table, series: str, month: str) -> str:
        return f"{self._folder(table, series, month)}/part-0.parquet"

    def _folder(self, table: Table, series: str, month: str) -> str:
        return f"{self.home(table)[1]}/series={series}/{table.cut}={month}"

    def url(self, table: Table, series: str | None = None, month: str | None = None) -> str:
        """A place or a pattern for readers: everything, one series, or one month."""
        objects, folder = self.home(table)
        if series is not None and month is not None:
            return objects.url(self.path(table, series, month))
        return objects.url(f"{folder}/series={series or '*'}/{table.cut}={month or '*'}/*.parquet")

    def query(self, table: Table, series: str, month: str) -> str:
        """What to paste into DuckDB to look at a month."""
        place = self.url(table, series, month)
        return f"select * from '{place}' order by {table.clock} desc limit 10"  # noqa: S608 our own path

    # Reading

    def months(self, table: Table, series: str) -> list[str]:
        """The months, or days, that have a file, oldest first."""
        objects, folder = self.home(table)
        below = objects.list(f"{folder}/series={series}", "/part-0.parquet")
        return [path.split(f"/{table.cut}=")[1].split("/")[0] for path in below]

    def inventory(self, table: Table) -> dict[str, list[str]]:
        """Every series' months, or days, from one listing."""
        objects, folder = self.home(table)
        held: dict[str, list[str]] = {}
        for path in objects.list(folder, "/part-0.parquet"):
            series, month = path.split("/series=")[1].split("/")[:2]
            held.setdefault(series, []).append(month.removeprefix(f"{table.cut}="))
        return held

    def footer(self, table: Table, series: str, month: str) -> Footer | None:
        file = self._open(table, series, month)
        return None if file is None else _footer(file, table)

    def keys(self, table: Table, series: str, month: str) -> np.ndarray:
        """The keys of one month; nothing else is read."""
        file = self._open(table, series, month)
        if file is None:
            return table.keys(table.empty())
        return table.keys(self._rows(file, table, series, month, list(table.key_columns)))

    def holes(self, table: Table, series: str, window: Window) -> list[Window]:
        """The stretches of the window that lack something: of a grid, where rows should be and are not, of
        events, of which not everything was fetched. Mostly told by the footers alone."""
        found: list[Window] = []
        for month in periods(window, table.cut):
            whole = period_window(month)
            part = Window(max(whole.start, window.start), min(whole.end, window.end))
            file = self._open(table, series, month)
            if file is None:
                found += holes_between((), part, table.grain)
                continue
            stretches = _stretches(file.metadata, table)
            if stretches is None:
                rows = self._rows(file, table, series, month, [table.clock])
                stretches = edges(table.times(rows), table.grain)
            found += holes_between(stretches, part, table.grain)
        return _joined(found)

    def read(
        self, table: Table, series: str, window: Window, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """The rows of a window, oldest first."""
        names = list(columns) if columns is not None else table.schema.names
        parts = [table.empty().select(names)]
        for month in periods(window, table.cut):
            file = self._open(table, series, month)
            if file is None:
                continue
            wanted = list(dict.fromkeys([table.clock, *names]))
            held = [name for name in wanted if name in file.schema_arrow.names]
            rows = self._rows(file, table, series, month, held)
            first, end = np.searchsorted(table.times(rows), [micros(window.start), micros(window.end)])
            parts.append(_select(rows.slice(first, end - first), table, names))
        return pa.concat_tables(parts)

    def last_time(self, table: Table, series: str) -> datetime | None:
        """When the newest bar held opens, from the newest file's footer."""
        for month in reversed(self.months(table, series)):
            footer = self.footer(table, series, month)
            if footer is not None and footer.last is not None:
                return footer.last
        return None

    def first_time(self, table: Table, series: str) -> datetime | None:
        """When the oldest bar held opens."""
        for month in self.months(table, series):
            footer = self.footer(table, series, month)
            if footer is not None and footer.first is not None:
                return footer.first
        return None

    def reached(self, table: Table, series: str) -> datetime | None:
        """Until when everything is known as far as the newest file tells: a grid's last row, or its note."""
        for month in reversed(self.months(table, series)):
            file = self._open(table, series, month)
            stretches = _stretches(file.metadata, table) if file is not None and not table.grid else None
            if stretches:
                return moment_of(stretches[-1])
        last = self.last_time(table, series) if table.grid else None
        return None if last is None else last + table.grain

    def examine(self, table: Table, series: str, month: str) -> tuple[pa.Table, pa.Table]:
        """A month's rows that keep the table's promises, and those that do not."""
        return table.examine(self.read(table, series, period_window(month)))

    # Writing

    def merge(
        self,
        table: Table,
        series: str,
        month: str,
        rows: pa.Table,
        *,
        notes: Mapping[str, str],
        replace: Iterable[Window] = (),
        covered: Iterable[Window] = (),
        known_now: datetime | None = None,
    ) -> Merge:
        """Land rows of one month or day; in the `replace` windows held rows that are not given again go away.

        Of events, nothing is missing any more of what is `covered`.
        """
        objects, path = self.home(table)[0], self.path(table, series, month)
        rows = table.conform(rows)
        self._check_given(table, series, month, rows)
        outcome: dict[str, Any] = {}

        def change(content: bytes | None) -> bytes | None:
            held = None if content is None else _decode(content, objects.url(path), table)
            before = [] if content is None or table.grid else _noted_cover(content, objects.url(path), table)
            after = _edges_of([*before, *covered]) if not table.grid else None
            merged, superseded, counts = merged_rows(
                table, held, rows, list(replace), known_now or datetime.now(UTC)
            )
            outcome.update(counts, merged=merged, size=len(content or b""))
            if counts["new"] == counts["changed"] == counts["dropped"] == 0 and (
                after is None or after == _edges_of(before)
            ):
                return None
            if superseded.num_rows:
                # Before they lose their place, so that being killed in between loses nothing.
                self._keep_aside("_revisions", table, series, month, superseded, notes)
            encoded = encode(table, merged, {**notes, **_noted_stretches(table, merged, after)})
            outcome["size"] = len(encoded)
            return encoded

        objects.update(path, change)
        times = table.times(outcome["merged"])
        return Merge(
            rows=len(times),
            new=outcome["new"],
            changed=outcome["changed"],
            dropped=outcome["dropped"],
            first=moment_of(times[0]) if len(times) else None,
            last=moment_of(times[-1]) if len(times) else None,
            path=objects.url(path),
            size=outcome["size"],
            touched_from=moment_of(outcome["touched"]) if outcome["touched"] is not None else None,
        )

    def quarantine_rows(
        self, table: Table, series: str, month: str, rows: pa.Table, notes: Mapping[str, str]
    ) -> str:
        """Keep rows that broke a promise, with the reason, where no reader of the table sees them."""
        return self._keep_aside("_quarantine", table, series, month, rows, notes)

    def quarantine_file(self, table: Table, series: str, month: str) -> str:
        """Put a file that cannot be read out of the readers' way; one that was mended meanwhile stays."""
        objects, path = self.home(table)[0], self.path(table, series, month)

        def change(content: bytes | None) -> bytes | None:
            if content is None:
                return None
            try:
                _decode(content, objects.url(path), table)
            except CorruptFile:
                objects.write(target + _name_of(content) + ".corrupt", content)
                return encode(table, table.empty(), {})
            return None

        target = f"_quarantine/{table.path}/series={series}/{table.cut}={month}/"
        objects.update(path, change)
        return objects.url(target)

    def aside(self, kind: str, table: Table, series: str, month: str) -> pa.Table | None:
        """The superseded or quarantined rows of a month, or None."""
        objects = self.home(table)[0]
        parts = []
        for path in objects.list(f"{kind}/{table.path}/series={series}/{table.cut}={month}", ".parquet"):
            content = objects.read(path)
            if content is not None:
                parts.append(pq.read_table(pa.BufferReader(content)))
        return pa.concat_tables(parts, promote_options="permissive") if parts else None

    def _keep_aside(
        self, kind: str, table: Table, series: str, month: str, rows: pa.Table, notes: Mapping[str, str]
    ) -> str:
        objects = self.home(table)[0]
        content = encode(table, rows, notes)
        path = f"{kind}/{table.path}/series={series}/{table.cut}={month}/{_name_of(content)}.parquet"
        objects.write(path, content)
        return objects.url(path)

    def _open(self, table: Table, series: str, month: str) -> pq.ParquetFile | None:
        objects, path = self.home(table)[0], self.path(table, series, month)
        try:
            return _parquet(objects.full(path), table, objects.fs)
        except FileNotFoundError:
            return None
        except _UNREADABLE:
            content = objects.read(path)
            return None if content is None else _from_bytes(content, objects.url(path), table)

    def _rows(
        self, file: pq.ParquetFile, table: Table, series: str, month: str, columns: list[str]
    ) -> pa.Table:
        """Columns of an open file.

        An object store gives a file in pieces, and another writer may replace it between two of them:
        what does not fit together is read again, as one version, before it is called corrupt.
        """
        try:
            return file.read(columns=columns, use_threads=False)
        except _UNREADABLE:
            objects, path = self.home(table)[0], self.path(table, series, month)
            content = objects.read(path)
            if content is None:
                return table.empty().select(columns)
            return _decode(content, objects.url(path), table).select(columns)

    def _check_given(self, table: Table, series: str, month: str, rows: pa.Table) -> None:
        keys, times = table.keys(rows), table.times(rows)
        repeated = not (keys[1:] > keys[:-1]).all() and len(np.unique(keys)) < len(keys)
        if repeated or table.in_order(rows) is not rows:
            raise ValueError(
                f"{table.path}: rows to merge must be in rising order of {table.key} without repeats"
            )
        whole = period_window(month)
        if len(times) and not micros(whole.start) <= times[0] <= times[-1] < micros(whole.end):
            raise ValueError(
                f"{table.path}: rows of {series} from {moment_of(times[0])} to {moment_of(times[-1])} "
                f"do not all belong to the {table.cut} {month}"
            )


def _parquet(source: Any, table: Table, fs: Any = None) -> pq.ParquetFile:
    file = pq.ParquetFile(source, filesystem=fs, page_checksum_verification=True)
    held = file.schema_arrow
    for key in (table.schema.field(name) for name in dict.fromkeys((table.key, table.clock))):
        if key.name not in held.names or held.field(key.name).type != key.type:
            raise pa.ArrowInvalid(f"it has no column {key.name} of type {key.type}")
    return file


def _from_bytes(content: bytes, place: str, table: Table) -> pq.ParquetFile:
    try:
        return _parquet(pa.BufferReader(content), table)
    except _UNREADABLE as error:
        raise CorruptFile(place, str(error)) from error


def _decode(content: bytes, place: str, table: Table) -> pa.Table:
    """All rows of a file, in today's columns."""
    file = _from_bytes(content, place, table)
    try:
        return _select(file.read(use_threads=False), table, table.schema.names)
    except _UNREADABLE as error:
        raise CorruptFile(place, str(error)) from error


def _name_of(content: bytes) -> str:
    """The same content gets the same name, so keeping it twice is keeping it once."""
    return hashlib.sha256(content).hexdigest()[:32]


def encode(table: Table, rows: pa.Table, notes: Mapping[str, str]) -> bytes:
    """Parquet bytes: zstd, floats plain, times as differences, everything about the writing in the notes."""
    metadata = {_META + name.encode(): value.encode() for name, value in notes.items()}
    metadata[_META + b"table"] = table.path.encode()
    metadata[_META + b"schema_version"] = str(table.version).encode()
    rows = rows.replace_schema_metadata(metadata)
    names = {field.name for field in rows.schema if pa.types.is_dictionary(field.type)}
    whole = [f.name for f in rows.schema if pa.types.is_timestamp(f.type) or pa.types.is_integer(f.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows,
        sink,
        compression="zstd",
        compression_level=1,
        use_dictionary=sorted(names),
        column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        row_group_size=131_072,
        write_statistics=True,
        write_page_checksum=True,
    )
    return sink.getvalue().to_pybytes()


def _noted_stretches(table: Table, rows: pa.Table, covered: list[int] | None) -> dict[str, str]:
    """Where the holes between the rows begin and end, or what is covered, for a reader of the footer."""
    if covered is not None:
        return {_COVERED: ",".join(map(str, covered))}
    inner = edges(table.times(rows), table.grain)[1:-1]
    return {_HOLES: ",".join(map(str, inner))} if 0 < len(inner) <= 2 * _MOST_HOLES_NOTED else {}


def _noted_cover(content: bytes, place: str, table: Table) -> list[Window]:
    stretches = _stretches(_from_bytes(content, place, table).metadata, table) or []
    return [Window(moment_of(a), moment_of(b)) for a, b in zip(stretches[::2], stretches[1::2], strict=True)]


def _edges_of(windows: Iterable[Window]) -> list[int]:
    return [micros(edge) for window in union(windows) for edge in window]


def _stretches(metadata: pq.FileMetaData, table: Table) -> list[int] | None:
    """The edges of the rows' stretches by the footer alone; None when that does not tell.

    It is believed when that many rows just fill those stretches, for keys are unique. Somebody else's
    file, without the note, tells as much when it has no hole.
    """
    if not table.grid:
        return _noted(metadata, _COVERED)
    ends, step = _ends(metadata, table), table.grain // timedelta(microseconds=1)
    if ends is None:
        return None
    stretches = [ends[0], *_noted(metadata, _HOLES), ends[1] + step]
    filled = sum(stretches[1::2]) - sum(stretches[::2])
    return stretches if filled == metadata.num_rows * step else None


def _noted(metadata: pq.FileMetaData, name: str) -> list[int]:
    return [
        int(edge) for edge in (metadata.metadata or {}).get(_META + name.encode(), b"").split(b",") if edge
    ]


def _ends(metadata: pq.FileMetaData, table: Table) -> tuple[int, int] | None:
    """The lowest and the highest time as microseconds, by the statistics of the row groups."""
    index = metadata.schema.names.index(table.clock)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    known = [s for group in groups if (s := group.column(index).statistics) and s.has_min_max]
    return (min(s.min_raw for s in known), max(s.max_raw for s in known)) if known else None


def _footer(file: pq.ParquetFile, table: Table) -> Footer:
    metadata = file.metadata
    first, last = (moment_of(end) for end in ends) if (ends := _ends(metadata, table)) else (None, None)
    notes = {
        name.removeprefix(_META).decode(): value.decode()
        for name, value in (metadata.metadata or {}).items()
        if name.startswith(_META)
    }
    groups = range(metadata.num_row_groups)
    columns = [metadata.row_group(n).column(c) for n in groups for c in range(metadata.num_columns)]
    size = sum(column.total_compressed_size for column in columns) + metadata.serialized_size + _FRAME
    return Footer(metadata.num_rows, first, last, size, notes)


def _select(rows: pa.Table, table: Table, names: Sequence[str]) -> pa.Table:
    """Rows as an older schema version may have stored them, in today's columns."""
    arrays = []
    for name in names:
        kind = table.schema.field(name).type
        if name not in rows.column_names:
            arrays.append(pa.nulls(rows.num_rows, kind))
        else:
            column = rows.column(name)
            arrays.append(column if column.type == kind else column.cast(kind))
    return pa.Table.from_arrays(arrays, schema=pa.schema([table.schema.field(name) for name in names]))


def _joined(windows: list[Window]) -> list[Window]:
    """Holes that meet at a month's edge are one hole."""
    joined: list[Window] = []
    for window in windows:
        if joined and joined[-1].end == window.start:
            joined[-1] = Window(joined[-1].start, window.end)
        else:
            joined.append(window)
    return joined
