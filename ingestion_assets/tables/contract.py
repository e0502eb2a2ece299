"""What a table is: columns with types and units, key, clock, grain, promises.

Only the vocabulary is here; the tables themselves are stated in the files beside this one, once
each. Parquet schema, Dagster's column schema, checks and docs/catalog.md derive from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Literal

import numpy as np
import pyarrow as pa

from ingestion_assets.tables.arrays import kept, numbers, taken

TIME = pa.timestamp("us", tz="UTC")
NAME = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class Column:
    name: str
    type: pa.DataType
    text: str
    required: bool = True

    @property
    def kind(self) -> str:
        """The type as people call it: a dictionary of strings is a string."""
        if pa.types.is_dictionary(self.type):
            return str(self.type.value_type)
        return (
            f"timestamp[{self.type.unit}, {self.type.tz}]"
            if pa.types.is_timestamp(self.type)
            else str(self.type)
        )


@dataclass(frozen=True)
class Promise:
    """Something that must be true of every row; `broken` gives the mask of the rows where it is not."""

    text: str
    broken: Callable[[pa.Table], np.ndarray]


@dataclass(frozen=True)
class Table:
    domain: str
    name: str
    text: str
    columns: tuple[Column, ...]
    grain: timedelta
    promises: tuple[Promise, ...] = ()
    key: str = "time"  # what tells two rows of a series apart
    among: str | None = None  # and, where there are several at a time, the name that tells them apart
    clock: str = "time"  # when it happened: rows lie in this order, and in the partition that holds it
    # A grid has a row at every multiple of the grain. Otherwise rows are events, which come when they
    # come: what has been fetched is then noted beside them, in steps of the grain.
    grid: bool = True
    cut: Literal["month", "day"] = "month"  # how much time one file holds
    keeps: bool = False  # who gives the rows forgets them, so fetching all again takes none away
    computed: bool = False  # from other tables: rows are given whole, a null takes the place of a value
    version: int = 1

    # How it is kept up to date, where vendors' feeds give it.
    cron: str | None = None  # when the newest is fetched
    ways: tuple[str, ...] = ("bulk", "rest")  # in which of a strategy's phases it comes
    late_after: timedelta | None = None  # rows come so late; FRESHNESS_MINUTES, if that is longer

    # For a reader who decides whether to use it.
    origin: str = ""
    cadence: str = ""
    history: str = ""
    needs: str = "none"

    @property
    def path(self) -> str:
        """`market/ohlcv_1m`: the asset's key, the place in the lake, the name on the shell."""
        return f"{self.domain}/{self.name}"

    @cached_property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type, nullable=not c.required) for c in self.columns])

    def empty(self) -> pa.Table:
        """No rows. (`Schema.empty_table` imports pandas, which takes a third of a second.)"""
        return pa.Table.from_batches([], schema=self.schema)

    @cached_property
    def payload(self) -> tuple[str, ...]:
        """The columns that say what happened, as opposed to how we came to know it."""
        return tuple(
            c.name for c in self.columns if c.name not in (self.key, self.among, "source", "known_at")
        )

    @property
    def key_columns(self) -> tuple[str, ...]:
        return (self.key,) if self.among is None else (self.key, self.among)

    def keys(self, rows: pa.Table) -> np.ndarray:
        """The key column: int64 for whole numbers and times (microseconds), text for text."""
        column = rows.column(self.key)
        if pa.types.is_string(column.type):
            return np.array(column.to_pylist(), dtype=np.str_)
        if self.among is None or self.among not in rows.column_names:
            return numbers(column)
        return numbers(column) + self._places(rows.column(self.among))

    def _places(self, names: pa.ChunkedArray) -> np.ndarray:
        """Where inside the grain a name stands: always the same place, and no other name's but by a miracle.

        Should it happen, the rows of one of the two break the promise of a unique key.
        """
        encoded = names.unify_dictionaries().combine_chunks()
        grain = self.grain // timedelta(microseconds=1)
        digests = [blake2b(name.encode(), digest_size=8).digest() for name in encoded.dictionary.to_pylist()]
        places = np.array([int.from_bytes(digest) % grain for digest in digests], np.int64)
        return places[numbers(encoded.indices)]

    def times(self, rows: pa.Table) -> np.ndarray:
        """The clock column as int64 microseconds."""
        return numbers(rows.column(self.clock))

    def in_order(self, rows: pa.Table) -> pa.Table:
        """The rows by time, and by key where the time is the same."""
        times = self.times(rows)
        if self.key == self.clock and self.among is None:
            return rows if (np.diff(times) >= 0).all() else taken(rows, np.argsort(times, kind="stable"))
        keys = self.keys(rows)
        order = np.lexsort((keys, times))
        return rows if (np.diff(order) == 1).all() else taken(rows, order)

    def distinct(self, rows: pa.Table) -> pa.Table:
        """In order; of rows with the same key the last one given."""
        keys = self.keys(rows)
        if not (keys[1:] > keys[:-1]).all():
            _, last = np.unique(keys[::-1], return_index=True)
            rows = taken(rows, np.sort(len(keys) - 1 - last))
        return self.in_order(rows)

    def conform(self, rows: pa.Table) -> pa.Table:
        """The rows in this table's column order and types; an optional column not given is null."""
        if rows.schema == self.schema:
            return rows
        given = dict(zip(rows.column_names, rows.columns, strict=True))
        arrays = []
        for field in self.schema:
            column = given.get(field.name)
            if column is not None:
                arrays.append(column if column.type == field.type else column.cast(field.type))
            elif field.nullable:
                arrays.append(pa.nulls(rows.num_rows, field.type))
            else:
                raise ValueError(f"{self.path}: required column {field.name!r} is not in {rows.column_names}")
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def examine(self, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        """The rows that keep every promise, and those that do not, with the first promise each broke."""
        reason = np.full(rows.num_rows, -1, dtype=np.int8)
        promises = (*self._required(), *self.promises, self._unique())
        for number, promise in enumerate(promises):
            broken = promise.broken(rows)
            if broken.any():
                reason[broken & (reason < 0)] = number
        bad = reason >= 0
        if not bad.any():
            return rows, rows.slice(0, 0).append_column("broken_promise", pa.nulls(0, pa.string()))
        texts = pa.array([promises[n].text for n in reason[bad]], pa.string())
        return kept(rows, ~bad), kept(rows, bad).append_column("broken_promise", texts)

    def _required(self) -> tuple[Promise, ...]:
        def null_in(name: str) -> Callable[[pa.Table], np.ndarray]:
            def broken(rows: pa.Table) -> np.ndarray:
                column = rows.column(name)
                if column.null_count == 0:
                    return np.zeros(rows.num_rows, dtype=bool)
                return column.is_null().to_numpy(zero_copy_only=False)

            return broken

        return tuple(Promise(f"{c.name} is given", null_in(c.name)) for c in self.columns if c.required)

    def _unique(self) -> Promise:
        def broken(rows: pa.Table) -> np.ndarray:
            keys = self.keys(rows)
            if len(keys) < 2 or (keys[1:] > keys[:-1]).all():
                return np.zeros(len(keys), dtype=bool)
            _, first = np.unique(keys, return_index=True)
            mask = np.ones(len(keys), dtype=bool)
            mask[first] = False
            return mask

        among = f" for each {self.among}" if self.among else ""
        return Promise(f"{self.key} is unique{among}", broken)
