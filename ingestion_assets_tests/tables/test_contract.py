"""Table: rows in its own shape, and the rows that break a promise told from those that keep all."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.intervals import floor
from ingestion_assets.settings import Settings
from ingestion_assets.sources.feeds import vendors
from ingestion_assets.tables import ALL, Table
from ingestion_assets.tables.contract import NAME, TIME, Column, Promise
from ingestion_assets_tests.tables.candles import candles

SMALL = Table(
    domain="test",
    name="small",
    text="A table for tests.",
    columns=(
        Column("time", TIME, "when"),
        Column("size", pa.float64(), "how much"),
        Column("label", NAME, "what", required=False),
    ),
    grain=timedelta(minutes=1),
    promises=(
        Promise("size is not negative", lambda rows: ~(rows.column("size").to_numpy() >= 0)),
        Promise("size is below ten", lambda rows: ~(rows.column("size").to_numpy() < 10)),
    ),
)


def small(rows: list[tuple[int | None, float | None]]) -> pa.Table:
    times, sizes = [r[0] for r in rows], [r[1] for r in rows]
    return SMALL.conform(pa.table({"time": pa.array(times, TIME), "size": pa.array(sizes, pa.float64())}))


def expected_reason(row: tuple[int | None, float | None], earlier: set[int | None]) -> str | None:
    time, size = row
    if time is None:
        return "time is given"
    if size is None:
        return "size is given"
    if not size >= 0:
        return "size is not negative"
    if not size < 10:
        return "size is below ten"
    return "time is unique" if time in earlier else None


values = st.one_of(st.none(), st.sampled_from([float("nan"), float("inf"), -float("inf"), -0.0, 9.5, 10.0]))


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 6)), values), max_size=12))
def test_each_row_is_good_or_has_the_first_promise_that_it_breaks(
    rows: list[tuple[int | None, float | None]],
) -> None:
    good, broken = SMALL.examine(small(rows))
    expected, earlier = [], set()
    for row in rows:
        expected.append(expected_reason(row, earlier))
        earlier.add(row[0])
    assert good.num_rows == expected.count(None)
    assert Counter(broken.column("broken_promise").to_pylist()) == Counter(filter(None, expected))
    kept = [row for row, reason in zip(rows, expected, strict=True) if reason is None]
    assert SMALL.keys(good).tolist() == [time for time, _ in kept]
    assert good.schema == SMALL.schema
    assert broken.column_names == [*SMALL.schema.names, "broken_promise"]


def test_rows_out_of_order_keep_their_order_and_only_the_repeat_is_broken() -> None:
    good, broken = SMALL.examine(small([(3, 1.0), (1, 1.0), (2, 1.0), (1, 2.0)]))
    assert SMALL.keys(good).tolist() == [3, 1, 2]
    assert broken.column("size").to_pylist() == [2.0]


def test_the_payload_is_what_happened_not_how_it_became_known() -> None:
    table = ALL["market/ohlcv_1m"]
    assert "close" in table.payload
    assert not {"time", "source", "known_at"} & set(table.payload)


def test_conform_orders_casts_and_fills_optional_columns_with_nulls() -> None:
    given_rows = pa.table({"size": pa.array([1, 2], pa.int32()), "time": pa.array([60, 120], TIME)})
    rows = SMALL.conform(given_rows)
    assert rows.schema == SMALL.schema
    assert rows.column("size").to_pylist() == [1.0, 2.0]
    assert rows.column("label").null_count == 2
    assert SMALL.conform(rows).equals(rows)


def test_conform_names_the_required_column_that_is_not_given() -> None:
    with pytest.raises(ValueError, match="test/small: required column 'size' is not in"):
        SMALL.conform(pa.table({"time": pa.array([60], TIME)}))


def test_conform_refuses_values_that_do_not_fit_the_type() -> None:
    with pytest.raises(ValueError, match="abc"):
        SMALL.conform(pa.table({"time": pa.array([60], TIME), "size": ["abc"]}))


def test_keys_are_microseconds_whatever_the_chunks() -> None:
    whole = candles(range(5))
    pieces = pa.concat_tables([whole.slice(0, 2), whole.slice(2, 0), whole.slice(2)])
    table = ALL["market/ohlcv_1m"]
    assert np.array_equal(table.keys(pieces), table.keys(whole))
    assert table.keys(whole).dtype == np.int64
    assert len(table.keys(whole.slice(0, 0))) == 0


@pytest.mark.parametrize("table", ALL.values(), ids=lambda t: t.path)
def test_every_table_says_what_its_columns_are(table: Table) -> None:
    assert table.schema.names[0] == table.key
    assert all(column.text for column in table.columns)
    assert len({column.name for column in table.columns}) == len(table.columns)
    assert len({promise.text for promise in table.promises}) == len(table.promises)
    assert {"source", "known_at"} <= set(table.schema.names)


def test_rows_that_come_as_soon_as_they_can_are_not_late() -> None:
    """Between two looks a table is behind by what its vendor needs and by the time until the next look."""
    usual = timedelta(minutes=int(Settings.model_fields["freshness_minutes"].default))
    for vendor, feed in [(kind, one) for kind in vendors() for one in kind.feeds if one.phase != "bulk"]:
        table = feed.table
        assert table.cron is not None
        looks = croniter(table.cron, datetime(2026, 1, 5, tzinfo=UTC))
        times = [looks.get_next(datetime) for _ in range(100)]
        behind = max(
            floor(later, table.grain) - floor(feed.offered(look).end, table.grain)
            for look, later in pairwise(times)
        )
        assert behind < max(usual, table.late_after or usual), (vendor.name, table.path, behind)
