"""Stores and vendors are reached as the settings say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingestion_assets.simulator import Simulator
from ingestion_assets.tables.market import OHLCV_1M as TABLE
from ingestion_assets_tests.workbench.conftest import BTC, DAY, days


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
