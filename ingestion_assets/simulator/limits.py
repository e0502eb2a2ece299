"""How much may be asked: fixed windows aligned to the clock, 429 beyond them, 418 for hammering on.

As on Binance every request adds its weight, rejected ones too. Runs on the machine's own time.
What other vendors' plans let through is a plain count (Quota), off unless the simulator is told otherwise.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ingestion_assets.simulator.clock import wall_ms

_UNITS = (("DAY", "D", 86400), ("HOUR", "H", 3600), ("MINUTE", "M", 60), ("SECOND", "S", 1))


@dataclass(frozen=True, slots=True)
class Verdict:
    """May this request pass; if not, how, and for how many seconds to stay away."""

    status: int
    used: int
    retry_after: int = 0
    message: str = ""


class Window:
    """At most `limit` in each stretch of `seconds`, counted from midnight UTC."""

    def __init__(self, limit: int, seconds: int) -> None:
        if limit < 1 or seconds < 1:
            raise ValueError(f"a limit needs positive numbers, not {limit} per {seconds} s")
        self.limit, self.seconds = limit, seconds
        self.used = 0
        self._number = -1
        unit, letter, size = next(u for u in _UNITS if seconds % u[2] == 0)
        self.unit, self.count, self.suffix = unit, seconds // size, f"{seconds // size}{letter}"

    def roll(self, now_ms: int) -> bool:
        """Begin anew when a new stretch has begun."""
        number = now_ms // (self.seconds * 1000)
        fresh = number != self._number
        if fresh:
            self._number, self.used = number, 0
        return fresh

    def remaining_s(self, now_ms: int) -> int:
        """Whole seconds until the next stretch."""
        length = self.seconds * 1000
        return max(1, math.ceil((length - now_ms % length) / 1000))

    def describe(self, kind: str) -> dict[str, object]:
        """As exchangeInfo.rateLimits says it."""
        return {"rateLimitType": kind, "interval": self.unit, "intervalNum": self.count, "limit": self.limit}


class Limits:
    """The weight window, the window of raw requests, and the ban that follows from ignoring them."""

    def __init__(
        self,
        weight: Window,
        raw: Window,
        *,
        tolerance: int = 10,
        ban_seconds: int = 120,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self.weight, self.raw = weight, raw
        self.tolerance, self.ban_seconds = tolerance, ban_seconds
        self.banned_until_ms = 0
        self._now_ms = now_ms
        self._rejected = 0

    def admit(self, weight: int) -> Verdict:
        """Charge a request and say whether it passes."""
        now = self._now_ms()
        if self.weight.roll(now):
            self._rejected = 0
        self.raw.roll(now)
        if now < self.banned_until_ms:
            return self._ban(now)
        self.weight.used += weight
        self.raw.used += 1
        for window, what in ((self.weight, "request weight"), (self.raw, "requests")):
            if window.used > window.limit:
                self._rejected += 1
                if self._rejected > self.tolerance:
                    self.banned_until_ms = now + self.ban_seconds * 1000
                    return self._ban(now)
                message = too_much(what, window)
                return Verdict(429, self.weight.used, window.remaining_s(now), message)
        return Verdict(200, self.weight.used)

    def _ban(self, now: int) -> Verdict:
        seconds = max(1, math.ceil((self.banned_until_ms - now) / 1000))
        return Verdict(418, self.weight.used, seconds, banned_until(self.banned_until_ms))

    def headers(self) -> dict[str, str]:
        used = str(self.weight.used)
        return {"x-mbx-used-weight": used, f"x-mbx-used-weight-{self.weight.suffix.lower()}": used}


# Requests in so many seconds on the plans that cost little or nothing.
CHEAPEST_PLANS = {
    "coingecko": (30, 60),
    "covalent": (4, 1),
    "newsapi": (100, 86_400),
    "polygon": (5, 60),
    "x": (450, 900),
}


class Quota:
    """A plan: so many requests in each stretch of time, those that are refused included."""

    def __init__(self, limit: int, seconds: int, now_ms: Callable[[], int] = wall_ms) -> None:
        self.window, self._now_ms = Window(limit, seconds), now_ms

    def wait(self) -> int:
        """Count a request; 0 when it passes, or else how many seconds to stay away."""
        now = self._now_ms()
        self.window.roll(now)
        self.window.used += 1
        return self.window.remaining_s(now) if self.window.used > self.window.limit else 0


def too_much(what: str, window: Window) -> str:
    """The text of a 429."""
    return (
        f"Too much {what} used; current limit is {window.limit} {what} per {window.count} {window.unit}. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )


def banned_until(until_ms: int) -> str:
    """The text of a 418; the end of the ban is told only here and in Retry-After."""
    return (
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
