"""Asking page by page, and what is to be believed of an answer: used by feeds, knows no vendor.

An answer that holds fewer rows than fit may have been cut off, and an empty one may be a mistake, so
that something is not there is believed when the vendor says so twice, the second time asked for just that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import Window, iso, moment_of
from ingestion_assets.sources.errors import MalformedAnswer
from ingestion_assets.sources.feeds import Page
from ingestion_assets.tables import Table

Ask = Callable[[Window], Awaitable[pa.Table]]


async def by_time(
    ask: Ask, table: Table, window: Window, *, step: timedelta, longest: timedelta | None = None
) -> AsyncIterator[Page]:
    """Pages of rows in rising order of time; `step` after a row is the first moment of the next one.

    `longest` is how much time the vendor answers about at once.
    """
    cursor = window.start
    while cursor < window.end:
        end = min(window.end, cursor + longest) if longest else window.end
        wanted = Window(cursor, end)
        rows, requests = checked(table, await ask(wanted), wanted), 1
        if rows.num_rows == 0:
            rows, requests = checked(table, await ask(wanted), wanted), 2
        if rows.num_rows == 0:
            yield Page(rows, wanted, requests)
            cursor = end
            continue
        times = table.times(rows)
        first = moment_of(times[0])
        if table.grid and first > cursor:
            head = Window(cursor, first)
            requests += 1
            if checked(table, await ask(head), head).num_rows:
                raise MalformedAnswer(
                    f"rows of {table.path} from {iso(cursor)} were left out of an answer, "
                    "and given when asked singly"
                )
        reached = min(moment_of(times[-1]) + step, end)
        yield Page(rows, Window(cursor, reached), requests)
        cursor = reached


def checked(table: Table, rows: pa.Table, window: Window) -> pa.Table:
    """The rows as the vendor gave them, if they are in order, without repeats, and where they belong."""
    if rows.num_rows == 0:
        return rows
    times = table.times(rows)
    steps = np.diff(times)
    if (steps < 0).any() or (table.key == table.clock and (steps == 0).any()):
        raise MalformedAnswer(
            f"the page of {table.path} from {iso(window.start)} is not in rising order without repeats"
        )
    if moment_of(times[0]) < window.start or moment_of(times[-1]) >= window.end:
        raise MalformedAnswer(
            f"the page of {table.path} for {window} holds rows from {iso(moment_of(times[0]))} "
            f"to {iso(moment_of(times[-1]))}"
        )
    return rows
