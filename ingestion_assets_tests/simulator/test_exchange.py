"""Two calendars of the same exchange, one kept by a library and one written down in the simulator, agree."""

from __future__ import annotations

from datetime import date, timedelta

from ingestion_assets.intervals import Window, micros
from ingestion_assets.simulator.exchange import hours
from ingestion_assets.sources.equities.sessions import days, sessions
from ingestion_assets_tests.sources.derivatives.asking import at, window

YEARS = window("2013-01-01T05:00", "2027-01-01T05:00")


def minutes(part: Window) -> tuple[int, int]:
    return micros(part.start) // 60_000_000, micros(part.end) // 60_000_000


def test_they_agree_on_every_day_of_fourteen_years():
    kept = {session.day: session for session in sessions(YEARS)}
    for number in range((date(2027, 1, 1) - date(2013, 1, 1)).days):
        day = date(2013, 1, 1) + timedelta(days=number)
        ours, theirs = hours(day), kept.get(day)
        assert (ours is None) == (theirs is None), day
        if ours is not None and theirs is not None:
            assert (ours.opens, ours.closes) == minutes(theirs.regular), day
            assert (ours.early, ours.late) == minutes(theirs.extended), day
    assert len(kept) == 3_521


def test_days_of_new_york_have_23_or_25_hours_when_the_clock_changes():
    found = {day: part.length for day, part in days(window("2024-03-09T05:00", "2024-11-05T05:00"))}
    odd = {day: length for day, length in found.items() if length != timedelta(days=1)}
    assert odd == {date(2024, 3, 10): timedelta(hours=23), date(2024, 11, 3): timedelta(hours=25)}


def test_a_window_holds_the_sessions_that_it_touches():
    evening = window("2024-12-03T00:30", "2024-12-03T00:31")
    assert [s.day for s in sessions(evening)] == [date(2024, 12, 2)]
    night = window("2024-12-03T01:00", "2024-12-03T09:00")
    assert sessions(night) == []
    (half,) = sessions(window("2024-11-29T15:00", "2024-11-29T15:01"))
    assert half.regular == Window(at("2024-11-29T14:30"), at("2024-11-29T18:00"))
    assert half.extended.end == at("2024-11-29T22:00")
