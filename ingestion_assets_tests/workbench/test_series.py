"""From what somebody typed to a series of ours: naming, describing, adopting."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from ingestion_assets.sources.errors import NotFound
from ingestion_assets.sources.feeds import vendors
from ingestion_assets.tables.market import OHLCV_1M as TABLE
from ingestion_assets.workbench import Workbench
from ingestion_assets.workbench.describing import look_up
from ingestion_assets.workbench.naming import named
from ingestion_assets_tests.workbench.conftest import BTC, NOW


@pytest.mark.parametrize(
    ("text", "vendor", "source", "name", "symbol"),
    [
        ("binance.BTC-USDT", None, "binance", "binance.BTC-USDT", "BTC/USDT"),
        (" Binance.btcusdt ", None, "binance", "binance.BTC-USDT", "BTC/USDT"),
        ("binance.BTC-USDT-PERP", "binance_usdm", "binance", "binance.BTC-USDT-PERP", "BTC/USDT:USDT"),
        ("POLYGON.aapl", "polygon", "polygon", "polygon.AAPL", "AAPL"),
    ],
)
def test_a_text_names_a_series_of_a_vendor_or_a_market(
    text: str, vendor: str | None, source: str, name: str, symbol: str
) -> None:
    found = named(text, vendors())
    assert (found.vendor and found.vendor.name, *found[1:]) == (vendor, source, name, symbol)


@pytest.mark.parametrize("text", ["rss", "polygon.", "BTC/USDT", ""])
def test_a_text_without_a_name_behind_its_source_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        named(text, vendors())


def test_a_series_is_described_as_its_venue_does(make: Any) -> None:
    bench = make(ingestion_lookback_days=3)
    series = bench.describe("binance.btcusdt", NOW)
    assert (series.id, series.source, series.symbol) == (BTC.id, "binance", "BTC/USDT")
    assert series.backfill_from == datetime(2024, 4, 7, tzinfo=UTC)
    assert series.delisted_at is None


def test_an_unknown_symbol_is_refused_with_the_nearest_names(bench: Workbench) -> None:
    with pytest.raises(NotFound, match=r"BTCUSDT|BTC/USDT"):
        asyncio.run(look_up(bench, "binance", "BTX/USDT"))


def test_series_are_adopted_when_their_market_exists(bench: Workbench) -> None:
    found, refused = bench.adopt([BTC.id, "binance.SOL-USDT", "binance.BTX-USDT", "../x"], NOW)
    assert list(found) == [BTC.id, "binance.SOL-USDT"]
    assert {name: type(error) for name, error in refused.items()} == {
        "binance.BTX-USDT": NotFound,
        "../x": ValueError,
    }
    assert bench.registry.require("binance.SOL-USDT").series == found["binance.SOL-USDT"]
    keys = [f"2024-03|{name}" for name in refused]
    errors = list(refused.values())
    landed = list(bench.ingest(TABLE, [], run="run-1", refused=list(zip(keys, errors, strict=True))))
    assert [one.error for one in landed] == errors
