"""How rows get into Redis: guarded transactions, one after the other, the next being packed meanwhile.

For each batch: WATCH the index and look which of the times it has; compare the rows of those. Then in one
MULTI … EXEC set what is newer, note it in the index, cut off the index's dead end and let the index end
with its last row. Every write of a series touches its index, so when another writer comes in between EXEC
does nothing and the batch is tried again. Rows that the index does not have are set with NX: should Redis
hold one all the same (the index was evicted, or deleted by hand) it stays, and is compared after all.
"""

from __future__ import annotations

import random
import time as clock
from collections.abc import Collection, Iterable, Iterator

from ingestion_assets.stores.online.keys import Place
from ingestion_assets.stores.online.line import Line, packed
from ingestion_assets.stores.online.values import Rows, version_of

ATTEMPTS = 200
_DIGITS = 10  # of epoch seconds between the years 2001 and 2286; a window of 20 years has no others


class Contended(Exception):
    """Other writers of the same series were faster each time."""


class Batch:
    """Rows of one transaction, packed for the usual case that Redis has none of them."""

    def __init__(self, place: Place, times: list[int], rows: Rows, start: int, end: int, life: int) -> None:
        self.times, self.life, self.careful = times, life, False
        self.values, self.versions = rows.encode(start, end), rows.versions(start, end)
        head = place.prefix.encode()
        self._key = b"$%d\r\n%b" % (len(head) + _DIGITS, head)
        self._index, self._texts = packed(place.index), [b"%d" % moment for moment in times]
        self.look = b"".join(
            (
                b"*2\r\n$5\r\nWATCH\r\n",
                self._index,
                b"*5\r\n$9\r\nZREVRANGE\r\n",
                self._index,
                b"$1\r\n0\r\n$1\r\n0\r\n$10\r\nWITHSCORES\r\n",
                b"*4\r\n$13\r\nZRANGEBYSCORE\r\n",
                self._index,
                b"$10\r\n%d\r\n$10\r\n%d\r\n" % (times[0], times[-1]),
            )
        )
        form = b"*6\r\n$3\r\nSET\r\n" + self._key.replace(b"%", b"%%")
        form += b"%d\r\n$%d\r\n%b\r\n$4\r\nEXAT\r\n$10\r\n%d\r\n$2\r\nNX\r\n"
        pairs = zip(times, self.values, strict=True)
        self._sets = [form % (moment, len(value), value, moment + life) for moment, value in pairs]
        self._new = self._rows(range(len(times)), frozenset())

    def _rows(self, wanted: Collection[int], known: Collection[int]) -> bytes:
        """The commands that set these rows and note them in the index; `known` ones are there already."""
        if not wanted:
            return b""
        members = b"\r\n$10\r\n".join([self._texts[n] for n in wanted for _ in ("score", "member")])
        add = b"*%d\r\n$4\r\nZADD\r\n%b$10\r\n%b\r\n" % (2 + 2 * len(wanted), self._index, members)
        return b"".join((*(self._replacing(n) if n in known else self._sets[n] for n in wanted), add))

    def _replacing(self, number: int) -> bytes:
        """The command that sets a row, without its NX."""
        return b"*5" + self._sets[number][2:].removesuffix(b"$2\r\nNX\r\n")

    def known(self, members: Collection[bytes]) -> list[int]:
        """The rows that may be there: those that the index has, or all once it was found wanting."""
        if self.careful:
            return list(range(len(self.times)))
        if not members:
            return []
        there = set(members)
        return [number for number, text in enumerate(self._texts) if text in there]

    def ask(self, numbers: list[int]) -> bytes:
        """The command that reads these rows."""
        keys = (b"\r\n" + self._key).join([self._texts[number] for number in numbers])
        return b"*%d\r\n$4\r\nMGET\r\n%b%b\r\n" % (len(numbers) + 1, self._key, keys)

    def newer(self, numbers: list[int], held: list[bytes | None]) -> set[int]:
        """Those of the rows that must stay as they are, because they were known later than ours."""
        return {
            number
            for number, value in zip(numbers, held, strict=True)
            if value is not None
            and value != self.values[number]
            and version_of(value) > self.versions[number]
        }

    def transaction(self, known: list[int], kept: set[int], last: int | None, now: int) -> tuple[bytes, int]:
        """The commands, and how many answers come before EXEC's; `kept` rows are left as they are."""
        wanted = [number for number in range(len(self.times)) if number not in kept]
        rows = self._rows(wanted, frozenset(known)) if known else self._new
        newest = max(self.times[-1], last or 0)
        commands = (
            b"*1\r\n$5\r\nMULTI\r\n",
            rows,
            b"*4\r\n$16\r\nZREMRANGEBYSCORE\r\n",
            self._index,
            b"$4\r\n-inf\r\n" + packed(now - self.life),
            b"*3\r\n$8\r\nEXPIREAT\r\n",
            self._index,
            packed(newest + self.life),
            b"*1\r\n$4\r\nEXEC\r\n",
        )
        return b"".join(commands), len(wanted) + bool(wanted) + 3


def land(line: Line, batches: Iterable[Batch], place: Place, now: int) -> int:
    """Write all batches; how many rows stayed because they were known later."""
    waiting: Iterator[Batch] = iter(batches)
    batch, attempt, kept = next(waiting, None), 0, 0
    if batch is not None:
        line.send(batch.look)
    coming = next(waiting, None)
    while batch is not None:
        members, last = _seen(line)
        known = batch.known(members)
        left = batch.newer(known, line.ask(batch.ask(known))) if known else set()
        commands, answers = batch.transaction(known, left, last, now)
        follower = coming
        line.send(commands + (follower.look if follower is not None else b""))
        after = next(waiting, None) if follower is not None else None  # packed while Redis works
        outcome = _executed(line, answers)
        if outcome is not None and None not in outcome:
            kept += len(left)
            batch, coming, attempt = follower, after, 0
            continue
        # Another writer came in between, or the index lacked a row: once more, with the follower's look
        # out of the way.
        batch.careful = batch.careful or outcome is not None
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


def _seen(line: Line) -> tuple[list[bytes], int | None]:
    """What the look at the index found: its members in the batch's span, and its last score."""
    answers = line.replies(3)
    for answer in answers:
        if isinstance(answer, line.error):
            raise answer
    _, last, members = answers
    return members, int(float(last[1])) if last else None


def _executed(line: Line, answers: int) -> list[object] | None:
    """What EXEC's commands answered; None when the index was changed since it was looked at."""
    *queued, outcome = line.replies(answers + 1)
    for answer in (*queued, outcome, *(outcome if isinstance(outcome, list) else ())):
        if isinstance(answer, line.error):
            raise answer
    return outcome
