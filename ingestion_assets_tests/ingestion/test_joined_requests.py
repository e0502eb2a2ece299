"""What is missing here and there is asked for page by page, not hole by hole, and nothing else changes."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.cli.planning import plan_work
from ingestion_assets.cli.selection import Work
from ingestion_assets.ingestion import Options, offer_of, plan_slice, slices_of
from ingestion_assets.ingestion.plan import in_pages
from ingestion_assets.intervals import Window, subtract, union
from ingestion_assets.registry import Series, Strategy
from ingestion_assets.simulator import Fault
from ingestion_assets.stores.gap_ledger import HEALED, NO_TRADES
from ingestion_assets.tables.derivatives import PERP_1M
from ingestion_assets.tables.market import OHLCV_1M
from ingestion_assets_tests.ingestion.conftest import NOW, window

MINUTE, DAY = timedelta(minutes=1), 86_400_000
THIN = window("2024-02-01T06:00", "2024-02-02T06:00")
START = datetime(2024, 2, 1, tzinfo=UTC)

_minutes = st.integers(0, 600)
_spans = st.lists(st.tuples(_minutes, st.integers(0, 40)), max_size=30)


def minute_of(moment: datetime) -> Window:
    return Window(moment, moment + MINUTE)


def quiet_minutes(part: Window, every: int) -> list[Window]:
    return [minute_of(part.start + n * MINUTE) for n in range(7, part.length // MINUTE, every)]


def keep_quiet(simulator, minutes):
    for one in minutes:
        simulator.faults.add(Fault("outage", start=one.start, end=one.end))


@given(_spans, st.integers(1, 50))
def test_requests_cover_all_that_is_missing_within_pages_and_are_never_more(spans, page_rows):
    missing = union(Window(START + a * MINUTE, START + (a + length) * MINUTE) for a, length in spans)
    page = page_rows * MINUTE
    asked = in_pages(missing, page)
    assert subtract(missing, asked) == []
    assert asked == union(asked), "none is asked for twice"
    assert all(one.length <= page or one in missing for one in asked)
    edges = {edge for one in missing for edge in one}
    assert {edge for one in asked for edge in one} <= edges, "nothing is asked for beyond its holes"
    for first, second in itertools.pairwise(asked):
        following = next(one for one in missing if one.start == second.start)
        assert following.end - first.start > page, "these two fit into one page"
    assert sum(math.ceil(w.length / page) for w in asked) <= sum(math.ceil(w.length / page) for w in missing)


def test_the_verdicts_of_a_thin_market_are_renewed_page_by_page(bench, simulator):
    (series,) = bench.series("binance.BTC-USDT")
    quiet = quiet_minutes(THIN, 3)
    assert len(quiet) == 478
    keep_quiet(simulator, quiet)
    bench.ingest_all([series], THIN)
    before = bench.held(series, THIN)
    path = bench.path(series, "2024-02")
    stat = path.stat()

    simulator.clock.advance(31 * DAY)
    now = NOW + timedelta(days=31)
    bench.asked()
    (piece,) = slices_of([series], THIN)
    source = bench.workbench.source("binance")
    offer = offer_of(OHLCV_1M, source, now)
    plan = plan_slice(OHLCV_1M, piece, bench.lake, bench.ledger, offer, now, Options())
    assert len(plan.missing) == len(quiet) and plan.bars(OHLCV_1M) == len(quiet)
    assert plan.pages(OHLCV_1M, source.page_rows) == 2
    (one,) = bench.ingest_all([series], THIN)
    assert bench.asked() <= 2 * 6, "a page, and at both of its ends what the venue says of it"
    assert (one.new, one.changed, one.dropped) == (0, 0, 0)
    assert bench.held(series, THIN).equals(before)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    gaps = bench.open_gaps(series)
    assert [gap.window for gap in gaps] == quiet
    assert {(gap.reason, gap.expires_at) for gap in gaps} == {(NO_TRADES, now + timedelta(days=30))}
    bench.ingest_all([series], THIN)
    assert bench.asked() == 0


def test_what_lies_between_is_learnt_along_the_way(bench, simulator):
    """A verdict that still holds is renewed, or healed when the venue has filled it in meanwhile."""
    (series,) = bench.series("binance.BTC-USDT")
    parts = [window("2024-02-01T08:00", "2024-02-01T08:30"), window("2024-02-01T09:00", "2024-02-01T09:30")]
    between = window("2024-02-01T08:30", "2024-02-01T09:00")
    stays, filled = (minute_of(between.start + n * MINUTE) for n in (10, 20))
    keep_quiet(simulator, [*(minute_of(part.start + 5 * MINUTE) for part in parts), stays])
    late = Fault("outage", start=filled.start, end=filled.end)
    simulator.faults.add(late)
    for part in parts:
        bench.ingest_all([series], part)
    simulator.clock.advance(20 * DAY)
    bench.ingest_all([series], between)
    simulator.faults.remove(late)
    simulator.clock.advance(11 * DAY)

    whole = Window(parts[0].start, parts[1].end)
    (one,) = bench.ingest_all([series], whole)
    assert one.new == 1
    bench.assert_equal(series, whole)
    assert {gap.expires_at for gap in bench.open_gaps(series)} == {NOW + timedelta(days=61)}
    assert len(bench.open_gaps(series)) == 3
    (story,) = bench.ledger.story(OHLCV_1M.path, series.id, filled)
    assert (story.reason, story.was) == (HEALED, NO_TRADES)


def test_a_bar_that_is_held_and_given_no_more_stays_and_is_no_gap(bench, simulator):
    (series,) = bench.series("binance.BTC-USDT")
    part = window("2024-02-01T08:00", "2024-02-01T09:00")
    bench.ingest_all([series], part)
    before = bench.held(series, part)
    lost = [minute_of(part.start + n * MINUTE) for n in (5, 50)]
    bench.punch(series, "2024-02", lost)
    keep_quiet(simulator, [minute_of(part.start + 30 * MINUTE)])
    (one,) = bench.ingest_all([series], part)
    assert (one.new, one.changed, one.dropped, one.holes) == (2, 0, 0, [])
    assert bench.held(series, part).equals(before)
    assert bench.open_gaps(series) == []


def test_a_page_that_fails_settles_nothing_beside_what_was_missing(make_bench, simulator):
    bench = make_bench(http_attempts=1)
    (series,) = bench.series("binance.BTC-USDT")
    part = window("2024-02-01T08:00", "2024-02-01T09:00")
    quiet = minute_of(part.start + 30 * MINUTE)
    keep_quiet(simulator, [quiet])
    bench.ingest_all([series], part)
    lost = [minute_of(part.start + n * MINUTE) for n in (5, 50)]
    bench.punch(series, "2024-02", lost)
    simulator.faults.add(Fault("server_error", path="/api/v3/klines", times=None))
    (failed,) = bench.ingest([series], part)
    assert failed.error is not None
    assert [gap.window for gap in bench.open_gaps(series)] == [lost[0], quiet, lost[1]]
    assert [gap.reason for gap in bench.open_gaps(series)] == ["missing", NO_TRADES, "missing"]


def test_feeds_are_asked_page_by_page_and_archives_file_by_file(make_bench, simulator):
    bench = make_bench(exchange_urls=dict.fromkeys(("binance_usdm", "binance_vision"), simulator.url))
    name = "binance.LINK-USDT-PERP"
    made = Series(name, "derivatives", "binance", "LINK/USDT:USDT", Strategy.FLATPACK)
    bench.registry.add_missing([made])
    series = bench.registry.require(name).series
    part = Window(window("2024-03-04", "2024-03-05").start, NOW)

    def ingest():
        simulator.requests.clear()
        (one,) = bench.workbench.ingest(PERP_1M, slices_of([series], part), run="test")
        assert one.error is None
        return one, dict(simulator.requests.by_path)

    ingest()
    before = bench.held(series, part, PERP_1M)
    archived, today = window("2024-03-04", "2024-03-05"), window("2024-03-05T01:00", "2024-03-05T11:00")
    bench.punch(series, "2024-03", quiet_minutes(archived, 60) + quiet_minutes(today, 60), PERP_1M)
    (planned,) = plan_work(bench.workbench, [Work(series, PERP_1M, part)], Options(), whole_months=False)
    assert [(one.pace.venue, one.requests) for one in planned.asked] == [
        ("binance_vision", 1),
        ("binance_usdm", 2),
    ]
    one, asked = ingest()
    assert one.new == 24 + 10
    assert bench.held(series, part, PERP_1M).equals(before)
    assert asked["/fapi/v1/klines"] == 2, "600 minutes in pages of 499"
    assert sum(count for path, count in asked.items() if path.endswith(".zip")) == 1
