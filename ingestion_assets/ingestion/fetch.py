"""Fetching: slices of many series side by side, each source under its own budget.

An event loop in a thread of its own asks the vendors; threads beside it do with each slice what the
caller wants done (land it), and the caller takes what comes of that, in no particular order. Slices that
are fetched but not yet taken are few, so memory stays small however long the work is.

How a slice is fetched is its desk's affair: candles.py, feeds.py.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import math
import queue
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from ingestion_assets.ingestion.fetched import Fetched
from ingestion_assets.ingestion.plan import Slice
from ingestion_assets.sources.errors import MalformedAnswer
from ingestion_assets.tables import Table

_UNTAKEN = {"month": 16, "day": 2}  # what is cut by days is large
_HANDS = 2  # more do not help: packing a month keeps a core busy

Made = TypeVar("Made")


class Desk(Protocol):
    """Where the slices of one source are fetched, while it is open."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...

    async def fetch(self, piece: Slice, parts: int) -> Fetched:
        """A slice, in at most so many parts side by side."""


def fetch(
    table: Table,
    slices: Iterable[Slice],
    open_desk: Callable[[str], Desk],
    then: Callable[[Fetched], Made],
    slots: int = 8,
) -> Generator[Made]:
    """Yields what `then` makes of every slice, fetched or failed. Closing the iterator ends the work."""
    return _Fetching(table, list(slices), open_desk, then, slots).run()


class _Fetching(Generic[Made]):
    def __init__(
        self,
        table: Table,
        slices: list[Slice],
        open_desk: Callable[[str], Desk],
        then: Callable[[Fetched], Made],
        slots: int,
    ) -> None:
        self.table, self.slices = table, slices
        self.open_desk, self.then, self.slots = open_desk, then, slots
        self._done: queue.SimpleQueue[Made | BaseException | None] = queue.SimpleQueue()
        self._hands = concurrent.futures.ThreadPoolExecutor(_HANDS, "landing")
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[None] | None = None
        self._room = asyncio.Semaphore(_UNTAKEN[table.cut])
        self._parts = max(1, math.ceil(slots / max(1, len(slices))))

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
                opening = asyncio.get_running_loop().run_in_executor(None, self.open_desk, name)
                desk = await stack.enter_async_context(await opening)
            except Exception as error:  # noqa: BLE001 told as the failure of every slice
                for piece in pieces:
                    await self._emit(Fetched.nothing(self.table, piece, error))
                return
            await self._by_series(desk, pieces)

    async def _by_series(self, desk: Desk, pieces: list[Slice]) -> None:
        waiting: dict[str, deque[Slice]] = defaultdict(deque)
        for piece in pieces:
            waiting[piece.series.id].append(piece)
        workers = max(1, self.slots // len(waiting))
        async with asyncio.TaskGroup() as group:
            for line in waiting.values():
                failed: list[Exception] = []
                for _ in range(min(workers, len(line))):
                    group.create_task(self._worker(desk, line, failed))

    async def _worker(self, desk: Desk, line: deque[Slice], failed: list[Exception]) -> None:
        """Slices of one series, one after the other; what stops one of them would stop the rest."""
        while line:
            piece = line.popleft()
            if failed:
                await self._emit(Fetched.nothing(self.table, piece, failed[0]))
                continue
            await self._room.acquire()
            try:
                result = await desk.fetch(piece, self._parts)
            except Exception as error:  # noqa: BLE001 told as this slice's failure; other series go on
                result = Fetched.nothing(self.table, piece, error)
            # A month that the venue answers wrongly says nothing about the months beside it; a desk that
            # tells what it covered asks several vendors, of which not all may be down.
            told = result.covered is not None
            if result.error is not None and not told and not isinstance(result.error, MalformedAnswer):
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
