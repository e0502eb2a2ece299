"""What every route is given to work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from ingestion_assets.dagster_api import DagsterApi
from ingestion_assets.serving.launching import Launcher
from ingestion_assets.serving.metrics import Metrics
from ingestion_assets.serving.reading import Features
from ingestion_assets.settings import Settings
from ingestion_assets.workbench import Workbench


@dataclass(frozen=True)
class Context:
    settings: Settings
    bench: Workbench
    dagster: DagsterApi
    launcher: Launcher
    features: Features
    metrics: Metrics


async def _context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


Given = Annotated[Context, Depends(_context)]
