"""The standard features of market bars, as tables/features.py states them.

One function for a year and for one new bar: a row is made of its own bar and the LOOKBACK bars before
it, always by the same arithmetic, so both give the same bits. A hole breaks every window: what would
reach over it is null, and fading means begin anew behind it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.features.windows import (
    fading_means,
    rolling_highest,
    rolling_moments,
    rolling_sums,
    span_of,
)
from ingestion_assets.intervals import MICROSECOND, Window, micros, moment_of
from ingestion_assets.tables import Table
from ingestion_assets.tables.arrays import column, flags, nullable, numbers, repeated
from ingestion_assets.tables.contract import TIME
from ingestion_assets.tables.features import LONGEST_WINDOW, LOOKBACK

_AT_ONCE = 65_536  # rows; longer arrays no longer fit into a processor's cache
_KEPT = 3 << 20  # floats
_ALIKE = 1e-12  # variance / mean square of volumes that are the same but for rounding
_WILDER, _SIGNAL_DECAY = 1 - 1 / 14, 1 - 2 / 10
_SIGNAL = span_of(_SIGNAL_DECAY)  # so many values of the MACD are in one of its signal
NEEDED = ("time", "high", "low", "close", "volume", "known_at")  # of the bars
# What tells whether features that are held are still those of their bars.
CHECKED = ("time", "close", "volume", "minutes_since_gap", "known_at")


def market_features(bars: pa.Table, table: Table, window: Window) -> pa.Table:
    """The features of the bars that open in the window; `bars` begins LOOKBACK bars before it."""
    times, known = numbers(bars.column("time")), numbers(bars.column("known_at"))
    step = table.grain // MICROSECOND
    first, end = np.searchsorted(times, [micros(window.start), micros(window.end)]).tolist()
    if first == end:
        return table.empty()
    run = _unbroken(times, step)
    prices = [numbers(bars.column(name)) for name in ("high", "low", "close", "volume")]
    here, made = slice(first, end), end - first
    arrays = {name: nullable(values) for name, values in _numeric(prices, run, first, end).items()} | {
        "time": column(times[here], TIME),
        "close": column(prices[2][here], pa.float64()),
        "volume": column(prices[3][here], pa.float64()),
        "is_gap": flags(run[here] == 1),
        "minutes_since_gap": column((run[here] - 1) * np.int32(step // 60_000_000), pa.int32()),
        "coverage": column(_coverage(times, run, step)[here], pa.float64()),
        "source": repeated("derived", made),
        "known_at": column(_known_at(known, run)[here], TIME),
    }
    return pa.Table.from_arrays([arrays[name] for name in table.schema.names], schema=table.schema)


def first_outdated(bars: pa.Table, held: pa.Table, table: Table, window: Window) -> datetime | None:
    """Where in the window the features held (of them `CHECKED`) no longer are those of these bars.

    A bar that is restated is known from later on than before, so features older than their own bar, or
    than what leads up to the first of them, are outdated; so are those whose holes are others now.
    """
    times, known = numbers(bars.column("time")), numbers(bars.column("known_at"))
    first, end = np.searchsorted(times, [micros(window.start), micros(window.end)]).tolist()
    run = _unbroken(times, table.grain // MICROSECOND)
    then = {name: numbers(held.column(name)) for name in CHECKED}
    now = {name: numbers(bars.column(name))[first:end] for name in ("time", "close", "volume")}
    now["minutes_since_gap"] = (run[first:end] - 1) * (table.grain // timedelta(minutes=1))
    both = min(end - first, held.num_rows)
    if both:
        restated = known[first : first + both].copy()
        restated[0] = _known_at(known[: first + 1], run[: first + 1])[-1]
        same = then["known_at"][:both] >= restated
        for name, values in now.items():
            same &= then[name][:both] == values[:both]
        both = both if same.all() else int(np.argmin(same))
    following = [side["time"][both] for side in (now, then) if both < len(side["time"])]
    return moment_of(min(following)) if following else None


def _numeric(prices: list[np.ndarray], run: np.ndarray, first: int, end: int) -> dict[str, np.ndarray]:
    """Features by name of the bars from `first` to `end`, NaN where there is none."""
    # glibc would hand memory back after every few thousand rows and ask for it again, which takes longer than
    # the arithmetic. Having freed a large block once, it keeps as much.
    np.empty(_KEPT)
    lead = max(0, LOOKBACK - first)
    if lead:  # in place of bars that there never were stand others that no window counts in
        prices = [np.concatenate([np.repeat(each[:1], lead), each]) for each in prices]
        run = np.concatenate([np.zeros(lead, np.int32), run])
    pieces = []
    for start in range(first, end, _AT_ONCE):
        part = slice(start + lead - LOOKBACK, min(start + _AT_ONCE, end) + lead)
        with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is how a feature says that it is none
            pieces.append(_values([each[part] for each in prices], run[part]))
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _values(prices: list[np.ndarray], run: np.ndarray) -> dict[str, np.ndarray]:
    """Features by name of all bars but the first LOOKBACK."""
    rows = len(run) - LOOKBACK

    def last(values: np.ndarray, more: int = 0) -> np.ndarray:
        return values[len(values) - rows - more :]

    high, low, close, volume = prices
    ratio = last(close, 60)[1:] / last(close, 60)[:-1]
    growth = np.log(ratio)
    found = {"ret_1": (last(ratio) - 1, 2), "logret_1": (last(growth), 2)}
    for bars in (5, 15, 60):
        found[f"ret_{bars}"] = last(close) / last(close, bars)[:-bars] - 1, bars + 1
    for bars, squares in zip((30, 60), rolling_sums(growth * growth, 30, 60), strict=True):
        found[f"rv_{bars}"] = np.sqrt(last(squares)), bars + 1
    found |= _averages(close, run) | _swings(high, low, close, run)
    found |= _against_the_last_20(last(close, 19), last(volume, 19))
    found["vwap_dev_60"] = _against_the_vwap(*(last(each, 59) for each in prices)), 60
    found["hl_range"] = (last(high) - last(low)) / last(close), 1

    run = last(run)
    least, numeric = int(run.min()), {}
    for name, (values, bars) in found.items():
        numeric[name] = last(values) if least >= bars else np.where(run < bars, np.nan, last(values))
    return numeric


def _averages(close: np.ndarray, run: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
    """EMAs and MACD, each with the unbroken bars that it needs."""
    rows = len(run) - LOOKBACK
    ema = {}
    for bars, more in ((12, _SIGNAL), (26, _SIGNAL), (20, 1), (50, 1)):
        decay = 1 - 2 / (bars + 1)
        needed = slice(LOOKBACK - (span_of(decay) - 1) - (more - 1), None)
        ema[bars] = fading_means(close[needed], decay, run[needed])
    macd = ema[12] - ema[26]
    signal = fading_means(macd, _SIGNAL_DECAY, run[-len(macd) :], skip=25)
    return {
        "ema_20": (ema[20], 20),
        "ema_50": (ema[50], 50),
        "macd": (macd, 26),
        "macd_signal": (signal, 34),
        "macd_hist": (macd[-rows:] - signal, 34),
    }


def _swings(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, run: np.ndarray
) -> dict[str, tuple[np.ndarray, int]]:
    """RSI and ATR: Wilder's means of rises, falls and true ranges."""
    needed = slice(LOOKBACK - (span_of(_WILDER) - 1), None)
    now, before = close[needed], close[needed.start - 1 : -1]
    moves = np.empty((3, len(now)))
    change = now - before
    np.maximum(change, 0, out=moves[0])
    np.subtract(moves[0], change, out=moves[1])
    np.subtract(np.maximum(high[needed], before), np.minimum(low[needed], before), out=moves[2])
    rise, fall, true_range = fading_means(moves, _WILDER, run[needed], skip=1)
    return {"rsi_14": (100 * (rise / (rise + fall)), 15), "atr_14": (true_range, 15)}


def _against_the_last_20(close: np.ndarray, volume: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
    """Bollinger's bands and the volume's distance from the usual."""
    mean, variance = rolling_moments(close, 20)
    deviation = np.sqrt(variance)
    width = 4 * deviation / mean
    deviation[deviation == 0] = np.nan  # nothing is far from the usual where all is the same
    place = close[19:] - mean
    place /= 4 * deviation
    place += 0.5
    return {"bb_pctb_20": (place, 20), "bb_width_20": (width, 20), "vol_z_20": (_score(volume), 20)}


def _score(volume: np.ndarray) -> np.ndarray:
    """How many σ from their mean the last of 20 volumes is; they vary as much as they are large."""
    sums, squares = rolling_sums(np.stack([volume, volume * volume]), 20)[0] / 20
    variance = squares - sums * sums
    variance[variance <= _ALIKE * squares] = np.nan
    return (volume[19:] - sums) / np.sqrt(variance)


def _against_the_vwap(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray) -> np.ndarray:
    both = np.empty((2, len(close)))
    np.add(high, low, out=both[0])
    both[0] += close
    both[0] *= volume
    both[1] = volume
    (turnover, traded), *_ = rolling_sums(both, 60)
    traded *= close[59:]
    traded /= turnover
    traded *= 3
    traded -= 1
    return traded


def _unbroken(times: np.ndarray, step: int) -> np.ndarray:
    """How many bars without a hole lead to each one, itself included; at most LOOKBACK are counted."""
    places = np.arange(1, len(times) + 1, dtype=np.int32)
    broken = np.flatnonzero(np.diff(times) != step) + 1
    if len(broken):
        starts = np.zeros(len(times), np.int32)
        starts[broken] = broken
        places -= np.maximum.accumulate(starts)
    return np.minimum(places, np.int32(LOOKBACK), out=places)


def _coverage(times: np.ndarray, run: np.ndarray, step: int) -> np.ndarray:
    """The share of the last LONGEST_WINDOW bars that is held."""
    share = np.ones(len(times))
    short = np.flatnonzero(run < LONGEST_WINDOW)
    oldest = np.searchsorted(times, times[short] - (LONGEST_WINDOW - 1) * step)
    share[short] = (short - oldest + 1) / LONGEST_WINDOW
    return share


def _known_at(known: np.ndarray, run: np.ndarray) -> np.ndarray:
    """When the last of the bars that a row is made of could be known: one may have been revised."""
    if (known[1:] >= known[:-1]).all():
        return known
    return rolling_highest(known, LOOKBACK, run)
