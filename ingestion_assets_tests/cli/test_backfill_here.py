"""`ingest backfill --here`: what lands, what is said, and what an interruption leaves."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from ingestion_assets.intervals import Window, parse_moment
from ingestion_assets.registry import Status
from ingestion_assets.simulator import Fault, Simulator
from ingestion_assets.tables import INGESTED
from ingestion_assets_tests.cli.conftest import Checkout, Ingest

JANUARY = ("--from", "2024-01-01", "--to", "2024-02-01")
MINUTES = 31 * 1440


def held(ingest: Ingest, start: str = "2024-01-01", end: str = "2024-02-01") -> int:
    window = Window(parse_moment(start), parse_moment(end))
    return ingest.bench.lake.read(INGESTED["1m"], "binance.BTC-USDT", window, ["time"]).num_rows


def test_a_month_lands_and_a_program_reads_the_figures(btc: Ingest) -> None:
    done = btc("backfill", "--here", *JANUARY, "--json").ok().json
    assert done["status"] == "ok"
    assert (done["partitions"], done["failed_partitions"], done["failed"]) == (1, 0, {})
    assert done["new_rows"] == held(btc) == MINUTES
    assert done["rows_per_second"] == pytest.approx(MINUTES / done["seconds"], rel=0.01)
    assert parse_moment(done["started"]) <= parse_moment(done["ended"])
    entry = btc.bench.registry.require("binance.BTC-USDT")
    assert (entry.status, entry.error_message) == (Status.IDLE, None)


def test_again_nothing_is_asked_for(btc: Ingest) -> None:
    said = btc("backfill", "--here", *JANUARY).ok()
    assert "44,640 rows new" in said.err
    again = btc("backfill", "--here", *JANUARY).ok()
    assert "Nothing to fetch" in again.err
    assert btc("backfill", "--here", *JANUARY, "--json").ok().json["status"] == "nothing_to_do"


def test_a_dry_run_writes_nothing(btc: Ingest) -> None:
    before = btc.snapshot()
    said = btc("backfill", "--here", "--dry-run", "--from", "2024-01-01", "--to", "2024-01-02").ok()
    assert "1,440 rows would be new" in said.err
    after = btc.snapshot()
    assert after["files"] == before["files"] == {}
    assert after["gaps"] == before["gaps"]


def test_verify_compares_a_sample_and_finds_nothing_changed(btc: Ingest) -> None:
    btc("backfill", "--here", *JANUARY).ok()
    done = btc("backfill", "--here", "--verify", *JANUARY, "--json").ok().json
    assert 0 < done["fetched_rows"] <= 1_000
    assert (done["new_rows"], done["changed_rows"]) == (0, 0)
    nothing = btc("backfill", "--here", "--verify", "--from", "2024-03-01", "--to", "2024-04-01").ok()
    assert "Nothing to compare" in nothing.err


def test_what_fails_is_named_what_landed_stays_and_the_next_run_resumes(
    btc: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_ATTEMPTS", "1")
    with Simulator() as vendor:
        monkeypatch.setenv("BINANCE_URL", vendor.url)
        vendor.faults.add(Fault("server_error", path="/api/v3/klines", after=20, times=None))
        done = btc("backfill", "--here", *JANUARY, "--json")
        assert done.code == 1
        assert "binance.BTC-USDT" in done.err
        assert "fetches the rest" in done.err
        assert done.json["status"] == "failed"
        assert list(done.json["failed"]) == ["binance.BTC-USDT"]
        assert btc.bench.registry.require("binance.BTC-USDT").status == Status.ERROR
        there = held(btc)
        assert 0 < there < MINUTES
        vendor.faults.clear()
        rest = btc("backfill", "--here", *JANUARY, "--json").ok().json
    assert rest["new_rows"] == MINUTES - there
    assert held(btc) == MINUTES


def test_an_interrupted_backfill_says_so(checkout: Checkout, prepared_state: Path) -> None:
    shutil.copytree(prepared_state, checkout.folder / ".dagster")
    with Simulator(latency_ms=200) as vendor:
        environment = {"BINANCE_URL": vendor.url, "HTTP_CONCURRENCY": "1"}
        checkout("registry", "add", "binance", "BTC/USDT", "--no-backfill", **environment).ok()
        command = ("backfill", "--here", "--from", "2024-01-01", "--to", "2024-04-01")
        process = checkout.start(*command, **environment)
        before = vendor.requests.by_path["/api/v3/klines"]
        while vendor.requests.by_path["/api/v3/klines"] < before + 4:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0]
        assert process.returncode == 130, said
        assert "interrupted" in said
        assert "Traceback" not in said
        (entry,) = checkout("registry", "list", "--json").ok().json
        assert entry["status"] == "error"
        assert "interrupted" in entry["error_message"]
    leftovers = [path for path in Path(checkout.folder / "data_lake").rglob(".tmp-*")]
    assert leftovers == []
