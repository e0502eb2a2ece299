"""Events in the lake: keyed by a number or a text, cut by days, and the time of which all are held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.intervals import Window, micros, moment_of, subtract, union
from ingestion_assets.stores.lake import Lake, Merge
from ingestion_assets.tables import Table
from ingestion_assets.tables.contract import NAME, TIME, Column

DAY = Window(datetime(2024, 8, 1, tzinfo=UTC), datetime(2024, 8, 2, tzinfo=UTC))
START = micros(DAY.start)
SERIES, PERIOD = "x.news", "2024-08-01"
MINUTE = timedelta(minutes=1)

EVENTS = Table(
    domain="test",
    name="events",
    text="Things that happen.",
    columns=(
        Column("id", pa.int64(), "its number"),
        Column("time", TIME, "when"),
        Column("size", pa.float64(), "how much"),
        Column("note", pa.float64(), "what only some tell", required=False),
        Column("source", NAME, "from where"),
        Column("known_at", TIME, "since when known"),
    ),
    key="id",
    grid=False,
    cut="day",
    grain=MINUTE,
)
POSTS = Table(
    domain="test",
    name="posts",
    text="Things that are said.",
    columns=(
        Column("time", TIME, "when"),
        Column("id", pa.string(), "its name"),
        Column("size", pa.float64(), "how long"),
        Column("source", NAME, "from where"),
        Column("known_at", TIME, "since when known"),
    ),
    key="id",
    grid=False,
    grain=MINUTE,
)


def minutes(first: float, end: float) -> Window:
    return Window(DAY.start + first * MINUTE, DAY.start + end * MINUTE)


def rows(table: Table, *given: tuple, source: str = "rest") -> pa.Table:
    """(id, minute, size) or (id, minute, size, note)."""
    times = pa.array([START + int(minute * 60e6) for _, minute, *_ in given], pa.int64()).cast(TIME)
    made = {
        "id": pa.array([g[0] for g in given], table.schema.field("id").type),
        "time": times,
        "size": pa.array([g[2] for g in given], pa.float64()),
        "source": pa.array([source] * len(given)).dictionary_encode(),
        "known_at": times,
    }
    if "note" in table.schema.names:
        made["note"] = pa.array([g[3] if len(g) > 3 else None for g in given], pa.float64())
    return table.in_order(table.conform(pa.table(made)))


def merge(lake: Lake, table: Table, given: pa.Table, *covered: Window, replace: tuple = ()) -> Merge:
    period = PERIOD if table.cut == "day" else PERIOD[:7]
    return lake.merge(table, SERIES, period, given, notes={}, covered=covered, replace=replace)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def held(lake: Lake, table: Table = EVENTS, *names: str) -> list[tuple]:
    found = lake.read(table, SERIES, DAY).to_pylist()
    return [tuple(row[name] for name in names or ("id", "size")) for row in found]


def test_a_day_has_its_own_file_and_holds_all_of_what_is_covered(lake):
    merge(lake, EVENTS, rows(EVENTS, (5, 1, 1.0), (6, 1, 2.0)), minutes(0, 30))
    assert (Path(lake.objects.url("")) / "test/events/series=x.news/day=2024-08-01/part-0.parquet").exists()
    assert lake.months(EVENTS, SERIES) == ["2024-08-01"]
    assert lake.inventory(EVENTS) == {SERIES: ["2024-08-01"]}
    assert lake.holes(EVENTS, SERIES, DAY) == [minutes(30, 1_440)]
    assert lake.last_time(EVENTS, SERIES) == DAY.start + MINUTE
    assert lake.reached(EVENTS, SERIES) == DAY.start + 30 * MINUTE
    assert held(lake) == [(5, 1.0), (6, 2.0)]


def test_time_without_events_is_covered_too(lake):
    assert merge(lake, EVENTS, rows(EVENTS), minutes(0, 10)).rows == 0
    assert lake.holes(EVENTS, SERIES, minutes(0, 20)) == [minutes(10, 20)]
    assert held(lake) == []
    assert lake.last_time(EVENTS, SERIES) is None


def test_a_file_that_is_gone_is_missing_again(lake):
    merge(lake, EVENTS, rows(EVENTS, (5, 1, 1.0)), DAY)
    assert lake.holes(EVENTS, SERIES, DAY) == []
    (Path(lake.objects.url("")) / lake.path(EVENTS, SERIES, PERIOD)).unlink()
    assert lake.holes(EVENTS, SERIES, DAY) == [DAY]


def test_the_same_again_changes_nothing_not_even_the_file(lake):
    given = rows(EVENTS, (5, 1, 1.0), (6, 2, 2.0))
    merge(lake, EVENTS, given, minutes(0, 10))
    path = Path(lake.objects.url("")) / lake.path(EVENTS, SERIES, PERIOD)
    before = path.read_bytes(), path.stat().st_mtime_ns
    done = merge(lake, EVENTS, given, minutes(3, 10))
    assert (done.new, done.changed, done.dropped) == (0, 0, 0)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    merge(lake, EVENTS, given, minutes(10, 11))  # more is known now, though there is no new row
    assert lake.holes(EVENTS, SERIES, minutes(0, 11)) == []


def test_the_number_tells_rows_apart_and_not_the_time(lake):
    merge(lake, EVENTS, rows(EVENTS, (5, 1, 1.0), (7, 1, 3.0)), minutes(0, 2))
    done = merge(lake, EVENTS, rows(EVENTS, (6, 1, 2.0), (7, 1, 3.5)), minutes(0, 2))
    assert (done.new, done.changed, done.rows) == (1, 1, 3)
    assert held(lake) == [(5, 1.0), (6, 2.0), (7, 3.5)]
    superseded = lake.aside("_revisions", EVENTS, SERIES, PERIOD)
    assert superseded.column("size").to_pylist() == [3.0]


def test_one_that_is_dated_otherwise_moves(lake):
    merge(lake, EVENTS, rows(EVENTS, (5, 1, 1.0), (6, 2, 2.0)), DAY)
    done = merge(lake, EVENTS, rows(EVENTS, (5, 9, 1.0)), DAY)
    assert (done.new, done.changed) == (0, 1)
    assert held(lake) == [(6, 2.0), (5, 1.0)]


def test_texts_as_keys(lake):
    merge(lake, POSTS, rows(POSTS, ("b", 1, 1.0), ("a", 1, 2.0)), minutes(0, 5))
    done = merge(lake, POSTS, rows(POSTS, ("c", 0, 3.0), ("a", 1, 2.5), ("bb", 4, 4.0)), minutes(0, 5))
    assert (done.new, done.changed) == (2, 1)
    assert held(lake, POSTS) == [("c", 3.0), ("a", 2.5), ("b", 1.0), ("bb", 4.0)]
    assert lake.keys(POSTS, SERIES, "2024-08").tolist() == ["c", "a", "b", "bb"]


def test_replacing_a_window_drops_what_is_not_given_again(lake):
    merge(lake, EVENTS, rows(EVENTS, (5, 1, 1.0), (6, 2, 2.0), (7, 9, 3.0)), DAY)
    done = merge(lake, EVENTS, rows(EVENTS, (6, 2, 2.0)), DAY, replace=(minutes(0, 5),))
    assert (done.new, done.changed, done.dropped) == (0, 0, 1)
    assert held(lake) == [(6, 2.0), (7, 3.0)]


def test_a_null_says_nothing_and_takes_no_value_s_place(lake):
    merge(lake, EVENTS, rows(EVENTS, (5, 1, 1.0, 8.0), (6, 2, 2.0)), DAY)
    done = merge(lake, EVENTS, rows(EVENTS, (5, 1, 1.0), (6, 2, 2.0, 4.0), (7, 3, 3.0)), DAY)
    assert (done.new, done.changed) == (1, 1)
    assert held(lake, EVENTS, "id", "note") == [(5, 8.0), (6, 4.0), (7, None)]


@pytest.mark.parametrize(
    "wrong",
    [[(5, 1, 1.0), (5, 2, 1.0)], [(5, 1_440, 1.0)], [(5, -1, 1.0)]],
    ids=["twice", "the next day", "the day before"],
)
def test_what_does_not_belong_there_is_refused(lake, wrong):
    with pytest.raises(ValueError, match=r"test/events: rows"):
        merge(lake, EVENTS, rows(EVENTS, *wrong), DAY)


events = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30), st.floats(0, 9)), max_size=12)
windows = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), max_size=3)


@given(st.lists(st.tuples(events, windows), min_size=1, max_size=5))
def test_whatever_comes_in_whatever_order_nothing_is_lost_and_the_last_word_counts(tmp_path_factory, steps):
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    expected: dict[int, tuple[int, float]] = {}
    told: list[Window] = []
    for given_events, given_windows in steps:
        unique = {number: (minute, size) for number, minute, size in given_events}
        covered = [minutes(first, first + length) for first, length in given_windows]
        expected |= unique
        told += covered
        merge(lake, EVENTS, rows(EVENTS, *((n, m, s) for n, (m, s) in unique.items())), *covered)
    found = lake.read(EVENTS, SERIES, DAY)
    assert {r["id"]: r["size"] for r in found.to_pylist()} == {n: s for n, (_, s) in expected.items()}
    assert (np.diff(EVENTS.times(found)) >= 0).all()
    assert lake.holes(EVENTS, SERIES, DAY) == subtract([DAY], union(told))
    if expected:
        assert lake.last_time(EVENTS, SERIES) == moment_of(
            START + max(m for m, _ in expected.values()) * 60_000_000
        )
