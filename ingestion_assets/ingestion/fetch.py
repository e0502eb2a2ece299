"""Fetching: slices of many series side by side, each venue under its own budget.

An event loop in a thread of its own asks the vendors; threads beside it do with each slice what the
caller wants done (land it), and the caller takes what comes of that, in no particular order. Slices that
are fetched but not yet taken are few, so memory stays small however long the work is.

A hole is only believed when the venue affirms it: inside one answer, by leaving bars out between others;
at an answer's ends, by telling where its next bar opens when asked for that.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import math
import queue
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import pyarrow as pa

from ingestion_assets.ingestion.plan import Options, Plan, Slice, closed_until, offer_of, plan_slice
from ingestion_assets.intervals import Window, holes, iso, moment_of, period_window, split
from ingestion_assets.registry import Series
from ingestion_assets.sources.errors import MalformedAnswer
from ingestion_assets.sources.market import CandleSource
from ingestion_assets.stores.gap_ledger import NO_TRADES, NOT_LISTED, GapLedger, Hole
from ingestion_assets.stores.lake import Lake
from ingestion_assets.tables import Table

_UNTAKEN = 16
_HANDS = 2  # more do not help: packing a month keeps a core busy
_STALLS_BORNE = 3

Made = TypeVar("Made")


@dataclass
class Fetched:
    """A slice as the venue answered. With an error, the rows are those that came before it."""

    slice: Slice
    plan: Plan
    rows: pa.Table
    holes: list[Hole] = field(default_factory=list)
    error: Exception | None = None
    requests: int = 0
    seconds: float = 0.0
    now: datetime | None = None
    delisted_at: datetime | None = None

    @classmethod
    def nothing(cls, table: Table, piece: Slice, error: Exception) -> Fetched:
        """A slice that could not even be begun."""
        return cls(piece, Plan(piece, [], []), table.empty(), error=error)

    @classmethod
    def refused(cls, table: Table, key: str, error: Exception) -> Fetched:
        """The same for a partition key whose series is not known."""
        period, _, name = key.partition("|")
        stranger = Series(name, table.domain, name.partition(".")[0], name.partition(".")[2])
        return cls.nothing(table, Slice(stranger, period, period_window(period)), error)


@dataclass
class _Chunk:
    """What one stretch of a slice gave; filled while it is fetched, so a failure keeps what came before."""

    rows: list[pa.Table] = field(default_factory=list)
    holes: list[Hole] = field(default_factory=list)
    requests: int = 0
    delisted_at: datetime | None = None


def fetch(
    table: Table,
    slices: Iterable[Slice],
    lake: Lake,
    ledger: GapLedger,
    open_source: Callable[[str], CandleSource],
    then: Callable[[Fetched], Made],
    options: Options | None = None,
    slots: int = 8,
) -> Generator[Made]:
    """Yields what `then` makes of every slice, fetched or failed. Closing the iterator ends the work."""
    work = _Fetching(table, list(slices), lake, ledger, open_source, then, options or Options(), slots)
    return work.run()


class _Fetching(Generic[Made]):
    def __init__(
        self,
        table: Table,
        slices: list[Slice],
        lake: Lake,
        ledger: GapLedger,
        open_source: Callable[[str], CandleSource],
        then: Callable[[Fetched], Made],
        options: Options,
        slots: int,
    ) -> None:
        self.table, self.slices, self.lake, self.ledger = table, slices, lake, ledger
        self.open_source, self.then, self.options, self.slots = open_source, then, options, slots
        self._done: queue.SimpleQueue[Made | BaseException | None] = queue.SimpleQueue()
        self._hands = concurrent.futures.ThreadPoolExecutor(_HANDS, "landing")
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[None] | None = None
        self._room = asyncio.Semaphore(_UNTAKEN)
        self._chunks_per_slice = max(1, math.ceil(slots / max(1, len(slices))))

    def run(self) -> Generator[Made]:
        thread = threading.Thread(target=self._work, name="fetching", daemon=True)
        thread.start()
        try:
            while (item := self._done.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
                self._call(self._room.release)
        finally:
            self._call(self._cancel)
            thread.join()

    def _call(self, function: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(function)
            except RuntimeError:  # closed between the look and the call: there is nothing left to do
                return

    def _cancel(self) -> None:
        """Ends the work and what it awaits; not the tidying up that comes after it."""
        if self._main is not None:
            self._main.cancel()

    def _work(self) -> None:
        try:
            self._main = self._loop.create_task(self._all())
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 handed to the thread that waits for it
            self._done.put(error)
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._hands.shutdown()
            self._loop.close()
            self._done.put(None)

    async def _all(self) -> None:
        by_source: dict[str, list[Slice]] = defaultdict(list)
        for piece in self.slices:
            by_source[piece.series.source].append(piece)
        async with asyncio.TaskGroup() as group:
            for name, pieces in by_source.items():
                group.create_task(self._venue(name, pieces))

    async def _venue(self, name: str, pieces: list[Slice]) -> None:
        """All slices of one venue; when the venue itself cannot be used, each of them fails with that."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                # Beside the loop: what has to be imported for it may take seconds.
                opening = asyncio.get_running_loop().run_in_executor(None, self.open_source, name)
                source = await stack.enter_async_context(await opening)
                now = await source.now()
            except Exception as error:  # noqa: BLE001 told as the failure of every slice
                for piece in pieces:
                    await self._emit(Fetched.nothing(self.table, piece, error))
                return
            await self._by_series(source, now, pieces)

    async def _by_series(self, source: CandleSource, now: datetime, pieces: list[Slice]) -> None:
        waiting: dict[str, deque[Slice]] = defaultdict(deque)
        for piece in pieces:
            waiting[piece.series.id].append(piece)
        workers = max(1, self.slots // len(waiting))
        async with asyncio.TaskGroup() as group:
            for line in waiting.values():
                failed: list[Exception] = []
                for _ in range(min(workers, len(line))):
                    group.create_task(self._worker(source, now, line, failed))

    async def _worker(
        self, source: CandleSource, now: datetime, line: deque[Slice], failed: list[Exception]
    ) -> None:
        """Slices of one series, one after the other; what stops one of them would stop the rest."""
        while line:
            piece = line.popleft()
            if failed:
                await self._emit(Fetched.nothing(self.table, piece, failed[0]))
                continue
            await self._room.acquire()
            try:
                result = await self._slice(source, now, piece)
            except Exception as error:  # noqa: BLE001 told as this slice's failure; other series go on
                result = Fetched.nothing(self.table, piece, error)
            # A month that the venue answers wrongly says nothing about the months beside it.
            if result.error is not None and not isinstance(result.error, MalformedAnswer):
                failed.append(result.error)
            await self._finish(result)

    async def _emit(self, result: Fetched) -> None:
        await self._room.acquire()
        await self._finish(result)

    async def _finish(self, result: Fetched) -> None:
        """What the caller wants done with a slice; that it cannot be done at all is the caller's to hear."""
        try:
            made = await asyncio.get_running_loop().run_in_executor(self._hands, self.then, result)
        except Exception as error:  # noqa: BLE001 raised where the slices are taken
            self._done.put(error)
        else:
            self._done.put(made)

    async def _slice(self, source: CandleSource, now: datetime, piece: Slice) -> Fetched:
        started = time.monotonic()
        offer = offer_of(self.table, source, now)
        plan = await asyncio.get_running_loop().run_in_executor(
            None, plan_slice, self.table, piece, self.lake, self.ledger, offer, now, self.options
        )
        page = self.table.grain * source.page_rows
        stretches = [part for w in plan.missing for part in split(w, self._chunks_per_slice, page)]
        chunks = [_Chunk() for _ in stretches]
        outcomes = await asyncio.gather(
            *(self._stretch(source, piece.series, now, w, c) for w, c in zip(stretches, chunks, strict=True)),
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
            holes=_joined(hole for chunk in chunks for hole in chunk.holes),
            error=failure,
            requests=sum(chunk.requests for chunk in chunks),
            seconds=time.monotonic() - started,
            now=now,
            delisted_at=next((c.delisted_at for c in chunks if c.delisted_at), None),
        )

    async def _stretch(
        self, source: CandleSource, series: Series, now: datetime, window: Window, chunk: _Chunk
    ) -> None:
        """Page by page from the start of a stretch to its end, whatever each page holds."""
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
                chunk.holes.append(
                    await self._affirmed(source, series, now, Window(cursor, reached), following, chunk)
                )
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
        self,
        source: CandleSource,
        series: Series,
        now: datetime,
        window: Window,
        following: datetime | None,
        chunk: _Chunk,
    ) -> Hole:
        """Why the venue has nothing there, in its own words where possible."""
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
