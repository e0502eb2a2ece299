"""What a venue says is not there: believed for a while, with its evidence, and then asked about again."""

from datetime import UTC, datetime, timedelta

from ingestion_assets.intervals import Window
from ingestion_assets.simulator import Fault
from ingestion_assets.simulator.symbols import KRAKEN
from ingestion_assets.stores.gap_ledger import HEALED, NO_TRADES, NOT_LISTED, UNRECOVERABLE, VENUE_OUTAGE
from ingestion_assets.tables.market import OHLCV_1M
from ingestion_assets_tests.ingestion.conftest import NOW, window

WHOLE = window("2024-01-30T12:00Z", "2024-02-02T06:30Z")
MINUTE = timedelta(minutes=1)


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


def test_kraken_by_ccxt_lands_what_it_still_serves_and_says_what_it_does_not(make_bench, simulator):
    bench = make_bench(exchange_urls={"kraken": simulator.url})
    (series,) = bench.series("kraken.BTC-USD")
    part = window("2024-03-04T20:00", "2024-03-05T12:00")
    (one,) = bench.ingest_all([series], part)
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
