"""Answers that come newest first, made into pages: used by feeds, knows no vendor.

What has been read of such a chain is its younger end, so each page reaches from its oldest row up to where
the one before it began. Who is interrupted has the younger part, and is asked for the older one next time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import Window, iso, micros, moment_of
from ingestion_assets.sources.errors import MalformedAnswer
from ingestion_assets.sources.feeds import Absent, Page
from ingestion_assets.tables import Table

_MICROSECOND = timedelta(microseconds=1)


async def backwards(
    answers: AsyncIterator[pa.Table],
    table: Table,
    window: Window,
    cut_off: Callable[[], str | None] = lambda: None,
    most: int | None = None,
) -> AsyncIterator[Page | Absent]:
    """Pages from the window's end to its start; `answers` ends when the vendor has nothing older.

    `cut_off` is asked then: why the vendor has nothing older although there may have been something; None:
    there was nothing. With the `most` newest rows it ends, whatever is older.
    """
    cursor, seen = window.end, set[str]()
    held_back = table.empty()  # others may have the oldest row's moment, so it is not done with yet
    requests, before, given = 0, None, 0
    async for answer in answers:
        requests += 1
        if answer.num_rows == 0:
            continue
        times = table.times(answer)
        reached = moment_of(times[0])
        keys, where = set(answer.column(table.key).to_pylist()), f"{table.path} before {iso(cursor)}"
        if seen and keys <= seen:
            raise MalformedAnswer(f"{where} leads nowhere: an answer holds nothing new")
        if before is not None and reached > before:
            raise MalformedAnswer(f"{where}: an answer goes back to {iso(reached)} only")
        before = reached
        seen |= keys
        rows = _within(table, table.distinct(pa.concat_tables([answer, held_back])), window.start, window.end)
        over = -1 if most is None else given + rows.num_rows - most
        if over > 0 or (over == 0 and reached >= window.start):
            rows = rows.slice(over)
            after = moment_of(table.times(rows)[0]) + _MICROSECOND
            yield Page(rows, Window(min(after, cursor), cursor), requests)
            return
        if reached < window.start:
            yield Page(rows, Window(window.start, cursor), requests)
            return
        after = reached + _MICROSECOND
        held_back = _within(table, rows, window.start, after)
        if after < cursor:
            done = _within(table, rows, after, window.end)
            yield Page(done, Window(after, cursor), requests)
            cursor, requests, given = after, 0, given + done.num_rows
    why = cut_off()
    if why is None:
        yield Page(held_back, Window(window.start, cursor), requests)
        return
    oldest = max(window.start, cursor - _MICROSECOND)
    yield Page(held_back, Window(oldest, cursor), requests)
    if window.start < oldest:
        yield Absent(Window(window.start, oldest), f"{why}, at {iso(oldest)}", 0)


def _within(table: Table, rows: pa.Table, start: datetime, end: datetime) -> pa.Table:
    first, behind = np.searchsorted(table.times(rows), [micros(start), micros(end)])
    return rows.slice(first, max(0, behind - first))
