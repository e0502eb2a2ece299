"""Features by point and by range: market, on-chain, social. Three doors to one contract."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import orjson
from fastapi import APIRouter, Query
from starlette.responses import Response

from ingestion_assets.serving.context import Context, Given
from ingestion_assets.serving.lake_rows import Subject
from ingestion_assets.serving.models import Points, Range
from ingestion_assets.serving.parameters import (
    Exchange,
    Metric,
    Moment,
    Symbol,
    Timeframe,
    Topic,
    market_series,
    name_of,
    on_grid,
    seconds_of,
    timeframe_of,
)
from ingestion_assets.serving.problems import Unprocessable
from ingestion_assets.serving.reading import spliced
from ingestion_assets.stores.online.names import (
    metric_of,
    platform_of,
    series_of_metric,
    series_of_topic,
    topic_of,
)

MOST_POINTS, MOST_ROWS = 1_000, 10_000
LONGEST_RANGE_DAYS = 366

router = APIRouter(prefix="/ingest/features", tags=["features"])
Times = Annotated[
    list[Moment], Query(min_length=1, max_length=MOST_POINTS, description="May be repeated.", alias="ts")
]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="Rows of one page.")]
_JSON = "application/json"


@router.get("/market", response_model=Points)
def market_points(
    given: Given, symbol: Symbol, timeframe: Timeframe, ts: Times, exchange: Exchange = None
) -> Response:
    return _points(given, _market(given, symbol, timeframe, exchange), ts)


@router.get("/market/range", response_model=Range)
def market_range(
    given: Given,
    symbol: Symbol,
    timeframe: Timeframe,
    start: Moment,
    end: Moment,
    limit: Limit = 100,
    exchange: Exchange = None,
) -> Response:
    return _range(given, _market(given, symbol, timeframe, exchange), start, end, limit)


@router.get("/onchain", response_model=Points)
def onchain_points(given: Given, symbol: Symbol, metric: Metric, ts: Times) -> Response:
    return _points(given, _onchain(symbol, metric), ts)


@router.get("/onchain/range", response_model=Range)
def onchain_range(
    given: Given, symbol: Symbol, metric: Metric, start: Moment, end: Moment, limit: Limit = 100
) -> Response:
    return _range(given, _onchain(symbol, metric), start, end, limit)


@router.get("/social", response_model=Points)
def social_points(given: Given, topic: Topic, timeframe: Timeframe, ts: Times) -> Response:
    return _points(given, _social(topic, timeframe), ts)


@router.get("/social/range", response_model=Range)
def social_range(
    given: Given, topic: Topic, timeframe: Timeframe, start: Moment, end: Moment, limit: Limit = 100
) -> Response:
    return _range(given, _social(topic, timeframe), start, end, limit)


def _market(given: Context, symbol: str, timeframe: str, exchange: str | None) -> Subject:
    series = market_series(symbol, exchange, given.settings.exchange_name)
    return Subject("market", given.bench.online_id(series), timeframe_of(timeframe), series)


def _onchain(symbol: str, metric: str) -> Subject:
    coin, wanted = name_of("symbol", symbol), name_of("metric", metric.replace("/", "."))
    series, component = series_of_metric(coin, wanted)
    return Subject("onchain", *metric_of(series, component), series, component)


def _social(topic: str, timeframe: str) -> Subject:
    """`twitter` is all that is read there, `twitter.bitcoin` one series."""
    series = series_of_topic(name_of("topic", topic))
    name = topic_of(series) if "." in series else platform_of(series)
    return Subject("social", name, timeframe_of(timeframe), series)


def _points(given: Context, subject: Subject, ts: list[str]) -> Response:
    now = datetime.now(UTC)
    times = [seconds_of("ts", text, now) for text in ts]
    if subject.domain == "market":
        times = [on_grid("ts", at, subject.qualifier) for at in times]
    began = time.perf_counter()
    found = given.features.points(subject, times)
    given.metrics.read(subject.domain, "point", found.source, len(found.rows), time.perf_counter() - began)
    held = {at for at, _ in found.rows}
    missing = sorted(set(times) - held)
    more = {"source": found.source, "count": len(found.rows), "missing": missing}
    return _answer(subject, more, found.rows)


def _range(given: Context, subject: Subject, start: str, end: str, limit: int) -> Response:
    now = datetime.now(UTC)
    first, last = seconds_of("start", start, now), seconds_of("end", end, now)
    if last < first:
        raise Unprocessable(f"end {last} lies before start {first}: swap them")
    if last - first > LONGEST_RANGE_DAYS * 86_400:
        raise Unprocessable(
            f"start … end spans {(last - first) // 86_400} days: ask for {LONGEST_RANGE_DAYS} at most; "
            "for more read the lake (docs/catalog.md)"
        )
    began = time.perf_counter()
    found = given.features.range(subject, first, last, limit)
    given.metrics.read(subject.domain, "range", found.source, len(found.rows), time.perf_counter() - began)
    full = len(found.rows) == limit and found.rows[-1][0] < last
    following = found.rows[-1][0] + max(1, subject.step) if full else None
    more = {"source": found.source, "count": len(found.rows), "next": following}
    return _answer(subject, more, found.rows)


def _answer(subject: Subject, more: Mapping[str, object], rows: list[tuple[int, bytes]]) -> Response:
    """The rows as the stored bytes, within a head of our own."""
    qualifier = "metric" if subject.domain == "onchain" else "timeframe"
    head = orjson.dumps({"series": subject.series, qualifier: subject.qualifier, **more})
    return Response(head[:-1] + b',"features":' + spliced(rows) + b"}", media_type=_JSON)
