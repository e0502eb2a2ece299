"""What is ingested from the start: the settings' markets and jobs as series, and registering them.

Not here: series that people add later; those are only in the registry.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from ingestion_assets.registry import Series, series_id
from ingestion_assets.settings import Settings
from ingestion_assets.sources.errors import GeoBlocked, SourceError, Transient
from ingestion_assets.sources.feeds import Vendor, vendors
from ingestion_assets.tables import DERIVED, INGESTED
from ingestion_assets.workbench import Workbench
from ingestion_assets.workbench.naming import named

SHIPPED: Mapping[str, tuple[str, ...]] = {
    "binance.BTC-USDT": ("1m", "5m"),
    "binance.ETH-USDT": ("1m",),
    "binance.SOL-USDT": ("1m",),
}


_INDEX = re.compile(r"[A-Za-z0-9]{1,10}")  # like SPX: no pair


def fetched_as(timeframe: str) -> str:
    """1h, 1d and 1w are made from 1m, so who wants them wants 1m to be fetched."""
    return "1m" if timeframe in DERIVED else timeframe


def seeds(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Timeframes by series id, as the environment says; what is shipped when it says nothing."""
    found: dict[str, list[str]] = {}
    said = list(_said(settings))
    for _, name, timeframe in said:
        if isinstance(name, str):
            frames = found.setdefault(name, [])
            if fetched_as(timeframe) not in frames:
                frames.append(fetched_as(timeframe))
    return {name: tuple(frames) for name, frames in found.items()} if said else dict(SHIPPED)


def unreadable(settings: Settings) -> dict[str, Exception]:
    """The entries that stand for no series, each with why; the others are seeds all the same."""
    return {entry: name for entry, name, _ in _said(settings) if isinstance(name, ValueError)}


def _said(settings: Settings) -> Iterator[tuple[str, str | ValueError, str]]:
    """What the environment asks for: as it is written, the series that it means, the timeframe."""
    kinds = vendors()
    for market in settings.ingestion_markets:
        yield f"INGESTION_MARKETS: {market}", _meant(_completed(market, settings), kinds), "1m"
    for job in settings.all_market_jobs:
        yield job.series, job.series, job.timeframe
    for symbol in settings.backfill_symbols if settings.backfill_enabled else ():
        for timeframe in settings.backfill_timeframes:
            given = symbol if "." in symbol else f"{settings.backfill_exchange}.{symbol}"
            yield f"BACKFILL_SYMBOLS: {symbol}", _meant(given, kinds), timeframe


def plant(
    bench: Workbench, names: Iterable[str] | None = None, now: datetime | None = None
) -> tuple[list[str], dict[str, Exception]]:
    """Register the seeds that are missing: the ids of the new ones, and by seed why one could not be.

    One that cannot be read or looked up does not keep the others from being planted; of a venue that does
    not answer no more is asked than the first.
    """
    now = now or datetime.now(UTC)
    wanted = seeds(bench.settings)
    known = {series.id: series for series in bench.registry.series()}
    added: list[str] = []
    errors = unreadable(bench.settings) if names is None else {}
    silent: dict[str, Exception] = {}
    for name in wanted if names is None else names:
        venue = name.partition(".")[0]
        if name in known:
            held = known[name]
            if held.domain != "market":
                continue
            frames = tuple(dict.fromkeys((*held.timeframes, *wanted.get(name, ()))))
            if (
                held.domain == "market" and frames != held.timeframes
            ):  # a job may ask for more of a series than was wanted before
                bench.registry.update(dataclasses.replace(held, timeframes=frames))
                bench.expect([bench.registry.require(name).series], now)
            continue
        if venue in silent:
            errors[name] = silent[venue]
            continue
        try:
            series = _described(bench, name, wanted.get(name, ("1m",)), now)
            added += bench.registry.add_missing([series])
            bench.expect([series], now)
        except (SourceError, ValueError) as error:
            errors[name] = error
            if isinstance(error, (Transient, GeoBlocked)):
                silent[venue] = error
    return added, errors


def _described(bench: Workbench, name: str, timeframes: tuple[str, ...], now: datetime) -> Series:
    for timeframe in timeframes:
        if timeframe not in INGESTED:
            offered = ", ".join((*INGESTED, *DERIVED))
            raise ValueError(
                f"series {name!r}: timeframe {timeframe!r} is not ingested: use one of {offered}"
            )
    return bench.describe(name, now, timeframes)


def _completed(market: str, settings: Settings) -> str:
    """With who is meant when a market names nobody: EXCHANGE_NAME, or the provider of markets in dollars.

    Binance has no market in US dollars, and no exchange one without a quote. Whose EXCHANGE_NAME is another
    gets dollars there, unless INGESTION_PROVIDER is set.
    """
    if "." in market:
        return market
    exchange, provider = settings.exchange_name.strip().lower(), settings.market_provider
    if exchange != "binance" and settings.ingestion_provider is None:
        return f"{exchange}.{market}"
    try:
        pair = series_id(exchange, market).partition(".")[2]
    except ValueError:
        return f"{provider if _INDEX.fullmatch(market.strip()) else exchange}.{market}"
    return f"{provider}.{pair}" if pair.endswith("-USD") else f"{exchange}.{market}"


def _meant(text: str, kinds: Sequence[type[Vendor]]) -> str | ValueError:
    """The series that `kraken.ETH-USD`, `mock.SPX` or `binance.BTCUSDT` stands for."""
    try:
        return named(text, kinds).id
    except ValueError as error:
        return error
