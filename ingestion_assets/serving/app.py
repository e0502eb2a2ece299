"""The HTTP API put together: routes, guard, errors, what they work with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse

from ingestion_assets.dagster_api import DagsterApi
from ingestion_assets.serving import problems
from ingestion_assets.serving.context import Context
from ingestion_assets.serving.launching import Launcher
from ingestion_assets.serving.metrics import Metrics, Stopwatch
from ingestion_assets.serving.problems import Problem
from ingestion_assets.serving.reading import Features
from ingestion_assets.serving.routes import (
    admin,
    execution,
    features,
    health,
    ingest,
    markets,
    metrics,
    scheduler,
    sentiment,
    symbols,
)
from ingestion_assets.serving.security import Guard, check_exposure
from ingestion_assets.settings import Settings
from ingestion_assets.workbench import Workbench

ROUTERS = (
    health.router,
    features.router,
    ingest.router,
    admin.router,
    execution.router,
    symbols.router,
    scheduler.router,
    markets.router,
    metrics.router,
    sentiment.router,
)
_PAGE = Path(__file__).with_name("docs.html")
_STATED = {
    400: "The request cannot be read.",
    401: "A token is needed.",
    403: "The token is wrong.",
    413: "The body is too large.",
    422: "The request cannot be meant; the text says what to write instead.",
    429: "Too many requests; Retry-After says when to come again.",
    503: "Something that this stands on is down; the text says what.",
}


async def _docs(request: Request) -> HTMLResponse:
    """Lists the routes and tries them; one file, for who has no internet cannot load the usual pages."""
    return HTMLResponse(_PAGE.read_text())


def create_app(settings: Settings) -> FastAPI:
    check_exposure(settings)
    bench = Workbench(settings)
    dagster = DagsterApi(settings.dagster_address, timeout=30)

    measured = Metrics(bench, dagster)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        bench.catalog.create()
        own = measured.serve(settings.sched_metrics_port, settings.ingest_host)
        yield
        own()
        bench.catalog.close()
        if bench.online is not None:
            bench.online.close()

    app = FastAPI(
        title="ingestion_assets",
        version=metadata.version("ingestion-assets"),
        description="Features by key, ingestion on request, the registry, the scheduler, metrics.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={code: {"model": Problem, "description": text} for code, text in _STATED.items()},
    )
    app.state.context = Context(
        settings=settings,
        bench=bench,
        dagster=dagster,
        launcher=Launcher(dagster, settings.api_wait_sec),
        features=Features(bench),
        metrics=measured,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.add_route("/docs", _docs, include_in_schema=False)
    problems.install(app)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Stopwatch, metrics=measured)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Admin-Token"],
        )
    return app
