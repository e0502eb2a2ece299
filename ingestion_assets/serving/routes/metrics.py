"""The one Prometheus registry, as text at two addresses and as the older system's JSON at a third."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

from ingestion_assets.serving.context import Given
from ingestion_assets.serving.models import MetricShown

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=PlainTextResponse)
def prometheus(given: Given) -> Response:
    return Response(generate_latest(given.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/metrics/prometheus", response_class=PlainTextResponse, operation_id="metrics_prometheus")
def prometheus_again(given: Given) -> Response:
    return prometheus(given)


@router.get("/api/metrics", response_model=list[MetricShown])
def as_json(given: Given) -> list[MetricShown]:
    return given.metrics.shown()
