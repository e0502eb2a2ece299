"""Ingestion by domain. A market is fetched, its features made and put online before the answer.

On-chain, social and news sources do not exist yet: their bodies are checked, and the answer says so.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ingestion_assets.dagster_api.runs import run_page
from ingestion_assets.serving import ingestion
from ingestion_assets.serving.context import Given
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
from ingestion_assets.sources.public_address import NotPublic, check_public
from ingestion_assets.tables import FEATURES

router = APIRouter(prefix="/ingest", tags=["ingest"])
Source = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,40}$")]
NOT_YET: Responses = {501: {"model": Problem, "description": "There is no such source yet."}}


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
        stretch = ingestion.Stretch(table, found.id, found.id)
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
        run_url=run_page(given.dagster, run.id),
    )


@router.post("/onchain/{source}", response_model=Ingested, responses=NOT_YET)
async def onchain(given: Given, source: Source, wanted: OnchainIngest) -> JSONResponse:
    by_metric, by_address = wanted.symbol and wanted.metric, wanted.chain_id and wanted.address
    if bool(by_metric) == bool(by_address):
        raise Unprocessable("give symbol and metric (and days), or chain_id and address")
    raise _not_yet("on-chain", source, "glassnode, covalent")


@router.post("/social/{platform}", response_model=Ingested, responses=NOT_YET)
async def social(given: Given, platform: Source, wanted: SocialIngest) -> JSONResponse:
    if wanted.since and wanted.until and wanted.until <= wanted.since:
        raise Unprocessable(f"until {wanted.until} does not lie after since {wanted.since}: swap them")
    raise _not_yet("social", platform, "twitter, reddit")


@router.post("/news/{source}", response_model=Ingested, responses=NOT_YET)
async def news(given: Given, source: Source, wanted: NewsIngest) -> JSONResponse:
    if (wanted.feed_url is not None) != (wanted.source_type == "rss"):
        raise Unprocessable("feed_url belongs to source_type rss, and rss needs it; category belongs to api")
    if wanted.feed_url is not None:
        try:
            await asyncio.to_thread(check_public, wanted.feed_url)
        except NotPublic as error:
            raise Unprocessable(f"feed_url: {error}") from None
    raise _not_yet("news", source, "newsapi, rss")


def _not_yet(domain: str, source: str, planned: str) -> HTTPException:
    return HTTPException(
        501,
        f"{domain} source {source!r} is not there: this version ingests markets only, so nothing was fetched "
        f"or written. Planned: {planned}",
    )
