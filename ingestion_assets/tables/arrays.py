"""Numbers between Arrow and NumPy without a copy, and without pandas.

pyarrow's own conversions (`to_numpy`, `pa.array`, `pa.scalar`) import all of pandas when first used, which
costs every process 0.4 s of CPU and 40 MB. What each run needs is therefore done here, over the buffers;
rare paths may use pyarrow's.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def numbers(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A column of numbers or times as NumPy; times as whole numbers of their unit, nulls as NaN."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    if array.null_count:
        return array.to_numpy(zero_copy_only=False)
    return np.from_dlpack(array)


def column(values: np.ndarray, kind: pa.DataType, given: np.ndarray | None = None) -> pa.Array:
    """Numbers as a column of a type of the same width; null where they are not given."""
    values = np.ascontiguousarray(values)
    if values.itemsize * 8 != kind.bit_width:
        raise ValueError(f"{values.dtype} has not the width of {kind}")
    there = None if given is None else _bits(given)
    return pa.Array.from_buffers(kind, len(values), [there, pa.py_buffer(values)])


def nullable(values: np.ndarray) -> pa.Array:
    """Numbers as a column of float64, null where they are NaN."""
    if len(values) == 0 or not np.isnan(values.min()):
        return column(values, pa.float64())
    values = np.asarray(values, np.float64)
    return column(values, pa.float64(), ~np.isnan(values))


def flags(mask: np.ndarray) -> pa.Array:
    """Yes or no, none of them null, as a column."""
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, _bits(mask)])


def truths(answers: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A column of yes or no, none of them null, as a mask."""
    return numbers(answers.cast(pa.uint8())).view(np.bool_)


def kept(rows: pa.Table, mask: np.ndarray) -> pa.Table:
    """The rows where the mask says yes."""
    return rows.filter(flags(mask))


def taken(rows: pa.Table, places: np.ndarray) -> pa.Table:
    """The rows at these places, in this order."""
    return rows.take(column(places, pa.int64()))


def _bits(mask: np.ndarray) -> pa.Buffer:
    return pa.py_buffer(np.packbits(mask, bitorder="little"))


def repeated(text: str, rows: int) -> pa.DictionaryArray:
    """The same text in every row."""
    content = text.encode()
    ends = np.array([0, len(content)], np.int32)
    words = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(ends), pa.py_buffer(content)])
    return pa.DictionaryArray.from_arrays(column(np.zeros(rows, np.int32), pa.int32()), words)
