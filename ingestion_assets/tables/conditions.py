"""Conditions from which tables make their promises: masks of the rows in which something is not so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.tables.arrays import numbers


def values(rows: pa.Table, name: str) -> np.ndarray:
    return numbers(rows.column(name))


def unless(condition: Callable[[pa.Table], np.ndarray]) -> Callable[[pa.Table], np.ndarray]:
    """A NaN compares false with everything, so stating the promise and negating it catches NaN too."""
    return lambda rows: ~condition(rows)


def optional(
    name: str, condition: Callable[[np.ndarray, pa.Table], np.ndarray]
) -> Callable[[pa.Table], np.ndarray]:
    """Broken where the value is given and the condition is false."""

    def broken(rows: pa.Table) -> np.ndarray:
        column = rows.column(name)
        if column.null_count == rows.num_rows:
            return np.zeros(rows.num_rows, dtype=bool)
        fine = condition(numbers(column), rows)
        return ~fine if column.null_count == 0 else ~fine & column.is_valid().to_numpy()

    return broken


def on_grid(grain: timedelta) -> Callable[[pa.Table], np.ndarray]:
    step = grain // timedelta(microseconds=1)
    origin = 4 * 86_400_000_000 if grain == timedelta(weeks=1) else 0

    def broken(rows: pa.Table) -> np.ndarray:
        opens = numbers(rows.column("time"))
        return (opens - origin) % step != 0

    return broken


def outside(name: str, low: float, high: float) -> Callable[[pa.Table], np.ndarray]:
    return optional(name, lambda given, _: (given >= low) & (given <= high))


def not_finite(names: Iterable[str]) -> Callable[[pa.Table], np.ndarray]:
    """A null says that there is no value; a NaN or an infinity would say nothing, and spread."""
    checks = [optional(name, lambda given, _: np.isfinite(given)) for name in names]

    def broken(rows: pa.Table) -> np.ndarray:
        mask = np.zeros(rows.num_rows, dtype=bool)
        for check in checks:
            mask |= check(rows)
        return mask

    return broken
