"""Pace: a budget of weight per fixed window of time and host, and the moment until which a host is shut.

A vendor counts what all our processes spend, so the count is shared through Redis when there is one;
without Redis each process counts for itself and the vendor's own used-weight header tells of the others.
The window is the vendor's: it starts at whole multiples of its length on the vendor's clock.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from ingestion_assets.sources.errors import Banned

log = logging.getLogger(__name__)

LIMITS = "governor:limits"  # the limit of each host and window length that was ever spent from
LONGEST_WAIT = 120.0  # seconds; who is asked to wait longer is told so instead


@dataclass(frozen=True)
class Budget:
    """At most `limit` units of weight in each window of `seconds`."""

    limit: int
    seconds: int

    # Requests that are under way at the window's edge are counted by the vendor when they arrive,
    # so a little is held back and the next window is entered a little late.
    reserve: float = 0.01
    late_by: float = 0.15

    @property
    def spendable(self) -> int:
        return max(1, math.floor(self.limit * (1 - self.reserve)))


class Counter(Protocol):
    """Where spent weight is counted."""

    async def spend(self, window: str, weight: int, limit: int, seconds: int) -> bool:
        """Count the weight if it still fits; False when it does not."""

    async def at_least(self, window: str, used: int, seconds: int) -> None:
        """The vendor says that so much of this window is used."""

    async def shut(self, host: str, until: float) -> None: ...

    async def shut_until(self, host: str) -> float: ...


@dataclass
class LocalCounter:
    """Counts for this process alone."""

    used: dict[str, int] = field(default_factory=dict)
    shut_hosts: dict[str, float] = field(default_factory=dict)

    async def spend(self, window: str, weight: int, limit: int, seconds: int) -> bool:
        if window not in self.used and len(self.used) > 64:
            self.used = {}
        used = self.used.get(window, 0)
        if used + weight > limit:
            return False
        self.used[window] = used + weight
        return True

    async def at_least(self, window: str, used: int, seconds: int) -> None:
        self.used[window] = max(self.used.get(window, 0), used)

    async def shut(self, host: str, until: float) -> None:
        self.shut_hosts[host] = max(self.shut_hosts.get(host, 0.0), until)

    async def shut_until(self, host: str) -> float:
        return self.shut_hosts.get(host, 0.0)


class RedisCounter:
    """Counts for every process that shares this Redis. One round trip per request."""

    _SPEND = """
    local used = tonumber(redis.call('GET', KEYS[1]) or '0')
    if used + tonumber(ARGV[1]) > tonumber(ARGV[2]) then return 0 end
    redis.call('INCRBY', KEYS[1], ARGV[1]); redis.call('EXPIRE', KEYS[1], ARGV[3])
    redis.call('HSET', KEYS[2], ARGV[4], ARGV[2]); redis.call('EXPIRE', KEYS[2], 86400); return 1
    """
    _RAISE = """
    local used = tonumber(redis.call('GET', KEYS[1]) or '0')
    if used < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
    """

    _SHUT = """
    local shut = tonumber(redis.call('GET', KEYS[1]) or '0')
    if shut < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
    """

    def __init__(self, url: str) -> None:
        from redis.asyncio import Redis

        self._redis = Redis.from_url(url)
        self._spend = self._redis.register_script(self._SPEND)
        self._raise = self._redis.register_script(self._RAISE)
        self._shut = self._redis.register_script(self._SHUT)
        self._alone: LocalCounter | None = None

    async def spend(self, window: str, weight: int, limit: int, seconds: int) -> bool:
        arguments: list[int | str] = [weight, limit, seconds * 2, window.rpartition(":")[0]]
        return bool(
            await self._shared(
                lambda: self._spend(keys=[f"governor:{window}", LIMITS], args=arguments),
                lambda alone: alone.spend(window, weight, limit, seconds),
            )
        )

    async def at_least(self, window: str, used: int, seconds: int) -> None:
        await self._shared(
            lambda: self._raise(keys=[f"governor:{window}"], args=[used, seconds * 2]),
            lambda alone: alone.at_least(window, used, seconds),
        )

    async def shut(self, host: str, until: float) -> None:
        seconds = max(1, math.ceil(until - time.time()))
        await self._shared(
            lambda: self._shut(keys=[f"governor:{host}:shut"], args=[until, seconds]),
            lambda alone: alone.shut(host, until),
        )

    async def shut_until(self, host: str) -> float:
        until = await self._shared(
            lambda: self._redis.get(f"governor:{host}:shut"), lambda alone: alone.shut_until(host)
        )
        return float(until or 0.0)

    async def _shared(
        self, shared: Callable[[], Awaitable[Any]], own: Callable[[LocalCounter], Awaitable[Any]]
    ) -> Any:
        """With Redis while it counts; from then on alone, with the vendor's used-weight header as guard.

        Whatever ails it, full, read-only, not letting us in, gone: data comes first, and pace is told anyway.
        """
        from redis.exceptions import RedisError

        if self._alone is None:
            try:
                return await shared()
            except (RedisError, OSError) as error:
                if self._alone is None:  # of several that were under way the first one tells
                    self._alone = LocalCounter()
                    why = type(error).__name__
                    log.warning("REDIS_URL: no count from there (%s); this process paces itself alone", why)
        return await own(self._alone)

    async def close(self) -> None:
        await self._redis.aclose()


def spent(url: str, patience: float) -> dict[str, tuple[int, int]]:
    """By host and window length: the weight that all processes have spent in its present window, and may."""
    from redis import Redis

    found = {}
    with Redis.from_url(
        url, socket_timeout=patience, socket_connect_timeout=patience, decode_responses=True
    ) as client:
        limits: Any = client.hgetall(LIMITS)
        for pool, limit in sorted(limits.items()):
            seconds = int(pool.rpartition(":")[2])
            used: Any = client.get(f"governor:{pool}:{int(time.time() // seconds)}")
            found[pool] = (int(used or 0), int(limit))
    return found


class Governor:
    """Lets a request to one host through when its weight fits into the host's budget."""

    def __init__(self, host: str, budget: Budget | None = None, counter: Counter | None = None) -> None:
        self.host = host
        self.budget = budget
        self.counter: Counter = counter or LocalCounter()
        self.skew = 0.0  # the vendor's clock minus ours, in seconds
        self.spent = 0
        self.waited = 0.0

    def _window(self, now: float, seconds: int) -> str:
        return f"{self.host}:{seconds}:{int(now // seconds)}"

    async def admit(self, weight: int) -> str | None:
        """Wait until the request may go; returns the window that it was counted in."""
        while True:
            shut_for = await self.counter.shut_until(self.host) - time.time()
            if shut_for > LONGEST_WAIT:
                until = datetime.fromtimestamp(time.time() + shut_for, UTC)
                raise Banned(
                    f"{self.host} is not to be asked before {until:%Y-%m-%d %H:%M:%S} UTC", shut_for, until
                )
            if shut_for > 0:
                await self._wait(shut_for)
                continue
            if self.budget is None:
                self.spent += weight
                return None
            budget, now = self.budget, time.time() + self.skew
            into = now % budget.seconds
            if into >= budget.late_by:
                window = self._window(now, budget.seconds)
                if await self.counter.spend(window, weight, max(weight, budget.spendable), budget.seconds):
                    self.spent += weight
                    return window
                await self._wait(budget.seconds - into + budget.late_by)
            else:
                await self._wait(budget.late_by - into)

    async def _wait(self, seconds: float) -> None:
        self.waited += seconds
        await asyncio.sleep(seconds)

    async def learn_used(self, window: str | None, used: int) -> None:
        """The vendor's own count for the window in which the request was made."""
        if (
            self.budget is not None
            and window is not None
            and window == self._window(time.time() + self.skew, self.budget.seconds)
        ):
            await self.counter.at_least(window, used, self.budget.seconds)

    async def shut(self, seconds: float) -> None:
        await self.counter.shut(self.host, time.time() + seconds)
