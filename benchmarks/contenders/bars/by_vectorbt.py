"""vectorbt: by its indicators and accessors, as its documents show, and by its numba functions alone.

A Wilder's mean over 14 bars is its exponential mean over 27.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import vectorbt as vbt
from vectorbt.generic import nb


def features(bars: pd.DataFrame) -> dict[str, pd.Series]:
    close, high, low, volume = (bars[name] for name in ("close", "high", "low", "volume"))
    found = {f"ret_{k}": close / close.vbt.fshift(k) - 1 for k in (1, 5, 15, 60)}
    growth = np.log(close / close.vbt.fshift(1))
    squares = growth * growth
    found["logret_1"] = growth
    for k in (30, 60):
        found[f"rv_{k}"] = np.sqrt(squares.vbt.rolling_mean(k) * k)
    found["rsi_14"] = vbt.RSI.run(close, 27, ewm=True).rsi
    macd = vbt.MACD.run(close, 12, 26, 9, macd_ewm=True, signal_ewm=True)
    found |= {"macd": macd.macd, "macd_signal": macd.signal, "macd_hist": macd.hist}
    for k in (20, 50):
        found[f"ema_{k}"] = vbt.MA.run(close, k, ewm=True).ma
    bands = vbt.BBANDS.run(close, 20)
    found |= {"bb_pctb_20": bands.percent_b, "bb_width_20": bands.bandwidth}
    found["atr_14"] = vbt.ATR.run(high, low, close, 27, ewm=True).atr
    found["vol_z_20"] = (volume - volume.vbt.rolling_mean(20)) / volume.vbt.rolling_std(20, ddof=0)
    turnover = (high + low + close) / 3 * volume
    found["vwap_dev_60"] = close * volume.vbt.rolling_mean(60) / turnover.vbt.rolling_mean(60) - 1
    found["hl_range"] = (high - low) / close
    return found


def bare_features(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> dict[str, np.ndarray]:
    """The same from its compiled functions, over arrays."""
    before = nb.fshift_1d_nb(close, 1)
    found = {f"ret_{k}": close / nb.fshift_1d_nb(close, k) - 1 for k in (1, 5, 15, 60)}
    growth = np.log(close / before)
    squares = growth * growth
    found["logret_1"] = growth
    for k in (30, 60):
        found[f"rv_{k}"] = np.sqrt(nb.rolling_mean_1d_nb(squares, k) * k)
    change = close - before
    rise = nb.ewm_mean_1d_nb(np.maximum(change, 0), 27)
    fall = nb.ewm_mean_1d_nb(np.maximum(-change, 0), 27)
    found["rsi_14"] = 100 * rise / (rise + fall)
    ema = {k: nb.ewm_mean_1d_nb(close, k) for k in (12, 20, 26, 50)}
    macd = ema[12] - ema[26]
    signal = nb.ewm_mean_1d_nb(macd, 9)
    found |= {"macd": macd, "macd_signal": signal, "macd_hist": macd - signal}
    found |= {"ema_20": ema[20], "ema_50": ema[50]}
    mean, deviation = nb.rolling_mean_1d_nb(close, 20), nb.rolling_std_1d_nb(close, 20, ddof=0)
    found["bb_pctb_20"] = (close - mean + 2 * deviation) / (4 * deviation)
    found["bb_width_20"] = 4 * deviation / mean
    found["atr_14"] = nb.ewm_mean_1d_nb(np.maximum(high, before) - np.minimum(low, before), 27)
    found["vol_z_20"] = (volume - nb.rolling_mean_1d_nb(volume, 20)) / nb.rolling_std_1d_nb(
        volume, 20, ddof=0
    )
    turnover = (high + low + close) / 3 * volume
    found["vwap_dev_60"] = close * nb.rolling_mean_1d_nb(volume, 60) / nb.rolling_mean_1d_nb(turnover, 60) - 1
    found["hl_range"] = (high - low) / close
    return found
