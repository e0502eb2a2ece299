"""Feature tables: what models read of a market, bar by bar, stated exactly.

A feature is a function of the bar of its row and of bars before it, never of later ones; at most
`LOOKBACK` bars in a row are used, so the same bars always give the same numbers, whether a month is
computed or one bar. Labels (what comes next) do not belong here.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.tables.conditions import not_finite, outside
from ingestion_assets.tables.contract import NAME, TIME, Column, Promise, Table

LOOKBACK = 1_024  # bars: a row's features depend on so many bars before its own and on no others
LONGEST_WINDOW = 61  # bars: ret_60 compares a close with the one 60 bars before


def _number(name: str, text: str) -> Column:
    return Column(name, pa.float64(), text, required=False)


def _columns(timeframe: str, grain: timedelta) -> tuple[Column, ...]:
    minutes = grain // timedelta(minutes=1)
    return (
        Column("time", TIME, "when the bar opens (UTC)"),
        Column("close", pa.float64(), "price of the bar's last trade, in the quote currency"),
        Column("volume", pa.float64(), "traded amount of the bar, in the base currency"),
        _number("ret_1", "close / close 1 bar before − 1"),
        _number("ret_5", "close / close 5 bars before − 1"),
        _number("ret_15", "close / close 15 bars before − 1"),
        _number("ret_60", "close / close 60 bars before − 1"),
        _number("logret_1", "ln(close / close 1 bar before)"),
        _number("rv_30", "realised volatility: root of the sum of the last 30 logret_1 squared"),
        _number("rv_60", "the same of the last 60"),
        _number(
            "rsi_14",
            "100 · U / (U + D); U and D: Wilder's means (weight 1/14) of rises and falls of the close; "
            "null when neither rose nor fell",
        ),
        _number("macd", "EMA 12 − EMA 26 of the close"),
        _number("macd_signal", "EMA 9 of macd"),
        _number("macd_hist", "macd − macd_signal"),
        _number(
            "bb_pctb_20",
            "(close − lower) / (upper − lower); bands: mean ± 2 σ of the last 20 closes, ddof 0; "
            "null when σ is 0",
        ),
        _number("bb_width_20", "(upper − lower) / mean of the same bands"),
        _number(
            "atr_14",
            "Wilder's mean (weight 1/14) of the true range: higher of high and close before − lower of low "
            "and close before",
        ),
        _number("ema_20", "mean of the closes with weights falling by 1 − 2/21 from bar to bar back"),
        _number("ema_50", "the same with 1 − 2/51"),
        _number("vol_z_20", "(volume − mean) / σ of the last 20 volumes, ddof 0; null when all are the same"),
        _number(
            "vwap_dev_60",
            "close / vwap − 1; vwap: (high + low + close) / 3 weighted by volume over the last 60 bars; "
            "null without volume",
        ),
        Column("hl_range", pa.float64(), "(high − low) / close"),
        Column("is_gap", pa.bool_(), "the bar just before this one is not held"),
        Column(
            "minutes_since_gap",
            pa.int32(),
            f"minutes of unbroken bars before this one; {(LOOKBACK - 1) * minutes} when at least so many",
        ),
        Column(
            "coverage",
            pa.float64(),
            f"bars held of the last {LONGEST_WINDOW} (this one is the last) / {LONGEST_WINDOW}; "
            "below 1, windows that reach over the hole are null",
        ),
        Column("source", NAME, "how the row came: derived"),
        Column("known_at", TIME, "the latest known_at of the bars that it is made from"),
    )


def _features(timeframe: str, grain: timedelta) -> Table:
    columns = _columns(timeframe, grain)
    return Table(
        domain="features",
        name=f"market_{timeframe}",
        text=f"Standard features of each closed {timeframe} bar, from it and the {LOOKBACK} bars before.",
        columns=columns,
        grain=grain,
        computed=True,
        promises=(
            Promise(
                "no number is NaN or infinite",
                not_finite(c.name for c in columns if pa.types.is_floating(c.type)),
            ),
            Promise("rsi_14 lies between 0 and 100", outside("rsi_14", 0, 100)),
            Promise("hl_range is not negative", outside("hl_range", 0, np.inf)),
            Promise("coverage lies in (0, 1]", outside("coverage", 1 / LONGEST_WINDOW, 1)),
        ),
        origin=f"`market/ohlcv_{timeframe}`",
        cadence="after each ingestion",
        history=f"as `market/ohlcv_{timeframe}`",
    )


FEATURES: dict[str, Table] = {
    "1m": _features("1m", timedelta(minutes=1)),
    "5m": _features("5m", timedelta(minutes=5)),
}
