"""A small cache of what is asked for most: each market's newest row and its newest aggregates.

    market:{id}:latest       the newest features of its minutes
    market:{id}:aggregates   the newest hour, day and week

JSON objects in Redis for CACHE_TTL_SECONDS, refreshed after ingestion. Each carries the `time` of its data,
so whoever shows it can say how old that is; an entry never gives way to one of an earlier time. Without
Redis, or while it does not answer, entries live in this process, no longer than they would there.
"""

from __future__ import annotations

import fnmatch
import threading
import time as clock
from collections.abc import Mapping
from typing import Any

import orjson

from ingestion_assets.stores.online.errors import OnlineError
from ingestion_assets.stores.online.keys import Place
from ingestion_assets.stores.online.line import Line, Lines, command
from ingestion_assets.stores.online.sweeping import remove

LATEST, AGGREGATES = "latest", "aggregates"
PREFIX = "market:"
_MOST_IN_MEMORY = 10_000


class MarketCache:
    """`lines` to Redis, or None for this process's memory alone; safe for threads."""

    def __init__(self, lines: Lines | None, ttl: int = 300) -> None:
        self._lines, self.ttl = lines, ttl
        self._memory: dict[str, tuple[float, bytes]] = {}
        self._guard = threading.Lock()

    @staticmethod
    def key(name: str, kind: str) -> str:
        if kind not in (LATEST, AGGREGATES):
            raise ValueError(f"cache entry {kind!r} is unknown: use {LATEST} or {AGGREGATES}")
        return f"{PREFIX}{Place('market', name, kind).name}:{kind}"

    def put(self, name: str, kind: str, entry: Mapping[str, Any]) -> bool:
        """Keep an entry (it says its `time`); False when what is there is of a later time."""
        key, value, moment = self.key(name, kind), orjson.dumps(dict(entry)), float(entry["time"])
        if self._lines is not None:
            try:
                done = self._lines.run(
                    f"caching {key}", lambda line: _put(line, key, value, moment, self.ttl)
                )
                self._forget(key)
                return done
            except OnlineError as error:
                if not error.of_server:
                    raise
        return self._remember(key, value, moment)

    def get(self, name: str, kind: str) -> dict[str, Any] | None:
        """The entry, None when there is none or its TTL is over."""
        key = self.key(name, kind)
        value: bytes | None
        if self._lines is not None:
            try:
                value = self._lines.run(f"reading {key}", lambda line: line.ask(command(b"GET", key)))
                self._forget(key)
                return None if value is None else orjson.loads(value)
            except OnlineError as error:
                if not error.of_server:
                    raise
        value = self._recall(key)
        return None if value is None else orjson.loads(value)

    def invalidate(self, pattern: str) -> int:
        """Forget the entries of a pattern like market:*:latest; how many there were."""
        if not pattern.startswith(PREFIX):
            raise ValueError(f"pattern {pattern!r} names no cache entry: write it like {PREFIX}*:{LATEST}")
        with self._guard:
            held = [key for key in self._memory if fnmatch.fnmatchcase(key, pattern)]
            for key in held:
                del self._memory[key]
        return remove(self._lines, pattern) if self._lines is not None else len(held)

    # This process's memory

    def _remember(self, key: str, value: bytes, moment: float) -> bool:
        with self._guard:
            now = clock.monotonic()
            ends, held = self._memory.get(key, (0.0, b""))
            if ends > now and _time_of(held) > moment:
                return False
            if len(self._memory) >= _MOST_IN_MEMORY:
                self._memory = {k: entry for k, entry in self._memory.items() if entry[0] > now}
            if len(self._memory) < _MOST_IN_MEMORY or key in self._memory:
                self._memory[key] = (now + self.ttl, value)
            return True

    def _recall(self, key: str) -> bytes | None:
        with self._guard:
            ends, value = self._memory.get(key, (0.0, b""))
            return value if ends > clock.monotonic() else None

    def _forget(self, key: str) -> None:
        """Redis has answered: what was kept meanwhile must not come up again."""
        with self._guard:
            self._memory.pop(key, None)


def _put(line: Line, key: str, value: bytes, moment: float, ttl: int) -> bool:
    while True:
        _, held = line.ask_all([command(b"WATCH", key), command(b"GET", key)])
        if held is not None and _time_of(held) > moment:
            line.ask(command(b"UNWATCH"))
            return False
        *_, done = line.ask_all(
            [command(b"MULTI"), command(b"SET", key, value, b"EX", ttl), command(b"EXEC")]
        )
        if done is not None:
            return True
        # Somebody else was faster: look again at what is there.


def _time_of(value: bytes) -> float:
    try:
        return float(orjson.loads(value)["time"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return -1.0
