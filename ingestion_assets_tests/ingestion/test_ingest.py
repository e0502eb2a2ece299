"""Ingesting again and again: resuming, filling holes, replacing, checking, and asking for nothing twice."""

import contextlib
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion_assets.ingestion import Options, slices_of, summary
from ingestion_assets.ingestion.land import BrokenPromise
from ingestion_assets.intervals import Window, month_window, union
from ingestion_assets.simulator import Fault
from ingestion_assets.sources import errors
from ingestion_assets.stores.gap_ledger import (
    HEALED,
    MISSING,
    NO_TRADES,
    NOT_LISTED,
    UNRECOVERABLE,
    VENUE_OUTAGE,
)
from ingestion_assets.tables.market import OHLCV_1M, OHLCV_5M
from ingestion_assets_tests.ingestion.conftest import NOW, window

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
        "status": "ok", "rows": 41_760, "new_rows": 41_760, "changed_rows": 0, "dropped_rows": 0,
        "quarantined_rows": 0, "fetched_rows": 41_760, "expected_rows": 41_760, "coverage": 1.0, "gaps": "",
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


def test_verify_finds_a_doctored_value(bench):
    (series,) = bench.series("binance.BTC-USDT")
    part = window("2024-02-01", "2024-02-01T10:00")
    bench.ingest_all([series], part)
    path = bench.path(series, "2024-02")
    rows = pq.read_table(path)
    values = rows.column("high").to_pylist()
    values[123] += 1.0
    import pyarrow as pa

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


def test_a_confirmed_hole_is_not_asked_about_until_the_verdict_expires(bench, simulator):
    """One series alone: no_trades. Three with the same hole: the venue was out."""
    many = bench.series("binance.BTC-USDT", "binance.ETH-USDT", "binance.XRP-USDT", "binance.LTC-USDT")
    outage = Fault("outage", start="2024-01-31T23:00", end="2024-02-01T01:00")
    quiet = Fault("outage", start="2024-02-01T12:00", end="2024-02-01T12:05", symbol="LTCUSDT")
    simulator.faults.add(outage, quiet)
    bench.ingest_all(many, WHOLE)
    for series in many:
        bench.assert_equal(series, WHOLE)
        alone = [gap for gap in bench.open_gaps(series) if gap.window.start.hour == 12]
        assert {g.reason for g in bench.open_gaps(series) if g not in alone} == {VENUE_OUTAGE}
        assert [g.reason for g in alone] == ([NO_TRADES] if series.symbol == "LTC/USDT" else [])
    hole = next(
        g for g in bench.open_gaps(many[0]) if g.window.end == window("2024-02-01", "2024-02-02").start
    )
    assert "binance" in hole.evidence and hole.expires_at == NOW + timedelta(days=30)

    bench.asked()
    bench.ingest_all(many, WHOLE)
    assert bench.asked() == 0

    simulator.faults.clear()  # the venue has filled it in meanwhile
    bench.ingest_all(many, WHOLE)
    assert bench.asked() == 0, "the verdict still holds"
    simulator.clock.advance(31 * 86_400_000)
    bench.ingest_all(many, WHOLE)
    assert bench.asked() > 0
    for series in many:
        bench.assert_equal(series, WHOLE)
        assert bench.open_gaps(series) == []
        story = bench.ledger.story(OHLCV_1M.path, series.id, WHOLE)
        assert {(g.reason, g.was) for g in story} <= {(HEALED, VENUE_OUTAGE), (HEALED, NO_TRADES)} != set()


def test_a_young_hole_is_asked_about_again_within_the_hour(bench, simulator):
    (series,) = bench.series("binance.BTC-USDT")
    part = window("2024-03-05T08:00", "2024-03-05T11:00")
    simulator.faults.add(Fault("outage", start="2024-03-05T09:00", end="2024-03-05T09:30"))
    bench.ingest_all([series], part)
    simulator.faults.clear()
    simulator.clock.advance(59 * 60_000)
    bench.ingest_all([series], part)
    assert len(bench.held(series, part)) == 150
    simulator.clock.advance(2 * 60_000)
    bench.ingest_all([series], part)
    bench.assert_equal(series, part)


def test_what_is_delisted_is_noted_and_not_asked_for_any_more(bench):
    """LUNA ended on 2022-05-13; who registers it does not know, and asks about the year after."""
    (series,) = bench.series("binance.LUNA-USDT")
    for part in (window("2022-05-10", "2022-07-01"), window("2023-06-01", "2023-06-03")):
        bench.ingest_all([series], part)
    end = datetime(2022, 5, 13, 1, tzinfo=UTC)
    (series,) = bench.series(series.id)
    assert series.delisted_at == end
    bench.assert_equal(series, window("2022-05-10", "2022-07-01"))
    assert {gap.reason for gap in bench.open_gaps(series)} == {NOT_LISTED}
    assert min(gap.window.start for gap in bench.open_gaps(series)) == end
    bench.simulator.requests.clear()
    bench.ingest_all([series], window("2022-05-01", "2022-09-01"))
    asked = [
        e for e in bench.simulator.requests.recent if e.path == "/api/v3/klines" and "startTime" in e.query
    ]
    assert asked and all(int(e.query["startTime"]) < end.timestamp() * 1_000 for e in asked)


def test_before_its_listing_nothing_is_asked(bench):
    (series,) = bench.series("binance.ARB-USDT", listed_at=datetime(2023, 3, 23, 17, tzinfo=UTC))
    landed = bench.ingest_all([series], window("2023-02-01", "2023-03-24"))
    bench.assert_equal(series, window("2023-02-01", "2023-03-24"))
    assert {gap.reason for gap in bench.open_gaps(series)} == {NOT_LISTED}
    assert {one.slice.period: one.requests for one in landed}["2023-02"] == 0


def test_a_series_that_did_not_know_its_listing_learns_that_nothing_was_there(bench):
    (series,) = bench.series("binance.ARB-USDT")
    bench.ingest_all([series], window("2023-03-20", "2023-03-24"))
    bench.assert_equal(series, window("2023-03-20", "2023-03-24"))
    (gap,) = bench.open_gaps(series)
    assert gap.reason == NO_TRADES and "next bar opens 2023-03-23T17:00Z" in gap.evidence


def test_a_failure_keeps_the_rows_that_came_before_it(make_bench, simulator):
    bench = make_bench(http_concurrency=1, http_attempts=1)
    (series,) = bench.series("binance.BTC-USDT")
    part = window("2024-02-01", "2024-02-04")
    simulator.faults.add(Fault("server_error", path="/api/v3/klines", after=2, times=None))
    (failed,) = bench.ingest([series], part)
    assert isinstance(failed.error, errors.VendorDown)
    assert failed.rows == failed.new == 2_000
    assert bench.assert_nothing_invented(series, part) == 2_000
    (gap,) = bench.open_gaps(series)
    assert gap.reason == MISSING and gap.window == Window(part.start + 2_000 * MINUTE, part.end)
    assert "HTTP 503" in gap.evidence
    simulator.faults.clear()
    (one,) = bench.ingest_all([series], part)
    assert one.new == 3 * 1_440 - 2_000
    bench.assert_equal(series, part)
    (story,) = bench.ledger.story(OHLCV_1M.path, series.id, part)
    assert (story.reason, story.was) == (HEALED, MISSING)


def test_what_stops_one_month_is_said_of_the_others_without_asking_again(make_bench, simulator):
    bench = make_bench(http_concurrency=1, http_attempts=1)
    many = bench.series("binance.BTC-USDT", "binance.ETH-USDT")
    part = window("2023-10-01", "2024-02-01")
    simulator.faults.add(Fault("geo_blocked", path="/api/v3/klines", symbol="BTCUSDT", times=None))
    landed = bench.ingest(many, part, table=OHLCV_5M)
    assert summary(landed)["failed"].keys() == {"binance.BTC-USDT"}
    assert summary(landed)["failed_partitions"] == 4
    assert simulator.requests.by_fault["geo_blocked"] == 1
    bench.assert_equal(many[1], part, OHLCV_5M)


def test_rows_that_break_a_promise_are_kept_aside_with_the_reason(bench, simulator):
    many = bench.series("binance.BTC-USDT", "binance.ETH-USDT")
    part = window("2024-02-01", "2024-02-01T08:00")
    simulator.faults.add(Fault("wrong_values", row=17, path="/api/v3/klines", symbol="BTCUSDT"))
    landed = {one.slice.series.symbol: one for one in bench.ingest(many, part)}
    bad = landed["BTC/USDT"]
    assert isinstance(bad.error, BrokenPromise) and landed["ETH/USDT"].error is None
    assert "1 rows of binance.BTC-USDT broke a promise of market/ohlcv_1m" in str(bad.error)
    assert "2024-02-01T00:17Z: low is at most open and close" in str(bad.error)
    assert (bad.quarantined, bad.new) == (1, 479)
    aside = bench.lake.aside("_quarantine", OHLCV_1M, "binance.BTC-USDT", "2024-02").to_pylist()
    assert [(r["time"], r["broken_promise"]) for r in aside] == [
        (part.start + 17 * MINUTE, "low is at most open and close")
    ]
    (gap,) = bench.open_gaps(many[0])
    assert gap.window == Window(part.start + 17 * MINUTE, part.start + 18 * MINUTE)
    assert bench.assert_nothing_invented(many[0], part) == 479
    bench.assert_equal(many[1], part)
    bench.ingest_all(many, part)
    bench.assert_equal(many[0], part)
    assert bench.open_gaps(many[0]) == []


def test_a_vendor_that_is_not_there_fails_every_series_with_its_address(make_bench):
    bench = make_bench(binance_url="http://127.0.0.1:1", http_attempts=1)
    landed = bench.ingest(bench.series("binance.BTC-USDT", "binance.ETH-USDT"), WHOLE)
    assert len(landed) == 4
    for one in landed:
        assert isinstance(one.error, errors.VendorDown)
        assert "http://127.0.0.1:1/api/v3/time: nothing answers there" in str(one.error)


def test_an_exchange_that_nobody_knows_fails_its_own_series_only(bench):
    known, strange = bench.series("binance.BTC-USDT", "binanze.BTC-USDT")
    part = window("2024-02-01", "2024-02-01T08:00")
    landed = {one.slice.series.id: one for one in bench.ingest([known, strange], part)}
    assert "exchange 'binanze' is unknown; nearest names: binance" in str(landed["binanze.BTC-USDT"].error)
    bench.assert_equal(known, part)


def test_kraken_by_ccxt_lands_what_it_still_serves_and_says_what_it_does_not(make_bench, simulator):
    bench = make_bench(exchange_urls={"kraken": simulator.url})
    (series,) = bench.series("kraken.BTC-USD")
    part = window("2024-03-04T20:00", "2024-03-05T12:00")
    (one,) = bench.ingest_all([series], part)
    from ingestion_assets.simulator.symbols import KRAKEN

    times = bench.held(series, part).column("time").to_pylist()
    first = NOW.replace(second=0) - 718 * MINUTE
    assert times == [first + n * MINUTE for n in range(718)]
    start = int(first.timestamp() * 1_000)
    honest = simulator.world.candles(KRAKEN["XXBTZUSD"], "1m", start, start + 718 * 60_000).floats()
    assert bench.held(series, part).column("close").to_pylist() == honest["close"].tolist()
    (gap,) = bench.open_gaps(series)
    assert gap.reason == UNRECOVERABLE and gap.window == Window(part.start, first)
    assert "kraken serves nothing before 2024-03-05T00:02Z" in gap.evidence
    assert one.figures()["gaps"].endswith("unrecoverable")


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
