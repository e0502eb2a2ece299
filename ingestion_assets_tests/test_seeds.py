"""What is ingested from the start, as the environment says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.seeds import SHIPPED, plant, seeds
from ingestion_assets.settings import load_settings
from ingestion_assets.simulator import Simulator
from ingestion_assets.workbench import Workbench

JOB = {"exchange": "binance", "symbol": "BTC/USDT", "cron": "*/5 * * * *"}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, dict(SHIPPED)),
        (
            {"INGESTION_MARKETS": "BTC-USD, eth/usdt"},
            {"binance.BTC-USD": ("1m",), "binance.ETH-USDT": ("1m",)},
        ),
        (
            {"INGESTION_MARKETS": "BTC-USD,kraken.ETHUSD", "EXCHANGE_NAME": "coinbase"},
            {"coinbase.BTC-USD": ("1m",), "kraken.ETH-USD": ("1m",)},
        ),
        ({"MARKET_JOBS": json.dumps([JOB])}, {"binance.BTC-USDT": ("1m",)}),
        (
            {
                "MARKET_JOBS": json.dumps([JOB | {"timeframe": "5m"}]),
                "MARKET_INGEST_JOBS": json.dumps([JOB, JOB | {"timeframe": "1h"}]),
            },
            {"binance.BTC-USDT": ("5m", "1m")},
        ),
        (
            {
                "BACKFILL_ENABLED": "true",
                "BACKFILL_EXCHANGE": "kraken",
                "BACKFILL_SYMBOLS": "ETH/USD",
                "BACKFILL_TIMEFRAMES": "1m,5m",
            },
            {"kraken.ETH-USD": ("1m", "5m")},
        ),
        ({"BACKFILL_ENABLED": "false", "BACKFILL_SYMBOLS": "ETH/USD"}, dict(SHIPPED)),
    ],
)
def test_the_settings_name_series_and_timeframes(
    given: dict[str, str], wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert seeds(load_settings()) == wanted


def test_planting_registers_what_is_missing_and_one_bad_seed_blocks_no_other(tmp_path: Path) -> None:
    with Simulator() as vendor:
        bench = Workbench(
            load_settings(
                ingest_state_dir=tmp_path,
                binance_url=vendor.url,
                ingestion_markets=("NOPE/USDT", "BTC/USDT", "ETH/USDT"),
            )
        )
        bench.catalog.create()
        added, errors = plant(bench, ["binance.BTC-USDT"])
        assert (added, errors) == (["binance.BTC-USDT"], {})
        bench.registry.enable("binance.BTC-USDT", False)
        added, errors = plant(bench)
        assert added == ["binance.ETH-USDT"]
        assert list(errors) == ["binance.NOPE-USDT"]
        assert "NOPE" in str(errors["binance.NOPE-USDT"])
        assert not bench.registry.require("binance.BTC-USDT").series.enabled


def test_a_timeframe_that_is_not_ingested_is_refused(tmp_path: Path) -> None:
    bench = Workbench(
        load_settings(ingest_state_dir=tmp_path, backfill_enabled=True, backfill_timeframes=("15m",))
    )
    bench.catalog.create()
    added, errors = plant(bench)
    assert added == []
    assert "'15m'" in str(errors["binance.BTC-USDT"])
