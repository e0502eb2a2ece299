"""Features, aggregates and statistics: 10 series × 1 year of 1m bars, beside others and the limit.

    features     ours month by month, as the asset makes them, with holes, nulls and provenance; plain pandas;
                 vectorbt by its indicators, as its documents show; and, as limits, vectorbt's compiled
                 functions called one by one, and one compiled loop: both know nothing but unbroken bars
    aggregates   hours and days of the minutes, ours and pandas
    statistics   return, volatility, Sharpe, Sortino and drawdown over 1, 7 and 30 days at each hour of the
                 year, ours and empyrical's 2-D form over sliding windows

Everybody is given the bars in memory, in the form that he likes best, and gives columns in memory. What
they say is compared before it is timed. vectorbt and empyrical are an extra: pip install -e '.[peers]'.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import ModuleType
from typing import Any

from benchmarks import report
from benchmarks.backfill import START, SYMBOLS
from benchmarks.measure import interleaved, middle

END = datetime(2025, 1, 1, tzinfo=UTC)
OURS, PANDAS, VECTORBT, EMPYRICAL = "ours", "pandas", "vectorbt", "empyrical"
BARE, LIMIT = "vectorbt's compiled functions (limit)", "one compiled loop (limit)"
SETTLED = 5_000  # bars after which everybody's recursions have forgotten how they began


def bars_of(symbol: str, end: datetime) -> Any:
    """A market's minutes as the lake would give them."""
    import numpy as np
    import pyarrow as pa

    from ingestion_assets.simulator import World
    from ingestion_assets.tables.arrays import column, repeated
    from ingestion_assets.tables.contract import TIME
    from ingestion_assets.tables.market import OHLCV_1M

    first_ms, end_ms = (int(moment.timestamp() * 1_000) for moment in (START, end))
    told = World().candles(symbol.replace("/", ""), "1m", first_ms, end_ms).floats()
    opens = told["open_ms"].astype(np.int64) * 1_000
    numbers = ("open", "high", "low", "close", "volume", "quote_volume")
    columns = {name: column(told[name], pa.float64()) for name in numbers} | {
        "time": column(opens, TIME),
        "close_time": column(opens + 59_999_000, TIME),
        "trades": column(told["trades"].astype(np.int64), pa.int64()),
        "taker_buy_volume": column(told["taker_volume"], pa.float64()),
        "taker_buy_quote_volume": column(told["taker_quote_volume"], pa.float64()),
        "source": repeated("simulator", len(opens)),
        "known_at": column(opens + 65_000_000, TIME),
    }
    return OHLCV_1M.conform(pa.table(columns))


def peer(name: str) -> ModuleType | None:
    """A contender's module, or None with a word about it when its library is not installed."""
    try:
        return importlib.import_module(f"benchmarks.contenders.bars.{name}")
    except ModuleNotFoundError as error:
        report.note(f"{error.name} is not installed, so {name} is not measured: pip install -e '.\\[peers]'")
        return None


def monthly(bars: Any, lookback: timedelta, work: Callable[[Any, Any], Any]) -> list[Any]:
    """Month by month, each with the bars before it that it looks back at, as the assets do it."""
    from ingestion_assets.intervals import Window, micros, moment_of, month_window, months
    from ingestion_assets.tables.arrays import numbers

    times = numbers(bars.column("time"))
    step, made = int(times[1] - times[0]), []
    for month in months(Window(moment_of(times[0]), moment_of(times[-1] + step))):
        window = month_window(month)
        first = max(0, (micros(window.start - lookback) - int(times[0])) // step)
        end = (micros(window.end) - int(times[0])) // step
        made.append(work(bars.slice(first, end - first), window))
    return made


def features(tables: list[Any], rounds: int) -> tuple[dict[str, float], list[report.Target]]:
    import numpy as np
    import pyarrow as pa

    from ingestion_assets.features.market import market_features
    from ingestion_assets.tables import FEATURES
    from ingestion_assets.tables.features import LOOKBACK

    table = FEATURES["1m"]
    by_pandas, by_vectorbt, single = (peer(n) for n in ("by_pandas", "by_vectorbt", "single_pass"))
    frames = [each.to_pandas() for each in tables]
    arrays = [[each.column(n).to_numpy() for n in ("high", "low", "close", "volume")] for each in tables]

    def ours(number: int) -> Any:
        work = lambda bars, window: market_features(bars, table, window)  # noqa: E731
        return pa.concat_tables(monthly(tables[number], LOOKBACK * table.grain, work))

    ways: dict[str, Callable[[int], Any]] = {OURS: ours}
    if by_pandas:
        ways[PANDAS] = lambda number: by_pandas.features(frames[number])
    if by_vectorbt:
        ways[VECTORBT] = lambda number: by_vectorbt.features(frames[number])
        ways[BARE] = lambda number: by_vectorbt.bare_features(*arrays[number])
    if single:
        ways[LIMIT] = lambda number: single.features(*arrays[number])
    mine = ours(0)
    for name, way in ways.items():
        theirs = way(0)
        for column in table.payload[2:-3] if name != OURS else ():
            told = np.asarray(theirs[column], float)[SETTLED:]
            held = mine.column(column).to_numpy()[SETTLED:]
            np.testing.assert_allclose(told, held, rtol=1e-5, atol=1e-6, err_msg=f"{name}: {column}")
    seconds = _timed(ways, len(tables), rounds)
    _show("Features", seconds, sum(each.num_rows for each in tables))
    others = [seconds[name] for name in (PANDAS, VECTORBT) if name in seconds]
    return seconds, [
        report.at_least("faster of pandas and vectorbt ÷ features", 1.5, min(others) / seconds[OURS]),
        report.at_least(
            "one compiled loop ÷ features",
            0.5,
            seconds[LIMIT] / seconds[OURS] if LIMIT in seconds else None,
            "{:.0%}",
        ),
    ]


def aggregates(tables: list[Any], rounds: int) -> tuple[dict[str, float], list[report.Target]]:
    import numpy as np

    from ingestion_assets.features.aggregates import aggregate
    from ingestion_assets.tables import DERIVED

    by_pandas = importlib.import_module("benchmarks.contenders.bars.by_pandas")
    frames = [each.to_pandas().set_index("time") for each in tables]
    rules = {"1h": DERIVED["1h"], "1D": DERIVED["1d"]}

    def ours(number: int) -> Any:
        return [
            monthly(tables[number], timedelta(0), lambda b, w, t=table: aggregate(b, t, w, w.end))
            for table in rules.values()
        ]

    def pandas_way(number: int) -> Any:
        return [by_pandas.aggregates(frames[number], rule) for rule in rules]

    for mine, theirs in zip(ours(0), pandas_way(0), strict=True):
        for column in (*by_pandas.HOW, "minutes", "coverage"):
            held = np.concatenate([part.column(column).to_numpy() for part in mine])
            np.testing.assert_allclose(theirs[column], held, rtol=1e-9, err_msg=column)
    seconds = _timed({OURS: ours, PANDAS: pandas_way}, len(tables), rounds)
    _show("Aggregates: hours and days", seconds, sum(each.num_rows for each in tables))
    return seconds, [report.at_least("pandas ÷ aggregates", 1.5, seconds[PANDAS] / seconds[OURS])]


def statistics(tables: list[Any], rounds: int, end: datetime) -> tuple[dict[str, float], list[report.Target]]:
    import numpy as np
    import pyarrow as pa

    from ingestion_assets.features.aggregates import aggregate
    from ingestion_assets.features.statistics import Hours, roi_statistics
    from ingestion_assets.intervals import Window
    from ingestion_assets.tables import DERIVED
    from ingestion_assets.tables.features import LOOKBACK
    from ingestion_assets.tables.statistics import WINDOWS

    hour = DERIVED["1h"]
    hours = [aggregate(each, hour, Window(START, end), end) for each in tables]
    closes = [each.column("close").to_numpy() for each in hours]
    by_empyrical = peer("by_empyrical")

    def ours(number: int) -> Any:
        work = lambda bars, window: roi_statistics(Hours.of(bars, window))  # noqa: E731
        return pa.concat_tables(monthly(hours[number], LOOKBACK * hour.grain, work))

    ways: dict[str, Callable[[int], Any]] = {OURS: ours}
    if by_empyrical:
        ways[EMPYRICAL] = lambda number: by_empyrical.statistics(closes[number], WINDOWS)
        mine = ours(0)
        for column, told in by_empyrical.statistics(closes[0], WINDOWS).items():
            held = mine.column(column).to_numpy()[-len(told) :]
            np.testing.assert_allclose(told, held, rtol=1e-6, atol=1e-9, err_msg=column)
    seconds = _timed(ways, len(tables), rounds)
    _show("Statistics: 15 columns for each hour", seconds, sum(each.num_rows for each in hours))
    ratio = seconds[EMPYRICAL] / seconds[OURS] if EMPYRICAL in seconds else None
    return seconds, [report.at_least("empyrical ÷ statistics", 2, ratio)]


def measure(*, rounds: int = 3, quick: bool = False) -> tuple[Any, list[report.Target]]:
    count, end = (2, START + timedelta(days=90)) if quick else (10, END)
    report.note(f"Making {count} series of minutes …")
    tables = [bars_of(symbol, end) for symbol in SYMBOLS[:count]]
    figures, targets = {}, []
    for name, found in (
        ("features", features(tables, rounds)),
        ("aggregates", aggregates(tables, rounds)),
        ("statistics", statistics(tables, rounds, end)),
    ):
        figures[name] = found[0]
        targets += found[1]
    return {"rows": sum(each.num_rows for each in tables), "seconds": figures}, targets


def _timed(ways: dict[str, Callable[[int], Any]], series: int, rounds: int) -> dict[str, float]:
    """Seconds for all series; each round is series by series, so that noise is shared by all."""

    def once(way: Callable[[int], Any], number: int) -> float:
        started = time.perf_counter()
        way(number)
        return time.perf_counter() - started

    total = dict.fromkeys(ways, 0.0)
    for number in range(series):
        walls = interleaved(rounds, {name: partial(once, way, number) for name, way in ways.items()})
        for name, each in walls.items():
            total[name] += middle(each)
    return total


def _show(title: str, seconds: dict[str, float], rows: int) -> None:
    lines = [[name, f"{s:.3f}", f"{rows / s / 1e6:,.2f}"] for name, s in seconds.items()]
    report.table(f"{title}, {rows:,} rows", ["", "seconds", "million rows/s"], lines)
