"""Fetching candles: page by page, several stretches of a slice side by side.

A hole is only believed when the venue affirms it: inside one answer, by leaving bars out between others;
at an answer's ends, by telling where its next bar opens when asked for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

import pyarrow as pa

from ingestion_assets.ingestion.fetched import Fetched
from ingestion_assets.ingestion.plan import Options, Slice, closed_until, offer_of, plan_slice
from ingestion_assets.intervals import Window, holes, iso, moment_of, split, subtract
from ingestion_assets.registry import Series
from ingestion_assets.sources.errors import MalformedAnswer
from ingestion_assets.sources.market import CandleSource
from ingestion_assets.stores.gap_ledger import NO_TRADES, NOT_LISTED, GapLedger, Hole
from ingestion_assets.stores.lake import Lake
from ingestion_assets.tables import Table

_STALLS_BORNE = 3


@dataclass
class _Chunk:
    """What one stretch of a slice gave; filled while it is fetched, so a failure keeps what came before."""

    rows: list[pa.Table] = field(default_factory=list)
    holes: list[Hole] = field(default_factory=list)
    requests: int = 0
    delisted_at: datetime | None = None


class CandleDesk(contextlib.AsyncExitStack):
    """An open venue, and how a slice is fetched from it."""

    def __init__(
        self, table: Table, lake: Lake, ledger: GapLedger, source: CandleSource, options: Options
    ) -> None:
        super().__init__()
        self.table, self.lake, self.ledger, self.options = table, lake, ledger, options
        self._source = source
        self._now: datetime

    async def __aenter__(self) -> Self:
        try:
            await self.enter_async_context(self._source)
            self._now = await self._source.now()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def fetch(self, piece: Slice, parts: int) -> Fetched:
        started, source, now = time.monotonic(), self._source, self._now
        offer = offer_of(self.table, source, now)
        plan = await asyncio.get_running_loop().run_in_executor(
            None, plan_slice, self.table, piece, self.lake, self.ledger, offer, now, self.options
        )
        page = self.table.grain * source.page_rows
        asked = plan.asked(self.table, source.page_rows)
        stretches = [part for w in asked for part in split(w, parts, page)]
        chunks = [_Chunk() for _ in stretches]
        outcomes = await asyncio.gather(
            *(self._stretch(piece.series, w, c) for w, c in zip(stretches, chunks, strict=True)),
            return_exceptions=True,
        )
        failure = next((o for o in outcomes if isinstance(o, Exception)), None)
        cancelled = next((o for o in outcomes if isinstance(o, asyncio.CancelledError)), None)
        if cancelled is not None:
            raise cancelled
        tables = [rows for chunk in chunks for rows in chunk.rows]
        return Fetched(
            slice=piece,
            plan=plan,
            rows=pa.concat_tables(tables).combine_chunks() if tables else self.table.empty(),
            holes=plan.unheld(_joined(hole for chunk in chunks for hole in chunk.holes)),
            error=failure,
            requests=sum(chunk.requests for chunk in chunks),
            seconds=time.monotonic() - started,
            now=now,
            delisted_at=next((c.delisted_at for c in chunks if c.delisted_at), None),
            besides=subtract(asked, plan.missing),
        )

    async def _stretch(self, series: Series, window: Window, chunk: _Chunk) -> None:
        """Page by page from the start of a stretch to its end, whatever each page holds."""
        source, now = self._source, self._now
        grain, cursor, stalls = self.table.grain, window.start, 0
        closed = closed_until(self.table, now, source.settle)
        while cursor < window.end:
            pages = await source.pages(series.symbol, self.table, Window(cursor, window.end))
            chunk.requests += pages.answers
            rows = pages.rows
            keys = self.table.keys(rows)
            first = moment_of(keys[0]) if len(keys) else None
            if first != cursor:
                following = await source.first_after(series.symbol, self.table, cursor)
                chunk.requests += 1
                later = first  # where there is one, nobody can say that nothing follows
                if following is None and first is None and window.end < closed:
                    later = await source.first_after(series.symbol, self.table, window.end)
                    chunk.requests += 1
                reached = min(following or window.end, window.end)
                left_out = later if following is None else following
                if left_out is not None and (
                    following is None or following < min(first or window.end, window.end)
                ):
                    # The venue has bars that the page left out: that page is not to be trusted.
                    stalls += 1
                    if stalls > _STALLS_BORNE:
                        raise MalformedAnswer(
                            f"{source.name} left out bars of {series.symbol} from {iso(left_out)} on "
                            f"in {stalls} answers running, and gives them when asked singly"
                        )
                    continue
                chunk.holes.append(await self._affirmed(series, Window(cursor, reached), following, chunk))
                cursor = reached
                if first is None:
                    continue
            stalls = 0
            end = moment_of(keys[-1]) + grain
            for hole in holes(keys, Window(cursor, end), grain):
                chunk.holes.append(Hole(hole, NO_TRADES, f"{source.name} leaves it out between other bars"))
            chunk.rows.append(rows)
            cursor = end
            if pages.stopped is not None:
                raise pages.stopped

    async def _affirmed(
        self, series: Series, window: Window, following: datetime | None, chunk: _Chunk
    ) -> Hole:
        """Why the venue has nothing there, in its own words where possible."""
        source, now = self._source, self._now
        if following is not None:
            return Hole(window, NO_TRADES, f"{source.name} says its next bar opens {iso(following)}")
        market = await source.market(series.symbol)
        chunk.requests += 1
        if not market.trading:
            chunk.delisted_at = market.delisted_at
            return Hole(window, NOT_LISTED, f"{source.name} says that {series.symbol} is not trading")
        recent = window.end >= closed_until(self.table, now, source.settle) - timedelta(days=1)
        evidence = f"{source.name} has no bar at or after {iso(window.start)}{' yet' if recent else ''}"
        return Hole(window, NO_TRADES, evidence)


def _joined(holes: Iterable[Hole]) -> list[Hole]:
    """What was asked about in parts and answered with the same words is one hole."""
    joined: list[Hole] = []
    for hole in holes:
        last = joined[-1] if joined else None
        same = last is not None and (last.reason, last.evidence) == (hole.reason, hole.evidence)
        if last is not None and same and last.window.end == hole.window.start:
            joined[-1] = Hole(Window(last.window.start, hole.window.end), hole.reason, hole.evidence)
        else:
            joined.append(hole)
    return joined
