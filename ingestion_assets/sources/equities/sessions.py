"""When US shares are traded, by the calendar of the New York Stock Exchange.

Nights, weekends, holidays, the afternoons of half days and the hours that daylight saving moves are closed:
nothing is to be had of them and nobody is asked. The calendar is a library's and takes a moment to load, so
it is loaded when the first question is asked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from ingestion_assets.intervals import Window

NEW_YORK = ZoneInfo("America/New_York")
_FIRST = "2003-01-01"  # the vendors' history begins in that year
_OPENS_EARLY, _CLOSES_LATE = time(4), time(20)
_AFTER_HALF_A_DAY = timedelta(hours=4)
_LATE_CLOSE = time(16)


@dataclass(frozen=True)
class Session:
    """One trading day: its regular hours, and those with trading before and after them."""

    day: date
    regular: Window
    extended: Window


def sessions(window: Window) -> list[Session]:
    """Those of which the window holds some moment, trading before and after hours included."""
    every = _calendar(window.end.year + 1)
    first = bisect_right(every, window.start, key=lambda s: s.extended.end)
    last = bisect_right(every, window.end - timedelta(microseconds=1), key=lambda s: s.extended.start)
    return every[first:last]


def days(window: Window) -> Iterator[tuple[date, Window]]:
    """The days of New York that the window touches, and what part of each it holds."""
    day = window.start.astimezone(NEW_YORK).date()
    while (whole := day_of(day)).start < window.end:
        yield day, Window(max(whole.start, window.start), min(whole.end, window.end))
        day += timedelta(days=1)


def day_of(day: date) -> Window:
    """From midnight to midnight in New York, which may be 23 or 25 hours."""
    return Window(_at(day, time()), _at(day + timedelta(days=1), time()))


def _at(day: date, hour: time) -> datetime:
    return datetime.combine(day, hour, NEW_YORK).astimezone(UTC)


@lru_cache(maxsize=4)
def _calendar(until: int) -> list[Session]:
    import exchange_calendars

    calendar = exchange_calendars.get_calendar("XNYS", start=_FIRST, end=f"{until}-12-31")
    found = []
    for stamp, opens, closes in zip(calendar.sessions, calendar.opens, calendar.closes, strict=True):
        day = stamp.date()
        regular = Window(_utc(opens), _utc(closes))
        half = regular.end < _at(day, _LATE_CLOSE)
        end = regular.end + _AFTER_HALF_A_DAY if half else _at(day, _CLOSES_LATE)
        found.append(Session(day, regular, Window(_at(day, _OPENS_EARLY), end)))
    return found


def _utc(stamp: Any) -> datetime:
    moment: datetime = stamp.to_pydatetime().astimezone(UTC)
    return moment
