from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis

from ingestion_assets import embedded
from ingestion_assets.embedded import Child, Redis, ServerError, free_port, listening


def gone(pid: int, seconds: float = 60) -> bool:
    """Whether the process ends; a zombie that nobody has buried yet has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
        if not state.strip() or state.startswith("Z"):
            return True
        time.sleep(0.02)
    return False


def watchers() -> int:
    """How many of our lifelines' watchers are about that were started for a server of this name."""
    lines = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True).stdout
    return lines.count("lifeline-test")


def test_a_server_answers_and_stops_without_a_trace() -> None:
    with Redis() as server:
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
            assert client.info("server")["process_id"] == server.pid
            folder = Path(client.config_get("dir")["dir"])
        pid = server.pid
        assert pid is not None
    assert gone(pid)
    assert not listening(server.port)
    assert not folder.exists()
    server.stop()  # again does nothing
    with pytest.raises(ServerError, match="not running"):
        _ = server.url


def test_it_listens_on_loopback_only() -> None:
    with Redis() as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_data_in_a_given_directory_outlives_the_server_and_a_kill(tmp_path: Path) -> None:
    with Redis(directory=tmp_path / "kept") as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", 1)
        assert server._child is not None
        server._child.stop()
    with Redis(directory=tmp_path / "kept") as server, redis.Redis.from_url(server.url) as client:
        assert client.get("a") == b"1"
        client.config_set("appendfsync", "always")
        client.set("b", 2)
        assert server._child is not None
        server._child.kill()
    with Redis(directory=tmp_path / "kept") as server, redis.Redis.from_url(server.url) as client:
        assert client.mget("a", "b") == [b"1", b"2"]


def test_one_directory_has_one_server(tmp_path: Path) -> None:
    with Redis(directory=tmp_path), pytest.raises(ServerError, match=r"another process .* REDIS_URL"):
        Redis(directory=tmp_path).__enter__()
    with Redis(directory=tmp_path):
        pass


def test_a_port_that_is_taken_is_an_error_that_names_it_and_the_remedy() -> None:
    with Redis() as first:
        with pytest.raises(ServerError, match=rf"port {first.port}[\s\S]*REDIS_URL"):
            Redis(port=first.port).__enter__()
        with redis.Redis.from_url(first.url) as client:
            assert client.ping()


def test_a_free_port_that_is_taken_meanwhile_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with Redis() as first:
        ports = iter([first.port, free_port()])
        monkeypatch.setattr(embedded, "free_port", lambda: next(ports))
        with Redis() as second:
            assert second.port != first.port


def test_a_given_url_starts_nothing() -> None:
    with Redis(url="redis://elsewhere:6379/0") as server:
        assert server.url == "redis://elsewhere:6379/0"
        assert server.pid is None


def test_a_server_on_path_replaces_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = embedded.redis_program()
    mine = tmp_path / "redis-server"
    mine.write_text(f'#!/bin/sh\n"{wheel}" "$@" &\ntrap "kill $!" TERM\nwait; wait\n')  # a wrapper, too
    mine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert embedded.redis_program() == mine
    with Redis() as server, redis.Redis.from_url(server.url) as client:
        pid = client.info("server")["process_id"]
        assert pid != server.pid
    assert gone(pid)


def test_no_server_anywhere_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ServerError, match=r"pip install .*REDIS_URL"):
        Redis().__enter__()


ORPHAN = """
import sys, threading, time
from ingestion_assets.embedded import Redis
server = Redis()
starter = threading.Thread(target=server.__enter__)
starter.start()
starter.join()  # the thread that started it is gone, the process is not
time.sleep(1)
with __import__("redis").Redis.from_url(server.url) as client:
    client.ping()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_it_outlives_the_starting_thread_but_not_the_process(end: signal.Signals, tmp_path: Path) -> None:
    orphan = [sys.executable, "-c", ORPHAN]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(orphan, stdout=subprocess.PIPE, text=True, env=env) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(end)
    assert gone(pid)


def test_ctrl_c_in_the_terminal_leaves_the_server_to_us() -> None:
    with Redis() as server:
        assert server.pid is not None
        assert os.getsid(server.pid) == server.pid != os.getsid(0)


def test_a_child_that_ends_early_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    child = Child(["sh", "-c", "echo no such luck; exit 3"], log=tmp_path / "log")
    with pytest.raises(ServerError, match=r"sh ended with code 3\nno such luck"):
        child.wait_until(lambda: False)
    child.stop()


def test_a_child_that_does_not_get_ready_is_an_error(tmp_path: Path) -> None:
    child = Child(["sleep", "600"])
    try:
        with pytest.raises(ServerError, match=r"sleep was not ready within 0\.1 s"):
            child.wait_until(lambda: False, seconds=0.1)
    finally:
        child.stop()


def test_a_stubborn_child_is_made_to_stop(tmp_path: Path) -> None:
    child = Child(["sh", "-c", 'trap "" TERM; echo ready; sleep 600 & wait; wait'], log=tmp_path / "log")
    child.wait_until(lambda: "ready" in (tmp_path / "log").read_text())
    child.stop(seconds=0.2)
    assert child.process.returncode == -signal.SIGKILL
    subprocess.run(["pkill", "-s", str(child.pid)])


def test_the_watcher_goes_with_the_server_that_was_stopped() -> None:
    children = [Child(["sh", "-c", "sleep 600 # lifeline-test"]) for _ in range(3)]
    assert watchers() > 0
    for child in children:
        child.stop()
    end = time.monotonic() + 60
    while watchers() and time.monotonic() < end:
        time.sleep(0.02)
    assert watchers() == 0


def test_many_threads_start_servers_at_once() -> None:
    pings: list[bool] = []

    def serve() -> None:
        with Redis() as server, redis.Redis.from_url(server.url) as client:
            pings.append(client.ping())

    threads = [threading.Thread(target=serve) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pings == [True] * 6


STORM = """
import os, random, sys, threading, time
from ingestion_assets.embedded import Redis
servers = [Redis() for _ in range(3)]
threads = [threading.Thread(target=server.__enter__) for server in servers]
print(os.getpid(), flush=True)
for thread in threads:
    thread.start()
time.sleep(600)
"""


@pytest.mark.soak
def test_no_server_outlives_a_parent_that_dies_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(0)
    storm = [sys.executable, "-c", STORM]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    for _ in range(60):
        with subprocess.Popen(storm, stdout=subprocess.PIPE, text=True, env=env) as parent:
            assert parent.stdout is not None
            parent.stdout.readline()
            time.sleep(chance.uniform(0, 0.3))
            # its servers lead sessions of their own, so they are known by their parent only
            table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True).stdout
            rows = [line.split() for line in table.splitlines()]
            servers = [int(pid) for pid, ppid in rows if int(ppid) == parent.pid]
            parent.kill()
        for pid in servers:
            assert gone(pid)
