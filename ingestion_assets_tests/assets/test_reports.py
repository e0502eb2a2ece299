"""The coverage report: figures and pictures, and that a file which cannot be read spoils neither."""

import base64
import re
from datetime import UTC, datetime, timedelta

import dagster as dg
import numpy as np
import pytest

from ingestion_assets.assets.reports import DAY, coverage_grid
from ingestion_assets.intervals import Window, floor
from ingestion_assets.tables import DERIVED
from ingestion_assets_tests.market_world import M1, utc

BTC, ETH = "binance.BTC-USDT", "binance.ETH-USDT"
PNG = b"\x89PNG\r\n\x1a\n"


def report(world) -> dict:
    assert world.run("report_coverage").success
    event = world.instance.get_latest_materialization_event(dg.AssetKey(["reports", "market_coverage"]))
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def picture(markdown: str) -> bytes:
    return base64.b64decode(re.search(r"data:image/png;base64,([^)]+)\)", markdown)[1])


def test_shows_completeness_and_the_last_days(world):
    now = datetime.now(UTC)
    world.register(BTC, since=floor(now, DAY) - DAY)
    world.register(ETH, since=floor(now, DAY))
    keys = sorted({f"{now - DAY * n:%Y-%m}|{BTC}" for n in (0, 1)})
    world.run(M1, keys[0], keys[-1])
    world.run(DERIVED["1h"], keys[0], keys[-1])
    facts = report(world)
    assert (facts["series"], facts["series_with_data"], facts["unreadable"]) == (2, 1, [])
    for name in ("completeness", f"candles_{BTC}"):
        drawn = picture(facts[name])
        assert drawn.startswith(PNG)
        assert len(drawn) < 60_000, "it is copied into the event log each time"

    for table in (M1, DERIVED["1h"]):
        world.file(table, keys[-1]).write_bytes(b"PAR1 no more")
    facts = report(world)
    assert facts["unreadable"] == [str(world.file(M1, keys[-1]))]
    assert picture(facts["completeness"]).startswith(PNG)


def test_an_empty_lake_has_a_report_too(world):
    facts = report(world)
    assert facts["series_with_data"] == 0
    assert facts["by_series"] == "no series has data yet"
    assert "completeness" not in facts


def test_the_grid_tells_held_from_expected_and_leaves_out_what_is_not(world):
    [series] = world.register(BTC, since=utc(2024, 1, 29, 12), until=utc(2024, 1, 31, 6))
    world.run(M1, f"2024-01|{BTC}")
    world.punch(M1, BTC, Window(utc(2024, 1, 30), utc(2024, 1, 30, 6)))
    days = [utc(2024, 1, 28) + timedelta(days=n) for n in range(5)]
    grid, unreadable = coverage_grid(world.bench, [series], days, utc(2024, 3, 1))
    assert unreadable == []
    assert np.isnan(grid[0][[0, 4]]).all()
    assert grid[0][1:4].tolist() == pytest.approx([1.0, 0.75, 1.0])
