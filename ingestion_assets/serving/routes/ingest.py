"""Ingestion by domain: what is asked for is fetched, its features made and put online before the answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.exceptions import HTTPException

from ingestion_assets.dagster_api.runs import run_page
from ingestion_assets.intervals import Window
from ingestion_assets.serving import ingestion
from ingestion_assets.serving.context import Context, Given
from ingestion_assets.serving.feed_ingestion import (
    TABLES,
    Wanted,
    answered,
    launch,
    registered,
    registered_feed,
    since,
    tried,
    unasked,
)
from ingestion_assets.serving.models import (
    Ingested,
    MarketIngest,
    NewsIngest,
    OnchainIngest,
    SocialIngest,
    Started,
)
from ingestion_assets.serving.parameters import ExchangeInPath, market_series, timeframe_of
from ingestion_assets.serving.problems import Problem, Responses, Unprocessable
from ingestion_assets.sources.errors import NotFound, SourceError
from ingestion_assets.stores.online.names import source_of
from ingestion_assets.tables import FEATURES

router = APIRouter(prefix="/ingest", tags=["ingest"])
Source = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,40}$")]
FED: Responses = {202: {"model": Started}, 404: {"model": Problem}, 502: {"model": Problem}}
USUAL_DAYS = 30  # of a metric
USUAL_POSTS = timedelta(hours=1)  # X charges by the post
USUAL_NEWS = timedelta(days=3)  # NewsAPI tells nothing of the last day


@router.post(
    "/market/{exchange}",
    response_model=Ingested,
    responses={202: {"model": Started}, 404: {"model": Problem}, 502: {"model": Problem}},
)
async def market(given: Given, exchange: ExchangeInPath, wanted: MarketIngest) -> Ingested:
    series = market_series(wanted.symbol, exchange, exchange)
    table = ingestion.table_for(timeframe_of(wanted.granularity))
    now = datetime.now(UTC)
    settle = timedelta(seconds=given.settings.settle_seconds)
    window = ingestion.newest_bars(table, wanted.limit, now, settle)
    deadline = given.launcher.deadline()

    def launch() -> str:
        try:
            found = ingestion.registered(given.bench, given.dagster, series, now)
        except SourceError as error:
            raise HTTPException(
                404 if isinstance(error, NotFound) else 502, f"ingest_market failed: {error}"
            ) from None
        stretch = ingestion.Stretch(table, (found.id,))
        back = ingestion.minutes_back(window, now)
        return ingestion.launch(given.dagster, stretch, window, back, "api_manual")

    run = await given.launcher.ended(await asyncio.to_thread(launch), "ingest_market", deadline)
    figures = ingestion.newest(run, table.path)
    online = [f"online/{table.name}" for table in FEATURES.values()]
    rows = int(str(figures.get("rows") or 0))
    return Ingested(
        status="ok" if rows else "no_data",
        path=str(figures["path"]) if rows else None,
        features_written=ingestion.total([run], online, "features_written"),
        rows=rows,
        new_rows=ingestion.total([run], [table.path], "new_rows"),
        fetched_rows=ingestion.total([run], [table.path], "fetched_rows"),
        left_open=ingestion.left_open(run, [table.path]),
        run_url=run_page(given.dagster, run.id),
    )


@router.post("/onchain/{source}", response_model=Ingested, responses=FED)
async def onchain(given: Given, source: Source, wanted: OnchainIngest) -> Ingested:
    by_metric, by_address = wanted.symbol and wanted.metric, wanted.chain_id and wanted.address
    if bool(by_metric) == bool(by_address):
        raise Unprocessable("give symbol and metric (and days), or chain_id and address")
    _check_source(source, "on-chain", "glassnode" if by_metric else "covalent")
    now = datetime.now(UTC)
    window = Window(now - timedelta(days=wanted.days or (USUAL_DAYS if by_metric else 1)), now)
    rest = f"{wanted.symbol}.{wanted.metric}" if by_metric else f"{wanted.chain_id}.{wanted.address}"
    return await _ingested(given, "ingest_onchain", Wanted(source, f"{source}.{rest}", window), now)


@router.post("/social/{platform}", response_model=Ingested, responses=FED)
async def social(given: Given, platform: Source, wanted: SocialIngest) -> Ingested:
    source = source_of(platform)
    _check_source(source, "social", "x", "reddit")
    now = datetime.now(UTC)
    window = since(wanted.since, wanted.until, USUAL_POSTS, now)
    meant = Wanted(source, f"{source}.{wanted.query}", window, wanted.max_results)
    return await _ingested(given, "ingest_social", meant, now)


@router.post("/news/{source}", response_model=Ingested, responses=FED)
async def news(given: Given, source: Source, wanted: NewsIngest) -> Ingested:
    if (wanted.feed_url is not None) != (wanted.source_type == "rss"):
        raise Unprocessable("feed_url belongs to source_type rss, and rss needs it; category belongs to api")
    _check_source(source, "news", "rss" if wanted.source_type == "rss" else "newsapi")
    now = datetime.now(UTC)
    text = wanted.feed_url or f"newsapi.headlines.{wanted.category or 'general'}"
    return await _ingested(given, "ingest_news", Wanted(source, text, Window(now - USUAL_NEWS, now)), now)


async def _ingested(given: Context, what: str, wanted: Wanted, now: datetime) -> Ingested:
    """The series is registered if need be, its run launched and waited for."""
    if (nothing := unasked(given.bench, wanted.source)) is not None:
        return nothing
    deadline = given.launcher.deadline()
    register = registered_feed if wanted.source == "rss" else registered

    def launched() -> str:
        found = register(given.bench, given.dagster, wanted.text, now)
        return launch(given.dagster, given.settings, found, wanted, now)

    run = await given.launcher.ended(await asyncio.to_thread(tried, what, launched), what, deadline)
    return answered(given.dagster, run, TABLES[wanted.source])


def _check_source(source: str, domain: str, *known: str) -> None:
    if source not in known:
        raise HTTPException(
            404, f"{domain} source {source!r} does not take such a body: use {' or '.join(known)}"
        )
