"""Fetching again what is held: to compare a sample, to replace all of it, or only to see what would come."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion_assets.ingestion import Options
from ingestion_assets.ingestion.land import BrokenPromise
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.simulator import Fault
from ingestion_assets.stores.gap_ledger import MISSING, NO_TRADES
from ingestion_assets.tables.market import OHLCV_1M
from ingestion_assets_tests.ingestion.conftest import NOW, window

WHOLE = window("2024-01-30T12:00Z", "2024-02-02T06:30Z")


def test_verify_finds_a_doctored_value(bench):
    (series,) = bench.series("binance.BTC-USDT")
    part = window("2024-02-01", "2024-02-01T10:00")
    bench.ingest_all([series], part)
    path = bench.path(series, "2024-02")
    rows = pq.read_table(path)
    values = rows.column("high").to_pylist()
    values[123] += 1.0
    pq.write_table(rows.set_column(rows.column_names.index("high"), "high", pa.array(values)), path)
    assert bench.ingest_all([series], part)[0].changed == 0  # what is held is not asked for again
    (one,) = bench.ingest_all([series], part, Options(verify=True))
    assert one.changed == 1 and one.new == 0 and one.fetched == 600
    bench.assert_equal(series, part)
    old = bench.lake.aside("_revisions", OHLCV_1M, series.id, "2024-02")
    assert old.column("high").to_pylist() == [values[123]]
    revised = bench.held(series, Window(old.column("time")[0].as_py(), part.end)).slice(0, 1).to_pylist()[0]
    assert revised["known_at"] == NOW, "a revision could be known only when it came"


def test_verify_asks_a_page_of_what_is_held_and_nothing_of_what_is_not(bench):
    (series,) = bench.series("binance.BTC-USDT")
    assert bench.ingest_all([series], WHOLE, Options(verify=True))[0].requests == 0
    bench.ingest_all([series], month_window("2024-02"))
    bench.asked()
    (one,) = bench.ingest_all([series], month_window("2024-02"), Options(verify=True))
    assert (one.fetched, one.new, one.changed) == (1_000, 0, 0)
    assert bench.asked() <= 2


def test_a_full_refresh_replaces_what_is_held(bench, simulator):
    """Rows that the venue no longer gives go away, but only when everything was answered."""
    (series,) = bench.series("binance.BTC-USDT")
    part = window("2024-02-01", "2024-02-02")
    bench.ingest_all([series], part)
    gone = Fault("outage", start="2024-02-01T05:00", end="2024-02-01T06:00")
    simulator.faults.add(gone)
    assert bench.ingest_all([series], part)[0].requests == 0
    broken = Fault("server_error", path="/api/v3/klines", times=None, after=1)
    simulator.faults.add(broken)
    (failed,) = bench.ingest([series], part, Options(full_refresh=True))
    assert failed.error is not None and failed.dropped == 0
    assert len(bench.held(series, part)) == 1_440
    simulator.faults.remove(broken)
    (one,) = bench.ingest_all([series], part, Options(full_refresh=True))
    assert (one.fetched, one.dropped, one.new, one.changed) == (1_380, 60, 0, 0)
    bench.assert_equal(series, part)
    simulator.faults.remove(gone)
    (one,) = bench.ingest_all([series], part, Options(full_refresh=True))
    assert one.new == 60
    bench.assert_equal(series, part)


def test_a_full_refresh_keeps_the_row_held_in_place_of_one_that_breaks_a_promise(bench, simulator):
    (series,) = bench.series("binance.BTC-USDT")
    part = window("2024-02-01", "2024-02-01T08:00")
    bench.ingest_all([series], part)
    before = bench.held(series, part)
    simulator.faults.add(Fault("wrong_values", row=17, path="/api/v3/klines"))
    (failed,) = bench.ingest([series], part, Options(full_refresh=True))
    assert isinstance(failed.error, BrokenPromise)
    assert (failed.quarantined, failed.dropped, failed.rows) == (1, 0, 480)
    assert bench.held(series, part).equals(before)
    assert failed.holes == bench.open_gaps(series) == [], "what is held is not missing"
    bench.ingest_all([series], part, Options(full_refresh=True))
    assert bench.held(series, part).equals(before)


def test_a_full_refresh_that_fails_halfway_does_not_call_missing_what_is_held(bench, simulator):
    (series,) = bench.series("binance.BTC-USDT")
    part = window("2024-02-01", "2024-02-02")
    bench.ingest_all([series], part)
    bench.punch(series, "2024-02", [window("2024-02-01T20:00", "2024-02-01T21:00")])
    simulator.faults.add(Fault("server_error", path="/api/v3/klines", times=None))
    (failed,) = bench.ingest([series], part, Options(full_refresh=True))
    assert failed.error is not None and failed.rows == 1_380
    (gap,) = bench.open_gaps(series)
    assert (gap.reason, gap.window) == (MISSING, window("2024-02-01T20:00", "2024-02-01T21:00"))


def test_what_the_venue_gives_no_more_is_no_hole_while_it_is_held(bench, simulator):
    """Neither verifying nor a refresh that fails takes rows away."""
    (series,) = bench.series("binance.BTC-USDT")
    part = window("2024-02-01", "2024-02-02")
    bench.ingest_all([series], part)
    simulator.faults.add(Fault("outage", start="2024-02-01T05:00", end="2024-02-01T06:00"))
    short = window("2024-02-01", "2024-02-01T10:00")
    (one,) = bench.ingest_all([series], short, Options(verify=True))
    assert (one.fetched, one.dropped) == (540, 0)
    assert one.holes == bench.open_gaps(series) == []
    simulator.faults.add(Fault("server_error", path="/api/v3/klines", times=None, after=1))
    (failed,) = bench.ingest([series], part, Options(full_refresh=True))
    assert failed.error is not None and len(bench.held(series, part)) == 1_440
    assert failed.holes == bench.open_gaps(series) == []


@pytest.mark.parametrize("options", [Options(dry_run=True), Options(dry_run=True, full_refresh=True)])
def test_a_dry_run_writes_nothing(bench, simulator, options, tmp_path):
    (series,) = bench.series("binance.BTC-USDT")
    part = window("2024-02-01", "2024-02-01T12:00")
    simulator.faults.add(Fault("outage", start="2024-02-01T05:00", end="2024-02-01T06:00"))
    (one,) = bench.ingest_all([series], part, options)
    assert (one.status, one.fetched, one.new, one.rows) == ("dry_run", 660, 660, 660)
    assert [hole.reason for hole in one.holes] == [NO_TRADES]
    assert bench.ledger.story(OHLCV_1M.path, series.id, part) == []
    assert list(tmp_path.rglob("*.parquet")) == []
    bench.ingest_all([series], part)
    (again,) = bench.ingest_all([series], part, options)
    assert (again.new, again.rows) == (0, 660)


def test_full_refresh_and_verify_exclude_each_other():
    with pytest.raises(ValueError, match="full_refresh and verify exclude each other"):
        Options(full_refresh=True, verify=True)
