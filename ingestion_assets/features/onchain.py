"""The features of daily metrics, as tables/domain_features.py states them. Pure.

A day that is not held, or has no value, is none: whatever would need it is null.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import Window, micros
from ingestion_assets.tables.arrays import column, nullable, numbers, repeated
from ingestion_assets.tables.contract import TIME
from ingestion_assets.tables.domain_features import LOOKBACK_DAYS, ONCHAIN_1D

_DAY = 86_400_000_000
_ALIKE = 1e-12  # variance / mean square of values that are the same but for rounding
NEEDED = ("time", "component", "value", "revision", "known_at")


def metric_features(metrics: pa.Table, window: Window) -> pa.Table:
    """The features of the window's days; `metrics` begins LOOKBACK_DAYS before it."""
    names = metrics.column("component").cast(pa.string()).to_numpy(zero_copy_only=False)
    found = [ONCHAIN_1D.empty()]
    for name in sorted(set(names)):
        rows = metrics.filter(pa.array(names == name, pa.bool_()))
        found.append(_of_component(name, rows, window))
    return ONCHAIN_1D.in_order(pa.concat_tables(found).unify_dictionaries())


def _of_component(name: str, rows: pa.Table, window: Window) -> pa.Table:
    first = micros(window.start) // _DAY - LOOKBACK_DAYS
    count = micros(window.end) // _DAY - first
    values, known = np.full(count, np.nan), np.zeros(count, np.int64)
    days = numbers(rows.column("time")) // _DAY - first
    told = numbers(rows.column("value")).astype(np.float64)
    read = numbers(rows.column("known_at"))
    for place in np.argsort(numbers(rows.column("revision")), kind="stable").tolist():
        if 0 <= days[place] < count:  # the newest revision is the last to be put there
            values[days[place]], known[days[place]] = told[place], read[place]
    here = LOOKBACK_DAYS + np.flatnonzero(~np.isnan(values[LOOKBACK_DAYS:]))
    if not len(here):
        return ONCHAIN_1D.empty()
    with np.errstate(over="ignore", invalid="ignore"):
        return _rows(name, first, here, values, known)


def _rows(name: str, first: int, here: np.ndarray, values: np.ndarray, known: np.ndarray) -> pa.Table:
    value = values[here]
    weeks, months = _last(values, here, 7), _last(values, here, 30)
    mean = months.mean(axis=1)
    spread = months - mean[:, None]
    variance = (spread * spread).mean(axis=1)
    variance[variance <= _ALIKE * (months * months).mean(axis=1)] = np.nan
    arrays = {
        "time": column((here + first) * _DAY, TIME),
        "component": repeated(name, len(here)),
        "value": column(value, pa.float64()),
        "change_1d": _finite(value - values[here - 1]),
        **{f"pct_{n}d": _finite(_growth(value, values[here - n])) for n in (1, 7, 30)},
        "mean_7d": _finite(weeks.mean(axis=1)),
        "mean_30d": _finite(mean),
        "z_30d": _finite((value - mean) / np.sqrt(variance)),
        "source": repeated("derived", len(here)),
        "known_at": column(_last(known, here, LOOKBACK_DAYS + 1).max(axis=1), TIME),
    }
    return pa.Table.from_arrays([arrays[n] for n in ONCHAIN_1D.schema.names], schema=ONCHAIN_1D.schema)


def _last(values: np.ndarray, here: np.ndarray, days: int) -> np.ndarray:
    """For each place its value and those before, so many in all."""
    return np.lib.stride_tricks.sliding_window_view(values, days)[here - days + 1]


def _growth(value: np.ndarray, before: np.ndarray) -> np.ndarray:
    return value / np.where(before == 0, np.nan, before) - 1


def _finite(values: np.ndarray) -> pa.Array:
    """What no float can hold is null as well."""
    return nullable(np.where(np.isfinite(values), values, np.nan))
