"""Plain pandas, as people write it: features, and hours and days from minutes."""

from __future__ import annotations

import numpy as np
import pandas as pd

HOW = {"open": "first", "high": "max", "low": "min", "close": "last"} | dict.fromkeys(
    ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"), "sum"
)


def features(bars: pd.DataFrame) -> dict[str, pd.Series]:
    close, volume, before = bars["close"], bars["volume"], bars["close"].shift()
    found = {f"ret_{k}": close.pct_change(k) for k in (1, 5, 15, 60)}
    growth = np.log(close / before)
    squares = growth * growth
    found["logret_1"] = growth
    for k in (30, 60):
        found[f"rv_{k}"] = np.sqrt(squares.rolling(k).sum())
    change = close.diff()
    rise = change.clip(lower=0).ewm(alpha=1 / 14).mean()
    fall = (-change).clip(lower=0).ewm(alpha=1 / 14).mean()
    found["rsi_14"] = 100 * rise / (rise + fall)
    ema = {k: close.ewm(span=k).mean() for k in (12, 20, 26, 50)}
    macd = ema[12] - ema[26]
    signal = macd.ewm(span=9).mean()
    found |= {"macd": macd, "macd_signal": signal, "macd_hist": macd - signal}
    found |= {"ema_20": ema[20], "ema_50": ema[50]}
    mean, deviation = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    found["bb_pctb_20"] = (close - mean + 2 * deviation) / (4 * deviation)
    found["bb_width_20"] = 4 * deviation / mean
    true_range = np.maximum(bars["high"], before) - np.minimum(bars["low"], before)
    found["atr_14"] = true_range.ewm(alpha=1 / 14).mean()
    found["vol_z_20"] = (volume - volume.rolling(20).mean()) / volume.rolling(20).std(ddof=0)
    turnover = (bars["high"] + bars["low"] + close) / 3 * volume
    found["vwap_dev_60"] = close * volume.rolling(60).sum() / turnover.rolling(60).sum() - 1
    found["hl_range"] = (bars["high"] - bars["low"]) / close
    return found


def aggregates(minutes: pd.DataFrame, rule: str) -> pd.DataFrame:
    """`minutes` has its time as index."""
    made = minutes.resample(rule, closed="left", label="left").agg(HOW | {"source": "size"})
    made = made[made["source"] > 0].rename(columns={"source": "minutes"})
    made["coverage"] = made["minutes"] / (pd.Timedelta(rule) // pd.Timedelta("1min"))
    return made
