"""Windows and their arithmetic, against brute force over sets of minutes."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingestion_assets.intervals import (
    EPOCH,
    TIMEFRAMES,
    Window,
    bars,
    canonical_timeframe,
    ceiling,
    floor,
    holes,
    intersect,
    iso,
    micros,
    moment_of,
    month_of,
    month_window,
    months,
    parse_moment,
    split,
    subtract,
    total,
    union,
)

MINUTE = timedelta(minutes=1)
START = datetime(2024, 2, 29, 23, 50, tzinfo=UTC)  # so that short windows cross a month's edge


def at(minutes: float) -> datetime:
    return START + minutes * MINUTE


def minutes_of(windows: list[Window]) -> set[int]:
    return {m for w in windows for m in range((w.start - START) // MINUTE, (w.end - START) // MINUTE)}


edges = st.integers(0, 40)
window_lists = st.lists(st.builds(lambda a, b: Window(at(a), at(b)), edges, edges), max_size=8)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
grains = st.sampled_from(list(TIMEFRAMES.values()))


def assert_normal(windows: list[Window]) -> None:
    """Sorted, none empty, and no two of them touch."""
    assert all(w.start < w.end for w in windows)
    assert all(a.end < b.start for a, b in itertools.pairwise(windows))


@given(window_lists)
def test_union_holds_the_same_minutes_in_normal_form(windows: list[Window]) -> None:
    merged = union(windows)
    assert_normal(merged)
    assert minutes_of(merged) == minutes_of(windows)
    assert union(merged) == merged
    assert total(windows) == len(minutes_of(windows)) * MINUTE
    assert bars(windows, MINUTE) == len(minutes_of(windows))


@given(window_lists, window_lists)
def test_intersect_and_subtract_are_those_of_sets(left: list[Window], right: list[Window]) -> None:
    common, rest = intersect(left, right), subtract(left, right)
    for windows in (common, rest):
        assert_normal(windows)
    assert minutes_of(common) == minutes_of(left) & minutes_of(right)
    assert minutes_of(rest) == minutes_of(left) - minutes_of(right)
    assert union([*common, *rest]) == union(left)


@given(st.sets(edges), edges, edges, st.floats(0, 0.99), st.floats(0, 0.99))
def test_holes_are_the_minutes_without_a_bar(
    present: set[int], first: int, end: int, before: float, after: float
) -> None:
    """Bars outside the window do not matter, and a window need not begin or end on the grid."""
    window = Window(at(first - before), at(end - after))
    times = np.array(sorted(micros(at(m)) for m in present), dtype=np.int64)
    found = holes(times, window, MINUTE)
    assert_normal(found)
    assert minutes_of(found) == set(range(first, end)) - present


@given(moments, grains)
def test_floor_and_ceiling_enclose_a_moment_with_grid_points(moment: datetime, grain: timedelta) -> None:
    below, above = floor(moment, grain), ceiling(moment, grain)
    assert below <= moment <= above
    assert above - below in (timedelta(), grain)
    assert floor(below, grain) == below == ceiling(below, grain)
    assert bars([Window(below, below + 3 * grain)], grain) == 3


def test_weeks_begin_on_monday() -> None:
    sunday = datetime(2024, 3, 3, 23, 59, tzinfo=UTC)
    assert floor(sunday, timedelta(weeks=1)) == datetime(2024, 2, 26, tzinfo=UTC)
    assert ceiling(sunday, timedelta(weeks=1)) == datetime(2024, 3, 4, tzinfo=UTC)


@given(st.integers(1, 400), st.integers(1, 9), st.integers(1, 50))
def test_split_covers_a_window_in_few_even_pieces(length: int, parts: int, step: int) -> None:
    window = Window(START, at(length))
    pieces = split(window, parts, step * MINUTE)
    assert 1 <= len(pieces) <= parts
    assert [p.start for p in pieces] == [START, *(p.end for p in pieces[:-1])]
    assert pieces[-1].end == window.end
    assert all((p.end - START) % (step * MINUTE) == timedelta() for p in pieces[:-1])
    assert max(p.length for p in pieces) - pieces[0].length == timedelta()


def test_nothing_is_split_into_nothing() -> None:
    assert split(Window(START, START), 3, MINUTE) == []


@given(moments, moments)
def test_months_tile_a_window(one: datetime, other: datetime) -> None:
    window = Window(min(one, other), max(one, other))
    names = list(months(window))
    whole = [month_window(name) for name in names]
    if window.start == window.end:
        assert names == []
        return
    assert whole[0].start <= window.start < whole[0].end
    assert whole[-1].start < window.end <= whole[-1].end
    assert all(a.end == b.start for a, b in itertools.pairwise(whole))
    assert [month_of(w.start) for w in whole] == names


@given(moments)
@example(datetime(2024, 8, 1, 0, 0, 0, 1, tzinfo=UTC))
def test_times_survive_being_written_and_read(moment: datetime) -> None:
    assert parse_moment(iso(moment)) == moment
    assert moment_of(micros(moment)) == moment


@given(st.datetimes(datetime(1975, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_numbers_are_seconds_ms_us_or_ns_by_their_size(moment: datetime) -> None:
    count = micros(moment)
    whole_second, whole_ms = moment.replace(microsecond=0), moment_of(count // 1000 * 1000)
    assert parse_moment(count // 10**6) == whole_second
    assert parse_moment(str(count // 10**6)) == whole_second
    assert parse_moment(count // 1000) == whole_ms
    assert parse_moment(count) == moment
    assert parse_moment(count * 1000) == moment
    assert abs(parse_moment(count / 1e6) - moment) <= timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024", datetime(2024, 1, 1, tzinfo=UTC)),
        ("2024-08", datetime(2024, 8, 1, tzinfo=UTC)),
        ("2024-08-02", datetime(2024, 8, 2, tzinfo=UTC)),
        ("20240802", datetime(2024, 8, 2, tzinfo=UTC)),
        (" 2024-08-02T03:04 ", datetime(2024, 8, 2, 3, 4, tzinfo=UTC)),
        ("2024-08-02 03:04:05+02:00", datetime(2024, 8, 2, 1, 4, 5, tzinfo=UTC)),
        ("2024-08-02T03:04Z", datetime(2024, 8, 2, 3, 4, tzinfo=UTC)),
        ("0", EPOCH),
        ("-60", EPOCH - MINUTE),
    ],
)
def test_times_as_people_type_them(text: str, expected: datetime) -> None:
    assert parse_moment(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024-13",
        "2024-02-30",
        "24:00",
        "1e9",
        "nan",
        "1" * 25,
        "-90000000000",
        "0001-01-01T00:00+05:00",
        "20241399",
        "2024-08-01T25:00",
    ],
)
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="time '") as caught:
        parse_moment(text)
    assert repr(text) in str(caught.value)


def test_text_of_a_time_is_in_utc_and_short() -> None:
    assert iso(datetime(2024, 8, 1, tzinfo=UTC)) == "2024-08-01T00:00Z"
    assert iso(datetime(2024, 8, 1, 2, 0, 5, tzinfo=timezone(timedelta(hours=2)))) == "2024-08-01T00:00:05Z"
    assert str(Window(at(0), at(10))) == "2024-02-29T23:50Z … 2024-03-01T00:00Z"


@pytest.mark.parametrize("name", TIMEFRAMES)
def test_a_canonical_timeframe_stays_itself(name: str) -> None:
    assert canonical_timeframe(name) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1min", "1m"), (" 5 Minutes ", "5m"), ("1H", "1h"), ("4 hour", "4h"), ("1Day", "1d"), ("1week", "1w")],
)
def test_timeframes_as_people_type_them(text: str, expected: str) -> None:
    assert canonical_timeframe(text) == expected


@pytest.mark.parametrize("text", ["1M", "", "m", "7m", "60s", "1m1", "-1m", "1.5h", "01m"])
def test_an_unknown_timeframe_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match="use one of 1m, 3m") as caught:
        canonical_timeframe(text)
    assert repr(text) in str(caught.value)


def test_many_windows_are_subtracted_in_one_pass() -> None:
    """A thinly traded market has tens of thousands of holes; comparing each with each takes minutes."""
    count = 50_000
    left = [Window(at(2 * n), at(2 * n + 1)) for n in range(count)]
    right = [Window(at(2 * n + 1), at(2 * n + 2)) for n in range(count)]
    assert subtract(left, right) == left
    assert subtract([Window(at(0), at(2 * count))], right) == left
    assert subtract(left, [Window(at(0), at(2 * count))]) == []
