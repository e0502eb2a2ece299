"""Working out what a piece of work takes: partitions, bars, requests, weight, time. Launches nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ingestion_assets.cli.selection import Work
from ingestion_assets.ingestion import Options, Plan, offer_of, plan_slice, slices_of
from ingestion_assets.intervals import Window, bars, month_window, months
from ingestion_assets.stores.gap_ledger import UNRECOVERABLE

if TYPE_CHECKING:
    from ingestion_assets.sources.market import CandleSource
    from ingestion_assets.workbench import Workbench

_ANSWER_SECONDS = 0.03  # what a page of candles takes beyond a round trip, as venues go
_WORK_SECONDS = 0.004  # what parsing, checking and writing a page takes here


@dataclass(frozen=True)
class Planned:
    """What one series needs in one timeframe."""

    work: Work
    slices: list[Plan]
    page_rows: int
    page_weight: int
    pace: Pace

    @property
    def needed(self) -> list[Plan]:
        """The months that need something, newest first."""
        return [plan for plan in self.slices if plan.missing]

    @property
    def keys(self) -> list[str]:
        return [plan.slice.key for plan in self.needed]

    @property
    def bars(self) -> int:
        return sum(plan.bars(self.work.table) for plan in self.slices)

    @property
    def requests(self) -> int:
        return sum(plan.pages(self.work.table, self.page_rows) for plan in self.slices)

    @property
    def weight(self) -> int:
        return self.requests * self.page_weight

    @property
    def seconds(self) -> float:
        return self.pace.seconds(self.requests, self.weight)

    @property
    def foregone(self) -> list[str]:
        """What is not to be had, and why; a listing date explains itself."""
        by_reason: dict[str, int] = {}
        for plan in self.slices:
            for hole in plan.foregone:
                if hole.reason == UNRECOVERABLE:
                    lost = bars([hole.window], self.work.table.grain)
                    by_reason[hole.evidence] = by_reason.get(hole.evidence, 0) + lost
        return [f"{count:,} bars are not to be had: {why}" for why, count in by_reason.items()]

    def as_dict(self) -> dict[str, Any]:
        return {
            "series": self.work.series.id,
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


@dataclass(frozen=True)
class Pace:
    """How fast a venue may be asked: by its weight limit, and by how long it takes to answer."""

    venue: str
    weight_per_second: float | None
    window_budget: float | None
    requests_per_second: float

    def seconds(self, requests: int, weight: int) -> float:
        by_answers = requests / self.requests_per_second
        if not self.weight_per_second:
            return by_answers
        # What fits into the venue's window is not held up; the rest is let through at the limit's rate.
        over = max(0.0, weight - (self.window_budget or 0.0))
        return max(by_answers, over / self.weight_per_second)


def plan_work(
    bench: Workbench, works: Sequence[Work], options: Options, *, whole_months: bool
) -> list[Planned]:
    """Asks each venue for its clock and nothing else. Dagster's partitions are whole months."""
    return asyncio.run(_plan(bench, works, options, whole_months))


async def _plan(
    bench: Workbench, works: Sequence[Work], options: Options, whole_months: bool
) -> list[Planned]:
    by_venue: dict[str, list[Work]] = {}
    for work in works:
        by_venue.setdefault(work.series.source, []).append(work)
    found: dict[int, Planned] = {}
    for name, mine in by_venue.items():
        async with bench.source(name) as source:
            asked = time.monotonic()
            now = await source.now()
            pace = _pace(name, source, time.monotonic() - asked, bench.settings.http_concurrency)
            for work in mine:
                window = _months_of(work.window) if whole_months else work.window
                offer = offer_of(work.table, source, now)
                slices = [
                    plan_slice(work.table, piece, bench.lake, bench.ledger, offer, now, options)
                    for piece in slices_of([work.series], window)
                ]
                slices = [plan for plan in slices if plan.wanted or plan.foregone]
                found[id(work)] = Planned(work, slices, source.page_rows, source.page_weight, pace)
    return [found[id(work)] for work in works]


def total_seconds(planned: Sequence[Planned]) -> float:
    """Venues are worked on side by side, the series of one venue share its limits."""
    by_venue: dict[str, list[Planned]] = {}
    for one in planned:
        by_venue.setdefault(one.pace.venue, []).append(one)
    return max(
        (m[0].pace.seconds(sum(p.requests for p in m), sum(p.weight for p in m)) for m in by_venue.values()),
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
    budget = getattr(getattr(source, "governor", None), "budget", None)
    rate = min(concurrency / (round_trip + _ANSWER_SECONDS), 1 / _WORK_SECONDS)
    return Pace(venue, source.weight_per_second(), budget.spendable if budget else None, rate)


def _months_of(window: Window) -> Window:
    names = list(months(window))
    return Window(month_window(names[0]).start, month_window(names[-1]).end)
