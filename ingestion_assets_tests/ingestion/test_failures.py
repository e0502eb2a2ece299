"""What goes wrong with one series is told, keeps what came before it, and is its own affair."""

from datetime import timedelta

from ingestion_assets.ingestion import summary
from ingestion_assets.ingestion.land import BrokenPromise
from ingestion_assets.intervals import Window
from ingestion_assets.simulator import Fault
from ingestion_assets.sources import errors
from ingestion_assets.stores.gap_ledger import HEALED, MISSING
from ingestion_assets.tables.market import OHLCV_1M, OHLCV_5M
from ingestion_assets_tests.ingestion.conftest import window

WHOLE = window("2024-01-30T12:00Z", "2024-02-02T06:30Z")
MINUTE = timedelta(minutes=1)


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
