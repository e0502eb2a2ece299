"""Statistics of markets from their hourly bars, as tables/statistics.py states them.

Bars are laid on a line of hours without gaps, so that a window of hours is a window of places; hours that
are not held count as nothing, and a return is one between two hours that are held next to each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import sliding_window_view

from ingestion_assets.features.windows import rolling_drawdowns, rolling_highest, rolling_sums
from ingestion_assets.intervals import MICROSECOND, Window, micros
from ingestion_assets.tables.arrays import column, nullable, numbers, repeated
from ingestion_assets.tables.contract import TIME, Table
from ingestion_assets.tables.features import LOOKBACK
from ingestion_assets.tables.statistics import COMPARISON, HOUR, HOURS_PER_YEAR, ROI, SNAPSHOT, WINDOWS

_STEP = HOUR // MICROSECOND
_NO_SPREAD = 1e-12  # of the mean square: what is less is rounding


@dataclass(frozen=True)
class Hours:
    """A market's bars from LOOKBACK hours before a window to its end, one place for each hour."""

    first: int  # microseconds
    held: np.ndarray
    known: np.ndarray
    values: dict[str, np.ndarray]

    @classmethod
    def of(cls, bars: pa.Table, window: Window) -> Hours:
        first, end = micros(window.start) - LOOKBACK * _STEP, micros(window.end)
        times = numbers(bars.column("time"))
        inside = slice(*np.searchsorted(times, [first, end]))
        places = (times[inside] - first) // _STEP
        size = (end - first) // _STEP

        def laid(name: str) -> np.ndarray:
            line = np.zeros(size)
            line[places] = numbers(bars.column(name))[inside]
            return line

        held, known = np.zeros(size, bool), np.zeros(size, np.int64)
        held[places], known[places] = True, numbers(bars.column("known_at"))[inside]
        values = {name: laid(name) for name in ("high", "low", "close", "volume", "minutes")}
        return cls(first, held, known, values)

    @cached_property
    def rows(self) -> np.ndarray:
        """The places of the window that are held."""
        return np.flatnonzero(self.held[LOOKBACK:]) + LOOKBACK

    @cached_property
    def growth(self) -> np.ndarray:
        """Close / close of the hour before; 1 where one of the two is not held."""
        close, told = self.values["close"], self._told
        growth = np.ones(len(close))
        np.divide(close[1:], close[:-1], out=growth[1:], where=told[1:])
        return growth

    @cached_property
    def _told(self) -> np.ndarray:
        told = self.held.copy()
        told[0] = False
        told[1:] &= self.held[:-1]
        return told

    def sums(self, values: np.ndarray, hours: int) -> np.ndarray:
        """Of the last so many hours, for each row."""
        return rolling_sums(values, hours)[0][self.rows - hours + 1]

    def change(self, hours: int) -> np.ndarray:
        """The return against so many hours before."""
        close, before = self.values["close"], self.rows - hours
        change = np.full(len(self.rows), np.nan)
        np.divide(close[self.rows], close[before], out=change, where=self.held[before])
        return change - 1

    def returns(self, hours: int) -> np.ndarray:
        """How many hourly returns there are in the last so many hours."""
        return self.sums(self._told.astype(float), hours)

    def deviation(self, values: np.ndarray, hours: int) -> np.ndarray:
        """σ (ddof 1) of returns of the last so many hours; NaN with fewer than 2."""
        count, mean_square = self.returns(hours), self.sums(values * values, hours)
        spread = mean_square - self.sums(values, hours) ** 2 / count
        spread[spread < _NO_SPREAD * mean_square] = 0
        return np.where(count >= 2, np.sqrt(spread / (count - 1)), np.nan)

    def volatility(self, hours: int) -> np.ndarray:
        return self.deviation(np.log(self.growth), hours) * np.sqrt(HOURS_PER_YEAR)

    def coverage(self, hours: int) -> np.ndarray:
        return self.sums(self.values["minutes"], hours) / (60 * hours)

    @cached_property
    def turnover(self) -> np.ndarray:
        """Of the last 24 hours, for each row."""
        return self.sums(self.values["close"] * self.values["volume"], 24)

    @cached_property
    def known_at(self) -> np.ndarray:
        """When the last of the hours that a row is made of could be known."""
        unbroken = np.full(len(self.known), LOOKBACK + 1, np.int32)
        return rolling_highest(self.known, LOOKBACK, unbroken)[self.rows]

    def table(self, table: Table, numeric: dict[str, np.ndarray]) -> pa.Table:
        """The rows with these numbers, null where they are NaN."""
        arrays = {name: nullable(values) for name, values in numeric.items()} | {
            "time": column(self.first + self.rows * _STEP, TIME),
            "source": repeated("derived", len(self.rows)),
            "known_at": column(self.known_at, TIME),
        }
        return table.conform(pa.table(arrays))


def market_snapshot(hours: Hours) -> pa.Table:
    """Where the market stood at the end of each hour that is held."""
    high = np.where(hours.held, hours.values["high"], -np.inf)
    low = np.where(hours.held, hours.values["low"], np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        numeric = {
            "price": hours.values["close"][hours.rows],
            "volume_24h": hours.sums(hours.values["volume"], 24),
            "high_24h": sliding_window_view(high, 24)[hours.rows - 23].max(axis=1),
            "low_24h": sliding_window_view(low, 24)[hours.rows - 23].min(axis=1),
            "volatility_24h": hours.volatility(24),
            "roi_1h": hours.change(1),
            "roi_24h": hours.change(24),
            "roi_7d": hours.change(168),
            "roi_30d": hours.change(720),
            "coverage_24h": hours.coverage(24),
        }
    return hours.table(SNAPSHOT, numeric)


def roi_statistics(hours: Hours) -> pa.Table:
    """How the market did up to the end of each hour that is held."""
    returns = hours.growth - 1
    losses = np.minimum(returns, 0)
    close = np.where(hours.held, hours.values["close"], np.nan)
    numeric: dict[str, np.ndarray] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, length in WINDOWS.items():
            count = hours.returns(length)
            mean = hours.sums(returns, length) / count * np.sqrt(HOURS_PER_YEAR)
            downside = np.sqrt(hours.sums(losses * losses, length) / count)
            fall = rolling_drawdowns(close, length + 1)[hours.rows - length]
            numeric |= {
                f"return_{name}": hours.change(length),
                f"volatility_{name}": hours.volatility(length),
                f"sharpe_{name}": _ratio(mean, hours.deviation(returns, length)),
                f"sortino_{name}": _ratio(np.where(count >= 2, mean, np.nan), downside),
                f"max_drawdown_{name}": fall,
                f"coverage_{name}": hours.coverage(length),
            }
    return hours.table(ROI, numeric)


def market_comparison(hours: Hours, others: Mapping[str, Hours]) -> pa.Table:
    """The market beside each other one, at the end of each hour that both hold."""
    parts = [COMPARISON.empty(), *(_beside(hours, name, other) for name, other in others.items())]
    return COMPARISON.in_order(pa.concat_tables(parts))


def _beside(hours: Hours, name: str, other: Hours) -> pa.Table:
    places, mine, theirs = np.intersect1d(hours.rows, other.rows, assume_unique=True, return_indices=True)
    if len(places) == 0:
        return COMPARISON.empty()
    numeric = {
        "price_ratio": hours.values["close"][places] / other.values["close"][places],
        "volume_ratio_24h": _ratio(hours.turnover[mine], other.turnover[theirs]),
    }
    for window, length in WINDOWS.items():
        numeric[f"roi_spread_{window}"] = hours.change(length)[mine] - other.change(length)[theirs]
    arrays = {name: nullable(values) for name, values in numeric.items()} | {
        "time": column(hours.first + places * _STEP, TIME),
        "other": repeated(name, len(places)),
        "source": repeated("derived", len(places)),
        "known_at": column(np.maximum(hours.known_at[mine], other.known_at[theirs]), TIME),
    }
    return COMPARISON.conform(pa.table(arrays))


def _ratio(value: np.ndarray, by: np.ndarray) -> np.ndarray:
    """NaN where there is nothing to divide by."""
    return np.divide(value, by, out=np.full(len(by), np.nan), where=by > 0)
