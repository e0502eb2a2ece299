"""Backfill: the same candles from the same vendor, by four programs, each a fresh process.

Interleaved rounds, medians; start-up is part of it, rendering the vendor's answers is not. After every
run the rows on disk are counted. The large job is run by plain ccxt once and without latency only: it
goes page by page, so at a latency each page simply takes that much longer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import dagster_run, report
from benchmarks.measure import Cost, environment, interleaved, python, run, typical
from benchmarks.vendor import LISTED_MARKETS, Vendor

START = datetime(2024, 1, 1, tzinfo=UTC)
SYMBOLS = [
    *("BTC/USDT", "ETH/USDT", "BNB/USDT", "XRP/USDT", "ADA/USDT"),
    *("SOL/USDT", "DOGE/USDT", "LTC/USDT", "SUI/USDT", "ETH/BTC"),
]
PLAIN, OURS, DAGSTER, LIMIT = "ccxt + pandas", "source + lake", "through one Dagster run", "limit program"
# ccxt loads every market that the venue lists before its first candle. How much that is, is the venue's
# affair; so plain ccxt is also shown against a venue that lists nothing else.
PLAIN_FEW, FEW_MARKETS = "ccxt + pandas, 10 markets listed", 10
MODULES = {PLAIN: "ccxt_pandas", PLAIN_FEW: "ccxt_pandas", OURS: "source_and_lake", LIMIT: "limit"}
PAGE = 1_000


@dataclass(frozen=True)
class Job:
    series: int
    days: int

    @property
    def symbols(self) -> list[str]:
        return SYMBOLS[: self.series]

    @property
    def end(self) -> datetime:
        return START + timedelta(days=self.days)

    @property
    def candles(self) -> int:
        return self.series * self.days * 1_440

    def __str__(self) -> str:
        return f"{self.series} series × {self.days} days"


SMALL, LARGE = Job(2, 90), Job(10, 366)


@dataclass(frozen=True)
class Result:
    """One contender's medians on one job."""

    contender: str
    job: str
    latency_ms: int
    candles: int
    wall: float
    cpu: float
    peak_mb: float
    bytes_per_candle: float
    runs: int
    derived: bool = False

    @property
    def speed(self) -> float:
        return self.candles / self.wall

    @property
    def cpu_per_million(self) -> float:
        return self.cpu / self.candles * 1e6


def once(vendor: Vendor, contender: str, job: Job, latency_ms: int) -> tuple[Cost, float]:
    """Run it in a folder of its own; its cost and the bytes per candle that it left."""
    listed = FEW_MARKETS if contender == PLAIN_FEW else LISTED_MARKETS
    vendor.set(latency_ms=latency_ms, markets=listed)
    with tempfile.TemporaryDirectory(prefix="backfill-") as name:
        folder = Path(name)
        if contender == DAGSTER:
            cost = dagster_run.backfill(vendor.url, folder, START, job.end, job.symbols)
        else:
            window = (int(moment.timestamp() * 1_000) for moment in (START, job.end))
            module = f"benchmarks.contenders.{MODULES[contender]}"
            command = python(module, vendor.url, folder, *window, *job.symbols)
            cost = run(command, environment(), folder)
        rows, size = parquet(folder)
    if rows != job.candles:
        raise RuntimeError(f"{contender} left {rows} rows of {job}, {job.candles} are right")
    return cost, size / rows


def parquet(folder: Path) -> tuple[int, int]:
    """Rows and bytes of the candle files below a folder."""
    import pyarrow.parquet as pq

    files = [p for p in folder.rglob("*.parquet") if "/_" not in str(p.relative_to(folder).parent)]
    return sum(pq.read_metadata(p).num_rows for p in files), sum(p.stat().st_size for p in files)


def compare(vendor: Vendor, contenders: list[str], job: Job, latency_ms: int, rounds: int) -> list[Result]:
    report.note(f"{job} at {latency_ms} ms, {rounds} rounds …")
    calls: dict[str, Callable[[], tuple[Cost, float]]] = {
        name: partial(once, vendor, name, job, latency_ms) for name in contenders
    }
    results = []
    for name, outcomes in interleaved(rounds, calls).items():
        cost = typical([c for c, _ in outcomes])
        size = outcomes[-1][1]
        results.append(
            Result(name, str(job), latency_ms, job.candles, cost.wall, cost.cpu, cost.peak_mb, size, rounds)
        )
    return results


def at_latency(plain: Result, latency_ms: int) -> Result:
    """Plain ccxt's large job at a latency: it asks page by page, so each page takes at least that longer."""
    wall = plain.wall + plain.candles / PAGE * latency_ms / 1_000
    return Result(**asdict(plain) | {"latency_ms": latency_ms, "wall": wall, "runs": 0, "derived": True})


def measure(*, rounds: int = 3, quick: bool = False, latency_ms: int = 50) -> tuple[Any, list[report.Target]]:
    large = Job(4, 121) if quick else LARGE
    contenders = [PLAIN, OURS, DAGSTER, LIMIT]
    if not dagster_run.available():
        report.note("[yellow]No ingestion_assets/definitions.py yet: the Dagster run is left out.")
        contenders.remove(DAGSTER)
    report.note("Rendering the vendor's answers …")
    with Vendor([s.replace("/", "") for s in large.symbols], START, large.end) as vendor:
        for name in contenders:  # compiles bytecode and fills the page cache, for all alike
            once(vendor, name, Job(1, 1), 0)
        small = compare(vendor, [*contenders, PLAIN_FEW], SMALL, 0, rounds)
        small_late = compare(vendor, contenders, SMALL, latency_ms, rounds)
        others = [name for name in contenders if name != PLAIN]
        big = compare(vendor, others, large, 0, rounds)
        big_late = compare(vendor, others, large, latency_ms, rounds)
        plain = compare(vendor, [PLAIN], large, 0, 1)[0]
    late = at_latency(plain, latency_ms)
    results = [*small, *small_late, plain, *big, late, *big_late]
    lines = targets(small, small_late, [plain, *big], [late, *big_late])
    show(results, latency_ms)
    return [asdict(r) for r in results], lines


def _of(results: list[Result], contender: str) -> Result | None:
    return next((r for r in results if r.contender == contender), None)


def targets(
    small: list[Result], small_late: list[Result], big: list[Result], big_late: list[Result]
) -> list[report.Target]:
    def ratio(results: list[Result], left: str, right: str) -> float | None:
        a, b = _of(results, left), _of(results, right)
        return None if a is None or b is None else a.speed / b.speed

    def margin(contender: str) -> float | None:
        a, b = _of(small, contender), _of(big, contender)
        return None if a is None or b is None else (b.cpu - a.cpu) / (b.candles - a.candles) * 1e6

    ours = [
        r for results in (small, small_late, big, big_late) for r in results if r.contender in (OURS, DAGSTER)
    ]
    plain_margin = margin(PLAIN)
    theirs = f" (ccxt + pandas: {plain_margin:.1f})" if plain_margin else ""
    percent = "{:.0%}"
    return [
        report.at_least("source + lake ÷ ccxt + pandas, small job", 3, ratio(small, OURS, PLAIN)),
        report.at_least(
            f"the same when {FEW_MARKETS} markets are listed, not {LISTED_MARKETS:,}",
            3,
            ratio(small, OURS, PLAIN_FEW),
        ),
        report.at_least("source + lake ÷ limit program, large job", 0.65, ratio(big, OURS, LIMIT), percent),
        report.at_most(f"CPU s per million candles at the margin{theirs}", 4, margin(OURS)),
        report.at_least("Dagster run ÷ source + lake, large job", 0.5, ratio(big, DAGSTER, OURS), percent),
        report.at_least("Dagster run ÷ ccxt + pandas, large job", 4, ratio(big, DAGSTER, PLAIN)),
        report.at_least(
            "source + lake ÷ ccxt + pandas, small job, latency", 4, ratio(small_late, OURS, PLAIN)
        ),
        report.at_least("source + lake ÷ ccxt + pandas, large job, latency", 4, ratio(big_late, OURS, PLAIN)),
        report.at_most("bytes per candle on disk", 60, max(r.bytes_per_candle for r in ours)),
        report.at_most("peak memory, MB, any job", 500, max(r.peak_mb for r in ours), "{:.0f}"),
    ]


def show(results: list[Result], latency_ms: int) -> None:
    columns = ["", "ms", "wall s", "candles/s", "CPU s", "CPU s/M", "peak MB", "B/candle"]
    for job in dict.fromkeys(r.job for r in results):
        rows = [
            [
                r.contender + (" (derived)" if r.derived else ""),
                str(r.latency_ms),
                f"{r.wall:.2f}",
                f"{r.speed:,.0f}",
                f"{r.cpu:.2f}",
                f"{r.cpu_per_million:.2f}",
                f"{r.peak_mb:.0f}",
                f"{r.bytes_per_candle:.1f}",
            ]
            for r in results
            if r.job == job
        ]
        report.table(f"Backfill, {job}", columns, rows)
    report.note(
        "ccxt + pandas keeps 6 columns, the others all 11 of the vendor. Its large job is run once at 0 ms; "
        f"at {latency_ms} ms it is derived from that: that much more for each page, the least it can be."
    )
