"""One program each, all with the same arguments: REDIS_URL ROWS COLUMNS EFFORT. Not imported: run.

Each writes the same rows of one series into an empty Redis and reads some of them back, and prints what it
took as a JSON object. What they share is here and needs NumPy only, for one of them runs in an interpreter
of its own. Keys, TTL, index and JSON values are those of the online store, except with Feast, which has a
layout of its own: one entity for each point, the only way in which it keeps more than the newest value.
"""

from __future__ import annotations

import json
import socket
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np

PREFIX = "features:market:BTC-USDT:1m:"
INDEX = PREFIX + "_idx"
LIFE = 5 * 365 * 86_400  # seconds, long enough that a million minutes are online at once
BATCH = 1_000
RANGE, MULTI = 1_000, 100


class Work:
    """The rows: times rising by a minute, columns of floats as features look, and when each was known."""

    def __init__(self, count: int, columns: int) -> None:
        random = np.random.default_rng(7)
        newest = int(time.time()) // 60 * 60 - 60
        self.times = newest - 60 * np.arange(count)[::-1]
        price = 60_000 * np.exp(np.cumsum(random.normal(0, 1e-4, count)))
        self.columns = {"close": np.round(price, 2)}
        for number in range(1, columns):
            self.columns[f"feature_{number}"] = random.normal(0, 10.0 ** -(number % 4), count)
        self.known_at = self.times + 65


class Contender(Protocol):
    def __init__(self, url: str, work: Work) -> None: ...
    def write(self) -> None: ...
    def point(self, moment: int) -> Any: ...
    def several(self, moments: list[int]) -> Any: ...
    def stretch(self, start: int, end: int) -> Any: ...
    def close_of(self, answer: Any, position: int) -> float: ...


def microseconds(calls: list[Callable[[], Any]]) -> list[float]:
    taken = []
    for call in calls:
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1e6)
    return taken


def written(url: str, one: Contender) -> list[tuple[float, float]]:
    """Wall and CPU of writing everything into the empty server, several times when that is quick."""
    taken: list[tuple[float, float]] = []
    while not taken or (len(taken) < 5 and sum(wall for wall, _ in taken) < 3):
        if taken:
            empty(url)
        began, cpu = time.perf_counter(), time.process_time()
        one.write()
        taken.append((time.perf_counter() - began, time.process_time() - cpu))
    return taken


def empty(url: str) -> None:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port)) as line:
        line.sendall(b"FLUSHALL SYNC\r\n")
        if line.recv(64) != b"+OK\r\n":
            raise RuntimeError("the server could not be emptied")


def run(kind: type[Contender]) -> None:
    url, rows, columns, effort = sys.argv[1], *map(int, sys.argv[2:5])
    work = Work(rows, columns)
    one = kind(url, work)
    writes = written(url, one)
    random = np.random.default_rng(effort)
    times, closes = work.times.tolist(), work.columns["close"].tolist()

    def close(answer: Any, position: int, expected: int) -> None:
        found = one.close_of(answer, position)
        if abs(found - closes[expected]) > 1e-9:
            raise RuntimeError(f"{kind.__name__} read {found}, {closes[expected]} was written")

    picked = random.integers(0, rows, 20 * effort).tolist()
    many = [random.integers(0, rows, MULTI).tolist() for _ in range(max(3, effort))]
    width = min(RANGE, rows)
    starts = random.integers(0, rows - width + 1, max(3, effort // 2)).tolist()
    close(one.point(times[picked[0]]), 0, picked[0])
    close(one.several([times[n] for n in many[0]]), MULTI - 1, many[0][-1])
    close(one.stretch(times[starts[0]], times[starts[0] + width - 1]), width - 1, starts[0] + width - 1)
    figures = {
        "rows": rows,
        "write_seconds": statistics.median(wall for wall, _ in writes),
        "client_cpu_seconds": statistics.median(cpu for _, cpu in writes),
        "point_us": microseconds([lambda n=n: one.point(times[n]) for n in picked]),  # type: ignore[misc]
        "several_us": microseconds([lambda m=m: one.several([times[n] for n in m]) for m in many]),  # type: ignore[misc]
        "range_us": microseconds(
            [lambda s=s: one.stretch(times[s], times[s + width - 1]) for s in starts]  # type: ignore[misc]
        ),
    }
    print(json.dumps(figures))
