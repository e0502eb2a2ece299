"""How rows get into Redis: guarded transactions, one after the other, the next being packed meanwhile.

For each batch: WATCH the index, look at what is there, then in one MULTI … EXEC set what is newer, note it
in the index, cut off the index's dead end and let the index end with its last row. Every write of a series
touches its index, so when another writer comes in between EXEC does nothing and the batch is tried again.
"""

from __future__ import annotations

import random
import time as clock
from collections.abc import Iterable, Iterator
from typing import Any

from ingestion_assets.stores.online.keys import Place
from ingestion_assets.stores.online.line import Line, command, packed
from ingestion_assets.stores.online.values import Rows, version_of

ATTEMPTS = 200
_DIGITS = 10  # of epoch seconds between the years 2001 and 2286; a window of 20 years has no others


class Contended(Exception):
    """Other writers of the same series were faster each time."""


class Batch:
    """Rows of one transaction, encoded once and packed as the server's state asks for."""

    def __init__(self, place: Place, times: list[int], rows: Rows, start: int, end: int, life: int) -> None:
        self.place, self.times, self.life = place, times, life
        self.values = rows.encode(start, end)
        self.versions = rows.versions(start, end)
        head = place.prefix.encode()
        self._key = b"$%d\r\n%b" % (len(head) + _DIGITS, head)
        self._texts = [str(t).encode() for t in times]
        index = packed(place.index)
        self.look = (
            b"*2\r\n$5\r\nWATCH\r\n%b*5\r\n$9\r\nZREVRANGE\r\n%b$1\r\n0\r\n$1\r\n0\r\n$10\r\nWITHSCORES\r\n"
            % (
                index,
                index,
            )
            + b"*%d\r\n$4\r\nMGET\r\n%b%b\r\n"
            % (
                len(times) + 1,
                self._key,
                (b"\r\n" + self._key).join(self._texts),
            )
        )

    def kept(self, held: list[bytes | None]) -> set[int]:
        """The rows that must stay as they are, because they were known later than ours."""
        if not any(held):
            return set()
        return {
            number
            for number, value in enumerate(held)
            if value is not None
            and value != self.values[number]
            and version_of(value) > self.versions[number]
        }

    def transaction(self, held: list[bytes | None], last: int | None, now: int) -> tuple[bytes, int, int]:
        """The commands, how many answers come before EXEC's, and how many rows are left as they are."""
        kept = self.kept(held)
        wanted = range(len(self.times)) if not kept else [n for n in range(len(self.times)) if n not in kept]
        key, life, texts, values, times = self._key, self.life, self._texts, self.values, self.times
        form = (
            b"*5\r\n$3\r\nSET\r\n"
            + key.replace(b"%", b"%%")
            + b"%b\r\n$%d\r\n%b\r\n$4\r\nEXAT\r\n$10\r\n%d\r\n"
        )
        parts = [b"*1\r\n$5\r\nMULTI\r\n"]
        parts += [form % (texts[n], len(values[n]), values[n], times[n] + life) for n in wanted]
        index, answers = self.place.index, 1 + len(wanted)
        if wanted:
            pairs = b"\r\n$10\r\n".join([texts[n] for n in wanted for _ in (0, 1)])
            parts.append(
                b"*%d\r\n$4\r\nZADD\r\n%b$10\r\n%b\r\n" % (2 + 2 * len(wanted), packed(index), pairs)
            )
            answers += 1
        newest = max(self.times[-1], last or 0)
        parts.append(command(b"ZREMRANGEBYSCORE", index, b"-inf", now - life))
        parts.append(command(b"EXPIREAT", index, newest + life))
        parts.append(b"*1\r\n$4\r\nEXEC\r\n")
        return b"".join(parts), answers + 2, len(kept)


def land(line: Line, batches: Iterable[Batch], place: Place, life: int, now: int) -> int:
    """Write all batches; how many rows stayed because they were known later."""
    waiting: Iterator[Batch] = iter(batches)
    batch, attempt, kept = next(waiting, None), 0, 0
    if batch is not None:
        line.send(batch.look)
    coming = next(waiting, None)
    while batch is not None:
        held, last = _seen(line)
        commands, answers, left = batch.transaction(held, last, now)
        follower = coming
        line.send(commands + (follower.look if follower is not None else b""))
        after = next(waiting, None) if follower is not None else None  # packed while Redis works
        if _executed(line, answers):
            kept += left
            batch, coming, attempt = follower, after, 0
            continue
        # Another writer came in between: look again, with the follower's look out of the way.
        attempt += 1
        if attempt > ATTEMPTS:
            raise Contended(f"other writers of {place} came in between {ATTEMPTS} times")
        if follower is not None:
            _seen(line)
            line.ask(b"*1\r\n$7\r\nUNWATCH\r\n")
            waiting, coming = _again(after, waiting), follower
        clock.sleep(random.random() * 0.002 * min(attempt, 20))  # noqa: S311 to part two writers
        line.send(batch.look)
    return kept


def _again(first: Batch | None, rest: Iterator[Batch]) -> Iterator[Batch]:
    if first is not None:
        yield first
    yield from rest


def _seen(line: Line) -> tuple[list[bytes | None], int | None]:
    """What the look at the index and the rows found."""
    answers: list[Any] = [line.reply() for _ in range(3)]
    for answer in answers:
        if isinstance(answer, line.error):
            raise answer
    _, last, held = answers
    return held, int(float(last[1])) if last else None


def _executed(line: Line, answers: int) -> bool:
    """Whether the transaction was carried out; not when the index was changed since it was looked at."""
    problem = None
    for _ in range(answers):
        answer = line.reply()
        if problem is None and isinstance(answer, line.error):
            problem = answer
    outcome = line.reply()
    if problem is not None:
        raise problem
    if isinstance(outcome, line.error):
        raise outcome
    if outcome is None:
        return False
    for answer in outcome:
        if isinstance(answer, line.error):
            raise answer
    return True
