"""Ingesting again and again: resuming, filling holes, and asking for nothing twice."""

import contextlib
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion_assets.ingestion import slices_of
from ingestion_assets.intervals import Window, month_window, union
from ingestion_assets.simulator import Fault
from ingestion_assets.stores.gap_ledger import (
    NO_TRADES,
)
from ingestion_assets.tables.market import OHLCV_1M, OHLCV_5M
from ingestion_assets_tests.ingestion.conftest import window

WHOLE = window("2024-01-30T12:00Z", "2024-02-02T06:30Z")
MINUTE = timedelta(minutes=1)


def rows_of(landed):
    return sum(one.new for one in landed)


def test_what_was_landed_is_the_world_and_a_second_run_asks_nothing(bench):
    many = bench.series("binance.BTC-USDT", "binance.ETH-USDT", "binance.SHIB-USDT")
    first = bench.ingest_all(many, WHOLE)
    for series in many:
        bench.assert_equal(series, WHOLE)
        assert bench.open_gaps(series) == []
    assert bench.asked() > 0
    assert rows_of(first) == 3 * WHOLE.length // MINUTE
    assert {one.slice.period for one in first} == {"2024-01", "2024-02"}
    files = {
        path: path.stat()
        for series in many
        for path in (bench.path(series, "2024-01"), bench.path(series, "2024-02"))
    }

    second = bench.ingest_all(many, WHOLE)
    assert bench.asked() == 0
    assert sum(one.requests for one in second) == rows_of(second) == 0
    assert {one.status for one in second} == {"ok"}
    for path, stat in files.items():
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)


def test_provenance_of_rows_and_figures_of_a_run(bench):
    (series,) = bench.series("binance.BTC-USDT")
    (one,) = bench.ingest_all([series], month_window("2024-02"))
    assert one.figures() == {
        "status": "ok", "reason": "",
        "rows": 41_760, "new_rows": 41_760, "changed_rows": 0, "dropped_rows": 0, "quarantined_rows": 0,
        "fetched_rows": 41_760, "expected_rows": 41_760, "coverage": 1.0, "gaps": "",
        "first": "2024-02-01T00:00Z", "last": "2024-02-29T23:59Z", "requests": one.requests,
        "touched_from": "2024-02-01T00:00Z",
        "seconds": one.figures()["seconds"], "bytes": bench.path(series, "2024-02").stat().st_size,
        "path": one.path, "query": one.query,
    }  # fmt: skip
    assert 42 <= one.requests <= 60
    row = bench.held(series, WHOLE).slice(0, 1).to_pylist()[0]
    assert row["source"] == "rest" and row["known_at"] == row["time"] + timedelta(seconds=65)
    notes = pq.read_schema(bench.path(series, "2024-02")).metadata
    assert notes[b"ingestion_assets.run"] == b"run 1"
    entry = bench.registry.require(series.id)
    assert entry.status == "idle" and entry.last_backfill is not None and entry.status_owner is None


def test_five_minute_candles_land_beside_those_of_one(bench):
    (series,) = bench.series("binance.BTC-USDT")
    bench.ingest([series], WHOLE, table=OHLCV_5M)
    bench.assert_equal(series, WHOLE, OHLCV_5M)
    assert len(bench.held(series, WHOLE)) == 0


@pytest.mark.parametrize("stopped_after", [0, 1, 2, 5])
def test_a_run_that_is_stopped_anywhere_is_resumed(bench, stopped_after):
    many = bench.series("binance.BTC-USDT", "binance.ETH-USDT", "binance.XRP-USDT")
    pieces = list(slices_of(many, WHOLE))
    with contextlib.closing(bench.workbench.ingest(OHLCV_1M, pieces, run="stopped")) as stream:
        for _ in range(stopped_after):
            next(stream)
    stopped = [bench.registry.require(series.id) for series in many]
    assert all(entry.status_owner is None for entry in stopped)
    kept = sum(bench.assert_nothing_invented(series, WHOLE) for series in many)
    resumed = bench.ingest_all(many, WHOLE)
    assert rows_of(resumed) == 3 * WHOLE.length // MINUTE - kept
    for series in many:
        bench.assert_equal(series, WHOLE)


def test_windows_that_overlap_join_without_a_seam(bench):
    (series,) = bench.series("binance.BTC-USDT")
    for start, end in (
        ("2024-01-31T07:13", "2024-02-01T01:01"),
        ("2024-01-30T12:00", "2024-01-31T09:00"),
        ("2024-01-31", "2024-02-02T06:30"),
    ):
        bench.ingest_all([series], window(start, end))
    bench.assert_equal(series, WHOLE)


def test_holes_in_the_middle_and_a_file_that_is_gone_are_filled_and_nothing_else_is_asked(bench):
    (series,) = bench.series("binance.BTC-USDT")
    bench.ingest_all([series], WHOLE)
    holes = [window("2024-02-01T03:00", "2024-02-01T03:01"), window("2024-02-01T10:00", "2024-02-01T12:30")]
    bench.punch(series, "2024-02", holes)
    bench.path(series, "2024-01").unlink()
    bench.asked()
    landed = bench.ingest_all([series], WHOLE)
    bench.assert_equal(series, WHOLE)
    assert rows_of(landed) == 1 + 150 + 36 * 60
    assert bench.asked() <= 2 + 8


def test_a_file_of_garbage_is_quarantined_and_its_month_fetched_again(bench):
    (series,) = bench.series("binance.BTC-USDT")
    bench.ingest_all([series], WHOLE)
    garbage = b"this is no Parquet file" * 100
    bench.path(series, "2024-02").write_bytes(garbage)
    landed = bench.ingest_all([series], WHOLE)
    bench.assert_equal(series, WHOLE)
    assert {one.slice.period: one.new for one in landed} == {"2024-01": 0, "2024-02": 30 * 60 + 30}
    (moved,) = (
        bench.path(series, "2024-02").parents[4].glob(f"_quarantine/**/series={series.id}/**/*.corrupt")
    )
    assert moved.read_bytes() == garbage


def test_a_file_whose_end_is_gone_is_garbage_too(bench):
    (series,) = bench.series("binance.BTC-USDT")
    bench.ingest_all([series], WHOLE)
    path = bench.path(series, "2024-02")
    path.write_bytes(path.read_bytes()[:-100])
    bench.ingest_all([series], WHOLE)
    bench.assert_equal(series, WHOLE)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2024-03-05T12:00:07", "2024-03-05T11:59"),  # settled
        ("2024-03-05T12:00:05", "2024-03-05T11:59"),  # just settled
        ("2024-03-05T12:00:04", "2024-03-05T11:58"),  # closed and not settled
        ("2024-03-05T12:00:59", "2024-03-05T11:59"),  # the present one is not over
        ("2024-03-05T12:01:04", "2024-03-05T11:59"),
    ],
)
def test_only_bars_that_are_closed_and_settled(bench, simulator, now, last):
    simulator.clock.set(now)
    (series,) = bench.series("binance.BTC-USDT")
    bench.ingest_all([series], window("2024-03-05T10:00", "2024-04-01"))
    held = bench.held(series, month_window("2024-03")).column("time").to_pylist()
    assert held[-1] == datetime.fromisoformat(last).replace(tzinfo=UTC)
    assert held == [held[0] + n * MINUTE for n in range(len(held))]
    simulator.clock.advance(10 * 60_000)
    bench.ingest_all([series], window("2024-03-05T10:00", "2024-04-01"))
    bench.assert_equal(series, window("2024-03-05T10:00", "2024-04-01"))
    assert bench.open_gaps(series) == []


def test_a_window_in_the_future_is_no_work(bench):
    (series,) = bench.series("binance.BTC-USDT")
    (one,) = bench.ingest_all([series], month_window("2024-04"))
    assert one.status == "no_data" and one.requests == 0 and one.holes == []
    assert bench.asked() == 0 and not bench.path(series, "2024-04").exists()


# Any holes, any windows


_POINT = st.integers(0, 2 * 1_440)
_SPAN = st.tuples(_POINT, _POINT).map(sorted).filter(lambda pair: pair[0] < pair[1])
_START = datetime(2024, 1, 30, 12, tzinfo=UTC)


def _windows(spans):
    return [Window(_START + a * MINUTE, _START + b * MINUTE) for a, b in spans]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    held=st.lists(_SPAN, max_size=3),
    punched=st.lists(_SPAN, max_size=3),
    outages=st.lists(_SPAN, max_size=2),
    asked=_SPAN,
)
def test_whatever_is_held_and_lost_the_window_asked_for_is_the_world(
    make_bench, simulator, held, punched, outages, asked
):
    simulator.faults.clear()
    for stretch in _windows(outages):
        simulator.faults.add(Fault("outage", start=stretch.start, end=stretch.end))
    bench = make_bench()
    (series,) = bench.series("binance.BTC-USDT")
    for part in _windows(held):
        bench.ingest_all([series], part)
    for month in ("2024-01", "2024-02"):
        if bench.path(series, month).exists():
            bench.punch(series, month, _windows(punched))
    (part,) = _windows([asked])
    bench.ingest_all([series], part)
    bench.assert_equal(series, part)
    gaps = union(
        gap.window
        for gap in bench.open_gaps(series)
        if gap.window.start >= part.start and gap.window.end <= part.end
    )
    known = [
        Window(max(g.window.start, part.start), min(g.window.end, part.end)) for g in bench.open_gaps(series)
    ]
    assert union(known) == union(bench.lake.holes(OHLCV_1M, series.id, part))
    assert gaps == [] or {g.reason for g in bench.open_gaps(series)} == {NO_TRADES}
    bench.asked()
    bench.ingest_all([series], part)
    assert bench.asked() == 0
    bench.workbench.catalog.close()
