"""Work that operators ask for: a backfill, a sweep of Redis keys, a look at the storage. Token needed."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Query

from ingestion_assets.dagster_api.runs import launch_run
from ingestion_assets.ingestion.audit import holes_of
from ingestion_assets.intervals import bars
from ingestion_assets.serving import ingestion
from ingestion_assets.serving.context import Given
from ingestion_assets.serving.models import Backfilled, Started, StorageCheck, Swept
from ingestion_assets.serving.parameters import Symbol, Timeframe, market_series, timeframe_of
from ingestion_assets.serving.problems import Problem, Responses, Unprocessable
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.stores.online.sweeping import check_pattern
from ingestion_assets.tables import ALL, DERIVED

router = APIRouter(prefix="/ingest/admin", tags=["admin"])
LONGEST_LOOKBACK_MINUTES = 60 * 24 * 366
_BACKENDS: dict[str, Literal["local", "s3", "gs"]] = {"s3": "s3", "gs": "gs"}
ASYNC_RUN: Responses = {202: {"model": Started}, 502: {"model": Problem}}


@router.post("/backfill/market", response_model=Backfilled, responses=ASYNC_RUN)
async def backfill(
    given: Given,
    exchange: Annotated[str, Query(pattern=r"^[A-Za-z0-9_]{1,40}$")],
    symbol: Symbol,
    timeframe: Timeframe = "1m",
    lookback_minutes: Annotated[int, Query(ge=1, le=LONGEST_LOOKBACK_MINUTES)] = 15,
) -> Backfilled:
    series = market_series(symbol, exchange, exchange)
    table = ingestion.table_for(timeframe_of(timeframe))
    if timeframe_of(timeframe) in DERIVED:
        raise Unprocessable(f"timeframe {timeframe!r} is made of 1m bars: backfill 1m")
    now, deadline = datetime.now(UTC), given.launcher.deadline()
    settle = timedelta(seconds=given.settings.settle_seconds)
    count = max(1, int(timedelta(minutes=lookback_minutes) // table.grain))
    window = ingestion.newest_bars(table, count, now, settle)

    def launch() -> tuple[str, int]:
        found = ingestion.registered(given.bench, given.dagster, series, now)
        missing = bars(holes_of(table, found, given.bench.lake, window)[0], table.grain)
        stretch = ingestion.Stretch(table, (found.id,))
        back = ingestion.minutes_back(window, now)
        return ingestion.launch(given.dagster, stretch, window, back, "api_backfill"), missing

    run_id, missing = await asyncio.to_thread(launch)
    run = await given.launcher.ended(run_id, "backfill_market", deadline)
    exchange_name, _, _ = series.partition(".")
    return Backfilled(
        symbol=symbol,
        timeframe=timeframe_of(timeframe),
        exchange=exchange_name,
        expected=count,
        missing_before=missing,
        written=ingestion.total([run], [table.path], "new_rows"),
    )


@router.post("/features/ttl-sweep", response_model=Swept, responses=ASYNC_RUN)
async def ttl_sweep(
    given: Given,
    pattern: Annotated[str, Query(min_length=1, max_length=256)] = "features:market:*",
    ttl_default: Annotated[int, Query(ge=1, le=20 * 365 * 86_400)] = 3_600,
    max_keys: Annotated[int, Query(ge=1, le=1_000_000)] = 1_000,
) -> Swept:
    try:
        check_pattern(pattern)
    except ValueError as error:
        raise Unprocessable(str(error)) from None
    config = {"pattern": pattern, "ttl_default": ttl_default, "max_keys": max_keys}
    deadline = given.launcher.deadline()
    run_id = await asyncio.to_thread(
        launch_run,
        given.dagster,
        "redis_ttl_sweep",
        config={"sweep_keys": {"config": config}},
        tags={ingestion.CAUSE: "api_sweep", "ingest/asked_by": "api"},
    )
    run = await given.launcher.ended(run_id, "redis_ttl_sweep", deadline)
    return Swept(pattern=pattern, scanned=int(run.outputs["scanned"]), ttl_set=int(run.outputs["ttl_set"]))


@router.get("/storage/check", response_model=StorageCheck)
def storage_check(
    given: Given,
    probe: Annotated[bool, Query(description="Write a small file and delete it.")] = False,
    domain: Annotated[str, Query(max_length=40)] = "market",
) -> StorageCheck:
    table = next((table for table in ALL.values() if table.domain == domain), None)
    if table is None:
        known = ", ".join(sorted({table.domain for table in ALL.values()}))
        raise Unprocessable(f"domain {domain!r} has no table: use one of {known}")
    objects, folder = given.bench.lake.home(table)
    began = time.perf_counter()
    state: Literal["ok", "skipped", "failed"] = "skipped"
    detail = ""
    try:
        if probe:
            objects.probe()
            state = "ok"
        else:
            objects.list(f"{folder}/series=storage-check")
    except StoreError as error:
        state, detail = "failed", str(error)
    return StorageCheck(
        status="failed" if state == "failed" else "ok",
        domain=domain,
        backend=_BACKENDS.get(urlsplit(objects.location).scheme, "local"),
        location=objects.location,
        probe=state,
        seconds=round(time.perf_counter() - began, 4),
        detail=detail,
    )
