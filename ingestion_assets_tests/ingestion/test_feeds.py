"""Perpetuals through the engine: the archive first, the API for the rest, and what neither has any more."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingestion_assets.ingestion import Landed, Options, slices_of
from ingestion_assets.ingestion.audit import audit, lateness
from ingestion_assets.intervals import Window, micros
from ingestion_assets.registry import Series, Strategy
from ingestion_assets.simulator import Fault
from ingestion_assets.simulator.perpetuals import Perpetuals
from ingestion_assets.simulator.symbols import USDM
from ingestion_assets.sources.errors import BadRequest, GeoBlocked, MalformedAnswer, NotFound, VendorDown
from ingestion_assets.stores.gap_ledger import MISSING, UNRECOVERABLE
from ingestion_assets.tables import Table
from ingestion_assets.tables.derivatives import AGG_TRADES_UM, FUNDING_RATES, OPEN_INTEREST_5M, PERP_1M
from ingestion_assets_tests.ingestion.conftest import NOW, window

LINK = "LINKUSDT"
ARCHIVE, TRADES, KLINES, INTEREST = (
    "/data/futures/um/",
    "/fapi/v1/aggTrades",
    "/fapi/v1/klines",
    "/futures/data/openInterestHist",
)
MINUTE = timedelta(minutes=1)
DAYS = window("2024-03-03", "2024-03-05")  # NOW is 2024-03-05 12:00:07


class Desk:
    """A bench with one perpetual, and what the simulated world holds of it."""

    def __init__(self, bench: Any, strategy: Strategy) -> None:
        self.bench, self.simulator = bench, bench.simulator
        name = "binance.LINK-USDT-PERP"
        made = Series(name, "derivatives", "binance", "LINK/USDT:USDT", strategy)
        bench.registry.add_missing([made])
        self.series = bench.registry.require(name).series
        self.symbol = USDM[LINK]

    def ingest(self, table: Table, part: Window, **options: bool) -> list[Landed]:
        pieces = list(slices_of([self.series], part, table.cut))
        self.simulator.requests.clear()
        return list(self.bench.workbench.ingest(table, pieces, run="test", options=Options(**options)))

    def ingest_well(self, table: Table, part: Window, **options: bool) -> list[Landed]:
        landed = self.ingest(table, part, **options)
        assert [str(one.error) for one in landed if one.error] == []
        return landed

    def asked(self, path: str) -> int:
        return sum(
            count for asked, count in self.simulator.requests.by_path.items() if asked.startswith(path)
        )

    def rows(self, table: Table, part: Window) -> list[dict[str, Any]]:
        return self.bench.lake.read(table, self.series.id, part).to_pylist()

    def trades_told(self, part: Window) -> list[tuple[int, float, float]]:
        start, end = (micros(moment) // 1_000 for moment in part)
        t = Perpetuals(self.simulator.market).trades(self.symbol, start, end)
        price, lot = 10**self.symbol.price_decimals, 10**self.symbol.lot_decimals
        return list(
            zip(t.number.tolist(), (t.price / price).tolist(), (t.quantity / lot).tolist(), strict=True)
        )

    def trades_held(self, part: Window) -> list[tuple[int, float, float]]:
        return [(r["id"], r["price"], r["quantity"]) for r in self.rows(AGG_TRADES_UM, part)]

    def file(self, table: Table, period: str) -> Path:
        return Path(self.bench.lake.url(table, self.series.id, period).removeprefix("file://"))

    def gaps(self, table: Table) -> list[tuple[str, Window]]:
        return [(gap.reason, gap.window) for gap in self.bench.ledger.open(table.path, self.series.id)]


@pytest.fixture
def make_desk(make_bench: Callable[..., Any], simulator: Any) -> Callable[..., Desk]:
    urls = dict.fromkeys(("binance_usdm", "binance_vision"), simulator.url)

    def make(strategy: Strategy = Strategy.FLATPACK) -> Desk:
        return Desk(make_bench(exchange_urls=urls), strategy)

    return make


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()


class TestTrades:
    def test_the_archive_gives_whole_days_and_the_api_the_open_one(self, desk):
        part = Window(DAYS.start, NOW)
        landed = desk.ingest_well(AGG_TRADES_UM, part)
        closed = Window(part.start, NOW.replace(second=0))
        assert desk.trades_held(closed) == desk.trades_told(closed)
        assert {one.slice.period for one in landed} == {"2024-03-03", "2024-03-04", "2024-03-05"}
        sources = {r["source"] for r in desk.rows(AGG_TRADES_UM, DAYS)}
        assert sources == {"bulk"}
        assert {r["source"] for r in desk.rows(AGG_TRADES_UM, Window(DAYS.end, NOW))} == {"rest"}
        assert desk.asked(TRADES) >= 43  # 12 h of 60 a minute, 1,000 to a page
        assert desk.gaps(AGG_TRADES_UM) == []

    def test_again_only_the_open_tail_is_fetched(self, desk):
        desk.ingest_well(AGG_TRADES_UM, Window(DAYS.start, NOW))
        later = NOW + timedelta(minutes=10)
        desk.simulator.clock.set(later)
        landed = desk.ingest_well(AGG_TRADES_UM, Window(DAYS.start, later))
        assert desk.asked(ARCHIVE) == 0
        assert desk.asked(TRADES) <= 3
        assert sum(one.new for one in landed) == 600
        assert desk.ingest_well(AGG_TRADES_UM, Window(DAYS.start, later))[0].fetched == 0

    def test_a_deleted_day_is_fetched_alone(self, desk):
        desk.ingest_well(AGG_TRADES_UM, DAYS)
        desk.file(AGG_TRADES_UM, "2024-03-03").unlink()
        desk.ingest_well(AGG_TRADES_UM, DAYS)
        assert desk.asked(ARCHIVE) == 2  # the zip and its CHECKSUM
        assert desk.trades_held(DAYS) == desk.trades_told(DAYS)

    def test_both_ways_give_the_same_rows(self, make_desk):
        part = window("2024-03-04", "2024-03-04T02:00")
        archive, api = make_desk(), make_desk(Strategy.FLATPACK_API)
        archive.ingest_well(AGG_TRADES_UM, part)
        api.ingest_well(AGG_TRADES_UM, part)
        assert archive.asked(TRADES) == 0 or api.asked(ARCHIVE) == 0
        one, other = archive.rows(AGG_TRADES_UM, part), api.rows(AGG_TRADES_UM, part)
        assert len(one) == 120 * 60
        assert [r | {"source": ""} for r in one] == [r | {"source": ""} for r in other]

    def test_what_a_file_lacks_the_api_gives(self, desk):
        lack = window("2024-03-03T05:00:30", "2024-03-03T06:10")
        desk.simulator.faults.add(Fault("archive_lacks", start=lack.start, end=lack.end))
        desk.ingest_well(AGG_TRADES_UM, DAYS)
        assert desk.trades_held(DAYS) == desk.trades_told(DAYS)
        assert 5 <= desk.asked(TRADES) <= 7

    def test_a_day_that_the_archive_has_not_the_api_gives(self, desk):
        gone = window("2024-03-03", "2024-03-04")
        desk.simulator.faults.add(Fault("archive_missing", start=gone.start, end=gone.end))
        desk.ingest_well(AGG_TRADES_UM, DAYS)
        assert desk.trades_held(DAYS) == desk.trades_told(DAYS)

    def test_a_wrong_checksum_s_file_is_not_used(self, desk):
        desk.simulator.faults.add(Fault("archive_checksum"))
        part = window("2024-03-03", "2024-03-03T04:00")
        desk.ingest_well(AGG_TRADES_UM, part)
        assert {r["source"] for r in desk.rows(AGG_TRADES_UM, part)} == {"rest"}
        assert desk.trades_held(part) == desk.trades_told(part)

    def test_an_interrupted_chain_goes_on_where_it_was(self, make_desk):
        desk = make_desk(Strategy.FLATPACK_API)
        part = window("2024-03-04", "2024-03-04T03:00")
        # Of 10,800 trades the fifth page fails for good.
        desk.simulator.faults.add(Fault("server_error", path=TRADES, after=4, times=None, status=503))
        (landed,) = desk.ingest(AGG_TRADES_UM, part)
        assert landed.error is not None
        assert 3_900 < landed.rows <= 4_000
        ((reason, open_still),) = desk.gaps(AGG_TRADES_UM)
        assert reason == MISSING
        assert open_still.end == part.end
        desk.simulator.faults.clear()
        desk.ingest_well(AGG_TRADES_UM, part)
        assert desk.trades_held(part) == desk.trades_told(part)
        assert desk.asked(TRADES) <= 8
        assert desk.gaps(AGG_TRADES_UM) == []

    def test_an_audit_counts_the_minutes_that_are_missing(self, desk):
        desk.ingest_well(AGG_TRADES_UM, DAYS)
        desk.file(AGG_TRADES_UM, "2024-03-04").unlink()
        bench = desk.bench
        known = dataclasses.replace(desk.series, backfill_from=DAYS.start)
        found = audit(AGG_TRADES_UM, known, bench.lake, bench.ledger, DAYS.end, grace=timedelta())
        assert (found.expected, found.absent) == (2_880, 1_440)
        assert found.holes == [window("2024-03-04", "2024-03-05")]

    def test_lateness_is_reckoned_from_what_was_fetched(self, desk):
        desk.ingest_well(AGG_TRADES_UM, Window(DAYS.start, NOW))
        (now,) = lateness(AGG_TRADES_UM, [desk.series], desk.bench.lake, NOW, timedelta(seconds=5))
        assert now.late_by == timedelta()
        later = NOW + timedelta(hours=1)
        (then,) = lateness(AGG_TRADES_UM, [desk.series], desk.bench.lake, later, timedelta(seconds=5))
        assert then.late_by == timedelta(hours=1)


class TestWhenOneOfThemIsDown:
    def test_where_the_api_is_not_served_the_archive_gives_what_it_has(self, desk):
        desk.simulator.faults.add(Fault("geo_blocked", path="/fapi", times=None))
        landed = {one.slice.period: one for one in desk.ingest(AGG_TRADES_UM, Window(DAYS.start, NOW))}
        assert desk.trades_held(DAYS) == desk.trades_told(DAYS)
        assert [period for period, one in landed.items() if one.error] == ["2024-03-05"]
        assert isinstance(landed["2024-03-05"].error, GeoBlocked)
        assert {reason for reason, _ in desk.gaps(AGG_TRADES_UM)} == {MISSING}

    def test_while_the_archive_is_down_the_api_gives_everything(self, desk):
        desk.simulator.faults.add(Fault("server_error", path=ARCHIVE, times=None))
        part = window("2024-03-03", "2024-03-05T12:00")
        desk.ingest_well(PERP_1M, part)
        assert len(desk.rows(PERP_1M, part)) == 3_600
        assert {row["source"] for row in desk.rows(PERP_1M, part)} == {"rest"}

    def test_an_api_that_is_down_is_not_asked_for_every_slice(self, make_desk):
        desk = make_desk(Strategy.FLATPACK_API)
        desk.simulator.faults.add(Fault("server_error", path=KLINES, times=None))
        landed = desk.ingest(PERP_1M, window("2023-01-01", "2024-03-05"))
        assert len(landed) == 15
        assert all(isinstance(one.error, VendorDown) for one in landed)
        assert desk.asked(KLINES) <= 8 * 3  # those that were under way side by side, each three times

    def test_an_unknown_symbol_says_so(self, desk):
        desk.series = dataclasses.replace(desk.series, symbol="NOPE/USDT:USDT")
        (landed,) = desk.ingest(FUNDING_RATES, window("2024-03-01", "2024-03-05"))
        assert isinstance(landed.error, NotFound)
        assert "-1121 Invalid symbol" in str(landed.error)


class TestOpenInterest:
    def test_the_last_thirty_days_and_what_is_older(self, desk):
        part = window("2024-01-20", "2024-03-05T11:00")
        desk.ingest_well(OPEN_INTEREST_5M, part)
        rows = desk.rows(OPEN_INTEREST_5M, part)
        expected = np.arange(micros(part.start), micros(part.end), 300_000_000)
        assert [micros(r["time"]) for r in rows] == expected.tolist()
        assert rows[0]["account_ratio"] is not None  # the archive tells it
        assert rows[-1]["account_ratio"] is None  # the API does not
        assert desk.gaps(OPEN_INTEREST_5M) == []

    def test_what_neither_has_any_more_is_unrecoverable_and_not_asked_for_again(self, desk):
        gone = window("2024-01-25", "2024-01-27")
        desk.simulator.faults.add(Fault("archive_missing", start=gone.start, end=gone.end))
        part = window("2024-01-20", "2024-02-01")
        desk.ingest_well(OPEN_INTEREST_5M, part)
        # The file of a day ends with the midnight that follows, and begins five minutes after its own.
        lost = Window(gone.start + timedelta(minutes=5), gone.end + timedelta(minutes=5))
        assert desk.gaps(OPEN_INTEREST_5M) == [(UNRECOVERABLE, lost)]
        (gap,) = desk.bench.ledger.open(OPEN_INTEREST_5M.path, desk.series.id)
        assert "LINKUSDT-metrics-2024-01-25.zip is not there" in gap.evidence
        assert "binance_usdm serves nothing before 2024-02-04" in gap.evidence
        desk.ingest_well(OPEN_INTEREST_5M, part)
        assert desk.asked("/") == 1  # the clock

    def test_the_api_fills_young_holes_of_the_archive(self, desk):
        gone = window("2024-03-01", "2024-03-02")
        desk.simulator.faults.add(Fault("archive_missing", start=gone.start, end=gone.end))
        desk.ingest_well(OPEN_INTEREST_5M, window("2024-03-01", "2024-03-04"))
        assert len(desk.rows(OPEN_INTEREST_5M, window("2024-03-01", "2024-03-04"))) == 3 * 288

    def test_without_the_archive_what_is_older_is_unrecoverable(self, make_desk):
        desk = make_desk(Strategy.FLATPACK_API)
        desk.ingest_well(OPEN_INTEREST_5M, window("2024-01-20", "2024-03-01"))
        served = NOW.replace(second=0) - timedelta(days=30) + timedelta(hours=1, minutes=5)
        assert desk.gaps(OPEN_INTEREST_5M) == [
            (UNRECOVERABLE, window("2024-01-20", "2024-02-01")),
            (UNRECOVERABLE, Window(DAYS.start.replace(month=2, day=1), served)),
        ]

    def test_a_wrong_checksum_of_a_file_that_nobody_can_replace_fails_with_both_sums(self, desk):
        desk.simulator.faults.add(Fault("archive_checksum"))
        (landed,) = desk.ingest(OPEN_INTEREST_5M, window("2024-01-20", "2024-01-21"))
        assert isinstance(landed.error, MalformedAnswer)
        assert "its CHECKSUM says" in str(landed.error)
        assert {reason for reason, _ in desk.gaps(OPEN_INTEREST_5M)} == {MISSING}


class TestFunding:
    def test_settlements_from_both_ways_and_the_fields_of_each(self, desk):
        part = window("2024-01-01", "2024-03-05T12:00")
        desk.ingest_well(FUNDING_RATES, part)
        rows = desk.rows(FUNDING_RATES, part)
        assert len(rows) == 64 * 3 + 2
        assert {(b["time"] - a["time"]) for a, b in itertools.pairwise(rows)} == {timedelta(hours=8)}
        assert (rows[0]["source"], rows[0]["interval_hours"], rows[0]["mark_price"]) == ("bulk", 8, None)
        assert (rows[-1]["source"], rows[-1]["interval_hours"]) == ("rest", None)
        assert rows[-1]["mark_price"] > 0

    def test_verifying_by_the_other_way_adds_what_it_tells_and_changes_nothing(self, desk):
        part = window("2024-01-01", "2024-02-01")
        desk.ingest_well(FUNDING_RATES, part)
        desk.series = dataclasses.replace(desk.series, strategy=Strategy.FLATPACK_API)
        desk.ingest_well(FUNDING_RATES, part, full_refresh=True)
        rows = desk.rows(FUNDING_RATES, part)
        assert len(rows) == 93
        assert all(r["interval_hours"] == 8 and r["mark_price"] > 0 for r in rows)


class TestCandles:
    def test_a_month_from_the_archive_and_days_from_the_api(self, desk):
        part = window("2024-01-15", "2024-03-05T12:00")
        desk.ingest_well(PERP_1M, part)
        start, end = (micros(moment) // 1_000 for moment in part)
        told = desk.simulator.world.candles(desk.symbol, "1m", start, end).floats()
        rows = desk.rows(PERP_1M, part)
        assert [micros(r["time"]) // 1_000 for r in rows] == told["open_ms"].tolist()
        for name in ("open", "high", "low", "close", "volume", "trades"):
            assert [r[name] for r in rows] == told[name].tolist()
        assert 2 <= desk.asked(KLINES) <= 4

    def test_a_hole_punched_in_the_middle_is_refetched_alone(self, desk):
        desk.ingest_well(PERP_1M, DAYS)
        hole = window("2024-03-03T10:00", "2024-03-03T11:30")
        desk.bench.lake.merge(PERP_1M, desk.series.id, "2024-03", PERP_1M.empty(), notes={}, replace=[hole])
        (landed,) = desk.ingest_well(PERP_1M, DAYS)
        assert (landed.fetched, landed.new) == (90, 90)
        assert desk.asked(ARCHIVE) == 2

    def test_an_outage_is_affirmed_by_the_api(self, desk):
        outage = window("2024-03-03T10:00", "2024-03-03T11:30")
        desk.simulator.faults.add(Fault("outage", start=outage.start, end=outage.end, symbol=LINK))
        desk.ingest_well(PERP_1M, DAYS)
        assert desk.gaps(PERP_1M) == [("no_trades", outage)]
        assert len(desk.rows(PERP_1M, DAYS)) == 2_880 - 90


def test_a_strategy_without_history_says_what_to_do(make_desk):
    desk = make_desk(Strategy.STREAM)
    (landed,) = desk.ingest(FUNDING_RATES, DAYS)
    assert isinstance(landed.error, BadRequest)
    assert "register it with another strategy" in str(landed.error)


def test_what_was_restated_is_found_by_comparing_a_sample(desk):
    """Held is what a file said before the vendor put a better one in its place."""
    part = window("2024-03-03", "2024-03-04")
    desk.ingest_well(PERP_1M, part)
    true = desk.bench.lake.read(PERP_1M, desk.series.id, part)
    wrong = true.slice(700, 1)
    place = wrong.schema.get_field_index("close")
    wrong = wrong.set_column(place, wrong.schema.field("close"), wrong.column("low"))
    desk.bench.lake.merge(PERP_1M, desk.series.id, "2024-03", wrong, notes={})
    (landed,) = desk.ingest_well(PERP_1M, part, verify=True)
    assert (landed.fetched, landed.new, landed.changed) == (1_440, 0, 1)
    assert desk.bench.lake.read(PERP_1M, desk.series.id, part).column("close") == true.column("close")


@pytest.mark.parametrize("table", [PERP_1M, AGG_TRADES_UM, FUNDING_RATES], ids=lambda t: t.name)
def test_refreshing_everything_changes_nothing_when_the_world_is_the_same(desk, table):
    part = window("2024-03-03", "2024-03-04")
    desk.ingest_well(table, part)
    files = [desk.file(table, period) for period in desk.bench.lake.months(table, desk.series.id)]
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files}
    for landed in desk.ingest_well(table, part, full_refresh=True):
        assert landed.fetched > 0
        assert (landed.new, landed.changed, landed.dropped) == (0, 0, 0)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files} == before
