"""A row as compact JSON and back; no I/O.

Numbers keep every digit, NaN and nulls become null, times become epoch seconds (with a fraction only
where they have one). Infinity has no JSON and is refused. The row's own time is not in the value: it is
in the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from ingestion_assets.tables.arrays import numbers

VERSION = "known_at"
_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class Rows:
    """Columns as lists of what JSON knows, ready to be encoded piece by piece."""

    def __init__(self, rows: pa.Table | Mapping[str, Any], leave_out: Sequence[str] = ("time",)) -> None:
        if isinstance(rows, pa.Table):
            given = {n: rows.column(n) for n in rows.column_names if n not in leave_out}
            self.columns = {n: _plain(n, column) for n, column in given.items()}
        else:
            self.columns = {n: _listed(n, column) for n, column in rows.items() if n not in leave_out}
        lengths = {len(values) for values in self.columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns differ in length: { {n: len(v) for n, v in self.columns.items()} }")
        self.count = lengths.pop() if lengths else 0

    def versions(self, start: int, end: int) -> list[float]:
        """When each row was known; 0 where that is not said."""
        known = self.columns.get(VERSION)
        return [0] * (end - start) if known is None else [v or 0 for v in known[start:end]]

    def encode(self, start: int, end: int) -> list[bytes]:
        names = tuple(self.columns)
        dumps = orjson.dumps
        slices = (values[start:end] for values in self.columns.values())
        return [dumps(dict(zip(names, row, strict=False))) for row in zip(*slices, strict=True)]

    def take(self, numbers: np.ndarray) -> None:
        """Keep these rows, in this order."""
        wanted = numbers.tolist()
        self.columns = {n: [values[i] for i in wanted] for n, values in self.columns.items()}
        self.count = len(wanted)


def decode(value: bytes) -> dict[str, Any]:
    return orjson.loads(value)


def decode_all(values: Sequence[bytes]) -> list[dict[str, Any]]:
    """Many at once, which is faster than one by one."""
    return orjson.loads(b"[" + b",".join(values) + b"]") if values else []


def version_of(value: bytes) -> float:
    """When a stored row was known; below everything when this is not a row of ours."""
    try:
        row = orjson.loads(value)
        return float(row.get(VERSION) or 0)
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError):
        return -1.0


def _plain(name: str, column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if pa.types.is_floating(kind):
        values = numbers(column)
        _refuse_infinity(name, values)
        return values.tolist()
    if pa.types.is_timestamp(kind):
        if column.null_count:
            return [None if v is None else v.timestamp() for v in column.to_pylist()]
        return _seconds(numbers(column), _UNITS[kind.unit])
    if pa.types.is_integer(kind) and not column.null_count:
        return numbers(column).tolist()
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    return column.to_pylist()


def _listed(name: str, values: Any) -> list[Any]:
    array = np.asarray(values) if not isinstance(values, list) else values
    if isinstance(array, np.ndarray):
        if array.dtype.kind == "f":
            _refuse_infinity(name, array)
        elif array.dtype.kind == "M":
            return _seconds(array.astype("datetime64[us]").view(np.int64), 1_000_000)
        return array.tolist()
    _refuse_infinity(name, np.array([v for v in array if isinstance(v, float)], float))
    return array


def _refuse_infinity(name: str, values: np.ndarray) -> None:
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise ValueError(
            f"column {name!r}, row {row}: {values[row]} has no JSON: give null where a value does not exist"
        )


def _seconds(ticks: np.ndarray, per_second: int) -> list[Any]:
    """Whole numbers where all are whole; otherwise floats, exact to the microsecond."""
    whole, rest = np.divmod(ticks, per_second)
    return whole.tolist() if not rest.any() else (ticks / per_second).tolist()
