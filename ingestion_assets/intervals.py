"""Half-open stretches of UTC time and their arithmetic: what is wanted, held, missing.

Pure functions over `Window`s; no I/O, no clock, nothing of ours imported. Times of many rows are
int64 microseconds since 1970 in NumPy arrays, times of few things are aware datetimes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

TIMEFRAMES: dict[str, timedelta] = {
    "1m": timedelta(minutes=1),
    "3m": timedelta(minutes=3),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "2h": timedelta(hours=2),
    "4h": timedelta(hours=4),
    "6h": timedelta(hours=6),
    "8h": timedelta(hours=8),
    "12h": timedelta(hours=12),
    "1d": timedelta(days=1),
    "3d": timedelta(days=3),
    "1w": timedelta(weeks=1),
}
_UNIT_ALIASES = {"min": "m", "minute": "m", "minutes": "m", "hour": "h", "day": "d", "week": "w"} | {
    u: u for u in "mhdw"
}


class Window(NamedTuple):
    """All moments t with start <= t < end."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{iso(self.start)} … {iso(self.end)}"

    @property
    def length(self) -> timedelta:
        return self.end - self.start


def iso(moment: datetime) -> str:
    """2024-08-01T00:00Z, with seconds only where there are any."""
    text = moment.astimezone(UTC).isoformat(timespec="auto").replace("+00:00", "Z")
    return text.removesuffix(":00Z") + "Z" if text.endswith(":00Z") else text


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def moment_of(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=int(microseconds))


def canonical_timeframe(text: str) -> str:
    """`1min`, `1 hour`, `1H` as people type them, to `1m`, `1h`; `1M`, a month, is not a minute."""
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]+)\s*", text)
    unit = match and _UNIT_ALIASES.get(match[2] if match[2] == "M" else match[2].lower(), match[2])
    name = f"{match[1]}{unit}" if match else text
    if name not in TIMEFRAMES:
        raise ValueError(f"timeframe {text!r} is unknown: use one of {', '.join(TIMEFRAMES)}")
    return name


def parse_moment(value: str | int | float) -> datetime:
    """A time in ISO form or as seconds, ms, µs or ns since 1970, told apart by magnitude."""
    text = str(value).strip()
    padded = text + "-01" * (2 - text.count("-")) if re.fullmatch(r"\d{4}(-\d{2})?", text) else text
    number = re.fullmatch(r"-?\d+(\.\d+)?", text) and not re.fullmatch(r"\d{4}|(19|20)\d{6}", text)
    try:
        if number:
            return _moment_since_1970(text)
        moment = datetime.fromisoformat(padded)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"time {text!r} lies outside the years 1 to 9999") from None
    except ValueError as error:
        if number:
            raise
        raise ValueError(
            f"time {text!r} is not understood ({error}): "
            "use ISO like 2024-08-01T00:00Z, or seconds since 1970"
        ) from None


def _moment_since_1970(text: str) -> datetime:
    for limit, unit in ((1e11, 1), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9)):
        if abs(float(text)) < limit:
            return EPOCH + timedelta(seconds=float(text) / unit)
    raise ValueError(f"time {text!r} is too large for seconds, ms, µs or ns since 1970")


def floor(moment: datetime, grain: timedelta) -> datetime:
    """The last multiple of the grain at or before the moment; weeks begin on Monday."""
    origin = EPOCH - timedelta(days=3) if grain % timedelta(weeks=1) == timedelta(0) else EPOCH
    return moment - (moment - origin) % grain


def ceiling(moment: datetime, grain: timedelta) -> datetime:
    below = floor(moment, grain)
    return below if below == moment else below + grain


def union(windows: Iterable[Window]) -> list[Window]:
    """Sorted, disjoint, without empty ones; windows that touch become one."""
    merged: list[Window] = []
    for window in sorted(w for w in windows if w.start < w.end):
        if merged and window.start <= merged[-1].end:
            merged[-1] = Window(merged[-1].start, max(merged[-1].end, window.end))
        else:
            merged.append(window)
    return merged


def intersect(left: Iterable[Window], right: Iterable[Window]) -> list[Window]:
    a, b, common = union(left), union(right), []
    i = j = 0
    while i < len(a) and j < len(b):
        start, end = max(a[i].start, b[j].start), min(a[i].end, b[j].end)
        if start < end:
            common.append(Window(start, end))
        if a[i].end < b[j].end:
            i += 1
        else:
            j += 1
    return common


def subtract(left: Iterable[Window], right: Iterable[Window]) -> list[Window]:
    rest, cuts, place = [], union(right), 0
    for window in union(left):
        start = window.start
        while place < len(cuts) and cuts[place].start < window.end:
            cut = cuts[place]
            if cut.start > start:
                rest.append(Window(start, cut.start))
            start = max(start, cut.end)
            if start >= window.end:  # this cut may reach into the next window too
                break
            place += 1
        if start < window.end:
            rest.append(Window(start, window.end))
    return rest


def total(windows: Iterable[Window]) -> timedelta:
    return sum((w.length for w in union(windows)), timedelta())


def bars(windows: Iterable[Window], grain: timedelta) -> int:
    """How many bars of this grain open inside the windows."""
    return sum(max(0, (ceiling(w.end, grain) - ceiling(w.start, grain)) // grain) for w in union(windows))


def holes(times: np.ndarray, window: Window, grain: timedelta) -> list[Window]:
    """The stretches of the window in which a bar should open but none of the sorted times does."""
    return holes_between(edges(times, grain), window, grain)


def edges(times: np.ndarray, grain: timedelta) -> list[int]:
    """Where each unbroken stretch of the sorted times begins and ends, in turn, in microseconds."""
    step = grain // MICROSECOND
    if len(times) == 0:
        return []
    before = np.flatnonzero(np.diff(times) > step)
    inner = np.column_stack([times[before] + step, times[before + 1]]).ravel().tolist()
    return [int(times[0]), *inner, int(times[-1]) + step]


def holes_between(stretches: Sequence[int], window: Window, grain: timedelta) -> list[Window]:
    """The same from the `edges` of the times."""
    reached, end = micros(ceiling(window.start, grain)), micros(ceiling(window.end, grain))
    found = []
    for start, stop in zip(stretches[::2], stretches[1::2], strict=True):
        if start >= end:
            break
        if start > reached:
            found.append(Window(moment_of(reached), moment_of(start)))
        reached = max(reached, stop)
    if reached < end:
        found.append(Window(moment_of(reached), moment_of(end)))
    return found


def month_of(moment: datetime) -> str:
    return moment.strftime("%Y-%m")


def month_window(month: str) -> Window:
    start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    following = (
        start.replace(year=start.year + 1, month=1)
        if start.month == 12
        else start.replace(month=start.month + 1)
    )
    return Window(start, following)


def months(window: Window) -> Iterator[str]:
    """The calendar months that the window touches, oldest first."""
    moment = window.start
    while moment < window.end:
        month = month_of(moment)
        yield month
        moment = month_window(month).end


def period_window(name: str) -> Window:
    """The stretch that a partition's name stands for: the month `2024-08`, the day `2024-08-01`."""
    if len(name) == len("2024-08"):
        return month_window(name)
    start = datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC)
    return Window(start, start + timedelta(days=1))


def periods(window: Window, cut: str) -> Iterator[str]:
    """The months or days that the window touches, oldest first."""
    if cut == "month":
        yield from months(window)
        return
    day = floor(window.start, timedelta(days=1))
    while day < window.end:
        yield day.strftime("%Y-%m-%d")
        day += timedelta(days=1)


def split(window: Window, parts: int, step: timedelta) -> Sequence[Window]:
    """At most `parts` pieces of about equal length, cut at multiples of the step from its start."""
    steps = -(-window.length // step)
    size = -(-steps // max(1, parts)) * step
    cuts = []
    start = window.start
    while start < window.end:
        cuts.append(Window(start, min(start + size, window.end)))
        start += size
    return cuts
