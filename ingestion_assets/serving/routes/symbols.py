"""The registry over HTTP: which series there are, added, switched, taken out."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.exceptions import HTTPException

from ingestion_assets.registry import Strategy
from ingestion_assets.serving.context import Context, Given
from ingestion_assets.serving.ingestion import described, table_for
from ingestion_assets.serving.models import Removed, StatusGiven, SymbolGiven, SymbolShown
from ingestion_assets.serving.parameters import Exchange, market_series, ticker_series, timeframe_of
from ingestion_assets.serving.problems import Problem, Responses, Unprocessable
from ingestion_assets.serving.redacting import without_secrets
from ingestion_assets.serving.security import opens
from ingestion_assets.stores.registry_table import Entry, RegistryError

router = APIRouter(prefix="/api/v1/symbols", tags=["registry"])
# A symbol with a slash in it is one path all the same.
InPath = Annotated[str, Path(max_length=128, description="`binance.BTC-USDT`, `BTC/USDT`, `AAPL`")]
UNKNOWN: Responses = {404: {"model": Problem, "description": "No such series."}}


@router.get("", response_model=list[SymbolShown])
def listed(
    given: Given,
    request: Request,
    enabled_only: bool = False,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 1_000,
) -> list[SymbolShown]:
    """Of web addresses, who has no token sees neither user nor what the query's parameters are."""
    entries = given.bench.registry.entries(enabled_only=enabled_only)
    shown = [_shown(entry) for entry in entries[offset : offset + limit]]
    if opens(request.headers.raw, given.settings.admin_token):
        return shown
    return [SymbolShown(**without_secrets(one.model_dump())) for one in shown]


@router.post("", response_model=SymbolShown, status_code=201, responses={409: {"model": Problem}, **UNKNOWN})
def add(given: Given, wanted: SymbolGiven) -> SymbolShown:
    name = _id(given, wanted.symbol, wanted.exchange)
    try:
        strategy = Strategy.parse(wanted.strategy)
    except ValueError as error:
        raise Unprocessable(str(error)) from None
    timeframes = [timeframe_of(text) for text in wanted.timeframes]
    for timeframe in timeframes:
        table_for(timeframe)
    if given.bench.registry.get(name) is not None:
        raise HTTPException(409, f"series {name!r} is registered already: PUT /api/v1/symbols/{name}/status")
    now = datetime.now(UTC)
    series = dataclasses.replace(
        described(given.bench, name, now, timeframes),
        strategy=strategy,
        enabled=wanted.enabled,
        description=wanted.description,
        metadata=wanted.metadata,
    )
    try:
        given.bench.registry.add(series)
    except RegistryError as error:  # another request was faster
        raise HTTPException(409, str(error)) from None
    given.bench.expect([series], now)
    return _shown(given.bench.registry.require(name))


@router.put("/{symbol:path}/status", response_model=SymbolShown, responses=UNKNOWN)
def set_status(given: Given, symbol: InPath, wanted: StatusGiven, exchange: Exchange = None) -> SymbolShown:
    """`disabled` stops automation, `idle` lets it go on and forgets the error; a run says `running`."""
    name = _known(given, symbol, exchange).series.id
    registry = given.bench.registry
    if wanted.error_message is not None and wanted.status != "error":
        raise Unprocessable(f"error_message belongs to status error, not to {wanted.status}")
    if wanted.status == "disabled":
        registry.enable(name, False)
    elif wanted.status == "idle":
        registry.clear_error(name)
        registry.enable(name)
    else:
        registry.finish(name, wanted.error_message or "set over HTTP")
    return _shown(registry.require(name))


@router.delete("/{symbol:path}", response_model=Removed, responses=UNKNOWN)
def remove(given: Given, symbol: InPath, exchange: Exchange = None) -> Removed:
    """Forget a series; what the lake holds of it stays."""
    entry = _known(given, symbol, exchange)
    series = entry.series
    given.bench.forget(series, lambda: given.dagster.delete_partitions(series.domain, [series.id]))
    return Removed(status="deleted", series=series.id)


def _id(given: Context, symbol: str, exchange: str | None) -> str:
    """Of a share, of any other domain's series, or of a market."""
    try:
        known = given.bench.canonical(ticker_series(symbol, exchange) or symbol) if exchange is None else None
    except ValueError as error:
        raise Unprocessable(f"symbol {symbol[:60]!r}: {error}") from None
    return known or market_series(symbol, exchange, given.settings.exchange_name)


def _known(given: Context, symbol: str, exchange: str | None) -> Entry:
    entry = given.bench.registry.get(symbol)
    if entry is None:
        name = _id(given, symbol, exchange)
        entry = given.bench.registry.get(name)
    if entry is None:
        raise HTTPException(
            404, f"series {name!r} is not registered: GET /api/v1/symbols lists those that are"
        )
    return entry


def _shown(entry: Entry) -> SymbolShown:
    series = entry.series
    return SymbolShown(
        symbol=series.symbol,
        series=series.id,
        domain=series.domain,
        source=series.source,
        strategy=series.strategy.value,
        status=entry.status.value,
        enabled=series.enabled,
        timeframes=list(series.timeframes),
        last_backfill=entry.last_backfill,
        last_snapshot=entry.last_snapshot,
        last_stream=entry.last_stream,
        error_message=entry.error_message,
        description=series.description,
        metadata=series.metadata,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )
