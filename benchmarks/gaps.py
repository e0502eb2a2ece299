"""Gap detection: 10 series × 1 year of 1m candles with about 1,500 holes, three ways, the same answer.

The usual way is the query that such systems ship: every minute there should be, NOT IN those there are,
on PostgreSQL with work_mem raised to 256 MB (with the default of 4 MB it does not end). Ours is
`Lake.holes` over the Parquet files; the limit is a bare NumPy diff over the same files' time column.
Loading, connecting and starting are not timed, for none of the three.
"""

from __future__ import annotations

import io
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.backfill import START, SYMBOLS
from benchmarks.measure import interleaved, middle

END = datetime(2025, 1, 1, tzinfo=UTC)
HOLES_PER_SERIES = 150
SQL, OURS, LIMIT = "S1's SQL (NOT IN) on PostgreSQL", "Lake.holes", "bare NumPy diff"

QUERY = """
WITH bounds AS (
  SELECT MIN(timestamp) AS first_ts, MAX(timestamp) AS last_ts FROM ohlcv_1m WHERE symbol = %(symbol)s
),
expected AS (
  SELECT generate_series(
    date_trunc('minute', first_ts), date_trunc('minute', last_ts), '1 minute'::interval
  ) AS ts FROM bounds WHERE first_ts IS NOT NULL
),
actual AS (SELECT date_trunc('minute', timestamp) AS ts FROM ohlcv_1m WHERE symbol = %(symbol)s)
SELECT COUNT(*) AS missing_count FROM expected WHERE ts NOT IN (SELECT ts FROM actual)
"""


def punched(minutes: int, seed: int) -> Any:
    """Which minutes are there: most holes are short, some last hours; the first and last minute stay."""
    import numpy as np

    rng = random.Random(seed)
    there = np.ones(minutes, bool)
    for _ in range(HOLES_PER_SERIES):
        first, length = rng.randrange(1, minutes - 400), rng.choice((1, 1, 1, 2, 5, 15, 60, 360))
        there[first : first + length] = False
    return there


def fill(lake: Any, connection: Any, series: list[str], end: datetime) -> tuple[int, int]:
    """The same candles into the lake and into PostgreSQL; how many rows, and how many minutes lack."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    from ingestion_assets.intervals import Window as Stretch
    from ingestion_assets.intervals import month_window, months
    from ingestion_assets.simulator import World, render
    from ingestion_assets.sources.market.binance import normalise_klines, parse_klines
    from ingestion_assets.tables.market import OHLCV_1M

    world, rows_held, missing = World(), 0, 0
    first_ms, end_ms = (int(m.timestamp() * 1_000) for m in (START, end))
    cursor = connection.cursor()
    cursor.execute(
        "create unlogged table ohlcv_1m (symbol varchar(20) not null, timestamp timestamptz not null, "
        "open float8, high float8, low float8, close float8, volume float8)"
    )
    for number, name in enumerate(series):
        candles = world.candles(SYMBOLS[number].replace("/", ""), "1m", first_ms, end_ms)
        there = punched(len(candles), number)
        missing += int((~there).sum())
        rendered = render.rows(candles.take(there))
        body = b"[" + rendered.cut(0, int(there.sum())) + b"]"
        rows = normalise_klines(parse_klines(body), OHLCV_1M, timedelta(seconds=5), "simulator")
        rows_held += rows.num_rows
        for month in months(Stretch(START, end)):
            whole = month_window(month)
            mask = pc.and_(pc.greater_equal(rows["time"], whole.start), pc.less(rows["time"], whole.end))
            lake.merge(OHLCV_1M, name, month, rows.filter(mask), notes={})
        text = io.BytesIO()
        columns = [rows[c] for c in ("time", "open", "high", "low", "close", "volume")]
        times = pc.strftime(columns[0], "%Y-%m-%d %H:%M:%S+00")
        table = pa.table([pa.array([name] * rows.num_rows), times, *columns[1:]], list("abcdefg"))
        csv.write_csv(table, text, csv.WriteOptions(include_header=False))
        text.seek(0)
        cursor.copy_expert("copy ohlcv_1m from stdin with (format csv)", text)
    cursor.execute("create unique index on ohlcv_1m (symbol, timestamp)")
    connection.commit()
    connection.autocommit = True
    cursor.execute("vacuum analyze ohlcv_1m")
    return rows_held, missing


def measure(*, rounds: int = 3, quick: bool = False) -> tuple[Any, list[report.Target]]:
    import numpy as np
    import psycopg2
    import pyarrow.parquet as pq

    from ingestion_assets.intervals import Window
    from ingestion_assets.stores.lake import Lake
    from ingestion_assets.tables.market import OHLCV_1M
    from ingestion_assets_tests.servers import PostgresServer

    count, end = (3, START + timedelta(days=90)) if quick else (10, END)
    series = [f"binance.{s.replace('/', '-')}" for s in SYMBOLS[:count]]
    with tempfile.TemporaryDirectory(prefix="gaps-") as folder, PostgresServer() as server:
        lake = Lake(folder)
        connection = psycopg2.connect(server.url)
        report.note("Filling the lake and PostgreSQL …")
        rows, missing = fill(lake, connection, series, end)
        cursor = connection.cursor()
        cursor.execute("set work_mem = '256MB'")
        window, minute = Window(START, end), timedelta(minutes=1)
        home = Path(folder, OHLCV_1M.path)
        files = {name: sorted(home.glob(f"series={name}/*/*.parquet")) for name in series}

        def by_sql() -> int:
            found = 0
            for name in series:
                cursor.execute(QUERY, {"symbol": name})
                found += cursor.fetchone()[0]
            return found

        def by_lake() -> int:
            holes = (hole for name in series for hole in lake.holes(OHLCV_1M, name, window))
            return sum(hole.length // minute for hole in holes)

        def by_numpy() -> int:
            found = 0
            for name in series:
                parts = [pq.ParquetFile(p).read(columns=["time"], use_threads=False) for p in files[name]]
                steps = np.diff(np.concatenate([p.column(0).to_numpy().view("int64") for p in parts]))
                found += int((steps[steps > 60_000_000] // 60_000_000 - 1).sum())
            return found

        def timed(once: Callable[[], int]) -> float:
            started = time.monotonic()
            found = once()
            wall = time.monotonic() - started
            if found != missing:
                raise RuntimeError(f"{once.__name__} found {found} missing minutes, {missing} are right")
            return wall

        contenders = {SQL: by_sql, OURS: by_lake, LIMIT: by_numpy}
        for once in (by_lake, by_numpy):
            timed(once)
        calls = {name: partial(_several, timed, once) for name, once in contenders.items()}
        walls = interleaved(rounds, calls)
        connection.close()
    seconds = {name: middle(each) for name, each in walls.items()}
    table = [[name, f"{s:.3f}", f"{rows / s / 1e6:,.1f}"] for name, s in seconds.items()]
    title = f"Gaps: {count} series, {rows:,} rows, {missing:,} missing minutes"
    report.table(title, ["", "seconds", "million rows/s"], table)
    return {"rows": rows, "missing": missing, "seconds": seconds}, [
        report.at_least("Lake.holes ÷ the SQL", 80, seconds[SQL] / seconds[OURS], "{:.0f}×"),
        report.at_least("Lake.holes ÷ bare NumPy diff", 0.6, seconds[LIMIT] / seconds[OURS], "{:.0%}"),
    ]


def _several(timed: Callable[[Callable[[], int]], float], once: Callable[[], int]) -> float:
    """What takes milliseconds is timed several times in a round."""
    first = timed(once)
    return first if first > 1 else middle([first, *(timed(once) for _ in range(4))])
