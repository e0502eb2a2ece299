"""Features of metrics and texts against their own words, computed one by one; no leak from later days."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.features.onchain import metric_features
from ingestion_assets.features.texts import text_features
from ingestion_assets.intervals import Window
from ingestion_assets.tables.domain_features import BUCKETS, ONCHAIN_1D
from ingestion_assets.tables.onchain import METRICS

START = datetime(2024, 8, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOURS, MINUTES = BUCKETS["social_1h"][0], BUCKETS["social_1m"][0]


def metrics(told: list[tuple[int, int, float | None]], component: str = "value") -> pa.Table:
    """Rows of (day, revision, value)."""
    rows = [
        {
            "id": f"{day}/{component}/{revision}",
            "time": START + day * DAY,
            "component": component,
            "value": value,
            "revision": revision,
            "source": "rest",
            "known_at": START + (day + 1 + 10 * revision) * DAY,
        }
        for day, revision, value in told
    ]
    columns = {name: [row[name] for row in rows] for name in METRICS.schema.names}
    return METRICS.in_order(METRICS.conform(pa.table(columns, METRICS.schema)))


def made(rows: pa.Table, first: int, end: int) -> dict[int, dict]:
    found = metric_features(rows, Window(START + first * DAY, START + end * DAY))
    good, broken = ONCHAIN_1D.examine(found)
    assert broken.num_rows == 0
    return {(row["time"] - START).days: row for row in good.to_pylist()}


@given(st.dictionaries(st.integers(-30, 19), st.none() | st.floats(-1e9, 1e9), max_size=50))
def test_a_day_is_compared_with_the_days_before_it_as_far_as_they_are_held(told):
    found = made(metrics([(day, 0, value) for day, value in told.items()]), 0, 20)
    held = {day: value for day, value in told.items() if value is not None}
    assert set(found) == {day for day in held if day >= 0}
    for day, row in found.items():
        value = held[day]
        assert row["value"] == value
        before = held.get(day - 1)
        assert row["change_1d"] == (None if before is None else value - before)
        for days in (1, 7, 30):
            base = held.get(day - days)
            grown = row[f"pct_{days}d"]
            if not base:
                assert grown is None
            elif grown is not None:
                assert grown == pytest.approx(value / base - 1)
        for days in (7, 30):
            window = [held.get(day - n) for n in range(days)]
            if None in window:
                assert row[f"mean_{days}d"] is None
            else:
                assert row[f"mean_{days}d"] == pytest.approx(statistics.fmean(window), abs=1e-3)
        if row["z_30d"] is not None:
            window = [held[day - n] for n in range(30)]
            mean, spread = statistics.fmean(window), statistics.pstdev(window)
            assert row["z_30d"] == pytest.approx((value - mean) / spread, rel=1e-3, abs=1e-3)


def test_thirty_days_have_a_mean_and_a_score_and_equal_ones_no_score():
    rising = made(metrics([(day, 0, float(day)) for day in range(30)]), 0, 30)[29]
    assert rising["mean_30d"] == 14.5
    assert rising["z_30d"] == pytest.approx(14.5 / statistics.pstdev(range(30)))
    flat = made(metrics([(day, 0, 7.0) for day in range(30)]), 0, 30)[29]
    assert (flat["mean_30d"], flat["z_30d"], flat["change_1d"]) == (7.0, None, 0.0)


def test_the_newest_revision_counts_and_says_since_when():
    rows = metrics([(0, 0, 1.0), (1, 0, 4.0), (0, 1, 2.0)])
    found = made(rows, 0, 2)
    assert [found[day]["value"] for day in (0, 1)] == [2.0, 4.0]
    assert found[1]["change_1d"] == 2.0
    assert found[0]["known_at"] == found[1]["known_at"] == START + 11 * DAY


def test_parts_of_a_metric_are_told_apart():
    both = pa.concat_tables(
        [metrics([(0, 0, 1.0)], "ma30"), metrics([(0, 0, 5.0)], "ma60")]
    ).unify_dictionaries()
    found = metric_features(both, Window(START, START + DAY)).to_pylist()
    assert [(row["component"], row["value"]) for row in found] == [("ma30", 1.0), ("ma60", 5.0)]


def test_later_days_change_nothing():
    told = [(day, 0, float(day * day % 17 + 1)) for day in range(-30, 20)]
    whole = made(metrics(told), 0, 20)
    for cut in (1, 7, 19):
        assert made(metrics([one for one in told if one[0] < cut]), 0, 20) == {
            day: row for day, row in whole.items() if day < cut
        }


def texts(*rows: tuple[str, timedelta, timedelta, str | None, float | None]) -> pa.Table:
    """Rows of (what, time, known after, label, score)."""
    columns = list(zip(*rows, strict=True)) or [[]] * 5
    stamp = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "what": pa.array(columns[0], pa.string()),
            "time": pa.array([START + t for t in columns[1]], stamp),
            "known_at": pa.array([START + t + k for t, k in zip(columns[1], columns[2], strict=True)], stamp),
            "sentiment_label": pa.array(columns[3], pa.string()),
            "sentiment_score": pa.array(columns[4], pa.float64()),
        }
    )


MIN, NOW = timedelta(minutes=1), timedelta(minutes=2)


def test_a_bucket_counts_its_texts_and_weighs_those_that_were_judged():
    rows = texts(
        ("a", 5 * MIN, NOW, "positive", 0.8),
        ("b", 59 * MIN, NOW, "negative", -0.2),
        ("c", 30 * MIN, NOW, None, None),
        ("a", 5 * MIN, 9 * MIN, "positive", 0.8),  # the same in another series
        ("d", 130 * MIN, NOW, None, None),
    )
    found = text_features(rows, HOURS, Window(START, START + DAY))
    good, broken = HOURS.examine(found)
    assert broken.num_rows == 0
    first, second = good.to_pylist()
    assert (first["time"], first["count"], first["judged"]) == (START, 3, 2)
    assert first["sentiment_mean"] == pytest.approx(0.3)
    assert (first["share_positive"], first["share_negative"]) == (0.5, 0.5)
    assert first["known_at"] == START + 61 * MIN
    assert (second["time"], second["count"], second["judged"]) == (START + 120 * MIN, 1, 0)
    assert (second["sentiment_mean"], second["share_positive"]) == (None, None)
    assert second["known_at"] == START + 180 * MIN


def test_a_bucket_that_has_not_ended_is_not_told():
    rows = texts(("a", 5 * MIN, NOW, None, None), ("b", 65 * MIN, NOW, None, None))
    found = text_features(rows, HOURS, Window(START, START + 90 * MIN))
    assert found.column("time").to_pylist() == [START]
    assert text_features(rows, HOURS, Window(START, START)).num_rows == 0
    assert text_features(texts(), HOURS, Window(START, START + DAY)).num_rows == 0


@given(st.lists(st.tuples(st.integers(0, 179), st.floats(-1, 1) | st.none()), max_size=60))
def test_hours_hold_what_their_minutes_hold(given_texts):
    rows = texts(
        *(
            (str(n), minute * MIN, NOW, None if score is None else "neutral", score)
            for n, (minute, score) in enumerate(given_texts)
        )
    )
    window = Window(START, START + 180 * MIN)
    hours, minutes = (text_features(rows, table, window).to_pylist() for table in (HOURS, MINUTES))
    for row in hours:
        inside = [m for m in minutes if row["time"] <= m["time"] < row["time"] + 60 * MIN]
        assert row["count"] == sum(m["count"] for m in inside)
        assert row["judged"] == sum(m["judged"] for m in inside)
        if row["judged"]:
            total = math.fsum(m["sentiment_mean"] * m["judged"] for m in inside if m["judged"])
            assert row["sentiment_mean"] == pytest.approx(total / row["judged"], abs=1e-9)
    assert sum(row["count"] for row in hours) == len(given_texts)
