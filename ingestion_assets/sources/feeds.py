"""Feeds: how one vendor gives one table. What a source file declares, and where all of them are found.

A source file has one class, a `Vendor`, with a method for each table it can give:

    class Venue(Vendor):
        name, domain, serves = "venue_rest", "derivatives", "venue"

        @feed(FUNDING_RATES, phase="rest", page_rows=1_000)
        async def funding(self, series, window):
            yield Page(rows, window)

Being there is enough: `vendors()` finds every class, assets and schedules are made from their feeds.
Engines that work with feeds are in ingestion/; nothing here asks a vendor.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

import pyarrow as pa

from ingestion_assets.intervals import Window, floor
from ingestion_assets.registry import Series, Strategy, check_id
from ingestion_assets.sources.errors import SourceError
from ingestion_assets.sources.governor import Governor
from ingestion_assets.sources.market import Market, SourceOptions
from ingestion_assets.sources.spending import Allowance
from ingestion_assets.tables import Table

PHASES = ("bulk", "rest", "snapshot", "stream")  # in the order in which a hole is offered to them


@dataclass(frozen=True)
class Page:
    """All that the vendor has of a window."""

    rows: pa.Table
    window: Window
    requests: int = 1


@dataclass(frozen=True)
class Absent:
    """A window of which the vendor has nothing to give, and how we know; another feed may have it."""

    window: Window
    evidence: str
    requests: int = 1
    error: Exception | None = None


Fetch = Callable[[Any, Series, Window], AsyncIterator[Page | Absent]]


@dataclass(frozen=True)
class Feed:
    """One table of one vendor: what the planner, the governor and the schedules need to know of it."""

    table: Table
    phase: str
    fetch: Fetch
    settle: timedelta = timedelta(seconds=5)  # so long after it ended, a stretch of time is final
    whole: timedelta | None = None  # given only in wholes of this length, as an archive's files are
    horizon: timedelta | None = None  # what is older is served to nobody
    page_rows: int = 1_000
    page_weight: int = 1
    page_cost: int = 1  # the most units of the vendor's allowance that a page takes
    least_cost: int = 1  # and the fewest that are taken to ask at all
    together: bool = False  # one request serves all series that are asked for at once

    def offered(self, now: datetime) -> Window:
        """The time of which the vendor has anything at this moment."""
        until = now - self.settle
        start = datetime.min.replace(tzinfo=UTC) if self.horizon is None else now - self.horizon
        return Window(start, floor(until, self.whole or self.table.grain))


def feed(table: Table, *, phase: str, **more: Any) -> Callable[[Fetch], Fetch]:
    """Declares that a Vendor's method gives a table; see Feed for what else can be said."""
    if phase not in PHASES:
        raise ValueError(f"phase {phase!r} is unknown: use one of {', '.join(PHASES)}")

    def declare(fetch: Fetch) -> Fetch:
        @functools.wraps(fetch)
        async def fetched(vendor: Vendor, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
            try:
                async for answer in fetch(vendor, series, window):
                    yield answer
            except SourceError as error:  # texts of answers that are no rows may repeat the key
                error.args = (vendor.without_keys(str(error)),)
                raise

        fetched.feed = Feed(table, phase, fetched, **more)  # type: ignore[attr-defined]
        return fetched

    return declare


class Ration:
    """How many more rows of each series are wanted, the newest first; None: all that there are."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._taken: dict[str, int] = {}

    def left(self, series: str) -> int | None:
        return None if self._most is None else max(0, self._most - self._taken.get(series, 0))

    def take(self, series: str, rows: int) -> None:
        self._taken[series] = self._taken.get(series, 0) + rows


class Vendor:
    """A vendor, open inside `async with`. Subclasses in sources/ are found by themselves."""

    name: ClassVar[str]
    domain: ClassVar[str]
    serves: ClassVar[str]  # the `source` of the series that it serves
    needs: ClassVar[str | None] = None  # the setting without which it cannot be asked
    secret: ClassVar[str | None] = None  # and the one with the other half of a key that has two
    strategy: ClassVar[Strategy] = Strategy.FLATPACK  # of its series, when nobody says otherwise
    usual: ClassVar[tuple[Table, ...]] = ()  # what is kept of them then; nothing said: every table
    allowance: ClassVar[Allowance | None] = None  # how much may be spent, where asking costs
    feeds: ClassVar[tuple[Feed, ...]] = ()

    def __init__(self, options: SourceOptions) -> None:
        self.options = options
        self.ration = Ration()

    def __init_subclass__(cls) -> None:
        declared = [getattr(value, "feed", None) for value in vars(cls).values()]
        cls.feeds = tuple(one for one in declared if isinstance(one, Feed))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        return None

    def without_keys(self, text: str) -> str:
        """A text without the keys with which the vendor is asked."""
        return text

    async def now(self) -> datetime:
        """By the vendor's clock where it tells one."""
        return datetime.now(UTC)

    @property
    def governor(self) -> Governor | None:
        """What paces its requests, where something does."""
        return None

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        """Id and symbol of one of its series, by what stands behind the dot; None: it is none of its."""
        return check_id(f"{cls.serves}.{text}"), text

    @classmethod
    def lists(cls) -> bool:
        """Whether it can be asked for what it has."""
        return cls.look_up is not Vendor.look_up

    async def look_up(self, symbol: str) -> Market:
        """What the vendor says of a symbol; raises NotFound, with the nearest names, when it has none."""
        raise NotImplementedError(f"{self.name} lists no symbols")


def vendors(package: str = "ingestion_assets.sources") -> list[type[Vendor]]:
    """Every vendor class with feeds in a package of sources, by name."""
    root = importlib.import_module(package)
    found: dict[str, type[Vendor]] = {}
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        for value in vars(importlib.import_module(module.name)).values():
            if not (isinstance(value, type) and issubclass(value, Vendor) and value.feeds):
                continue
            if found.setdefault(value.name, value) is not value:
                raise ValueError(f"two vendors are called {value.name!r}: rename one of them")
    return [found[name] for name in sorted(found)]


def feeds_of(table: Table, series: Series, among: Iterable[type[Vendor]]) -> list[tuple[type[Vendor], Feed]]:
    """Who gives this table of this series, in the order in which to ask."""
    found = [
        (vendor, one)
        for vendor in among
        if vendor.domain == table.domain and vendor.serves == series.source
        for one in vendor.feeds
        if one.table.path == table.path and one.phase in series.strategy.phases
    ]
    return sorted(found, key=lambda pair: PHASES.index(pair[1].phase))
