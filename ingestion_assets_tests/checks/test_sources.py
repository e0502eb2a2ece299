"""The archive and the API compared: nothing differs in an honest world, and what differs is named."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import random
import zipfile
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ingestion_assets.checks.sources import AGREEMENT_CHECKS, answers, differences, sample
from ingestion_assets.registry import Series, Strategy
from ingestion_assets.simulator import Fault
from ingestion_assets.tables import DERIVATIVES, Table
from ingestion_assets.tables.derivatives import AGG_TRADES_UM, FUNDING_RATES, OPEN_INTEREST_5M, PERP_1M
from ingestion_assets_tests.market_world import MarketWorld, asset_key
from ingestion_assets_tests.sources.replay import Replay

LINK = Series("binance.LINK-USDT-PERP", "derivatives", "binance", "LINK/USDT:USDT", Strategy.FLATPACK)


@pytest.mark.parametrize("table", DERIVATIVES.values(), ids=list(DERIVATIVES))
def test_both_give_the_same_in_an_honest_world(world: MarketWorld, table: Table) -> None:
    chosen = sample(world.bench, table, LINK, datetime.now(UTC), 20, random.Random(1))
    assert chosen is not None
    window, pairs = chosen
    assert [feed.phase for _, feed in pairs] == ["bulk", "rest"]
    one, other = asyncio.run(answers(world.bench, pairs, LINK, window))
    expected = {"ohlcv_1m": 60, "agg_trades_um": 3_600, "open_interest_5m": 12, "funding_rates": 30}
    assert one.num_rows == other.num_rows == expected[table.name]
    assert differences(table, one, other) == {}


def test_what_differs_is_named() -> None:
    def rows(*given: tuple[int, float | None]):
        import pyarrow as pa

        times = pa.array([at * 300_000_000 for at, _ in given], pa.int64())
        kind = OPEN_INTEREST_5M.schema.field("time").type
        made = {"time": times.cast(kind), "known_at": times.cast(kind)}
        made |= {"open_interest": [1.0] * len(given), "open_interest_value": [2.0] * len(given)}
        made |= {"account_ratio": pa.array([r for _, r in given], pa.float64()), "source": ["x"] * len(given)}
        return OPEN_INTEREST_5M.conform(pa.table(made))

    found = differences(
        OPEN_INTEREST_5M, rows((0, 1.0), (1, 1.0), (2, 1.0)), rows((1, 1.5), (2, None), (3, 1.0))
    )
    assert found == {
        "1970-01-01T00:00Z": "only in the archive",
        "1970-01-01T00:05Z": "account_ratio: 1.0, 1.5",
        "1970-01-01T00:15Z": "only in the API",
    }


def run_check(world: MarketWorld, table: Table):
    keys = {
        key for check in AGREEMENT_CHECKS for key in check.check_keys if key.asset_key == asset_key(table)
    }
    assert len(keys) == 1
    job = world.repository.get_job("quality_scan").get_subset(
        asset_check_selection=keys, asset_selection=set()
    )
    assert job.execute_in_process({}, world.instance, raise_on_error=False).success
    return world.evaluation(table, "sources_agree")


def test_the_check_passes_and_says_how_much_it_compared(world: MarketWorld) -> None:
    world.bench.registry.add_missing([LINK])
    result = run_check(world, PERP_1M)
    assert result.passed
    assert result.metadata["compared"].value == 60


def test_a_check_that_compared_nothing_says_so(world: MarketWorld) -> None:
    unused = run_check(world, PERP_1M)
    assert unused.passed
    assert unused.metadata["compared"].value == 0
    assert unused.description == (
        "0 rows compared: of 0 series none has a time that archive and API both give"
    )
    world.bench.registry.add_missing([LINK])
    answers = {"/fapi/v1/fundingRate": [], "/fapi/v1/time": {"serverTime": 0}}
    header = b"calc_time,funding_interval_hours,last_funding_rate\n"
    month = datetime.now(UTC).replace(day=1) - timedelta(days=1)
    name = f"LINKUSDT-fundingRate-{month:%Y-%m}"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{name}.csv", header)
    body = packed.getvalue()
    folder = "/data/futures/um/monthly/fundingRate/LINKUSDT"
    checksum = f"{hashlib.sha256(body).hexdigest()}  {name}.zip\n".encode()
    answers |= {f"{folder}/{name}.zip": body, f"{folder}/{name}.zip.CHECKSUM": checksum}
    with Replay(answers) as vendor:
        world.setenv(EXCHANGE_URLS=json.dumps({"binance_usdm": vendor.url, "binance_vision": vendor.url}))
        result = run_check(world, FUNDING_RATES)
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert result.metadata["compared"].value == 0
    assert "0 rows compared: neither gave any of binance.LINK-USDT-PERP" in result.description


def test_the_check_fails_when_the_archive_cannot_be_read_as_it_should(world: MarketWorld) -> None:
    world.bench.registry.add_missing([LINK])
    world.simulator.faults.add(Fault("archive_lacks", start="2000-01-01", end="2100-01-01"))
    result = run_check(world, AGG_TRADES_UM)
    assert not result.passed
    assert all(what == "only in the API" for what in result.metadata["different"].value.values())
