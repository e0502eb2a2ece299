"""Who would be asked for a slice and how often: requests, weight, time, and units of what is charged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ingestion_assets.ingestion.offers import questions
from ingestion_assets.intervals import Window, bars, intersect, period_window, subtract, total
from ingestion_assets.stores.lake_file import CorruptFile

if TYPE_CHECKING:
    from ingestion_assets.ingestion import Plan
    from ingestion_assets.sources.feeds import Feed, Vendor
    from ingestion_assets.sources.governor import Governor
    from ingestion_assets.stores.budgets import Account
    from ingestion_assets.stores.lake import Lake
    from ingestion_assets.tables import Table

ANSWER_SECONDS = 0.03  # what a page takes beyond a round trip, as venues go
_WORK_SECONDS = 0.004  # what parsing, checking and writing a page takes here


@dataclass(frozen=True)
class Pace:
    """How fast a vendor may be asked: by its weight limit, and by how long it takes to answer."""

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


@dataclass(frozen=True)
class Asked:
    """What one vendor is asked."""

    pace: Pace
    requests: int
    weight: int
    units: int = 0  # of its allowance, at most


def pace_of(
    venue: str, governor: Governor | None, round_trip: float, concurrency: int, rate: float | None = None
) -> Pace:
    """`rate`: weight in each second, where the vendor says it itself."""
    budget = governor.budget if governor else None
    if rate is None and budget is not None:
        rate = budget.spendable / (budget.seconds + budget.late_by)
    answers = min(concurrency / (round_trip + ANSWER_SECONDS), 1 / _WORK_SECONDS)
    return Pace(venue, rate, budget.spendable if budget else None, answers)


def asked_of_feeds(
    table: Table,
    plans: Sequence[Plan],
    feeds: Sequence[tuple[type[Vendor], Feed]],
    paces: dict[str, Pace],
    now: datetime,
    density: float | None,
) -> list[Asked]:
    """What is missing, offered to each feed in turn as it will be; what one has, the next is not asked."""
    counts = [0] * len(feeds)
    for plan in plans:
        still, given = plan.missing, list[Window]()
        for place, (_, feed) in enumerate(feeds):
            mine = intersect(still, [feed.offered(now)])
            asked = subtract(questions(feed, mine), given)
            counts[place] += sum(_pages(table, feed, window, density) for window in asked)
            still, given = subtract(still, mine), [*given, *asked]
    return [
        Asked(
            paces[kind.name],
            count,
            count * feed.page_weight,
            count * feed.page_cost if kind.allowance is not None else 0,
        )
        for (kind, feed), count in zip(feeds, counts, strict=True)
        if count
    ]


def density_of(table: Table, lake: Lake, series: str) -> float | None:
    """Events in each second, as they came in the newest month or day that is held; None: nobody knows."""
    for period in reversed(lake.months(table, series)):
        whole = period_window(period)
        try:
            footer = lake.footer(table, series, period)
            told = total([whole]) - total(lake.holes(table, series, whole))
        except CorruptFile:
            continue
        if footer and footer.rows and told:
            return footer.rows / told.total_seconds()
    return None


def _pages(table: Table, feed: Feed, window: Window, density: float | None) -> int:
    """Of events nobody knows how many there are before they come: at least one page."""
    if table.grid or density is None:
        rows = float(bars([window], table.grain)) if table.grid else 1.0
    else:
        rows = density * window.length.total_seconds()
    return max(1, math.ceil(rows / feed.page_rows))


def takes(account: Account, asked: Iterable[Asked]) -> int:
    """How much of a vendor's allowance all this takes, at most."""
    return sum(one.units for one in asked if one.pace.venue == account.vendor)


def budget_text(account: Account, needed: int) -> str:
    """What was spent and, where something is asked, what this takes and what is left then."""
    if not needed:
        return f"{account.vendor}: {account.text}"
    text = f"{account.vendor}: {account.text}; this takes about {needed:,} {account.unit}"
    if account.limit is None:
        return text
    left = max(0, account.limit - account.spent)
    if needed > left:
        return f"{text}, {needed - left:,} more than the {left:,} left: the rest waits for the next period"
    return f"{text} and leaves {left - needed:,}"
