"""What assets, checks and sensors are given to work with."""

from __future__ import annotations

import functools

import dagster as dg

from ingestion_assets import logs
from ingestion_assets.settings import load_settings
from ingestion_assets.workbench import Workbench


@functools.cache
def workbench() -> Workbench:
    """One per process, made when it is first needed: loading definitions opens nothing."""
    settings = load_settings()
    logs.configure(settings.log_level)
    bench = Workbench(settings)
    bench.catalog.create()
    return bench


class WorkbenchResource(dg.ConfigurableResource):
    """Lake, registry, ledger and vendors as the environment says."""

    def open(self) -> Workbench:
        return workbench()
