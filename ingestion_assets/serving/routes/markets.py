"""Markets as the older system showed them: definitions, snapshots, aggregates, comparisons, statistics.

The newest rows when no start is given. The newest of all come from the cache that ingestion refreshes, and
where it has none, from the lake, for CACHE_TTL_SECONDS.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Path, Query
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ingestion_assets.intervals import Window
from ingestion_assets.serving.context import Context, Given
from ingestion_assets.serving.models import Market, MarketRows, Newest
from ingestion_assets.serving.parameters import Exchange, market_series, seconds_of, timeframe_of
from ingestion_assets.serving.problems import Problem, Responses, Unprocessable
from ingestion_assets.serving.reading import newest_rows, spliced
from ingestion_assets.stores.cache import AGGREGATES, LATEST
from ingestion_assets.stores.newest import newest_entry
from ingestion_assets.tables import DERIVED, INGESTED, STATISTICS, Table

router = APIRouter(prefix="/api/markets", tags=["markets"])
InPath = Annotated[str, Path(max_length=128, description="`BTC-USDT`, `BTC/USDT` or `binance.BTC-USDT`")]
Kind = Literal["snapshots", "aggregates", "comparisons", "statistics"]
When = Annotated[
    str | None, Query(max_length=40, min_length=1, description="Seconds, ms or µs since 1970, or ISO 8601.")
]
UNKNOWN: Responses = {404: {"model": Problem, "description": "Nothing of that is held."}}
LONGEST = timedelta(days=366)
_STATISTICS = {
    "snapshots": "market_snapshot",
    "comparisons": "market_comparison",
    "statistics": "roi_statistics",
}


@router.get("", response_model=list[Market])
def markets(given: Given) -> list[Market]:
    found = []
    for series in given.bench.registry.series("market"):
        base, _, quote = series.symbol.partition(":")[0].partition("/")
        found.append(
            Market(
                symbol=series.symbol,
                series=series.id,
                name=series.description or f"{base} / {quote} on {series.source}",
                baseAsset=base,
                quoteAsset=quote,
            )
        )
    return found


@router.get("/{symbol:path}/latest", response_model=Newest, responses=UNKNOWN)
def latest(
    given: Given,
    symbol: InPath,
    exchange: Exchange = None,
    what: Literal["latest", "aggregates"] = "latest",
) -> Newest:
    """What ingestion put into the cache last, or else the lake's newest; it says its own time."""
    series = market_series(symbol, exchange, given.settings.exchange_name)
    name, kind = given.bench.online_id(series), {"latest": LATEST, "aggregates": AGGREGATES}[what]
    entry = given.bench.cache.get(name, kind)
    if entry is not None:
        return Newest(series=series, what=what, source="cache", entry=entry)
    entry = newest_entry(given.bench.lake, series, kind)
    if entry is None:
        raise HTTPException(404, f"no features of {series} are held: POST /ingest/market/… ingests them")
    given.bench.cache.put(name, kind, entry)
    return Newest(series=series, what=what, source="lake", entry=entry)


@router.get("/{symbol:path}/{kind}", response_model=MarketRows)
def rows(
    given: Given,
    symbol: InPath,
    kind: Kind,
    start: When = None,
    end: When = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    timeframe: Annotated[str, Query(max_length=16, description="Of aggregates: 1m, 5m, 1h, 1d, 1w.")] = "1h",
    exchange: Exchange = None,
) -> Response:
    series = market_series(symbol, exchange, given.settings.exchange_name)
    table, window = _table(kind, timeframe), _window(given, start, end)
    found = newest_rows(given.bench.lake, table, series, window, limit, oldest=start is not None)
    head = orjson.dumps({"series": series, "table": table.path, "count": len(found)})
    return Response(head[:-1] + b',"rows":' + spliced(found) + b"}", media_type="application/json")


def _table(kind: Kind, timeframe: str) -> Table:
    if kind != "aggregates":
        return STATISTICS[_STATISTICS[kind]]
    name, held = timeframe_of(timeframe), INGESTED | DERIVED
    if name not in held:
        raise Unprocessable(f"timeframe {timeframe!r} is not held: use one of {', '.join(held)}")
    return held[name]


def _window(given: Context, start: str | None, end: str | None) -> Window:
    now = datetime.now(UTC)
    last = now if end is None else datetime.fromtimestamp(seconds_of("end", end, now), UTC)
    first = last - LONGEST if start is None else datetime.fromtimestamp(seconds_of("start", start, now), UTC)
    if last < first:
        raise Unprocessable(f"end {end} lies before start {start}: swap them")
    if last - first > LONGEST:
        raise Unprocessable(f"start … end spans {(last - first).days} days: ask for {LONGEST.days} at most")
    return Window(first, last + timedelta(seconds=1))
