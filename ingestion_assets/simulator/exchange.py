"""When the New York Stock Exchange is open, by its own rules, and its clock: written down here a second time.

Regular hours are 09:30 to 16:00 in New York, half days end at 13:00; trading begins at 04:00 and ends four
hours after the close. Holidays on a Saturday are kept on the Friday before, but for New Year, which is
not; those on a Sunday on the Monday after.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
_DAY = timedelta(days=1)
_MONDAY, _THURSDAY = 0, 3
_MOURNING_AND_STORMS = (
    *((2004, 6, 11), (2007, 1, 2), (2012, 10, 29), (2012, 10, 30)),
    *((2018, 12, 5), (2025, 1, 9)),
)


@dataclass(frozen=True, slots=True)
class Hours:
    """A trading day in minutes since 1970: first trade, opening, close, last trade."""

    day: date
    early: int
    opens: int
    closes: int
    late: int


@lru_cache(maxsize=20_000)
def hours(day: date) -> Hours | None:
    """None when it is closed."""
    if day.weekday() > 4 or day in _closed(day.year):
        return None
    closes = time(13) if _half(day) else time(16)
    late = time(17) if _half(day) else time(20)
    return Hours(day, *(minute_of(day, at) for at in (time(4), time(9, 30), closes, late)))


def minute_of(day: date, at: time = time()) -> int:
    return int(datetime.combine(day, at, NEW_YORK).timestamp()) // 60


def day_of(ms: int) -> date:
    return datetime.fromtimestamp(ms / 1000, NEW_YORK).date()


def days_between(start_ms: int, end_ms: int) -> list[date]:
    """The days of New York that this time touches."""
    first = day_of(start_ms)
    return [first + _DAY * n for n in range((day_of(max(start_ms, end_ms - 1)) - first).days + 1)]


@lru_cache(maxsize=64)
def _closed(year: int) -> frozenset[date]:
    fixed = [date(year, 7, 4), date(year, 12, 25)]
    if year >= 2022:
        fixed.append(date(year, 6, 19))
    closed = [_kept(day) for day in fixed]
    new_year = date(year, 1, 1)
    if new_year.weekday() != 5:
        closed.append(_kept(new_year))
    closed += [
        _nth(year, 1, _MONDAY, 3),
        _nth(year, 2, _MONDAY, 3),
        _easter(year) - 2 * _DAY,
        _last_monday_of_may(year),
        _nth(year, 9, _MONDAY, 1),
        _nth(year, 11, _THURSDAY, 4),
    ]
    return frozenset(closed) | {date(*one) for one in _MOURNING_AND_STORMS if one[0] == year}


def _half(day: date) -> bool:
    if day == _nth(day.year, 11, _THURSDAY, 4) + _DAY or (day.month, day.day) == (12, 24):
        return True
    return (day.month, day.day) == (7, 3) and (day + _DAY).weekday() < 5 and day.year >= 2013


def _kept(day: date) -> date:
    return {5: day - _DAY, 6: day + _DAY}.get(day.weekday(), day)


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + _DAY * ((weekday - first.weekday()) % 7 + 7 * (n - 1))


def _last_monday_of_may(year: int) -> date:
    last = date(year, 5, 31)
    return last - _DAY * last.weekday()


def _easter(year: int) -> date:
    """By the anonymous Gregorian rule."""
    a, b, c = year % 19, year // 100, year % 100
    d, e, g = b // 4, b % 4, (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = c // 4, c % 4
    j = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * j) // 451
    month, day = divmod(h + j - 7 * m + 114, 31)
    return date(year, month, day + 1)
