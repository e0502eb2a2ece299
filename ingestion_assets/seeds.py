"""What is ingested from the start: the settings' markets and jobs as series, and registering them.

Not here: series that people add later; those are only in the registry.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from ingestion_assets.registry import Series, parse_id, series_id
from ingestion_assets.settings import Settings
from ingestion_assets.sources.errors import GeoBlocked, SourceError, Transient
from ingestion_assets.sources.feeds import vendors
from ingestion_assets.tables import DERIVED, INGESTED
from ingestion_assets.workbench import Workbench

SHIPPED: Mapping[str, tuple[str, ...]] = {
    "binance.BTC-USDT": ("1m", "5m"),
    "binance.ETH-USDT": ("1m",),
    "binance.SOL-USDT": ("1m",),
}


def fetched_as(timeframe: str) -> str:
    """1h, 1d and 1w are made from 1m, so who wants them wants 1m to be fetched."""
    return "1m" if timeframe in DERIVED else timeframe


def seeds(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Timeframes by series id, as the environment says; what is shipped when it says nothing."""
    found: dict[str, list[str]] = {}

    def want(name: str, timeframe: str) -> None:
        frames = found.setdefault(name, [])
        if fetched_as(timeframe) not in frames:
            frames.append(fetched_as(timeframe))

    for market in settings.ingestion_markets:
        want(_name(market, settings.exchange_name), "1m")
    for job in settings.all_market_jobs:
        want(job.series, job.timeframe)
    if settings.backfill_enabled:
        for symbol in settings.backfill_symbols:
            for timeframe in settings.backfill_timeframes:
                want(_name(symbol, settings.backfill_exchange), timeframe)
    return {name: tuple(frames) for name, frames in found.items()} or dict(SHIPPED)


def plant(
    bench: Workbench, names: Iterable[str] | None = None, now: datetime | None = None
) -> tuple[list[str], dict[str, Exception]]:
    """Register the seeds that are missing: the ids of the new ones, and by seed why one could not be.

    One that cannot be looked up does not keep the others from being planted; of a venue that does not
    answer no more is asked than the first.
    """
    now = now or datetime.now(UTC)
    wanted = seeds(bench.settings)
    known = {series.id: series for series in bench.registry.series()}
    added: list[str] = []
    errors: dict[str, Exception] = {}
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


def _name(market: str, exchange: str) -> str:
    """`BTC-USD` or `BTC/USDT` of whoever is meant when nobody is named; `kraken.ETH-USD`, `mock.SPX`."""
    text = market.strip() if "." in market else f"{exchange}.{market.strip()}"
    source, _, rest = text.partition(".")
    givers = [kind for kind in vendors() if kind.serves == source.lower()]
    named = next((found for kind in givers if (found := kind.named(rest))), None)
    return named[0] if named else series_id(*parse_id(text))
