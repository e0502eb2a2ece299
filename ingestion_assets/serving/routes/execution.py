"""The whole registry, or some of its symbols, brought up to date: by hand, by a cron of somebody else's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Literal

from fastapi import APIRouter

from ingestion_assets.dagster_api.runs import Run, at_work, run_page
from ingestion_assets.intervals import Window
from ingestion_assets.serving import ingestion
from ingestion_assets.serving.asked import Asked, asked
from ingestion_assets.serving.context import Context, Given
from ingestion_assets.serving.models import Counts, Ingestion, IngestWanted, NothingIngested, Started
from ingestion_assets.serving.outcomes import Ended, NobodyIngested, outcomes
from ingestion_assets.serving.problems import Responses, StillRunning
from ingestion_assets.tables import DERIVED, FETCHED, INGESTED, SNAPSHOTS, STATISTICS, Table
from ingestion_assets.tables.snapshots import MARKET_SNAPSHOTS, OHLC_4H

router = APIRouter(tags=["ingest"])
Trigger = Literal["manual", "cron", "registry"]
RUNS: Responses = {
    202: {"model": Started},
    404: {"model": NothingIngested},
    502: {"model": NothingIngested},
}
# What the older system ingested: an exchange's candles, or what a provider shows and tells of a market.
MARKETS = [INGESTED["1m"], *SNAPSHOTS.values()]


@router.post("/api/ingest", response_model=Ingestion, responses=RUNS)
async def ingest(given: Given, wanted: IngestWanted | None = None) -> Ingestion:
    """The symbols, or every enabled market, of exchanges and of providers."""
    return await _executed(given, "manual", wanted.symbols if wanted else None)


@router.get("/api/cron", response_model=Ingestion, responses=RUNS)
async def cron(given: Given) -> Ingestion:
    """For a cron that is not ours. It changes things although it is a GET: the older system's was one."""
    return await _executed(given, "cron", None)


@router.post("/api/cron", response_model=Ingestion, responses=RUNS, operation_id="cron_post")
async def cron_post(given: Given) -> Ingestion:
    return await _executed(given, "cron", None)


@router.post("/api/v1/registry/execute", response_model=Ingestion, responses=RUNS)
async def execute(given: Given) -> Ingestion:
    """Every enabled series of every domain, in all the tables that are kept of it. A series that fails is
    told of by itself, and does not keep the others."""
    return await _executed(given, "registry", None)


async def _executed(given: Context, trigger: Trigger, symbols: list[str] | None) -> Ingestion:
    began, deadline = datetime.now(UTC), given.launcher.deadline()
    cause = f"api_{trigger}" if symbols is None else "api_manual_some"
    tables = list(FETCHED.values()) if trigger == "registry" else MARKETS
    wanted = await asyncio.to_thread(asked, given.bench, symbols, tables) if symbols is not None else None
    if wanted is not None and not wanted.series:
        raise NobodyIngested("ingestion", wanted.refused)
    launched = await asyncio.to_thread(_launch, given, tables, wanted, cause, began)
    runs = await given.launcher.all_ended([run for run, _ in launched], deadline)
    pairs = zip(runs, launched, strict=True)
    ended = [Ended(run, run_page(given.dagster, run.id), stretch) for run, (_, stretch) in pairs]
    known = {one.id: one for one in await asyncio.to_thread(given.bench.registry.series)}
    found = outcomes(ended, known)
    if wanted is not None:
        words = wanted.series
        found = [one.model_copy(update={"asked": words.get(one.series or "", [])}) for one in found]
        found += wanted.refused
    if found and not any(one.succeeded for one in found):
        raise NobodyIngested("ingestion", found)
    whole = not any(one.status == "error" for one in found)
    return Ingestion(
        status="success" if whole else "partial", result=_counts(runs, began, trigger), series=found
    )


def _launch(
    given: Context, tables: list[Table], wanted: Asked | None, cause: str, now: datetime
) -> list[tuple[str, ingestion.Stretch]]:
    """The runs, each with what it takes."""
    if wanted is None:
        busy = at_work(given.dagster, ingestion.CAUSE, cause)
        if busy:  # who asks again and again does not pile up runs
            raise StillRunning(busy[-1], run_page(given.dagster, busy[-1]))  # the first that was launched
    launched = []
    for table in tables:
        usual = timedelta(minutes=ingestion.LOOK_BACK_MINUTES)
        window = Window(now - max(usual, table.late_after or usual), now)
        kept = ingestion.following(given.bench, table)
        names = [name for name in kept if wanted is None or name in wanted.series]
        if not names:
            continue
        given.dagster.add_partitions(table.domain, _new(given, table, names))
        for stretch in ingestion.stretches(given.dagster, table, set(names)):
            back = ingestion.minutes_back(window, now)
            run = ingestion.launch(given.dagster, stretch, window, back, cause)
            launched.append((run, stretch))
    return launched


def _new(given: Context, table: Table, names: list[str]) -> list[str]:
    there = set(given.dagster.partitions(table.path))
    return [name for name in names if name not in there]


def _counts(runs: list[Run], began: datetime, trigger: Trigger) -> Counts:
    fetched = set(FETCHED)
    aggregates = {table.path for table in (*DERIVED.values(), OHLC_4H)}
    snapshots = {STATISTICS["market_snapshot"].path, MARKET_SNAPSHOTS.path}
    landed = ("new_rows", "changed_rows")
    return Counts(
        marketsIngested=len(ingestion.series_of(runs, fetched)),
        snapshotsIngested=ingestion.total(runs, snapshots, *landed),
        aggregatesIngested=ingestion.total(runs, aggregates, *landed),
        comparisonsIngested=ingestion.total(runs, {STATISTICS["market_comparison"].path}, *landed),
        roiStatsIngested=ingestion.total(runs, {STATISTICS["roi_statistics"].path}, *landed),
        startedAt=began,
        completedAt=datetime.now(UTC),
        trigger=trigger,
    )
