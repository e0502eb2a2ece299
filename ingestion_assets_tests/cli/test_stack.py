"""Servers as children: what is said when one dies, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion_assets.cli.errors import Failed
from ingestion_assets.cli.log_lines import LogLines
from ingestion_assets.cli.stack import Service, Stack, Stopped, taken
from ingestion_assets.embedded import free_port

SLEEPS = ["/bin/sh", "-c", "echo ready; exec sleep 1000"]
STUBBORN = ["/bin/sh", "-c", "trap '' TERM INT; sleep 1000 & echo $!; while :; do wait; done"]


@pytest.fixture
def signals() -> list[object]:
    return []


@pytest.fixture
def stack(tmp_path: Path, signals: list[object]) -> Iterator[Stack]:
    made = Stack(tmp_path / "logs", dict(os.environ), tmp_path, signals)
    yield made
    made.stop(0)


def started(stack: Stack, name: str, command: list[str]) -> Service:
    service = stack.start(name, command)
    stack.wait_until(lambda: bool(service.log.read_text()), name, 30)
    return service


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_server_that_listens_ends_by_itself(stack: Stack) -> None:
    pid = started(stack, "good", SLEEPS).child.pid
    assert alive(pid)
    assert stack.stop(120) == []
    assert not alive(pid)
    assert stack.services == []


def test_one_that_does_not_is_killed_with_all_that_it_started(stack: Stack) -> None:
    bad = started(stack, "bad", STUBBORN)
    processes = [bad.child.pid, int(bad.log.read_text())]
    assert all(alive(pid) for pid in processes)
    assert stack.stop(0.2) == ["bad"]
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in processes)


def test_a_second_signal_hurries(stack: Stack, signals: list[object]) -> None:
    started(stack, "bad", STUBBORN)
    signals += [signal.SIGINT, signal.SIGINT]
    assert stack.stop(100_000) == ["bad"]  # the test's own time limit would end it otherwise


def test_a_server_that_dies_is_named_with_its_last_words(stack: Stack) -> None:
    started(stack, "good", SLEEPS)
    service = stack.start("database", ["/bin/sh", "-c", "echo no space left; exit 3"])
    service.child.process.wait(30)
    with pytest.raises(Failed) as caught:
        stack.check()
    for word in ("database", "code 3", "no space left", str(service.log)):
        assert word in str(caught.value)


def test_a_server_that_is_killed_is_named_with_the_signal(stack: Stack) -> None:
    service = started(stack, "database", SLEEPS)
    service.signal_all(signal.SIGKILL)
    service.child.process.wait(30)
    with pytest.raises(Failed, match="SIGKILL"):
        stack.check()


def test_waiting_ends_with_a_signal_and_with_patience(stack: Stack, signals: list[object]) -> None:
    started(stack, "good", SLEEPS)
    with pytest.raises(Failed, match="the UI was not ready within 0 s"):
        stack.wait_until(lambda: False, "the UI", 0)
    signals.append(signal.SIGTERM)
    with pytest.raises(Stopped):
        stack.wait_until(lambda: False, "the UI", 1_000)


def test_an_earlier_log_is_kept_once(stack: Stack) -> None:
    started(stack, "good", SLEEPS)
    stack.stop(30)
    service = started(stack, "good", ["/bin/sh", "-c", "echo second; exec sleep 1000"])
    assert service.log.read_text() == "second\n"
    assert service.log.with_suffix(".log.1").read_text() == "ready\n"


def test_a_port_is_taken_or_free() -> None:
    import socket

    port = free_port()
    assert not taken(port, "127.0.0.1")
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert taken(port, "127.0.0.1")
        assert taken(port, "0.0.0.0")


def test_the_terminal_shows_rows_and_troubles_once(stack: Stack) -> None:
    service = started(stack, "code", SLEEPS)
    lines = LogLines(stack.services)
    assert list(lines.new()) == []
    done = '{"level": "INFO", "message": "symbol_execution_completed", "symbol": "%s", "records": %d}\n'
    run = "8c87f760-8d64-4715-85e7-67dbd415ed84"
    with service.log.open("a") as log:
        log.write(done % ("a.X", 5) + done % ("a.X", 2) + done % ("a.Y", 0))
        log.write(
            '{"level": "ERROR", "message": "symbol_execution_failed", "symbol": "a.Z", "error": "no"}\n'
        )
        log.write(
            f"\x1b[32m2026-11-21 01:40:54\x1b[0m - dagster - ERROR - j - {run} - 4783 - RUN_FAILURE - x\n"
        )
        log.write("2026-11-21 - dagster - ERROR - j - STEP_FAILURE - said again by RUN_FAILURE\n")
        log.write("2026-11-21 - dagster - INFO - nothing of interest\n{broken\nhalf a line - WARNING - ")
    assert list(lines.new()) == [
        ("code: a.Z: no", "red"),
        ("code: j: RUN_FAILURE - x", "red"),
        ("7 new rows of a.X", "green"),
    ]
    with service.log.open("a") as log:
        log.write(
            "the rest\n"
            "2026-11-21 - dagster - ERROR - j - 11111111-1111-1111-1111-111111111111 - RUN_FAILURE - x\n"
        )
    assert list(lines.new()) == [("code: the rest", "yellow")]
