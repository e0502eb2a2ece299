"""A program as a fresh process and what it cost; the same work in interleaved rounds; medians.

CPU is user + system time of the process and of all its children that it waited for. Peak memory is that
of the largest of them. This module and its callers import little: a forked child is billed at first for
its parent's memory.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """What one process took, start-up included, and what it said in its last line."""

    wall: float
    cpu: float
    peak_mb: float
    said: Mapping[str, Any]


def environment(**more: str) -> dict[str, str]:
    """What a program needs and nothing that would steer it; bytecode is kept, as it is for a user."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT), "TZ": "UTC", "DAGSTER_DISABLE_TELEMETRY": "1"} | more


def run(command: list[str], env: Mapping[str, str], folder: Path) -> Cost:
    """Run it to its end in a folder; a failure is shown and raised."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.monotonic()
        process = subprocess.Popen(
            command, env=dict(env), cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        lines = out.read().decode(errors="replace").strip().splitlines()
        if process.returncode:
            err.seek(0)
            words = "\n".join([*lines, err.read().decode(errors="replace")][-60:])
            raise RuntimeError(f"{' '.join(command)} ended with code {process.returncode}\n{words[-6_000:]}")
    said = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1_024, said)


def python(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def interleaved(rounds: int, contenders: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Everybody once, then everybody once more: what else the machine does is shared by all."""
    results: dict[str, list[T]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, once in contenders.items():
            results[name].append(once())
    return results


def middle(values: Iterable[float]) -> float:
    return statistics.median(values)


def typical(costs: list[Cost]) -> Cost:
    """Medians, each for itself."""
    return Cost(
        middle(c.wall for c in costs),
        middle(c.cpu for c in costs),
        max(c.peak_mb for c in costs),
        costs[-1].said,
    )
