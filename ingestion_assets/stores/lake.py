"""The Parquet lake: one deterministic file per table, series and month or day, readable by anything.

    <lake>/<domain>/<table>/series=<id>/month=2024-08/part-0.parquet      sorted by time, key unique
    <lake>/<domain>/<table>/series=<id>/day=2024-08-01/part-0.parquet     of tables that are cut by days
    <lake>/_revisions/…      rows that a later answer replaced by other values
    <lake>/_quarantine/…     rows that broke a promise, with the reason; files that could not be read

Writing is merging: union by key, newer wins, never fewer rows than before unless a window is replaced
on purpose. Rows whose values are the same as those held keep their source and known_at, so landing the
same answer twice changes nothing, not even the file.

Of a grid, what is held is what has rows. Of events, each file notes for which time all of them are held.
How a file is written and read is lake_file.py's, how rows become one merging.py's affair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion_assets.intervals import (
    Window,
    edges,
    holes_between,
    moment_of,
    period_window,
    periods,
    union,
)
from ingestion_assets.stores import lake_file
from ingestion_assets.stores.lake_file import CorruptFile, Footer
from ingestion_assets.stores.merging import check_given, merged_rows
from ingestion_assets.stores.objects import Objects, open_objects
from ingestion_assets.tables import Table


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
        return f"{self.home(table)[1]}/series={series}/{table.cut}={month}/part-0.parquet"

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
        return None if file is None else lake_file.footer_of(file, table)

    def keys(self, table: Table, series: str, month: str) -> np.ndarray:
        """The keys of one month; nothing else is read."""
        file = self._open(table, series, month)
        if file is None:
            return table.keys(table.empty())
        columns, whole = list(table.key_columns), period_window(month)
        return table.keys(self._rows(file, table, series, month, columns, whole))

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
            stretches = lake_file.stretches_of(file, table)
            if stretches is None:
                rows = self._rows(file, table, series, month, [table.clock], whole)
                stretches = edges(table.times(rows), table.grain)
            found += holes_between(stretches, part, table.grain)
        return union(found)  # holes that meet at the edge of a month are one hole

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
            rows = lake_file.rows_within(self._rows(file, table, series, month, held, window), table, window)
            parts.append(lake_file.in_todays_columns(rows, table, names))
        return pa.concat_tables(parts)

    def last_time(self, table: Table, series: str) -> datetime | None:
        """When the newest bar held opens, from the newest file's footer."""
        footers = (self.footer(table, series, month) for month in reversed(self.months(table, series)))
        return next((f.last for f in footers if f is not None and f.last is not None), None)

    def first_time(self, table: Table, series: str) -> datetime | None:
        """When the oldest bar held opens."""
        footers = (self.footer(table, series, month) for month in self.months(table, series))
        return next((f.first for f in footers if f is not None and f.first is not None), None)

    def reached(self, table: Table, series: str) -> datetime | None:
        """Until when everything is known as far as the newest file tells: a grid's last row, or its note."""
        for month in reversed(self.months(table, series)):
            file = self._open(table, series, month)
            stretches = lake_file.stretches_of(file, table) if file is not None and not table.grid else None
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
        place, replaced, covered = objects.url(path), list(replace), list(covered)
        rows = table.conform(rows)
        check_given(table, series, month, rows)
        outcome: dict[str, Any] = {}

        def change(content: bytes | None) -> bytes | None:
            held = None if content is None else lake_file.decode(content, place, table)
            before = [] if content is None else lake_file.covered_by(content, place, table)
            after = [] if table.grid else union([*before, *covered])
            merged, superseded, counts = merged_rows(
                table, held, rows, replaced, known_now or datetime.now(UTC)
            )
            outcome.update(counts, merged=merged, size=len(content or b""))
            if counts["new"] == counts["changed"] == counts["dropped"] == 0 and after == before:
                return None
            if superseded.num_rows:
                # Before they lose their place, so that being killed in between loses nothing.
                self._keep_aside("_revisions", table, series, month, superseded, notes)
            on_time = lake_file.notes_on_time(table, merged, after)
            encoded = lake_file.encode(table, merged, {**notes, **on_time})
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
            path=place,
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
        target = f"_quarantine/{table.path}/series={series}/{table.cut}={month}/"

        def change(content: bytes | None) -> bytes | None:
            if content is None:
                return None
            try:
                lake_file.decode(content, objects.url(path), table)
            except CorruptFile:
                objects.write(target + _name_of(content) + ".corrupt", content)
                return lake_file.encode(table, table.empty(), {})
            return None

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
        content = lake_file.encode(table, rows, notes)
        path = f"{kind}/{table.path}/series={series}/{table.cut}={month}/{_name_of(content)}.parquet"
        objects.write(path, content)
        return objects.url(path)

    def _open(self, table: Table, series: str, month: str) -> pq.ParquetFile | None:
        objects, path = self.home(table)[0], self.path(table, series, month)
        try:
            return lake_file.opened(objects.full(path), table, objects.fs)
        except FileNotFoundError:
            return None
        except lake_file.UNREADABLE:
            content = objects.read(path)
            return None if content is None else lake_file.opened_bytes(content, objects.url(path), table)

    def _rows(
        self, file: pq.ParquetFile, table: Table, series: str, month: str, columns: list[str], window: Window
    ) -> pa.Table:
        """Columns of an open file, of a window's rows at the least.

        An object store gives a file in pieces, and another writer may replace it between two of them:
        what does not fit together is read again, as one version, before it is called corrupt.
        """
        try:
            return lake_file.rows_around(file, table, window, columns)
        except lake_file.UNREADABLE:
            objects, path = self.home(table)[0], self.path(table, series, month)
            content = objects.read(path)
            if content is None:
                return table.empty().select(columns)
            return lake_file.decode(content, objects.url(path), table).select(columns)


def _name_of(content: bytes) -> str:
    """The same content gets the same name, so keeping it twice is keeping it once."""
    return hashlib.sha256(content).hexdigest()[:32]
