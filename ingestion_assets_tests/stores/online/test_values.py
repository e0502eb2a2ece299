"""Rows as JSON and back: every digit, every kind of column, whatever the platform's pandas thinks of it."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.stores.online.values import Rows, decode, decode_all, version_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROS = st.integers(0, 4_000_000_000 * 1_000_000)
ROW = st.fixed_dictionaries(
    {
        "f": st.none() | st.floats(allow_infinity=False),
        "i": st.none() | st.integers(-(2**63), 2**63 - 1),
        "b": st.none() | st.booleans(),
        "s": st.none() | st.text(st.characters(codec="utf-8")),
        "known_at": MICROS,
    }
)
SCHEMA = pa.schema(
    {
        "f": pa.float64(),
        "i": pa.int64(),
        "b": pa.bool_(),
        "s": pa.dictionary(pa.int32(), pa.string()),
        "known_at": pa.timestamp("us", tz="UTC"),
    }
)


def plain(row):
    """What JSON can say of a row: no NaN."""
    f = row["f"]
    return {k: v for k, v in row.items() if k not in ("f", "known_at")} | {
        "f": None if f is None or math.isnan(f) else f
    }


@given(st.lists(ROW, min_size=1, max_size=20))
def test_a_table_there_and_back(given_rows):
    moments = [EPOCH + timedelta(microseconds=row["known_at"]) for row in given_rows]
    columns = {name: [row[name] for row in given_rows] for name in SCHEMA.names} | {"known_at": moments}
    strings = pa.array(columns.pop("s"), pa.string()).dictionary_encode()
    table = pa.table(
        {n: strings if n == "s" else pa.array(columns[n], SCHEMA.field(n).type) for n in SCHEMA.names}
    )
    values = Rows(table).encode(0, len(given_rows))
    back = decode_all(values)
    assert back == [decode(value) for value in values] == [json.loads(value) for value in values]
    for row, result, value in zip(given_rows, back, values, strict=True):
        assert {k: v for k, v in result.items() if k != "known_at"} == plain(row)
        assert round(result["known_at"] * 1_000_000) == row["known_at"]
        assert version_of(value) == result["known_at"]
        assert math.copysign(1, result["f"] or 0) == math.copysign(1, plain(row)["f"] or 0)


@given(st.lists(st.floats(allow_infinity=False), min_size=1), st.integers(0, 5))
def test_columns_of_numpy_and_of_lists_give_the_same(numbers, start):
    arrays = Rows({"f": np.array(numbers), "n": np.arange(len(numbers))})
    lists = Rows({"f": list(numbers), "n": list(range(len(numbers)))})
    assert arrays.encode(start, len(numbers)) == lists.encode(start, len(numbers))


def test_times_are_epoch_seconds_with_a_fraction_only_where_there_is_one():
    stamps = pa.array([1_724_140_800_000_000, 1_724_140_860_000_000], pa.timestamp("us", tz="UTC"))
    assert Rows(pa.table({"t": stamps})).encode(0, 1) == [b'{"t":1724140800}']
    stamps = pa.array([1_724_140_800_000_001, None], pa.timestamp("us", tz="UTC"))
    assert Rows(pa.table({"t": stamps})).encode(0, 2) == [b'{"t":1724140800.000001}', b'{"t":null}']


@pytest.mark.parametrize("value", [math.inf, -math.inf])
@pytest.mark.parametrize("kind", [np.array, list, lambda v: pa.array(v, pa.float64())])
def test_infinity_is_refused_with_its_place(value, kind):
    column = kind([0.5, value])
    rows = pa.table({"ret_1": column}) if isinstance(column, pa.Array) else {"ret_1": column}
    with pytest.raises(ValueError, match=f"'ret_1', row 1: {value} has no JSON: give null"):
        Rows(rows)


@pytest.mark.parametrize("value", [b"", b"[]", b"not json", b'{"known_at":[1]}', b"\xff"])
def test_what_is_no_row_of_ours_is_older_than_everything(value):
    assert version_of(value) == -1
    assert version_of(b"{}") == 0
