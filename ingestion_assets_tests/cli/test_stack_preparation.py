"""What `ingest up` does first: seeds, partitions, and runs that an earlier stack left behind."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ingestion_assets.cli.stack_preparation import release_runs
from ingestion_assets.registry import Status
from ingestion_assets.simulator import Simulator
from ingestion_assets_tests.cli.conftest import Ingest

STARTED, CANCELING = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING


@dg.job
def work() -> None: ...


def a_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, server: object) -> str:
    tags = {} if server is None else {".dagster/grpc_info": json.dumps(server)}
    run = instance.create_run_for_job(work, tags=tags, status=status)
    return run.run_id


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """The path of a Unix socket has a hundred characters at most."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_runs_whose_server_is_gone_are_closed_and_no_others(ingest: Ingest, short_folder: Path) -> None:
    here = short_folder / "s"
    with (
        socket.socket(socket.AF_UNIX) as server,
        socket.socket() as port,
        dg.DagsterInstance.get() as instance,
    ):
        server.bind(str(here))
        server.listen()
        port.bind(("127.0.0.1", 0))
        port.listen()
        gone = {"host": "localhost", "socket": "/nowhere/code.sock"}
        runs = {
            "lost": a_run(instance, STARTED, gone),
            "leaving": a_run(instance, CANCELING, gone),
            "at work": a_run(instance, STARTED, {"host": "localhost", "socket": str(here)}),
            "elsewhere": a_run(instance, STARTED, {"host": "127.0.0.1", "port": port.getsockname()[1]}),
            "of a shell": a_run(instance, STARTED, None),
            "waiting": a_run(instance, dg.DagsterRunStatus.NOT_STARTED, gone),
        }
        lost = release_runs(instance)
        assert sorted(lost) == sorted([runs["lost"], runs["leaving"]])
        ended = {name: instance.get_run_by_id(run) for name, run in runs.items()}
    assert {name: run.status.value for name, run in ended.items() if run} == {
        "lost": "FAILURE",
        "leaving": "CANCELED",
        "at work": "STARTED",
        "elsewhere": "STARTED",
        "of a shell": "STARTED",
        "waiting": "NOT_STARTED",
    }


def test_seeds_partitions_and_lost_series_are_put_right(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTION_MARKETS", "BTC/USDT,NOPE/USDT")
    first = ingest("setup", "--for-stack").ok().json
    assert first["series"] == ["binance.BTC-USDT"]
    assert len(first["problems"]) == 1
    assert "NOPE" in first["problems"][0]
    with dg.DagsterInstance.get() as instance:
        assert instance.get_dynamic_partitions("market") == ["binance.BTC-USDT"]
        lost = a_run(instance, STARTED, {"host": "localhost", "socket": "/nowhere/code.sock"})
    ingest.bench.registry.start(["binance.BTC-USDT"], f"run:{lost}")
    again = ingest("setup", "--for-stack").ok().json
    assert again["lost_runs"] == [lost]
    entry = ingest.bench.registry.require("binance.BTC-USDT")
    assert entry.status == Status.ERROR
    assert "interrupted" in (entry.error_message or "")


def test_a_lake_of_the_other_world_is_refused(btc: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator() as vendor:
        monkeypatch.delenv("BINANCE_URL")
        monkeypatch.setenv("SIMULATOR_PORT", str(vendor.port))
        btc("backfill", "--here", "--from", "2024-01-01", "--to", "2024-01-02").ok()
        assert "refused" not in btc("setup", "--for-stack").ok().json
    monkeypatch.setenv("PROFILE", "live")
    refused = btc("setup", "--for-stack").ok().json["refused"]
    assert "simulated candles of binance.BTC-USDT" in refused
    assert "PROFILE=live" in refused
    assert str(btc.lake) in refused
