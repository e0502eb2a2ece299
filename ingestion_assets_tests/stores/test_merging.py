"""What merging costs a process that does nothing else, and which rows it takes for the same."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.merging import merged_rows
from ingestion_assets.tables import Table
from ingestion_assets.tables.contract import NAME, TIME, Column
from ingestion_assets.tables.market import OHLCV_1M
from ingestion_assets_tests.tables.candles import MINUTE, MONTH, NOTES, at, candles, span

PROJECT = Path(__file__).resolve().parent.parent.parent
LATER = datetime(2024, 5, 1, tzinfo=UTC)

MERGE = """
import json, sys
from ingestion_assets.intervals import month_window
from ingestion_assets.stores.lake import Lake
from ingestion_assets.tables.market import OHLCV_1M as TABLE
lake, whole = Lake(sys.argv[1]), month_window(sys.argv[2])
given = lake.read(TABLE, "given", whole)
merge = lake.merge(TABLE, "held", sys.argv[2], given, notes={}, replace=[whole])
counts = merge.rows, merge.new, merge.changed, merge.dropped
print(json.dumps({"counts": counts, "pandas": "pandas" in sys.modules}))
"""


def test_rows_are_changed_added_and_dropped_without_loading_pandas(tmp_path: Path) -> None:
    """It takes a fifth of a second of every run that does."""
    lake = Lake(str(tmp_path))
    lake.merge(OHLCV_1M, "held", MONTH, candles(range(10), trades=[None, *range(9)]), notes=NOTES)
    prices = dict.fromkeys(range(1, 12), 100.0) | {5: 101.0, 6: 102.0}
    given = candles(range(1, 12), prices, trades=[*range(7), None, None, 9, 9])
    lake.merge(OHLCV_1M, "given", MONTH, given, notes=NOTES)
    words = [sys.executable, "-c", MERGE, str(tmp_path), MONTH]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"counts": [11, 2, 2, 1], "pandas": False}
    assert lake.read(OHLCV_1M, "held", span(0, 20), ["trades"]).column(0).to_pylist() == [*range(9), 9, 9]


KINDS = Table(
    domain="test",
    name="kinds",
    text="A column of each kind of value.",
    columns=(
        Column("time", TIME, "when"),
        Column("number", pa.float64(), "how much", required=False),
        Column("count", pa.int32(), "how many", required=False),
        Column("yes", pa.bool_(), "whether", required=False),
        Column("day", pa.date32(), "which day", required=False),
        Column("moment", TIME, "which moment", required=False),
        Column("text", pa.string(), "what", required=False),
        Column("name", NAME, "who", required=False),
    ),
    grain=MINUTE,
    computed=True,  # so that a null is taken as it is given
)
VALUES: dict[str, tuple[Any, Any]] = {
    "number": (1.5, 0.0),
    "count": (0, 7),
    "yes": (True, False),
    "day": (at(0).date(), at(1_440).date()),
    "moment": (at(0), at(1)),
    "text": ("", "a"),
    "name": ("b", "a"),
}


def rows(name: str, values: list[Any]) -> pa.Table:
    times = pa.array([at(n) for n in range(len(values))], TIME)
    kind = KINDS.schema.field(name).type
    column = pa.array(values, kind.value_type).dictionary_encode() if kind == NAME else pa.array(values, kind)
    return KINDS.conform(pa.table({"time": times, name: column}))


@pytest.mark.parametrize("name", VALUES)
def test_values_of_every_kind_are_told_apart_from_each_other_and_from_null(name: str) -> None:
    one, other = VALUES[name]
    cases = [(one, one), (one, other), (other, one), (None, None), (one, None), (None, other), (other, other)]
    for picked in (cases, cases[:3], cases[3:4]):
        held, given = (rows(name, [case[side] for case in picked]) for side in (0, 1))
        merged, superseded, counts = merged_rows(KINDS, held, given, [], LATER)
        changed = [a != b for a, b in picked]
        assert (counts["new"], counts["changed"], counts["dropped"]) == (0, sum(changed), 0)
        assert merged.column(name).to_pylist() == [b for _, b in picked]
        assert superseded.column(name).to_pylist() == [a for a, b in picked if a != b]


@pytest.mark.parametrize("name", VALUES)
def test_a_null_of_a_vendor_leaves_the_value_that_is_held(name: str) -> None:
    table = dataclasses.replace(KINDS, computed=False)
    one, other = VALUES[name]
    held, given = rows(name, [one, one, None]), rows(name, [None, other, other, None])
    merged, _, counts = merged_rows(table, held, given, [], LATER)
    assert merged.column(name).to_pylist() == [one, other, other, None]
    assert (counts["new"], counts["changed"]) == (1, 2)


def test_what_is_no_number_is_the_same_as_before_and_another_than_any_number() -> None:
    nan = float("nan")
    held, given = rows("number", [nan, nan, 1.0, nan, None]), rows("number", [nan, 1.0, nan, None, nan])
    assert merged_rows(KINDS, held, held, [], LATER)[2]["changed"] == 0
    assert merged_rows(KINDS, held, given, [], LATER)[2]["changed"] == 4
