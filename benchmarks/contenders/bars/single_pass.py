"""The limit: all features in one loop over the bars, compiled by numba, with running sums and plain EMAs.

It knows no holes, no nulls and no zero volume, and its sums drift; nobody should use it.
"""

from __future__ import annotations

import numba
import numpy as np

NAMES = (
    "ret_1", "ret_5", "ret_15", "ret_60", "logret_1", "rv_30", "rv_60", "rsi_14", "macd", "macd_signal",
    "macd_hist", "bb_pctb_20", "bb_width_20", "atr_14", "ema_20", "ema_50", "vol_z_20", "vwap_dev_60",
    "hl_range",
)  # fmt: skip


def features(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> dict[str, np.ndarray]:
    return dict(zip(NAMES, _pass(high, low, close, volume), strict=True))


@numba.njit(cache=True, error_model="numpy")
def _pass(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray) -> np.ndarray:
    count = len(close)
    out = np.full((19, count), np.nan)
    growth = np.zeros(count)
    e12 = e20 = e26 = e50 = close[0]
    signal = rise = fall = atr = 0.0
    squares_30 = squares_60 = 0.0
    sum_20 = square_20 = volume_20 = volume_square_20 = traded_60 = turnover_60 = 0.0
    for i in range(count):
        c = close[i]
        sum_20 += c
        square_20 += (c - close[0]) * (c - close[0])
        volume_20 += volume[i]
        volume_square_20 += volume[i] * volume[i]
        traded_60 += volume[i]
        turnover_60 += (high[i] + low[i] + c) / 3 * volume[i]
        if i >= 20:
            old = close[i - 20]
            sum_20 -= old
            square_20 -= (old - close[0]) * (old - close[0])
            volume_20 -= volume[i - 20]
            volume_square_20 -= volume[i - 20] * volume[i - 20]
        if i >= 60:
            j = i - 60
            traded_60 -= volume[j]
            turnover_60 -= (high[j] + low[j] + close[j]) / 3 * volume[j]
        out[18, i] = (high[i] - low[i]) / c
        if i == 0:
            continue
        before = close[i - 1]
        out[0, i] = c / before - 1
        if i >= 5:
            out[1, i] = c / close[i - 5] - 1
        if i >= 15:
            out[2, i] = c / close[i - 15] - 1
        if i >= 60:
            out[3, i] = c / close[i - 60] - 1
        g = np.log(c / before)
        growth[i] = g
        out[4, i] = g
        squares_30 += g * g
        squares_60 += g * g
        if i > 30:
            squares_30 -= growth[i - 30] * growth[i - 30]
        if i > 60:
            squares_60 -= growth[i - 60] * growth[i - 60]
        out[5, i] = np.sqrt(max(squares_30, 0.0))
        out[6, i] = np.sqrt(max(squares_60, 0.0))
        change = c - before
        rise += (max(change, 0.0) - rise) / 14
        fall += (max(-change, 0.0) - fall) / 14
        out[7, i] = 100 * rise / (rise + fall)
        e12 += (c - e12) * (2 / 13)
        e20 += (c - e20) * (2 / 21)
        e26 += (c - e26) * (2 / 27)
        e50 += (c - e50) * (2 / 51)
        macd = e12 - e26
        signal += (macd - signal) * (2 / 10)
        out[8, i], out[9, i], out[10, i] = macd, signal, macd - signal
        atr += (max(high[i], before) - min(low[i], before) - atr) / 14
        out[13, i], out[14, i], out[15, i] = atr, e20, e50
        if i >= 19:
            mean = sum_20 / 20
            apart = mean - close[0]
            deviation = np.sqrt(max(square_20 / 20 - apart * apart, 0.0))
            out[11, i] = (c - mean + 2 * deviation) / (4 * deviation)
            out[12, i] = 4 * deviation / mean
            usual = volume_20 / 20
            spread = np.sqrt(max(volume_square_20 / 20 - usual * usual, 0.0))
            out[16, i] = (volume[i] - usual) / spread
        if i >= 59:
            out[17, i] = c * traded_60 / turnover_60 - 1
    return out
