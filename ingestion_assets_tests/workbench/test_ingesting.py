"""Work on slices: what lands and what does not, and a registry that tells who works on what."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion_assets.ingestion import Options, Slice
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.registry import Status
from ingestion_assets.settings import load_settings
from ingestion_assets.simulator import Fault, Simulator
from ingestion_assets.stores.catalog import CatalogError
from ingestion_assets.stores.lake_file import CorruptFile
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.tables.market import OHLCV_1M as TABLE
from ingestion_assets.workbench import Workbench
from ingestion_assets_tests.workbench.conftest import BTC, ETH, days


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


def test_who_is_not_asked_and_has_a_broken_file_does_not_keep_the_others(bench: Workbench) -> None:
    bench.lake.objects.write(bench.lake.path(TABLE, BTC.id, "2024-03"), b"no Parquet")
    btc, eth = days(BTC, ETH)
    landed = list(bench.ingest(TABLE, [eth], run="r", unasked=[(btc, "a key is missing")]))
    assert [(one.slice.series.id, one.status) for one in landed] == [(BTC.id, "failed"), (ETH.id, "ok")]
    assert isinstance(landed[0].error, CorruptFile)
