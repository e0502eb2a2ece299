"""The HTTP API on loopback: ranges of 1,000 rows and points, as uvicorn serves them from a real Redis.

The server is one process held to one core, the client is this one; several connections are kept busy. What
counts for the target is the server: requests for each second of its own CPU time, for that is what one
core gives when nobody else needs it. The times of points are measured once alone and once while other
connections read ranges.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.measure import ROOT, environment, middle
from ingestion_assets.embedded import Redis, free_port, listening
from ingestion_assets.stores.online import OnlineStore
from ingestion_assets.tables import FEATURES

ROWS, CONNECTIONS = 1_000, 4
TTL = 7 * 86_400
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Load:
    """What some connections measured, all together."""

    seconds: list[float] = field(default_factory=list)
    size: int = 0
    failed: list[str] = field(default_factory=list)


class Client:
    """One connection that is kept; reads answers without looking into them."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1 << 20)

    def get(self, path: str) -> tuple[int, int]:
        """Status and size of the body."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._socket.recv(65_536)
        head, _, body = received.partition(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        left = size - len(body)
        while left > 0:
            left -= self._socket.recv_into(self._buffer)
        return int(head.split(b" ", 2)[1]), size

    def close(self) -> None:
        self._socket.close()


def measure(*, rounds: int = 3, quick: bool = False) -> tuple[Any, list[report.Target]]:
    seconds = 2.0 if quick else 8.0
    with Redis() as redis, tempfile.TemporaryDirectory(prefix="api-") as folder:
        times = _fill(redis.url)
        with _server(redis.url, Path(folder)) as (port, pid):
            full = f"&start={times[-ROWS]}&end={times[-1]}&limit={ROWS}"
            ranges = "/ingest/features/market/range?symbol=BTC/USDT&timeframe=1m" + full
            points = f"/ingest/features/market?symbol=BTC/USDT&timeframe=1m&ts={times[-10]}"
            found = [_round(port, pid, ranges, points, seconds) for _ in range(rounds)]
    figures = {name: middle(one[name] for one in found) for name in found[0]}
    rows = [
        ["range of 1,000 rows", f"{figures['range_per_cpu']:,.0f}", f"{figures['range_per_second']:,.0f}"],
        ["point", f"{figures['point_per_cpu']:,.0f}", f"{figures['point_per_second']:,.0f}"],
    ]
    title = f"HTTP API, {CONNECTIONS} connections, {figures['range_size'] / 1e3:,.0f} kB a range"
    report.table(title, ["", "requests / s of CPU", "requests / s, all on this machine"], rows)
    report.note(
        f"Points alone: p50 {figures['point_p50_ms']:.2f} ms, p99 {figures['point_p99_ms']:.2f} ms; "
        f"while {CONNECTIONS} connections read ranges: p50 {figures['loaded_p50_ms']:.2f} ms, "
        f"p99 {figures['loaded_p99_ms']:.2f} ms"
    )
    lines = [
        report.at_least("ranges of 1,000 rows a second, one core", 300, figures["range_per_cpu"], "{:,.0f}")
    ]
    return figures, lines


def _fill(url: str) -> list[int]:
    """Rows as the asset writes them; the numbers have all their digits."""
    now = int(time.time()) // 60 * 60
    times = [now - 60 * n for n in range(30, 30 + 3 * ROWS)][::-1]
    random = np.random.default_rng(7)
    columns: dict[str, Any] = {
        column.name: random.normal(size=len(times)).tolist()
        for column in FEATURES["1m"].columns
        if column.name not in ("time", "source", "is_gap", "minutes_since_gap", "known_at")
    }
    columns |= {"is_gap": [False] * len(times), "minutes_since_gap": [1_023] * len(times)}
    columns |= {"source": ["derived"] * len(times), "known_at": [at + 65 for at in times]}
    store = OnlineStore(url, ttl=lambda domain: TTL)
    assert store.write("market", "BTC-USDT", "1m", times, columns) == len(times)
    store.close()
    return times


@contextlib.contextmanager
def _server(url: str, folder: Path) -> Iterator[tuple[int, int]]:
    port = free_port()
    settings = {
        "REDIS_URL": url,
        "INGEST_STATE_DIR": str(folder),
        "DATA_LAKE_PATH": str(folder / "lake"),
        "INGEST_PORT": str(port),
        "FEATURE_TTL_SEC": str(TTL),
        "API_REQUESTS_PER_SEC": "1000000",
    }
    command = [sys.executable, "-m", "ingestion_assets.cli", "api"]
    process = subprocess.Popen(
        command, env=environment(**settings), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process.pid, cores[:1])
        while not listening(port):
            if process.poll() is not None:
                raise RuntimeError(f"the API ended with code {process.returncode}")
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _round(port: int, pid: int, ranges: str, points: str, seconds: float) -> dict[str, float]:
    _load(port, ranges, 0.5, CONNECTIONS)
    before = _cpu(pid)
    many = _load(port, ranges, seconds, CONNECTIONS)
    between = _cpu(pid)
    single = _load(port, points, seconds, CONNECTIONS)
    after = _cpu(pid)
    alone = _load(port, points, seconds / 2, 1)
    stop = threading.Event()
    pressure = [threading.Thread(target=_press, args=(port, ranges, stop)) for _ in range(CONNECTIONS)]
    for thread in pressure:
        thread.start()
    loaded = _load(port, points, seconds / 2, 1)
    stop.set()
    for thread in pressure:
        thread.join()
    return {
        "range_size": many.size,
        "range_per_second": len(many.seconds) / seconds,
        "range_per_cpu": len(many.seconds) / (between - before),
        "point_per_second": len(single.seconds) / seconds,
        "point_per_cpu": len(single.seconds) / (after - between),
        "point_p50_ms": statistics.median(alone.seconds) * 1e3,
        "point_p99_ms": _p99(alone.seconds) * 1e3,
        "loaded_p50_ms": statistics.median(loaded.seconds) * 1e3,
        "loaded_p99_ms": _p99(loaded.seconds) * 1e3,
    }


def _load(port: int, path: str, seconds: float, connections: int) -> Load:
    """Connections that ask again as soon as they are answered, for so long."""
    load, end = Load(), time.monotonic() + seconds

    def work() -> None:
        client = Client(port)
        while time.monotonic() < end:
            began = time.perf_counter()
            status, load.size = client.get(path)
            load.seconds.append(time.perf_counter() - began)
            if status != 200:
                load.failed.append(f"{status} for {path}")
                break
        client.close()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if load.failed:
        raise RuntimeError(load.failed[0])
    return load


def _press(port: int, path: str, stop: threading.Event) -> None:
    client = Client(port)
    while not stop.is_set():
        client.get(path)
    client.close()


def _cpu(pid: int) -> float:
    facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(facts[11]) + int(facts[12])) / TICKS


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
