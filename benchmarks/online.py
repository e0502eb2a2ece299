"""The online store beside Feast's, redis-py and bare RESP: the same rows, one real Redis, interleaved.

    Feast                  its Redis online store, in an interpreter of its own (see below)
    redis-py loop          a call for each key, on a twentieth of the rows because it takes so long
    redis-py pipeline      1,000 rows at once
    OnlineStore            ours: never older over newer, transactions
    raw RESP               the limit: packed by hand, one connection, no guard and no transactions

Everybody but Feast writes the same keys, JSON values, TTLs and index. A range is 1,000 rows in a row, a
multi-get 100 rows anywhere; raw RESP's point is a bare GET whose JSON nobody reads. Starting, connecting
and making the rows are not timed. Writing, we keep two cores busy, ours and Redis's, where Feast keeps one:
beside other work on a small machine the ratio of writes falls, and that of CPU per row stays.

Feast does not go with our versions of its libraries, so it is looked for in another interpreter:
FEAST_PYTHON, or .feast in the project's root: python3 -m venv .feast && .feast/bin/pip install 'feast[redis]'
"""

from __future__ import annotations

import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks import report
from benchmarks.measure import ROOT, environment, interleaved, middle, run

FEAST, LOOP, PIPELINE = "Feast", "redis-py loop", "redis-py pipeline"
OURS, RAW = "OnlineStore", "raw RESP (limit)"
PROGRAMS = {FEAST: "feast", LOOP: "loop", PIPELINE: "pipeline", OURS: "ours", RAW: "raw"}
FIGURES = ("rows/s", "client CPU µs/row", "bytes/row", "point p50", "point p99", "multi p50", "range p50")


def feast_python() -> Path | None:
    given = os.environ.get("FEAST_PYTHON")
    found = Path(given) if given else ROOT / ".feast" / "bin" / "python"
    return found if found.exists() else None


def once(name: str, server: Any, client: Any, rows: int, columns: int) -> dict[str, float]:
    """One contender on the emptied server."""
    client.execute_command("FLUSHALL", "SYNC")
    before = client.info("memory")["used_memory"]
    python = str(feast_python()) if name == FEAST else sys.executable
    count, effort = (rows // 20, 10) if name == LOOP else (rows, 10 if name == FEAST else 100)
    program = f"benchmarks.contenders.online.{PROGRAMS[name]}"
    words = [python, "-m", program, server.url, count, columns, effort]
    with tempfile.TemporaryDirectory(prefix="online-") as folder:
        said = run([str(w) for w in words], environment(FEAST_USAGE="False"), Path(folder)).said
    used = client.info("memory")["used_memory"] - before
    return {
        "rows/s": count / said["write_seconds"],
        "client CPU µs/row": said["client_cpu_seconds"] / count * 1e6,
        "bytes/row": used / count,
        "point p50": middle(said["point_us"]),
        "point p99": quantiles(said["point_us"], n=100)[-1],
        "multi p50": middle(said["several_us"]),
        "range p50": middle(said["range_us"]),
    }


def guarded(url: str, client: Any) -> None:
    """That what was measured keeps its promise: a later version stays, whoever comes after it."""
    import numpy as np

    from benchmarks.contenders.online import Work
    from benchmarks.contenders.online.ours import PLACE, Ours

    client.execute_command("FLUSHALL", "SYNC")
    work = Work(2_500, 8)
    ours = Ours(url, work)
    ours.write()
    older = {"close": np.zeros(2_500), "known_at": work.known_at - 1}
    if ours.store.write(*PLACE, work.times, older) != 0:
        raise RuntimeError("an older value was written over a newer one")
    rows = ours.store.range(*PLACE, 0, int(work.times[-1]), limit=2_500)
    if [row["close"] for _, row in rows] != work.columns["close"].tolist():
        raise RuntimeError("what was read is not what was written")


def measure(
    *, rounds: int = 3, quick: bool = False, rows: int = 100_000, widths: tuple[int, ...] = (8, 20)
) -> tuple[Any, list[report.Target]]:
    import redis

    from ingestion_assets.embedded import Redis

    if quick:
        rows, widths = 20_000, widths[:1]
    names = [name for name in PROGRAMS if name != FEAST or feast_python()]
    if FEAST not in names:
        report.note("Feast is absent, so nothing is said about it. " + (__doc__ or "").split("\n\n")[-1])
    figures: dict[str, Any] = {"rows": rows}
    targets: list[report.Target] = []
    with Redis() as server, redis.Redis.from_url(server.url) as client:
        guarded(server.url, client)
        for columns in widths:
            calls = {name: partial(once, name, server, client, rows, columns) for name in names}
            results = interleaved(rounds, calls)
            typical = {
                name: {figure: middle(one[figure] for one in each) for figure in FIGURES}
                for name, each in results.items()
            }
            figures[f"{columns} columns"] = {"median": typical, "rounds": results}
            _show(rows, columns, typical)
            targets += _targets(columns, typical)
    return figures, targets


def _show(rows: int, columns: int, typical: dict[str, dict[str, float]]) -> None:
    shown = ["{:,.0f}", "{:.1f}", "{:,.0f}", "{:,.0f}", "{:,.0f}", "{:,.0f}", "{:,.0f}"]
    lines = [
        [name, *(form.format(values[figure]) for form, figure in zip(shown, FIGURES, strict=True))]
        for name, values in typical.items()
    ]
    title = f"Online: {rows:,} rows of {columns} numbers, one series; reads in µs"
    report.table(title, ["", *FIGURES], lines)


def _targets(columns: int, typical: dict[str, dict[str, float]]) -> list[report.Target]:
    def ratio(above: str, below: str, figure: str) -> float | None:
        if above not in typical or below not in typical:
            return None
        return typical[above][figure] / typical[below][figure]

    of, memory = f"{columns} columns: ", ratio(OURS, PIPELINE, "bytes/row")
    least, most = report.at_least, report.at_most
    return [
        least(of + "write ÷ Feast", 15, ratio(OURS, FEAST, "rows/s")),
        least(of + "write ÷ redis-py pipeline", 3, ratio(OURS, PIPELINE, "rows/s")),
        least(of + "write ÷ raw RESP", 0.6, ratio(OURS, RAW, "rows/s"), "{:.0%}"),
        least(of + "range of 1,000, Feast ÷ ours", 20, ratio(FEAST, OURS, "range p50")),
        least(of + "multi-get of 100, Feast ÷ ours", 10, ratio(FEAST, OURS, "multi p50")),
        least(of + "point read, Feast ÷ ours", 3, ratio(FEAST, OURS, "point p50")),
        most(of + "point read ÷ raw GET", 1.5, ratio(OURS, RAW, "point p50"), "{:.2f}×"),
        # To two digits: how deep Redis nests an index is a matter of chance.
        most(of + "memory per row ÷ pipeline", 1.0, memory and round(memory, 2), "{:.2f}×"),
    ]
