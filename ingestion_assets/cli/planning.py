"""Working out what a piece of work takes: partitions, bars, requests, weight, time. Launches nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ingestion_assets.cli.asking import Asked, Pace, asked_of_feeds, density_of, pace_of
from ingestion_assets.cli.output import duration
from ingestion_assets.cli.selection import Work
from ingestion_assets.ingestion import Offer, Options, Plan, offer_of, plan_slice, slices_of
from ingestion_assets.ingestion.offers import nobody_gives, offered
from ingestion_assets.intervals import Window, bars, period_window, periods
from ingestion_assets.sources.errors import BadRequest
from ingestion_assets.sources.feeds import Vendor
from ingestion_assets.stores.gap_ledger import UNRECOVERABLE
from ingestion_assets.tables import INGESTED

if TYPE_CHECKING:
    from ingestion_assets.sources.market import CandleSource
    from ingestion_assets.workbench import Workbench


@dataclass(frozen=True)
class Planned:
    """What one series needs in one table."""

    work: Work
    slices: list[Plan]
    asked: list[Asked]

    @property
    def needed(self) -> list[Plan]:
        """The months or days that need something, newest first."""
        return [plan for plan in self.slices if plan.missing]

    @property
    def keys(self) -> list[str]:
        return [plan.slice.key for plan in self.needed]

    @property
    def bars(self) -> int:
        return sum(plan.bars(self.work.table) for plan in self.slices)

    @property
    def requests(self) -> int:
        return sum(one.requests for one in self.asked)

    @property
    def weight(self) -> int:
        return sum(one.weight for one in self.asked)

    @property
    def seconds(self) -> float:
        return total_seconds([self])

    @property
    def foregone(self) -> list[str]:
        """What is not to be had, and why; a listing date explains itself."""
        by_reason: dict[str, int] = {}
        for plan in self.slices:
            for hole in plan.foregone:
                if hole.reason == UNRECOVERABLE:
                    lost = bars([hole.window], self.work.table.grain)
                    by_reason[hole.evidence] = by_reason.get(hole.evidence, 0) + lost
        unit = "bars" if self.work.table.grid else f"steps of {duration(self.work.table.grain)}"
        return [f"{count:,} {unit} are not to be had: {why}" for why, count in by_reason.items()]

    def as_dict(self) -> dict[str, Any]:
        return {
            "series": self.work.series.id,
            "table": self.work.table.path,
            "timeframe": self.work.timeframe,
            "from": self.work.window.start,
            "to": self.work.window.end,
            "partitions": len(self.slices),
            "partitions_needed": len(self.needed),
            "partition_keys": self.keys,
            "bars": self.bars,
            "requests": self.requests,
            "weight": self.weight,
            "eta_seconds": round(self.seconds, 1),
            "foregone": self.foregone,
        }


def plan_work(
    bench: Workbench, works: Sequence[Work], options: Options, *, whole_months: bool
) -> list[Planned]:
    """Asks each vendor for its clock and nothing else. Dagster's partitions are whole months or days."""
    return asyncio.run(_plan(bench, works, options, whole_months))


async def _plan(
    bench: Workbench, works: Sequence[Work], options: Options, whole_months: bool
) -> list[Planned]:
    by_source: dict[tuple[str, bool], list[Work]] = {}
    for work in works:
        by_source.setdefault((work.series.source, work.table in INGESTED.values()), []).append(work)
    found: dict[int, Planned] = {}
    for (name, candles), mine in by_source.items():
        if candles:
            async with bench.source(name) as source:
                asked = time.monotonic()
                now = await source.now()
                pace = _pace(name, source, time.monotonic() - asked, bench.settings.http_concurrency)
                for work in mine:
                    offer = offer_of(work.table, source, now)
                    slices = _slices(bench, work, offer, now, options, whole_months)
                    pages = sum(plan.pages(work.table, source.page_rows) for plan in slices)
                    found[id(work)] = Planned(work, slices, [Asked(pace, pages, pages * source.page_weight)])
        else:
            async with contextlib.AsyncExitStack() as stack:
                clocks = _Clocks(bench, stack)
                for work in mine:
                    found[id(work)] = await _plan_fed(bench, clocks, work, options, whole_months)
    return [found[id(work)] for work in works]


async def _plan_fed(
    bench: Workbench, clocks: _Clocks, work: Work, options: Options, whole_months: bool
) -> Planned:
    feeds = bench.feeds(work.table, work.series)
    if not feeds:
        raise BadRequest(nobody_gives(work.table, work.series, bench.vendors))
    kinds = list(dict.fromkeys(kind for kind, _ in feeds))
    for kind in kinds:
        await clocks.meet(kind)
    now = clocks.now(kinds)
    slices = _slices(bench, work, offered(feeds, now), now, options, whole_months)
    density = None if work.table.grid else density_of(work.table, bench.lake, work.series.id)
    asked = asked_of_feeds(work.table, slices, feeds, clocks.paces, now, density)
    return Planned(work, slices, asked)


class _Clocks:
    """The vendors that were met: what time each tells, and how fast it may be asked."""

    def __init__(self, bench: Workbench, stack: contextlib.AsyncExitStack) -> None:
        self._bench, self._stack = bench, stack
        self._times: dict[str, datetime] = {}
        self.paces: dict[str, Pace] = {}

    async def meet(self, kind: type[Vendor]) -> None:
        if kind.name in self.paces:
            return
        vendor = await self._stack.enter_async_context(self._bench.vendor(kind))
        asked = time.monotonic()
        if kind.now is not Vendor.now:
            self._times[kind.name] = await vendor.now()
        round_trip = time.monotonic() - asked
        concurrency = self._bench.settings.http_concurrency
        self.paces[kind.name] = pace_of(kind.name, vendor.governor, round_trip, concurrency)

    def now(self, kinds: Sequence[type[Vendor]]) -> datetime:
        """By the first that tells the time, as when it is fetched."""
        told = (self._times[kind.name] for kind in kinds if kind.name in self._times)
        return next(told, None) or datetime.now(UTC)


def _slices(
    bench: Workbench, work: Work, offer: Offer, now: datetime, options: Options, whole_months: bool
) -> list[Plan]:
    window = _whole(work.window, work.table.cut) if whole_months else work.window
    plans = [
        plan_slice(work.table, piece, bench.lake, bench.ledger, offer, now, options)
        for piece in slices_of([work.series], window, work.table.cut)
    ]
    return [plan for plan in plans if plan.wanted or plan.foregone]


def total_seconds(planned: Sequence[Planned]) -> float:
    """Vendors are worked on side by side, the series of one vendor share its limits."""
    by_venue: dict[str, list[Asked]] = {}
    for one in planned:
        for asked in one.asked:
            by_venue.setdefault(asked.pace.venue, []).append(asked)
    return max(
        (m[0].pace.seconds(sum(a.requests for a in m), sum(a.weight for a in m)) for m in by_venue.values()),
        default=0.0,
    )


def totals(planned: Sequence[Planned]) -> dict[str, Any]:
    return {
        "series": len({one.work.series.id for one in planned}),
        "partitions": sum(len(one.slices) for one in planned),
        "partitions_needed": sum(len(one.needed) for one in planned),
        "bars": sum(one.bars for one in planned),
        "requests": sum(one.requests for one in planned),
        "weight": sum(one.weight for one in planned),
        "eta_seconds": round(total_seconds(planned), 1),
    }


def _pace(venue: str, source: CandleSource, round_trip: float, concurrency: int) -> Pace:
    governor = getattr(source, "governor", None)
    return pace_of(venue, governor, round_trip, concurrency, source.weight_per_second() or 0.0)


def _whole(window: Window, cut: str) -> Window:
    names = list(periods(window, cut))
    return Window(period_window(names[0]).start, period_window(names[-1]).end)
