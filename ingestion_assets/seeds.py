"""What is ingested from the start, as the settings say, before anybody has registered anything."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from ingestion_assets.registry import series_id
from ingestion_assets.settings import Settings
from ingestion_assets.sources.errors import SourceError
from ingestion_assets.workbench import Workbench

SHIPPED = {"binance.BTC-USDT": ("1m", "5m"), "binance.ETH-USDT": ("1m",), "binance.SOL-USDT": ("1m",)}


def seeds(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Series id → timeframes: from INGESTION_MARKETS, the job variables, or what is shipped."""
    found: dict[str, set[str]] = {}
    for name in settings.ingestion_markets:
        exchange, dot, symbol = name.partition(".")
        identity = series_id(exchange, symbol) if dot else series_id(settings.exchange_name, name)
        found.setdefault(identity, set()).add("1m")
    for job in settings.all_market_jobs:
        found.setdefault(job.series, set()).add(job.timeframe)
    if settings.backfill_enabled:
        for symbol in settings.backfill_symbols:
            identity = series_id(settings.backfill_exchange, symbol)
            found.setdefault(identity, set()).update(settings.backfill_timeframes)
    return {name: tuple(sorted(frames)) for name, frames in found.items()} or SHIPPED


def plant(bench: Workbench, now: datetime) -> dict[str, Exception]:
    """Register the seeds that are not there yet; those that cannot be looked up, with why."""
    refused: dict[str, Exception] = {}
    known = {series.id: series for series in bench.registry.series()}
    for name, timeframes in seeds(bench.settings).items():
        held = known.get(name)
        if held is not None:
            lacking = [frame for frame in timeframes if frame not in held.timeframes]
            if lacking:
                bench.registry.update(dataclasses.replace(held, timeframes=(*held.timeframes, *lacking)))
            continue
        try:
            series = bench.describe(name, now)
        except (SourceError, ValueError) as error:
            refused[name] = error
            continue
        bench.registry.add_missing([dataclasses.replace(series, timeframes=timeframes)])
    return refused
