"""Candles: what every venue's file offers, and which file serves which exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from ingestion_assets.intervals import Window
from ingestion_assets.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa

    from ingestion_assets.sources.spending import Purse


class Held(Protocol):
    """What is held already, for vendors who can only tell what they have now: the lake."""

    def months(self, table: Table, series: str) -> list[str]: ...

    def holes(self, table: Table, series: str, window: Window) -> list[Window]: ...

    def read(
        self, table: Table, series: str, window: Window, columns: Sequence[str] | None = None
    ) -> pa.Table: ...


@dataclass(frozen=True)
class SourceOptions:
    """What the settings say about one exchange."""

    base_url: str | None = None
    fallback_url: str | None = None
    redis_url: str | None = None
    api_key: str | None = None
    api_secret: str | None = None
    origin: str = "rest"
    settle: timedelta = timedelta(seconds=5)
    timeout: float = 30.0
    attempts: int = 5
    concurrency: int = 8
    held: Held | None = None
    purse: Purse | None = None  # where a vendor that charges is paid from
    folder: Path | None = None  # where answers may be put, to ask next time only for what is new


@dataclass(frozen=True)
class Market:
    """One instrument as the venue describes it."""

    symbol: str
    listed_at: datetime | None
    delisted_at: datetime | None
    trading: bool
    timeframes: frozenset[str]


@dataclass(frozen=True)
class Pages:
    """What one or several answers gave, and what went wrong after them if something did."""

    rows: pa.Table
    answers: int
    stopped: Exception | None = None


class CandleSource(Protocol):
    """A venue's candles. Rows come normalised; a page never holds rows from outside its window."""

    name: str
    settle: timedelta
    page_rows: int
    page_weight: int

    @property
    def requests(self) -> int: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exception: object) -> None: ...

    async def now(self) -> datetime:
        """The venue's clock."""

    async def market(self, symbol: str) -> Market:
        """Raises NotFound, with the nearest names, when the venue has no such market."""

    async def page(self, symbol: str, table: Table, window: Window) -> pa.Table:
        """The bars that open in the window, oldest first, as many as one answer holds."""

    async def pages(self, symbol: str, table: Table, window: Window) -> Pages:
        """A page, or several that follow on each other without a hole."""

    async def first_after(self, symbol: str, table: Table, moment: datetime) -> datetime | None:
        """When the first bar at or after the moment opens, as far as the venue has any."""

    def horizon(self, table: Table, now: datetime) -> datetime | None:
        """Before this moment the venue serves nothing of this table to anybody."""

    def weight_per_second(self) -> float | None:
        """What the venue's limit allows, for estimates."""


def open_source(exchange: str, options: SourceOptions) -> CandleSource:
    """The native file of an exchange where there is one, ccxt for every other."""
    if exchange == "binance":
        from ingestion_assets.sources.market.binance import Binance

        return Binance(options)
    from ingestion_assets.sources.market.ccxt_exchanges import CcxtExchange

    return CcxtExchange(exchange, options)
