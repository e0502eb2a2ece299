"""The workbench: what is made from the settings, and a registry that tells who works on what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.ingestion import Options, Slice, slices_of
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.registry import Series, Status
from ingestion_assets.settings import load_settings
from ingestion_assets.simulator import Fault, Simulator
from ingestion_assets.sources.errors import NotFound
from ingestion_assets.stores.catalog import CatalogError
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.tables.market import OHLCV_1M as TABLE
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


def states(bench: Workbench) -> dict[str, tuple[Status, str | None]]:
    return {e.series.id: (e.status, e.status_owner) for e in bench.registry.entries()}


def test_the_registry_tells_who_is_at_work_and_how_it_ended(bench: Workbench) -> None:
    stream = bench.ingest(TABLE, days(), run="run-1")
    first = next(stream)
    other = ({BTC.id, ETH.id} - {first.slice.series.id}).pop()
    assert states(bench) == {first.slice.series.id: (Status.IDLE, None), other: (Status.RUNNING, "run-1")}
    assert [landed.rows for landed in stream] == [1440]
    for entry in bench.registry.entries():
        assert (entry.status, entry.error_message) == (Status.IDLE, None)
        assert entry.last_backfill is not None
    footer = bench.lake.footer(TABLE, BTC.id, "2024-03")
    assert footer is not None
    assert (footer.rows, footer.notes["run"], footer.notes["code_version"]) == (
        1440,
        "run-1",
        bench.code_version,
    )


def test_closing_early_says_of_the_rest_that_it_was_interrupted(bench: Workbench) -> None:
    stream = bench.ingest(TABLE, days(), run="run-1")
    done = next(stream).slice.series.id
    stream.close()
    for entry in bench.registry.entries():
        assert entry.status_owner is None
        if entry.series.id != done:
            assert entry.status == Status.ERROR
            assert (entry.error_message or "").startswith("interrupted: GeneratorExit")


def test_what_fails_is_told_and_the_others_land(bench: Workbench, vendor: Simulator) -> None:
    vendor.faults.add(Fault("server_error", symbol="ETHUSDT", times=None))
    landed = {one.slice.series.id: one for one in bench.ingest(TABLE, days(), run="run-1")}
    assert landed[BTC.id].error is None
    assert landed[ETH.id].error is not None
    assert states(bench) == {BTC.id: (Status.IDLE, None), ETH.id: (Status.ERROR, None)}
    assert (bench.registry.require(ETH.id).error_message or "").startswith("VendorDown: ")


def test_a_lake_that_refuses_fails_each_slice_and_nothing_is_recorded(bench: Workbench) -> None:
    lake = Path(bench.settings.data_lake_path)
    lake.parent.mkdir(parents=True, exist_ok=True)
    lake.touch()
    landed = list(bench.ingest(TABLE, days(), run="run-1"))
    assert [type(one.error) for one in landed] == [StoreError] * 2
    assert {one.status for one in landed} == {"failed"}
    assert states(bench) == {BTC.id: (Status.ERROR, None), ETH.id: (Status.ERROR, None)}
    assert bench.ledger.open() == []


def test_without_a_catalog_nothing_is_begun(tmp_path: Path, vendor: Simulator) -> None:
    settings = load_settings(
        _env_file=None,
        profile="live",
        binance_url=vendor.url,
        data_lake_path=str(tmp_path / "lake"),
        ingest_state_dir=tmp_path / "nowhere",
    )
    vendor.requests.clear()
    with pytest.raises(CatalogError, match="INGEST_STATE_DIR"):
        list(Workbench(settings).ingest(TABLE, days(), run="run-1"))
    assert not (tmp_path / "lake").exists()
    assert vendor.requests.count == 0


def test_a_dry_run_writes_nothing_at_all(bench: Workbench) -> None:
    before = bench.registry.entries()
    landed = list(bench.ingest(TABLE, days(), run="run-1", options=Options(dry_run=True)))
    assert [one.fetched for one in landed] == [1440, 1440]
    assert bench.registry.entries() == before
    assert bench.ledger.open() == []
    assert not Path(bench.settings.data_lake_path).exists()


def test_a_delisting_that_the_venue_tells_of_is_noted(bench: Workbench, vendor: Simulator) -> None:
    moment = datetime(2024, 4, 9, 12, tzinfo=UTC)
    vendor.faults.add(Fault("delisted", symbol="ETHUSDT", at=moment))
    month = Slice(ETH, "2024-04", Window(datetime(2024, 4, 9, tzinfo=UTC), month_window("2024-04").end))
    (landed,) = bench.ingest(TABLE, [month], run="run-1")
    assert (landed.error, landed.last) == (None, moment - TABLE.grain)
    assert bench.registry.require(ETH.id).series.delisted_at is not None


def test_a_series_is_described_as_its_venue_does(make: Any) -> None:
    bench = make(ingestion_lookback_days=3)
    series = bench.describe("binance.btcusdt", NOW)
    assert (series.id, series.source, series.symbol) == (BTC.id, "binance", "BTC/USDT")
    assert series.backfill_from == datetime(2024, 4, 7, tzinfo=UTC)
    assert series.delisted_at is None


def test_an_unknown_symbol_is_refused_with_the_nearest_names(bench: Workbench) -> None:
    with pytest.raises(NotFound, match=r"BTCUSDT|BTC/USDT"):
        asyncio.run(bench.look_up("binance", "BTX/USDT"))


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


def test_in_the_simulated_profile_rows_say_that_they_are_not_real(make: Any, vendor: Simulator) -> None:
    bench = make(profile="simulator", simulator_port=vendor.port, binance_url=None)
    bench.registry.add_missing([BTC])
    list(bench.ingest(TABLE, days(BTC), run="run-1"))
    rows = bench.lake.read(TABLE, BTC.id, DAY)
    assert set(rows.column("source").to_pylist()) == {"simulator"}


def test_the_lake_is_reached_as_the_settings_say(make: Any, tmp_path: Path) -> None:
    by_variables = make(
        data_lake_path="s3://bucket/lake",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        aws_session_token="token",
        aws_endpoint_url="http://127.0.0.1:9",
        aws_default_region="eu-west-1",
        market_path=str(tmp_path / "market"),
    )
    expected = {"access_key": "key", "secret_key": "secret", "session_token": "token", "region": "eu-west-1"}
    assert by_variables.lake.objects._options == expected | {"endpoint_url": "http://127.0.0.1:9"}
    assert by_variables.lake.url(TABLE).startswith(str(tmp_path / "market" / "ohlcv_1m"))
    storage = {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": "http://h:1", "region_name": "r"}}
    by_fsspec = make(data_lake_path="s3://bucket/lake", fsspec_storage_options=storage)
    options = by_fsspec.lake.objects._options
    assert (options["access_key"], options["secret_key"], options["region"]) == ("k", "s", "r")
    assert options["endpoint_url"] == "http://h:1"
