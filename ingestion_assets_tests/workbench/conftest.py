"""Workbenches over one lake and catalog at a simulated venue that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.ingestion import Slice, slices_of
from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series
from ingestion_assets.settings import load_settings
from ingestion_assets.simulator import Simulator
from ingestion_assets.workbench import Workbench

BTC = Series("binance.BTC-USDT", "market", "binance", "BTC/USDT")
ETH = Series("binance.ETH-USDT", "market", "binance", "ETH/USDT")
NOW = datetime(2024, 4, 10, tzinfo=UTC)
DAY = Window(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC))


@pytest.fixture
def vendor() -> Iterator[Simulator]:
    with Simulator(now=NOW) as simulator:
        yield simulator


@pytest.fixture
def make(tmp_path: Path, vendor: Simulator) -> Iterator[Any]:
    """Workbenches of one lake and catalog, with other settings where a test wants them."""
    made: list[Workbench] = []

    def bench(**settings: Any) -> Workbench:
        usual = {
            "profile": "live",
            "binance_url": vendor.url,
            "data_lake_path": str(tmp_path / "lake"),
            "ingest_state_dir": tmp_path / "state",
            "http_attempts": 1,
        }
        made.append(Workbench(load_settings(_env_file=None, **usual | settings)))
        made[-1].catalog.create()
        return made[-1]

    yield bench
    for one in made:
        one.catalog.close()


@pytest.fixture
def bench(make: Any) -> Workbench:
    workbench: Workbench = make()
    workbench.registry.add_missing([BTC, ETH])
    return workbench


def days(*series: Series) -> list[Slice]:
    return list(slices_of(series or [BTC, ETH], DAY))
