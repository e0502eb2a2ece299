"""`ingest doctor`: finds what is wrong, says how to mend it, and fails when something is broken."""

from __future__ import annotations

import shutil
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.embedded import Redis, free_port
from ingestion_assets.settings import Settings
from ingestion_assets.simulator import Fault, Simulator
from ingestion_assets_tests.cli.conftest import Ingest


def findings(ingest: Ingest, code: int = 0) -> dict[str, dict[str, str]]:
    done = ingest("doctor", "--json")
    assert done.code == code, done.out
    assert done.json["ok"] == (code == 0)
    worst: dict[str, dict[str, str]] = {}
    for finding in done.json["findings"]:
        known = worst.get(finding["name"])
        if known is None or known["status"] == "ok":
            worst[finding["name"]] = finding
    return worst


def test_a_good_installation_passes(
    btc: Ingest, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    found = findings(btc)
    for name in ("settings", "keys", "catalog", "lake", "disk", "redis", "binance", "dagster", "partitions"):
        assert found[name]["status"] in ("ok", "warn" if name == "disk" else "ok"), found[name]
    assert "clocks differ by" in found["binance"]["text"]
    said = btc("doctor").ok()
    assert "ok    lake" in said.out
    assert "0 failed" in said.err


def test_a_wrong_setting_ends_the_examination(btc: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKET_JOBS", "[{]")
    found = findings(btc, 1)
    assert list(found) == ["settings"]
    assert "MARKET_JOBS" in found["settings"]["text"]


def test_a_name_in_a_setting_that_nobody_has_is_found(btc: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_BUDGETS", '{"glasnode": 5}')
    done = btc("doctor", "--json")
    assert done.code == 1
    (only,) = done.json["findings"]
    assert (only["name"], only["status"]) == ("settings", "fail")
    assert "VENDOR_BUDGETS: 'glasnode' is unknown: use" in only["text"]
    assert btc("registry", "list").code == 2


def test_what_does_not_answer_fails(btc: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("BINANCE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("REDIS_URL", f"redis://:hush@127.0.0.1:{port}/0")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:hush@127.0.0.1:{port}/x")
    (btc.folder / "file").write_text("")
    monkeypatch.setenv("DATA_LAKE_PATH", str(btc.folder / "file"))
    done = btc("doctor")
    assert done.code == 1
    for name in ("binance", "redis", "catalog", "lake"):
        assert f"fail  {name}" in done.out
    assert "hush" not in done.out


def test_a_clock_that_is_off_is_told(btc: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator() as vendor:
        vendor.faults.add(Fault("clock_skew", ms=90_000, times=None))
        monkeypatch.setenv("BINANCE_URL", vendor.url)
        finding = findings(btc)["binance"]
    assert finding["status"] == "warn"
    assert "90" in finding["text"]
    assert "time server" in finding["remedy"]


def test_a_geo_block_is_told_with_its_remedy(btc: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator() as vendor:
        vendor.faults.add(Fault("geo_blocked", times=None))
        monkeypatch.setenv("BINANCE_URL", vendor.url)
        finding = findings(btc, 1)["binance"]
    assert finding["status"] == "fail"
    assert "EXCHANGE_URLS" in finding["remedy"]


def test_series_that_failed_or_are_stuck_are_named(btc: Ingest) -> None:
    import sqlalchemy as sa

    from ingestion_assets.stores.catalog import SERIES

    btc.bench.registry.finish("binance.BTC-USDT", "the venue was closed")
    finding = findings(btc)["binance.BTC-USDT"]
    assert finding["status"] == "warn"
    assert "the venue was closed" in finding["text"]
    btc.bench.registry.start(["binance.BTC-USDT"], "run:1234")
    with btc.bench.catalog.begin() as db:
        db.execute(sa.update(SERIES).values(updated_at=datetime.now(UTC) - timedelta(days=1)))
    finding = findings(btc)["binance.BTC-USDT"]
    assert "run:1234" in finding["text"]


def test_a_ceiling_that_is_reached_is_told(btc: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWITTER_BEARER_TOKEN", "hunter2")
    assert findings(btc)["x budget"]["status"] == "ok"
    monkeypatch.setenv("X_SPEND_PER_DAY_USD", "0")
    finding = findings(btc)["x budget"]
    assert finding["status"] == "warn"
    assert "X_SPEND_PER_DAY_USD" in finding["remedy"]


def test_one_half_of_a_key_is_told(btc: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_API_KEY", "k")
    assert "EXCHANGE_API_SECRET" in findings(btc)["keys"]["text"]


def test_placeholders_and_open_secrets_in_the_env_file_are_told(
    btc: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.env"
    path.write_text("EXCHANGE_API_KEY=your_key_here\nALERT_WEBHOOK_URL=https://hooks.example/abc123\n")
    path.chmod(0o644)
    monkeypatch.setitem(Settings.model_config, "env_file", str(path))
    for name in ("EXCHANGE_API_KEY", "ALERT_WEBHOOK_URL"):
        monkeypatch.setenv(name, "")  # put there by the command, taken away by the test's end
    done = btc("doctor")
    assert "placeholders stand in EXCHANGE_API_KEY" in done.out
    assert "chmod 600" in done.out
    assert "abc123" not in done.out


def test_a_full_disk_fails(btc: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")

    def full(_: Any) -> Any:
        return usage(1 << 40, 1 << 40, 1 << 20)

    monkeypatch.setattr(shutil, "disk_usage", full)
    finding = findings(btc, 1)["disk"]
    assert finding["status"] == "fail"
    assert "Free space" in finding["remedy"]


def test_more_partitions_than_the_ui_bears_are_told(btc: Ingest) -> None:
    from dataclasses import replace

    series = btc.bench.registry.require("binance.BTC-USDT").series
    many = [replace(series, id=f"binance.X{n}-USDT", enabled=False) for n in range(500)]
    btc.bench.registry.add_missing(many)
    assert findings(btc)["partitions"]["status"] == "warn"


def test_simulated_and_real_candles_in_one_lake_are_told(
    btc: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    btc("backfill", "--here", "--from", "2024-01-01", "--to", "2024-01-02").ok()
    assert findings(btc)["lake"]["status"] == "ok"
    # The same venue as the built-in simulator: what is held came from elsewhere.
    with Simulator() as vendor:
        monkeypatch.delenv("BINANCE_URL")
        monkeypatch.setenv("SIMULATOR_PORT", str(vendor.port))
        finding = findings(btc, 1)["lake"]
    assert finding["status"] == "fail"
    assert "DATA_LAKE_PATH" in finding["text"]
    assert "real candles of binance.BTC-USDT" in finding["text"]
