"""How often vendors that charge are asked by themselves.

As often as a table's cron says, or so much less often that what may still be spent lasts until its day
or month is over; not at all once it is spent. Nothing is remembered between two ticks: what is left tells
the rhythm anew each time, so that a large backfill slows the ticks after it down instead of starving them.

What people ask for by hand is not held back here: it fails, and says what was spent, when nothing is left.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from croniter import croniter

from ingestion_assets.registry import Series
from ingestion_assets.sources.feeds import Feed, Vendor
from ingestion_assets.stores.budgets import Account, period_end
from ingestion_assets.tables import Table
from ingestion_assets.workbench import Workbench

_SECOND = timedelta(seconds=1)
_COARSER = 1.05  # rhythms differ by so much: one that changed with each tick would be none
Reason = Callable[[type[Vendor], Feed, Account], str | None]


class Allowances:
    """What the vendors' accounts allow at a moment."""

    def __init__(self, bench: Workbench, now: datetime) -> None:
        self._bench, self._now = bench, now
        self._accounts = {a.vendor: a for a in bench.accounts(now) if a.limit is not None}
        self._wants: dict[str, float] = {}

    def refusal(self, table: Table, series: Series) -> str | None:
        """Why nobody can be paid for a table of a series; None: somebody can, or takes nothing."""
        return self._first(table, series, self._spent)

    def pause(self, table: Table, series: Series) -> str | None:
        """Why a tick of the table's cron does not ask for a series; None: it does."""
        return self._first(table, series, self._early)

    def _first(self, table: Table, series: Series, reason: Reason) -> str | None:
        found = None
        for kind, feed in self._bench.feeds(table, series):
            account = self._accounts.get(kind.name)
            found = reason(kind, feed, account) if account else None
            if found is None:
                return None
        return found

    def _spent(self, kind: type[Vendor], feed: Feed, account: Account) -> str | None:
        short = account.left is not None and account.left < feed.least_cost
        return f"{kind.name}: {account.text}" if short else None

    def _early(self, kind: type[Vendor], feed: Feed, account: Account) -> str | None:
        spent = self._spent(kind, feed, account)
        if spent or account.left is None or feed.page_cost > 1:  # what such a page takes nobody knows before
            return spent
        slower = self._wanted(kind, period_end(account.period) - self._now) / account.left
        step = _step(feed.table, self._now)
        if slower <= 1:
            return None
        every = _interval(feed.table, self._now) * _COARSER ** math.ceil(math.log(slower, _COARSER))
        if (self._now.timestamp() // every) != ((self._now.timestamp() - step) // every):
            return None
        text = timedelta(seconds=round(every))
        return f"{kind.name}: {account.text}; asked every {text} for {feed.table.path}, so that it lasts"

    def _wanted(self, kind: type[Vendor], rest: timedelta) -> float:
        """How many units the ticks of all its tables would take in this time."""
        if kind.name in self._wants:
            return self._wants[kind.name]
        wanted = 0.0
        for feed in kind.feeds:
            names = [s for s in self._bench.followed(feed.table) if s.source == kind.serves]
            asks = min(1, len(names)) if feed.together else len(names)
            wanted += asks * (rest / _SECOND) / _interval(feed.table, self._now)
        self._wants[kind.name] = wanted
        return wanted


def _step(table: Table, now: datetime) -> float:
    """Seconds between two ticks."""
    ticks = croniter(table.cron or "0 * * * *", now)
    first = ticks.get_next(float)
    return float(ticks.get_next(float)) - float(first)


def _interval(table: Table, now: datetime) -> float:
    """Seconds between two ticks that find something to ask for: bars come no faster than they close."""
    return max(_step(table, now), table.grain / _SECOND) if table.grid else _step(table, now)
