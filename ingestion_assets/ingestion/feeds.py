"""Fetching by feeds: what a slice lacks is offered to each of its feeds in turn, the archive before the API.

What one feed has not got is left to the next. In the end every moment of the slice has rows, or somebody's
word that there are none, or a reason why nobody can say: it failed and is still missing, or it is not to
be had any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from ingestion_assets.ingestion.fetched import Fetched
from ingestion_assets.ingestion.offers import nobody_gives, offered, questions
from ingestion_assets.ingestion.plan import Options, Plan, Slice, plan_slice
from ingestion_assets.intervals import Window, ceiling, floor, holes, intersect, iso, subtract, union
from ingestion_assets.registry import Series
from ingestion_assets.sources.archives import FilePage
from ingestion_assets.sources.errors import BadRequest, MalformedAnswer, SourceError
from ingestion_assets.sources.feeds import Absent, Feed, Ration, Vendor, feeds_of
from ingestion_assets.stores.archive_files import ArchiveFile
from ingestion_assets.stores.gap_ledger import MISSING, NO_TRADES, UNRECOVERABLE, GapLedger, Hole
from ingestion_assets.stores.lake import Lake
from ingestion_assets.tables import Table

log = logging.getLogger(__name__)

_MAY_STILL_COME = timedelta(days=3)  # an archive is sometimes late

Open = Callable[[type[Vendor]], Vendor]


@dataclass
class _Answers:
    """What the feeds gave of one slice so far."""

    rows: list[pa.Table] = field(default_factory=list)
    told: list[tuple[str, Window]] = field(default_factory=list)  # by whom, about what
    absent: list[Absent] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    files: list[ArchiveFile] = field(default_factory=list)
    requests: int = 0

    def covered(self, table: Table) -> list[Window]:
        """Of events only whole steps of the grain count, in which their time is reckoned."""
        whole = union(window for _, window in self.told)
        if table.grid:
            return whole
        cut = [Window(ceiling(w.start, table.grain), floor(w.end, table.grain)) for w in whole]
        return [w for w in cut if w.start < w.end]


class FeedDesk(contextlib.AsyncExitStack):
    """The open vendors of one source, and how a slice is fetched from them."""

    def __init__(
        self,
        table: Table,
        lake: Lake,
        ledger: GapLedger,
        among: Sequence[type[Vendor]],
        open_vendor: Open,
        options: Options,
    ) -> None:
        super().__init__()
        self.table, self.lake, self.ledger, self.options = table, lake, ledger, options
        self.among, self._open_vendor = among, open_vendor
        self._opened: dict[str, Vendor] = {}
        self._opening = asyncio.Lock()
        self._broken: dict[tuple[str, str], SourceError] = {}
        self._ration = Ration(options.most)
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._now: datetime | None = None

    async def _vendor(self, kind: type[Vendor]) -> Vendor:
        async with self._opening:
            if kind.name not in self._opened:
                vendor = await self.enter_async_context(self._open_vendor(kind))
                vendor.ration = self._ration
                self._opened[kind.name] = vendor
            return self._opened[kind.name]

    async def _clock(self, kinds: Iterable[type[Vendor]]) -> datetime:
        """By the first of the vendors that tells the time; an archive has no clock, and does without."""
        for kind in kinds:
            if self._now is None and kind.now is not Vendor.now:
                try:
                    self._now = await (await self._vendor(kind)).now()
                except SourceError as error:
                    log.warning("%s does not tell the time, ours is taken: %s", kind.name, error)
        self._now = self._now or datetime.now(UTC)
        return self._now

    async def fetch(self, piece: Slice, parts: int) -> Fetched:
        if self.options.most is None:
            return await self._fetched(piece)
        # One slice of a series after the other, the newest first, or each would take all that is wanted.
        async with self._turns[piece.series.id]:
            return await self._fetched(piece)

    async def _fetched(self, piece: Slice) -> Fetched:
        started = time.monotonic()
        feeds = feeds_of(self.table, piece.series, self.among)
        if not feeds:
            raise BadRequest(nobody_gives(self.table, piece.series, self.among))
        now = await self._clock(kind for kind, _ in feeds)
        offer = offered(feeds, now)
        plan = await asyncio.to_thread(
            plan_slice, self.table, piece, self.lake, self.ledger, offer, now, self.options
        )
        answers = _Answers()
        await self._ask_all(feeds, plan, now, answers)
        rows = self.table.distinct(pa.concat_tables([self.table.empty(), *answers.rows]))
        found, error = self._verdicts(plan, rows, answers, feeds, now)
        return Fetched(
            slice=piece,
            plan=plan,
            rows=rows.combine_chunks(),
            holes=plan.unheld(found),
            error=error,
            requests=answers.requests,
            seconds=time.monotonic() - started,
            now=now,
            covered=answers.covered(self.table),
            besides=self._besides(plan, answers),
            files=answers.files,
        )

    def _besides(self, plan: Plan, answers: _Answers) -> list[Window]:
        if not self.table.grid:
            return []
        known = (*plan.missing, *(hole.window for hole in plan.foregone))
        return subtract(intersect(answers.covered(self.table), plan.wanted), known)

    async def _ask_all(
        self, feeds: Sequence[tuple[type[Vendor], Feed]], plan: Plan, now: datetime, answers: _Answers
    ) -> None:
        for kind, feed in feeds:
            covered = answers.covered(self.table)
            windows = intersect(subtract(plan.missing, covered), [feed.offered(now)])
            if self.options.most is None:
                windows = subtract(questions(feed, windows), covered)
            else:  # what is held would be taken for what is wanted
                windows.reverse()
            for window in windows:
                if not await self._ask(kind, feed, plan.slice.series, window, answers):
                    break

    async def _ask(
        self, kind: type[Vendor], feed: Feed, series: Series, window: Window, answers: _Answers
    ) -> bool:
        """Whether the feed can be asked on; what it gave before it failed is kept.

        What kept a vendor from answering for one slice of a series would keep it from answering for the
        next; other vendors, an archive for one, are asked on.
        """
        if self._ration.left(series.id) == 0:
            return False
        broken = self._broken.get((kind.name, series.id))
        if broken is not None:
            answers.errors.append(broken)
            return False
        try:
            vendor = await self._vendor(kind)
            async for answer in feed.fetch(vendor, series, window):
                answers.requests += answer.requests
                if isinstance(answer, Absent):
                    answers.absent.append(answer)
                    continue
                answers.rows.append(answer.rows)
                answers.told.append((kind.name, answer.window))
                if isinstance(answer, FilePage):
                    answers.files.append(ArchiveFile(kind.name, answer.path, answer.window, answer.sha256))
                self._ration.take(series.id, answer.rows.num_rows)
                if self._ration.left(series.id) == 0:
                    return False
        except SourceError as error:
            log.warning("%s of %s from %s: %s", self.table.path, series.id, kind.name, error)
            answers.errors.append(error)
            if not isinstance(error, MalformedAnswer):
                self._broken[kind.name, series.id] = error
            return False
        return True

    def _verdicts(
        self,
        plan: Plan,
        rows: pa.Table,
        answers: _Answers,
        feeds: Sequence[tuple[type[Vendor], Feed]],
        now: datetime,
    ) -> tuple[list[Hole], Exception | None]:
        """Why there is nothing where there is nothing, and the failure of the slice, if that is one."""
        found = []
        if self.table.grid:
            times = self.table.times(rows)
            for name, window in answers.told:
                lacking = [h for h in holes(times, window, self.table.grain) if h.start < h.end]
                found += [Hole(h, NO_TRADES, f"{name} has no row there") for h in lacking]
        lost = subtract(plan.missing, answers.covered(self.table))
        failed = answers.errors[0] if answers.errors and lost else None
        for one in answers.absent:
            if one.error is not None and failed is None and intersect(lost, [one.window]):
                failed = one.error
        if failed is None and self._ration.left(plan.slice.series.id) == 0:
            why = f"only the newest {self.options.most} rows were asked for"
            found += [Hole(window, MISSING, why) for window in lost]
            lost = []
        for window in lost if failed is None else ():
            evidence = self._evidence(window, answers, feeds, now)
            gone = window.end < now - _MAY_STILL_COME
            found.append(Hole(window, UNRECOVERABLE if gone else MISSING, evidence))
        return found, failed

    def _evidence(
        self,
        window: Window,
        answers: _Answers,
        feeds: Sequence[tuple[type[Vendor], Feed]],
        now: datetime,
    ) -> str:
        said = list(dict.fromkeys(a.evidence for a in answers.absent if intersect([a.window], [window])))
        said = said[:2] + ([f"and {len(said) - 2} more"] if len(said) > 2 else [])
        said += [
            f"{kind.name} serves nothing before {iso(feed.offered(now).start)}"
            for kind, feed in feeds
            if feed.horizon is not None and window.start < feed.offered(now).start
        ]
        return "; ".join(said) or "no vendor has it"
