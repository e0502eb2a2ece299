"""The gap ledger, on SQLite and on PostgreSQL alike, against a model that knows each minute's state."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.intervals import Window
from ingestion_assets.stores.catalog import GAPS, Catalog
from ingestion_assets.stores.gap_ledger import (
    HEALED,
    MISSING,
    NO_TRADES,
    NOT_LISTED,
    UNRECOVERABLE,
    VENUE_OUTAGE,
    VERDICTS,
    Gap,
    GapLedger,
    Hole,
)
from ingestion_assets_tests.stores.conftest import MakeCatalog
from ingestion_assets_tests.tables.candles import MINUTE, START, at, span

TABLE, SERIES = "market/ohlcv_1m", "binance.BTC-USDT"
NOW = START + timedelta(days=60)
REASONS = st.sampled_from([MISSING, NO_TRADES, NOT_LISTED, UNRECOVERABLE])


def minutes_of(windows: Iterable[Window]) -> set[int]:
    return {m for w in windows for m in range((w.start - START) // MINUTE, (w.end - START) // MINUTE)}


def open_by_minute(ledger: GapLedger) -> dict[int, Gap]:
    """The open entries of the series; no two of them overlap."""
    gaps = ledger.open(TABLE, SERIES)
    assert all(a.window.end <= b.window.start for a, b in itertools.pairwise(gaps))
    return {m: gap for gap in gaps for m in minutes_of([gap.window])}


@st.composite
def records(draw: st.DrawFn) -> tuple[Window, list[Hole], timedelta]:
    """An examined window, disjoint holes inside it, and how long after the last record it happens."""
    first, end = sorted(draw(st.tuples(st.integers(0, 20), st.integers(0, 20))))
    cuts = sorted(draw(st.sets(st.integers(first, end), max_size=8)))
    pairs = list(itertools.pairwise(cuts))
    chosen = [draw(st.one_of(st.none(), REASONS)) for _ in pairs]
    holes = [Hole(span(*pair), reason, reason) for pair, reason in zip(pairs, chosen, strict=True) if reason]
    return span(first, end), holes, draw(st.sampled_from([timedelta(0), timedelta(1), timedelta(31)]))


def test_recording_is_like_noting_the_state_of_each_minute(catalog: Catalog) -> None:
    ledger = GapLedger(catalog)

    @settings(max_examples=120 if "sqlite" in catalog.place else 30)
    @given(st.lists(records(), min_size=1, max_size=5))
    def like_the_model(steps: list[tuple[Window, list[Hole], timedelta]]) -> None:
        with catalog.begin() as db:
            db.execute(GAPS.delete())
        assert_records_like_the_model(ledger, steps)

    like_the_model()


def assert_records_like_the_model(
    ledger: GapLedger, steps: list[tuple[Window, list[Hole], timedelta]]
) -> None:
    model: dict[int, tuple[str, Any]] = {}  # minute: reason, when the verdict expires
    healed: set[tuple[int, str]] = set()
    now = NOW
    for examined, holes, pause in steps:
        now += pause
        before = open_by_minute(ledger)
        ledger.record(TABLE, SERIES, examined, holes, now=now)
        after = open_by_minute(ledger)
        found = {m: hole.reason for hole in holes for m in minutes_of([hole.window])}
        for minute in minutes_of([examined]):
            reason = found.get(minute)
            held, expires = model.get(minute, (None, None))
            if reason is None:
                if held is not None:
                    healed.add((minute, held))
                    del model[minute]
            elif reason == MISSING and held in VERDICTS and expires > now:
                pass  # the verdict holds
            else:
                model[minute] = (reason, after[minute].expires_at if minute in after else None)
        assert {m: gap.reason for m, gap in after.items()} == {m: reason for m, (reason, _) in model.items()}
        for minute, gap in after.items():
            assert (
                gap.found_at == before[minute].found_at or gap.found_at <= now if minute in before else True
            )
            assert (gap.expires_at is None) == (gap.reason == MISSING)
    told = ledger.story(TABLE, SERIES, span(0, 20))
    assert {(m, g.was) for g in told if g.closed_at for m in minutes_of([g.window])} == healed
    assert all(g.reason == HEALED for g in told if g.closed_at)
    believed = {m for m, (reason, expires) in model.items() if reason in VERDICTS and expires > now}
    assert minutes_of(ledger.believed_empty(TABLE, SERIES, now)) == believed


def test_recording_the_same_again_changes_nothing(ledger: GapLedger) -> None:
    holes = [Hole(span(2, 4)), Hole(span(6, 7), NO_TRADES, "said so")]
    for _ in range(2):
        ledger.record(TABLE, SERIES, span(0, 10), holes, now=NOW, run="r1")
    first = ledger.open()
    ledger.record(TABLE, SERIES, span(0, 10), holes, now=NOW, run="r1")
    assert ledger.open() == first
    assert len(ledger.story(TABLE, SERIES, span(0, 10))) == 2


def test_the_story_of_a_hole_from_found_to_healed(ledger: GapLedger) -> None:
    ledger.record(TABLE, SERIES, span(0, 10), [Hole(span(2, 8), evidence="HTTP 503")], now=NOW)
    (gap,) = ledger.open()
    assert (gap.reason, gap.evidence, gap.attempts, gap.found_at) == (MISSING, "HTTP 503", 0, NOW)
    ledger.tried([gap], NOW)
    later = NOW + timedelta(hours=1)
    ledger.record(TABLE, SERIES, span(0, 5), [], run="r2", now=later)
    ledger.record(TABLE, SERIES, span(5, 10), [Hole(span(6, 8), NO_TRADES, "said so")], now=later)
    story = [(g.window, g.reason, g.was, g.found_at) for g in ledger.story(TABLE, SERIES, span(0, 10))]
    assert sorted(story) == [
        (span(2, 5), HEALED, MISSING, NOW),
        (span(5, 6), HEALED, MISSING, NOW),
        (span(6, 8), NO_TRADES, None, NOW),
    ]
    closed = [g for g in ledger.story(TABLE, SERIES, span(0, 5)) if g.closed_at]
    assert [(g.closed_at, g.run) for g in closed if g.window == span(2, 5)] == [(later, "r2")]
    assert ledger.story(TABLE, SERIES, span(10, 20)) == []
    assert ledger.story(TABLE, "binance.ETH-USDT", span(0, 10)) == []


@pytest.mark.parametrize(
    ("reason", "age", "believed"),
    [
        (NO_TRADES, timedelta(days=60), timedelta(days=30)),
        (NO_TRADES, timedelta(hours=2), timedelta(hours=1)),
        (NOT_LISTED, timedelta(days=60), timedelta(days=30)),
        (UNRECOVERABLE, timedelta(days=60), timedelta(days=90)),
        (UNRECOVERABLE, timedelta(hours=2), timedelta(days=90)),
    ],
)
def test_a_verdict_is_believed_for_a_time_and_then_asked_about_again(
    ledger: GapLedger, reason: str, age: timedelta, believed: timedelta
) -> None:
    now = at(8) + age
    ledger.record(TABLE, SERIES, span(0, 10), [Hole(span(5, 8), reason, "e")], now=now)
    for moment, holds in ((now + believed - MINUTE, True), (now + believed, False)):
        assert ledger.believed_empty(TABLE, SERIES, moment) == ([span(5, 8)] if holds else [])
        assert [g.window for g in ledger.due(moment, 8)] == ([] if holds else [span(5, 8)])
    ledger.tried(ledger.due(now + believed, 8), now + believed)
    (gap,) = ledger.open()
    assert (gap.reason, gap.expires_at, gap.attempts) == (MISSING, None, 1)
    ledger.record(TABLE, SERIES, span(0, 10), [Hole(span(5, 8), reason, "again")], now=now + believed)
    (gap,) = ledger.open()
    assert (gap.reason, gap.evidence, gap.attempts, gap.next_try_at) == (reason, "again", 0, None)


def test_vain_tries_are_spaced_wider_and_wider_and_then_given_up(ledger: GapLedger) -> None:
    ledger.record(TABLE, SERIES, span(0, 10), [Hole(span(0, 10))], now=NOW)
    now, pauses = NOW, []
    for attempt in range(12):
        (gap,) = ledger.due(now, 12)
        assert gap.attempts == attempt
        ledger.tried([gap], now)
        assert ledger.due(now, 12) == []
        (gap,) = ledger.open()
        assert gap.next_try_at is not None
        pauses.append(gap.next_try_at - now)
        # whoever finds the hole again, and whoever fetches in vain, does not shorten the pause
        ledger.record(TABLE, SERIES, span(0, 20), [Hole(span(0, 10), evidence="still")], now=now)
        assert ledger.due(gap.next_try_at - MINUTE, 12) == []
        now = gap.next_try_at
    assert pauses[:3] == [timedelta(minutes=5), timedelta(minutes=10), timedelta(minutes=20)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(days=1)
    assert ledger.due(now + timedelta(days=400), 12) == []


def test_very_many_tries_do_not_overflow(ledger: GapLedger) -> None:
    ledger.record(TABLE, SERIES, span(0, 10), [Hole(span(0, 10))], now=NOW)
    with ledger.catalog.begin() as db:
        db.execute(GAPS.update().values(attempts=5000))
    ledger.tried(ledger.open(), NOW)
    assert ledger.open()[0].next_try_at == NOW + timedelta(days=1)


def test_a_hole_that_grows_keeps_its_age_and_its_pause(ledger: GapLedger) -> None:
    ledger.record(TABLE, SERIES, span(0, 10), [Hole(span(8, 10), evidence="why")], now=NOW)
    ledger.tried(ledger.open(), NOW)
    ledger.record(TABLE, SERIES, span(0, 12), [Hole(span(8, 12))], now=NOW + MINUTE)
    (gap,) = ledger.open()
    assert (gap.window, gap.found_at, gap.attempts, gap.evidence) == (span(8, 12), NOW, 1, "why")
    assert gap.next_try_at == NOW + timedelta(minutes=5)


def test_a_hole_in_enough_series_of_a_venue_is_an_outage(ledger: GapLedger) -> None:
    hole = [Hole(span(5, 8), NO_TRADES, "left out")]
    for name in ("A", "B"):
        ledger.record(TABLE, f"binance.{name}-USDT", span(0, 10), hole, now=NOW)
    for stranger in ("kraken.C-USD", "binance_us.C-USD"):
        ledger.record(TABLE, stranger, span(0, 10), hole, now=NOW)
    ledger.record("market/ohlcv_5m", "binance.C-USDT", span(0, 10), hole, now=NOW)
    ledger.record(TABLE, "binance.D-USDT", span(0, 10), [Hole(span(5, 8))], now=NOW)
    assert ledger.corroborate(TABLE, "binance", [span(5, 8)]) == []
    ledger.record(TABLE, "binance.E-USDT", span(0, 10), [Hole(span(4, 9), NO_TRADES, "left out")], now=NOW)
    assert ledger.corroborate(TABLE, "binance", [span(0, 2), span(5, 8)]) == [span(5, 8)]
    outage = {g.series: g.evidence for g in ledger.open() if g.reason == VENUE_OUTAGE}
    assert set(outage) == {"binance.A-USDT", "binance.B-USDT", "binance.E-USDT"}
    assert set(outage.values()) == {"left out; 3 series of binance have this hole"}
    assert ledger.corroborate(TABLE, "binance", [span(5, 8)]) == [span(5, 8)]
    assert {g.series: g.evidence for g in ledger.open() if g.reason == VENUE_OUTAGE} == outage
    assert ledger.corroborate(TABLE, "binance", []) == []


def test_two_runs_that_record_one_series_leave_no_overlap(make_catalog: MakeCatalog) -> None:
    """Each has read the ledger before the other has written, unless one waits for the other."""
    ledgers = [GapLedger(make_catalog()) for _ in range(4)]
    barrier = threading.Barrier(len(ledgers))
    errors: list[Exception] = []

    def work(ledger: GapLedger, number: int) -> None:
        barrier.wait(60)
        for step in range(15):
            first = (number + step) % 5
            holes = [Hole(span(first, first + 4), MISSING if step % 2 else NO_TRADES)]
            try:
                ledger.record(TABLE, SERIES, span(0, 10), holes, now=NOW)
                open_by_minute(ledger)
            except Exception as error:  # noqa: BLE001 told to the thread that asserts
                errors.append(error)

    threads = [threading.Thread(target=work, args=pair[::-1]) for pair in enumerate(ledgers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    open_by_minute(ledgers[0])


def test_thousands_of_holes_are_recorded_at_once(ledger: GapLedger) -> None:
    """A thinly traded market has no bar in most minutes; comparing each with each takes minutes."""
    holes = [Hole(span(2 * n, 2 * n + 1), NO_TRADES, "left out") for n in range(6000)]
    for _ in range(2):
        ledger.record(TABLE, SERIES, span(0, 44_640), holes, now=NOW)
    ledger.corroborate(TABLE, "binance", [hole.window for hole in holes])
    with ledger.catalog.read() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(GAPS)).scalar() == len(holes)


def test_any_words_of_a_vendor_can_be_kept(ledger: GapLedger) -> None:
    ledger.record(TABLE, SERIES, span(0, 9), [Hole(span(0, 9), evidence="bad\0 \ud800 «ünï» 漢字")], now=NOW)
    assert ledger.open()[0].evidence == "bad? ? «ünï» 漢字"


def test_a_run_may_have_a_long_name(ledger: GapLedger) -> None:
    ledger.record(TABLE, SERIES, span(0, 9), [Hole(span(0, 9))], run="pid:" + "h" * 64 + ":1:2", now=NOW)
    assert len(ledger.open()) == 1
