"""Statistics of markets, hour by hour: where they stand, how they did, how they compare.

All are made of hourly closes, of the bar of their row and at most `LOOKBACK` hours before it. Hours that
are not held are left out, never filled; `coverage_…` tells how much of a window was there.
"""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa

from ingestion_assets.tables.conditions import not_finite, outside
from ingestion_assets.tables.contract import NAME, TIME, Column, Promise, Table

HOUR = timedelta(hours=1)
WINDOWS = {"1d": 24, "7d": 168, "30d": 720}  # hours
HOURS_PER_YEAR = 8_760

_TIME = Column("time", TIME, "when the hour opens (UTC); all values are those at its end")
_PROVENANCE = (
    Column("source", NAME, "how the row came: derived"),
    Column("known_at", TIME, "the latest known_at of the hours that it is made from"),
)


def _number(name: str, text: str) -> Column:
    return Column(name, pa.float64(), text, required=False)


def _share(name: str) -> Column:
    return Column(f"coverage_{name}", pa.float64(), f"minutes held of the last {name} / its minutes")


def _return(name: str, hours: int) -> Column:
    return _number(f"return_{name}", f"close / close {hours} hours before − 1, if that is held")


def _statistics(name: str, hours: int) -> tuple[Column, ...]:
    return (
        _return(name, hours),
        _number(
            f"volatility_{name}",
            f"σ (ddof 1) of the hourly log returns of the last {hours} hours, times √{HOURS_PER_YEAR}; "
            "null with fewer than 2",
        ),
        _number(
            f"sharpe_{name}",
            f"mean / σ (ddof 1) of the hourly returns, times √{HOURS_PER_YEAR}; null when σ is 0",
        ),
        _number(
            f"sortino_{name}",
            "the same over the root of the mean square of the negative ones; null when there are none",
        ),
        _number(f"max_drawdown_{name}", "lowest of close / highest close before it − 1; 0 when it only rose"),
        _share(name),
    )


def _table(name: str, text: str, columns: tuple[Column, ...], **more: object) -> Table:
    return Table(
        domain="statistics",
        name=name,
        text=text,
        columns=(_TIME, *columns, *_PROVENANCE),
        grain=HOUR,
        computed=True,
        promises=(
            Promise(
                "no number is NaN or infinite",
                not_finite(c.name for c in columns if pa.types.is_floating(c.type)),
            ),
            *(
                Promise(f"{c.name} lies between {low} and {low + 1}", outside(c.name, low, low + 1))
                for c in columns
                for start, low in (("coverage_", 0), ("max_drawdown_", -1))
                if c.name.startswith(start)
            ),
        ),
        origin="`market/ohlcv_1h`",
        cadence="when an hour is over, and whatever changes later",
        history="as `market/ohlcv_1m`",
        **more,  # type: ignore[arg-type]
    )


SNAPSHOT = _table(
    "market_snapshot",
    "Where a market stands at the end of each hour: price, volume, volatility, return on investment.",
    (
        Column("price", pa.float64(), "close of the hour, in the quote currency"),
        Column("volume_24h", pa.float64(), "traded amount of the last 24 hours, in the base currency"),
        Column("high_24h", pa.float64(), "highest price of the last 24 hours"),
        Column("low_24h", pa.float64(), "lowest price"),
        _number("volatility_24h", f"σ (ddof 1) of the last 24 hourly log returns, times √{HOURS_PER_YEAR}"),
        _number("roi_1h", "close / close 1 hour before − 1; null when that hour is not held"),
        _number("roi_24h", "the same against 24 hours before"),
        _number("roi_7d", "the same against 168 hours before"),
        _number("roi_30d", "the same against 720 hours before"),
        Column("coverage_24h", pa.float64(), "minutes held of the last 24 hours / 1,440"),
    ),
)
ROI = _table(
    "roi_statistics",
    "Return, volatility, Sharpe, Sortino and largest drawdown over 1, 7 and 30 days, after each hour.",
    tuple(column for name, hours in WINDOWS.items() for column in _statistics(name, hours)),
)
COMPARISON = _table(
    "market_comparison",
    "A market beside another: one row for each hour of both and each market compared with.",
    (
        Column("other", NAME, "series id of the market compared with"),
        Column("price_ratio", pa.float64(), "close / the other's close"),
        _number(
            "volume_ratio_24h",
            "turnover (close · volume) of the last 24 hours / the other's; null when the other had none",
        ),
        *(_number(f"roi_spread_{w}", f"return_{w} − the other's") for w in WINDOWS),
    ),
    among="other",
)
STATISTICS: dict[str, Table] = {table.name: table for table in (SNAPSHOT, ROI, COMPARISON)}
