"""empyrical over windows that slide by the hour: all windows of a length at once, as its 2-D form allows."""

from __future__ import annotations

import empyrical
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

HOURS_PER_YEAR = 8_760


def statistics(close: np.ndarray, windows: dict[str, int]) -> dict[str, np.ndarray]:
    """Each value belongs to the hour that ends its window."""
    returns, growth = close[1:] / close[:-1] - 1, np.log(close[1:] / close[:-1])
    found = {}
    for name, hours in windows.items():
        windowed = sliding_window_view(returns, hours).T
        found[f"return_{name}"] = empyrical.cum_returns_final(windowed)
        found[f"volatility_{name}"] = empyrical.annual_volatility(
            sliding_window_view(growth, hours).T, annualization=HOURS_PER_YEAR
        )
        found[f"sharpe_{name}"] = empyrical.sharpe_ratio(windowed, annualization=HOURS_PER_YEAR)
        found[f"sortino_{name}"] = empyrical.sortino_ratio(windowed, annualization=HOURS_PER_YEAR)
        found[f"max_drawdown_{name}"] = empyrical.max_drawdown(windowed)
    return found
