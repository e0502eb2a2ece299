"""A series as its vendor describes it; whether we keep it is adopting.py's affair."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ingestion_assets.intervals import TIMEFRAMES, floor
from ingestion_assets.registry import Series, Strategy
from ingestion_assets.sources.feeds import Vendor
from ingestion_assets.sources.market import Market
from ingestion_assets.workbench.naming import named

if TYPE_CHECKING:
    from ingestion_assets.workbench.bench import Workbench


def describe(bench: Workbench, text: str, now: datetime, timeframes: Sequence[str]) -> Series:
    """A series for a canonical id or an alias."""
    kind, source, name, symbol = named(text, bench.vendors)
    market = asyncio.run(_listed(bench, kind, symbol) if kind else look_up(bench, source, symbol))
    lookback = floor(now - timedelta(days=bench.settings.ingestion_lookback_days), timedelta(days=1))
    return Series(
        id=name,
        domain=kind.domain if kind else "market",
        source=source,
        symbol=symbol,
        strategy=kind.strategy if kind else Strategy.FLATPACK_API,
        timeframes=() if kind else _offered(timeframes, market, source, symbol),
        listed_at=market.listed_at,
        delisted_at=market.delisted_at,
        backfill_from=max(filter(None, (lookback, market.listed_at))),
        metadata={"tables": [table.name for table in kind.usual]} if kind and kind.usual else {},
    )


async def look_up(bench: Workbench, exchange: str, symbol: str) -> Market:
    """The market at the venue; raises NotFound with the nearest names."""
    async with bench.source(exchange) as source:
        return await source.market(symbol)


async def _listed(bench: Workbench, kind: type[Vendor], symbol: str) -> Market:
    if not kind.lists():
        return Market(symbol, None, None, trading=True, timeframes=frozenset())
    async with bench.vendor(kind) as vendor:
        return await vendor.look_up(symbol)


def _offered(timeframes: Sequence[str], market: Market, exchange: str, symbol: str) -> tuple[str, ...]:
    if lacking := [one for one in timeframes if one not in market.timeframes]:
        offered = ", ".join(one for one in TIMEFRAMES if one in market.timeframes)
        raise ValueError(f"timeframe {lacking[0]!r}: {exchange} offers {offered or 'none'} of {symbol}")
    return tuple(timeframes)
