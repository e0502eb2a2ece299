"""Audits: what is absent, what nobody asked for yet, what the venue affirmed; lateness by the data."""

import dataclasses
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from ingestion_assets.ingestion.audit import (
    NEVER_FETCHED,
    NOT_IN_LAKE,
    UNREADABLE,
    audit,
    expected_window,
    lateness,
)
from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series
from ingestion_assets.stores.catalog import Catalog
from ingestion_assets.stores.gap_ledger import HEALED, MISSING, NO_TRADES, GapLedger, Hole
from ingestion_assets.stores.lake import Lake
from ingestion_assets.tables import INGESTED
from ingestion_assets_tests.tables.candles import MONTH, NOTES, START, at, candles, span

M1 = INGESTED["1m"]
BTC = Series("binance.BTC-USDT", "market", "binance", "BTC/USDT", listed_at=START, backfill_from=START)
NOW = at(615)  # with the grace of 15 minutes, 600 bars are expected


class Place(SimpleNamespace):
    """A lake and a ledger, and auditing a series in them."""

    lake: Lake
    ledger: GapLedger

    def hold(self, *minutes, series=BTC, month=MONTH):
        self.lake.merge(M1, series.id, month, candles(minutes), notes=NOTES)

    def audit(self, series=BTC, now=NOW, **more):
        return audit(M1, series, self.lake, self.ledger, now, grace=timedelta(minutes=15), **more)

    def entries(self):
        return [(gap.window, gap.reason, gap.evidence) for gap in self.ledger.open(M1.path, BTC.id)]


@pytest.fixture
def place(tmp_path: Path):
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.create()
    yield Place(lake=Lake(str(tmp_path / "lake")), ledger=GapLedger(catalog))
    catalog.close()


def test_a_whole_series_has_no_gap(place):
    place.hold(*range(600))
    found = place.audit()
    assert (found.expected, found.absent, found.pending, found.affirmed) == (600, 0, 0, 0)
    assert (found.coverage, found.holes, found.longest) == (1.0, [], timedelta())
    assert place.entries() == []


def test_bars_that_are_just_being_made_are_no_gap(place):
    place.hold(*range(600))
    assert place.audit(now=at(615.9)).absent == 0
    assert place.audit(now=at(616)).absent == 1


def test_head_tail_and_a_hole_in_the_middle_are_found(place):
    place.hold(*range(10, 300), *range(310, 590))
    found = place.audit()
    assert found.holes == [span(0, 10), span(300, 310), span(590, 600)]
    assert found.absent == 30
    assert found.coverage == pytest.approx(570 / 600)
    assert found.longest == timedelta(minutes=10)
    assert place.entries() == [(hole, MISSING, NOT_IN_LAKE) for hole in found.holes]


def test_a_file_that_was_deleted_is_a_gap(place):
    place.hold(*range(600))
    place.audit()
    place.lake.objects.delete(place.lake.path(M1, BTC.id, MONTH))
    place.lake.merge(M1, BTC.id, "2024-04", candles([50_000]), notes=NOTES)
    assert place.audit().holes == [span(0, 600)]


def test_a_file_that_cannot_be_read_is_a_gap_of_its_own_month_alone(place):
    path = place.lake.path(M1, BTC.id, MONTH)
    april = range(31 * 1_440, 31 * 1_440 + 60)
    place.hold(*range(600))
    place.hold(*april, month="2024-04")
    place.lake.objects.write(path, b"PAR1 no more")
    found = place.audit(now=at(31 * 1_440 + 75))
    assert found.holes == [Window(START, at(31 * 1_440))]
    assert found.corrupt == [place.lake.objects.url(path)]
    assert place.entries()[0][2] == UNREADABLE


def test_what_nobody_asked_for_yet_is_pending_and_no_failure(place):
    first = place.audit()
    assert (first.absent, first.pending, first.coverage) == (0, 600, 0.0)
    assert place.entries() == [(span(0, 600), MISSING, NEVER_FETCHED)]
    assert place.audit().pending == 600, "asking again does not turn it into a gap"
    place.hold(*range(400, 600))
    half = place.audit()
    assert (half.absent, half.pending) == (0, 400)


def test_what_was_fetched_once_and_is_gone_is_absent_not_pending(place):
    place.audit()
    place.hold(*range(600))
    place.audit()
    place.lake.objects.delete(place.lake.path(M1, BTC.id, MONTH))
    found = place.audit()
    assert (found.absent, found.pending) == (600, 0)


def test_what_the_venue_affirmed_is_not_asked_for_while_it_is_believed(place):
    place.hold(*range(300), *range(310, 600))
    place.ledger.record(
        M1.path, BTC.id, span(300, 310), [Hole(span(300, 310), NO_TRADES, "so it says")], now=NOW
    )
    found = place.audit()
    assert (found.absent, found.affirmed, found.coverage) == (0, 10, 1.0)
    assert place.entries() == [(span(300, 310), NO_TRADES, "so it says")]


def test_a_verdict_that_expired_stays_until_somebody_asks_again(place):
    place.hold(*range(300), *range(310, 600))
    place.ledger.record(M1.path, BTC.id, span(300, 310), [Hole(span(300, 310), NO_TRADES)], now=NOW)
    later = NOW + timedelta(days=40)
    place.audit(now=NOW)
    assert [gap.window for gap in place.ledger.due(later, 8)] == [span(300, 310)]


def test_healing_is_noticed_and_the_story_kept(place):
    place.hold(*range(300), *range(310, 600))
    place.audit()
    place.hold(*range(300, 310))
    assert place.audit().absent == 0
    story = place.ledger.story(M1.path, BTC.id, span(0, 600))
    assert [(gap.reason, gap.was, gap.window) for gap in story] == [(HEALED, MISSING, span(300, 310))]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"delisted_at": at(300)}, 300),
        ({"listed_at": at(200)}, 400),
        ({"backfill_from": at(500)}, 100),
        ({"backfill_from": None}, 600),
        ({"delisted_at": START - timedelta(days=1)}, 0),
        ({"listed_at": at(10_000)}, 0),
        ({"listed_at": None, "backfill_from": None}, 0),
    ],
)
def test_only_what_should_be_there_is_expected(place, facts, expected):
    series = dataclasses.replace(BTC, **facts)
    found = place.audit(series)
    assert found.expected == expected
    assert found.absent + found.pending == expected
    window = expected_window(series, at(600))
    assert (window is None) == (expected == 0)


def test_looking_at_the_newest_part_leaves_the_ledger_s_rest_alone(place):
    place.hold(*range(10, 590))
    place.audit()
    found = place.audit(since=at(300))
    assert (found.expected, found.holes) == (300, [span(590, 600)])
    assert [window for window, *_ in place.entries()] == [span(0, 10), span(590, 600)]


class TestLateness:
    SETTLE = timedelta(seconds=5)

    def late(self, place, *series, now=NOW, **more):
        return {s.series.id: s.late_by for s in lateness(M1, series, place.lake, now, self.SETTLE, **more)}

    def test_is_the_time_since_the_newest_bar_should_have_been_followed(self, place):
        place.hold(*range(600))
        assert self.late(place, BTC, now=at(600)) == {BTC.id: timedelta()}
        assert self.late(place, BTC, now=at(660.5)) == {BTC.id: timedelta(minutes=60)}

    def test_an_old_month_that_comes_now_hides_nothing(self, place):
        place.hold(*range(600))
        before = self.late(place, BTC)
        february = Window(START - timedelta(minutes=60), START)
        place.lake.merge(M1, BTC.id, "2024-02", candles(range(-60, 0)), notes=NOTES)
        assert place.lake.first_time(M1, BTC.id) == february.start
        assert self.late(place, BTC) == before

    def test_one_that_is_delisted_is_not_late(self, place):
        gone, going = (dataclasses.replace(BTC, delisted_at=moment) for moment in (NOW, at(700)))
        assert self.late(place, gone) == {}
        assert BTC.id in self.late(place, going)

    def test_one_without_data_is_late_from_when_it_is_known(self, place):
        assert self.late(place, BTC, known_since={BTC.id: at(605)}) == {BTC.id: timedelta(minutes=9)}
        assert self.late(place, BTC) == {BTC.id: timedelta(minutes=614)}
        listed_later = dataclasses.replace(BTC, listed_at=at(610))
        assert self.late(place, listed_later, known_since={BTC.id: at(0)}) == {BTC.id: timedelta(minutes=4)}

    def test_a_newest_file_that_cannot_be_read_is_as_good_as_none(self, place):
        place.lake.objects.write(place.lake.path(M1, BTC.id, MONTH), b"PAR1 no more")
        assert self.late(place, BTC) == {BTC.id: timedelta(minutes=614)}

    def test_is_told_in_words(self, place):
        place.hold(*range(600))
        other = dataclasses.replace(BTC, id="binance.ETH-USDT")
        texts = [str(s) for s in lateness(M1, [BTC, other], place.lake, NOW, self.SETTLE)]
        assert texts == ["binance.BTC-USDT is 14 min behind", "binance.ETH-USDT has no data"]
