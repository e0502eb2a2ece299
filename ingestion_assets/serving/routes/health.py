"""Whether we are here, and with `deep=1` whether what we stand on is."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from ingestion_assets.dagster_api import DagsterError
from ingestion_assets.dagster_api.automation import daemons
from ingestion_assets.serving.context import Context, Given
from ingestion_assets.serving.models import DeepHealth, Health, Part
from ingestion_assets.stores.catalog import CatalogError
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.stores.online import OnlineError
from ingestion_assets.tables import INGESTED

router = APIRouter(tags=["health"])


@router.get("/health", response_model=Health | DeepHealth, responses={503: {"model": DeepHealth}})
def health(
    given: Given, deep: bool = Query(False, description="Look at stores and daemons too.")
) -> Response:
    if not deep:
        return JSONResponse({"status": "ok"})
    parts = {name: _tried(given, look) for name, look in _LOOKS.items()}
    good = all(part.status == "ok" for part in parts.values())
    found = DeepHealth(status="ok" if good else "degraded", **parts)
    return JSONResponse(found.model_dump(), 200 if good else 503)


def _tried(given: Context, look: Callable[[Context], str]) -> Part:
    try:
        return Part(status="ok", detail=look(given))
    except (OnlineError, StoreError, CatalogError, DagsterError) as error:
        return Part(status="failed", detail=str(error))


def _redis(given: Context) -> str:
    store = given.bench.online
    if store is None:
        return "REDIS_URL is not set: features are read from the lake"
    store.ping()
    return store.server


def _lake(given: Context) -> str:
    given.bench.lake.months(INGESTED["1m"], "health.check")
    return str(given.bench.lake.objects.location)


def _catalog(given: Context) -> str:
    count = len(given.bench.registry.entries())
    return f"{count} series"


def _dagster(given: Context) -> str:
    found = daemons(given.dagster)
    bad = sorted(one.name for one in found if not one.healthy)
    if bad:
        raise DagsterError(
            f"Dagster at {given.dagster.url} has no heartbeat of {', '.join(bad)}: start `dagster-daemon run`"
        )
    return f"{len(found)} daemons have a heartbeat"


_LOOKS = {"redis": _redis, "lake": _lake, "catalog": _catalog, "dagster": _dagster}
