"""The online feature store: the newest rows of each series in Redis, for reads in well under a millisecond.

A declared window, not a history: a row lives until the end of its bar + the domain's TTL, whoever wrote it
and whenever. What is older is not written, is not found, and is to be read from the lake.

Never older over newer: a row that says when it was known (`known_at`) gives way only to one that was known
no earlier. Rows land in transactions of up to 500, oldest first; each is there whole or not at all, its
place in the index included, so a write that ended anywhere is repaired by writing again.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ingestion_assets.stores.online.errors import OnlineError
from ingestion_assets.stores.online.keys import ROOT, Place, grain_of, placed
from ingestion_assets.stores.online.line import Line, Lines, command, packed
from ingestion_assets.stores.online.sweeping import Audit, Swept, audit, remove, sweep
from ingestion_assets.stores.online.values import Rows, decode, decode_all
from ingestion_assets.stores.online.writing import Batch, Contended, land

LONGEST_TTL = 20 * 365 * 86_400
BATCH = 500  # rows of a transaction: eight hours of minutes
MOST_AT_ONCE = 10_000
FUTURE = 3_600  # seconds by which a row may be ahead of this machine's clock


@dataclass(frozen=True)
class Written:
    """What became of rows that were given."""

    rows: int  # are now online as given
    newer: int  # gave way to what was known later
    expired: int  # are older than the window

    def __add__(self, other: Written) -> Written:
        return Written(self.rows + other.rows, self.newer + other.newer, self.expired + other.expired)


class OnlineStore:
    """Connects when first used; may be shared by threads."""

    def __init__(
        self, url: str, *, ttl: Callable[[str], int] = lambda domain: 3_600, timeout: float = 5.0
    ) -> None:
        self.lines = Lines(url, timeout)
        self._ttl = ttl

    @property
    def server(self) -> str:
        return self.lines.server

    def ttl(self, domain: str) -> int:
        """Seconds that rows of a domain stay after the end of their bar."""
        seconds = self._ttl(domain)
        if not 0 < seconds <= LONGEST_TTL:
            raise ValueError(f"TTL of {domain}: {seconds} s is not between 1 and {LONGEST_TTL} (20 years)")
        return seconds

    def life(self, domain: str, qualifier: str, grain: int | None = None) -> int:
        """Seconds from a row's time to its end; rows of the window are no older than this."""
        return self.ttl(domain) + (grain_of(qualifier) if grain is None else grain)

    # Writing

    def write(
        self,
        domain: str,
        name: str,
        qualifier: str,
        times: Sequence[int] | np.ndarray,
        rows: pa.Table | Mapping[str, Any],
        grain: int | None = None,
    ) -> int:
        """How many of the rows are now online as given."""
        return self.put(domain, name, qualifier, times, rows, grain).rows

    def put(
        self,
        domain: str,
        name: str,
        qualifier: str,
        times: Sequence[int] | np.ndarray,
        rows: pa.Table | Mapping[str, Any],
        grain: int | None = None,
    ) -> Written:
        """Write rows (`times` in epoch seconds, rising or not) and say what became of each."""
        place, life = placed(domain, name, qualifier), self.life(domain, qualifier, grain)
        given = Rows(rows)
        moments = _seconds(times)
        if len(moments) != given.count:
            raise ValueError(f"{place}: {len(moments)} times for {given.count} rows")
        now = int(clock.time())
        if len(moments) and moments.max() > now + FUTURE:
            raise ValueError(
                f"{place}: the time {moments.max()} lies in the future, where it would stay the latest"
            )
        order = np.argsort(moments, kind="stable")
        if len(moments) > 1 and (np.diff(moments[order]) == 0).any():
            raise ValueError(f"{place}: a time is given twice")
        keep = order[moments[order] > now - life]
        expired = len(moments) - len(keep)
        if len(keep) < len(moments) or (np.diff(keep) < 0).any():
            given.take(keep)
            moments = moments[keep]
        if not len(moments):
            return Written(0, 0, expired)

        def batches() -> Iterator[Batch]:
            for start in range(0, len(moments), BATCH):
                end = min(start + BATCH, len(moments))
                yield Batch(place, moments[start:end].tolist(), given, start, end, life)

        doing = f"writing {len(moments)} rows of {place}"
        try:
            kept = self.lines.run(doing, lambda line: land(line, batches(), place, now))
        except Contended as error:
            raise OnlineError(
                self.server, doing, str(error), "Let one run at a time write a series"
            ) from None
        return Written(len(moments) - kept, kept, expired)

    # Reading

    def points(
        self, domain: str, name: str, qualifier: str, times: Sequence[int]
    ) -> list[dict[str, Any] | None]:
        """The row at each of these times, None where there is none."""
        values = self.points_raw(domain, name, qualifier, times)
        if len(values) == 1:
            return [None if values[0] is None else decode(values[0])]
        found = iter(decode_all([v for v in values if v is not None]))
        return [None if v is None else next(found) for v in values]

    def points_raw(self, domain: str, name: str, qualifier: str, times: Sequence[int]) -> list[bytes | None]:
        """The same as the JSON that Redis holds, for who hands it on without looking into it."""
        place = placed(domain, name, qualifier)
        texts = [b"%d" % moment for moment in times]
        if len(texts) == 1:
            length = len(place.packed_prefix) + len(texts[0])
            get = b"*2\r\n$3\r\nGET\r\n$%d\r\n%b%b\r\n" % (length, place.packed_prefix, texts[0])
            return [self.lines.run(place.reading, lambda line: line.ask(get))]
        return self.lines.run(place.reading, lambda line: _mget(line, place, texts))

    def range(
        self,
        domain: str,
        name: str,
        qualifier: str,
        start: int,
        end: int,
        limit: int = 100,
        newest: bool = False,
    ) -> list[tuple[int, dict[str, Any]]]:
        """Rows with start <= time <= end, oldest first; of more than `limit` the oldest, or the `newest`."""
        found = self.range_raw(domain, name, qualifier, start, end, limit, newest)
        rows = decode_all([value for _, value in found])
        return [(time, row) for (time, _), row in zip(found, rows, strict=True)]

    def range_raw(
        self,
        domain: str,
        name: str,
        qualifier: str,
        start: int,
        end: int,
        limit: int = 100,
        newest: bool = False,
    ) -> list[tuple[int, bytes]]:
        """The same as the JSON that Redis holds, for who hands it on without looking into it."""
        if limit < 1:
            raise ValueError(f"limit {limit}: at least 1")
        place = placed(domain, name, qualifier)
        return self.lines.run(
            place.reading, lambda line: _range(line, place, int(start), int(end), limit, newest)
        )

    def latest(self, domain: str, name: str, qualifier: str) -> tuple[int, dict[str, Any]] | None:
        """The newest row with its time: whoever shows it can say how old it is."""
        found = self.range(domain, name, qualifier, 0, 1 << 40, limit=1, newest=True)
        return found[0] if found else None

    # Looking after keys

    def sweep(self, pattern: str, ttl_default: int, max_keys: int, cursor: int = 0) -> Swept:
        """Set a TTL where there is none and prune indexes, `max_keys` keys at a time."""
        return sweep(self.lines, pattern, ttl_default, max_keys, cursor)

    def audit(self, domain: str = "*") -> Audit:
        """Counts of a domain's keys, of those without a TTL and of dead index entries."""
        return audit(self.lines, f"{ROOT}:{domain}:*", lambda p: self.life(p.domain, p.qualifier))

    def remove(self, pattern: str) -> int:
        """Delete the keys of a pattern; how many there were."""
        return remove(self.lines, pattern)

    def ping(self) -> None:
        self.lines.run("asking whether it is there", lambda line: line.ask(command(b"PING")))

    def close(self) -> None:
        self.lines.close()


def _seconds(times: Sequence[int] | np.ndarray) -> np.ndarray:
    moments = np.asarray(times)
    if len(moments) and moments.dtype.kind not in "iu":
        raise ValueError(f"times are {moments.dtype}: give whole epoch seconds")
    moments = moments.astype(np.int64)
    if len(moments) and (moments.min() < 0 or moments.max() >= 10_000_000_000):
        raise ValueError(
            f"times lie between {moments.min()} and {moments.max()}: give epoch seconds, not ms or µs"
        )
    return moments


def _mget(line: Line, place: Place, texts: Sequence[bytes]) -> list[bytes | None]:
    """The values at these times, which are given as Redis's keys write them."""
    values: list[bytes | None] = []
    for first in range(0, len(texts), MOST_AT_ONCE):
        part = texts[first : first + MOST_AT_ONCE]
        if len(set(map(len, part))) == 1:
            each = b"\r\n$%d\r\n%b" % (len(place.packed_prefix) + len(part[0]), place.packed_prefix)
            keys = each + each.join(part) + b"\r\n"
        else:
            keys = b"\r\n" + b"".join([packed(place.packed_prefix + text) for text in part])
        values += line.ask(b"*%d\r\n$4\r\nMGET%b" % (len(part) + 1, keys))
    return values


def _range(
    line: Line, place: Place, start: int, end: int, limit: int, newest: bool
) -> list[tuple[int, bytes]]:
    """Members whose row has gone meanwhile do not count, so it goes on until there are enough."""
    found: list[tuple[int, bytes]] = []
    verb = b"ZREVRANGEBYSCORE" if newest else b"ZRANGEBYSCORE"
    while len(found) < limit and start <= end:
        edges = (end, start) if newest else (start, end)
        wanted = min(limit - len(found), MOST_AT_ONCE)
        members = line.ask(command(verb, place.index, *edges, b"LIMIT", 0, wanted))
        if not members:
            break
        values = _mget(line, place, members)
        found += [(int(t), v) for t, v in zip(members, values, strict=True) if v is not None]
        if len(members) < wanted:
            break
        last = int(members[-1])
        start, end = (start, last - 1) if newest else (last + 1, end)
    return found[::-1] if newest else found
