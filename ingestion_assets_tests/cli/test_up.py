"""The whole system once, as `make run` starts it: started, used, refused a second time, stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion_assets.cli import up
from ingestion_assets.embedded import free_port, listening
from ingestion_assets.settings import load_settings
from ingestion_assets_tests.cli.conftest import Checkout

pytestmark = pytest.mark.timeout(600)


class Running:
    """A stack of `ingest up`, what it says, and every process that belongs to it."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.port, self.simulator_port, self.api_port = free_port(), free_port(), free_port()
        self.metrics_port = free_port()
        checkout.environment = {
            **checkout.environment,
            "DAGSTER_PORT": str(self.port),
            "INGEST_PORT": str(self.api_port),
            "SIMULATOR_PORT": str(self.simulator_port),
            "SCHED_METRICS_PORT": str(self.metrics_port),
            "INGESTION_MARKETS": "BTC/USDT",
            "RUN_ON_START": "false",
        }
        # As a script that starts it with `&` would: SIGINT is ignored to begin with.
        self.process = checkout.start("up", prefix=["/bin/sh", "-c", "trap '' INT; exec \"$@\"", "sh"])
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)

    @property
    def text(self) -> str:
        return "".join(self.said)

    def wait_for(self, words: str, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.1)

    def processes(self) -> set[int]:
        """Every process that was started in this checkout, by what its environment says."""
        mark = f"PYTHONPATH={self.checkout.folder}\0".encode()
        found = set()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if mark in (entry / "environ").read_bytes() + b"\0" and state != "Z":
                    found.add(int(entry.name))
            except (OSError, IndexError):
                continue
        return found

    def end(self) -> None:
        """Whatever a failed test left."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(30)


@pytest.fixture
def running(checkout: Checkout) -> Iterator[Running]:
    stack = Running(checkout)
    try:
        yield stack
    finally:
        stack.end()


def test_the_stack_starts_serves_backfills_and_leaves_nothing(running: Running) -> None:
    checkout, url = running.checkout, f"http://127.0.0.1:{running.port}"
    running.wait_for("Ready after")
    running.wait_for("Ctrl-C stops everything")
    assert url in running.text
    assert "binance.BTC-USDT" in running.text
    with urllib.request.urlopen(f"{url}/server_info", timeout=30) as answer:
        assert json.load(answer)["dagster_version"]

    with urllib.request.urlopen(f"http://127.0.0.1:{running.api_port}/health", timeout=30) as answer:
        assert json.load(answer) == {"status": "ok"}

    with urllib.request.urlopen(f"http://127.0.0.1:{running.metrics_port}/metrics", timeout=30) as answer:
        assert b'service_info{service="raw-data-ingestion"' in answer.read()
    assert f"http://127.0.0.1:{running.metrics_port}/metrics" in running.text

    # A second one harms nothing: refused by the state folder, and by the ports where that is another one.
    second = checkout("up")
    assert second.code == 1
    assert "another `ingest up`" in second.err
    other = {"INGEST_STATE_DIR": str(checkout.elsewhere / "state")}
    third = checkout("up", **other)
    assert third.code == 1
    assert f"DAGSTER_PORT={running.port}" in third.err
    free = {name: str(free_port()) for name in ("DAGSTER_PORT", "INGEST_PORT")}
    metrics = checkout("up", **other, **free)
    assert f"SCHED_METRICS_PORT={running.metrics_port}" in metrics.err
    fourth = checkout("up", **other, **free, SCHED_METRICS_PORT=str(free_port()))
    assert f"SIMULATOR_PORT={running.simulator_port}" in fourth.err

    # A real Dagster backfill, followed to its end.
    done = checkout(
        "backfill", "BTCUSDT", "--from", "2024-01-01", "--to", "2024-03-01", "--json", timeout=400
    )
    assert done.code == 0, done.err + running.text
    assert (done.json["status"], done.json["partitions"], done.json["failed_partitions"]) == ("ok", 2, 0)
    assert done.json["new_rows"] == (31 + 29) * 1440
    held = checkout("sql", "--json", "select count(*) as n from market.ohlcv_1m where month < '2024-03'")
    assert held.ok().json == [{"n": (31 + 29) * 1440}]
    again = checkout("backfill", "BTCUSDT", "--from", "2024-01-01", "--to", "2024-03-01").ok()
    assert "Nothing to fetch" in again.err

    # Of a table that feeds give, likewise, though its series is new to Dagster.
    checkout("registry", "add", "binance", "BTC/USDT:USDT", "--no-backfill").ok()
    funding = ("binance.BTC-USDT-PERP", "--table", "funding_rates", "--from", "2024-01", "--to", "2024-03")
    done = checkout("backfill", *funding, "--json", timeout=400).ok()
    assert list(done.json["backfills"]) == ["derivatives/funding_rates"]
    assert (done.json["partitions"], done.json["failed_partitions"]) == (2, 0)
    assert done.json["new_rows"] == (31 + 29) * 3

    launched = checkout(
        *("backfill", "BTCUSDT", "--from", "2023-01-01", "--to", "2023-02-01", "--no-follow", "--json"),
    ).ok()
    (name,) = launched.json["backfills"].values()
    checkout("backfill", "--cancel", name).ok()
    unknown = checkout("backfill", "--cancel", "nonesuch")
    assert unknown.code == 2
    assert "nonesuch" in unknown.err

    assert len(running.processes()) > 5
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(90) == 0, running.text
    assert "Stopped; nothing is left running." in running.text
    assert running.processes() == set()
    assert not listening(running.port)
    assert not listening(running.simulator_port)
    assert not listening(running.api_port)
    assert not listening(running.metrics_port)
    state = checkout.folder / ".dagster"
    assert [path for path in state.rglob("*") if path.suffix in (".pid", ".lock", ".sock")] == []
    assert "is registered" in checkout("registry", "add", "binance", "ETH/USDT", "--no-backfill").ok().err


def test_a_server_that_dies_is_named_with_its_last_words_and_nothing_is_left(
    checkout: Checkout, prepared_state: Path
) -> None:
    shutil.copytree(prepared_state, checkout.folder / ".dagster")
    (checkout.folder / "ingestion_assets" / "definitions.py").write_text("import nonesuch\n")
    names = ("DAGSTER_PORT", "SIMULATOR_PORT", "INGEST_PORT", "SCHED_METRICS_PORT")
    ports = {name: str(free_port()) for name in names}
    done = checkout("up", **ports, timeout=200)
    assert done.code == 1
    assert "code ended unexpectedly with code 1" in done.err
    assert "No module named 'nonesuch'" in done.err
    assert not any(listening(int(port)) for port in ports.values())


def test_the_metrics_are_where_the_older_system_had_them_unless_that_port_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    monkeypatch.setattr(up, "METRICS_PORT", port)
    assert up.metrics_port(load_settings()) == {"SCHED_METRICS_PORT": str(port)}
    assert up.metrics_port(load_settings(sched_metrics_port=free_port())) == {}
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert up.metrics_port(load_settings()) == {}


def test_ports_are_looked_at_before_anything_starts(checkout: Checkout) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = checkout("up", DAGSTER_PORT=str(port), INGEST_PORT=str(free_port()))
    assert done.code == 1
    assert f"DAGSTER_PORT={port}" in done.err
    assert not (checkout.folder / ".dagster" / "logs").exists()
