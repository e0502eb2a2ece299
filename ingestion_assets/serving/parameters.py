"""What people write in a URL or a body, made exact, or refused with what to write instead.

Aliases are welcome (`BTC/USDT`, `BTCUSDT`, `1min`; times in s, ms, µs or ISO); answers show the canonical
form. Whatever becomes part of a Redis key or a path is checked here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Path, Query

from ingestion_assets.intervals import TIMEFRAMES, canonical_timeframe, iso, parse_moment
from ingestion_assets.registry import parse_id, series_id
from ingestion_assets.serving.problems import Unprocessable

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_PAIR = re.compile(r"[A-Z0-9]+(-[A-Z0-9]+)+")
_TICKER = re.compile(r"[A-Z]{1,5}")
SHARES = "polygon"  # who is asked for them
_LONGEST_NAME = 128
_EARLIEST = datetime(2009, 1, 1, tzinfo=UTC)  # nothing that we serve is older than Bitcoin
_AHEAD = timedelta(days=2)

Symbol = Annotated[
    str, Query(max_length=_LONGEST_NAME, description="`BTC/USDT`, `BTCUSDT`, `kraken.ETH-USD`", min_length=1)
]
Exchange = Annotated[
    str | None,
    Query(pattern=r"^[A-Za-z0-9_]{1,40}$", description="The one of EXCHANGE_NAME when not given."),
]
ExchangeInPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,40}$", description="A name of ccxt's.")]
Timeframe = Annotated[str, Query(max_length=16, description="`1m`; `1min` is understood.", min_length=1)]
Metric = Annotated[str, Query(max_length=_LONGEST_NAME, min_length=1, description="`active_addresses`")]
Topic = Annotated[str, Query(max_length=_LONGEST_NAME, min_length=1, description="`twitter`")]
Moment = Annotated[
    str, Query(max_length=40, min_length=1, description="Seconds, ms or µs since 1970, or ISO 8601.")
]


def market_series(symbol: str, exchange: str | None, default: str) -> str:
    """The canonical id that a symbol stands for, on the exchange named or the one that is meant."""
    try:
        named = exchange is None and "." in symbol
        series = series_id(*parse_id(symbol)) if named else series_id(exchange or default, symbol)
    except ValueError as error:
        raise Unprocessable(f"symbol {symbol[:60]!r}: {error}") from None
    if not _PAIR.fullmatch(series.partition(".")[2]):
        raise Unprocessable(f"symbol {symbol[:60]!r} has no base or no quote: write it like BTC/USDT")
    return series


def ticker_series(symbol: str, exchange: str | None) -> str | None:
    """`AAPL`, without a quote and without an exchange, is a share."""
    return f"{SHARES}.{symbol}" if exchange is None and _TICKER.fullmatch(symbol) else None


def timeframe_of(text: str) -> str:
    try:
        return canonical_timeframe(text)
    except ValueError as error:
        raise Unprocessable(str(error)) from None


def name_of(field: str, text: str) -> str:
    """A symbol, metric or topic that is no market: letters, digits, _ - and dots between them."""
    name = text.strip().replace("/", "-")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise Unprocessable(f"{field} {text[:60]!r}: use letters, digits, _ and -, like active_addresses")
    return name


def seconds_of(field: str, text: str, now: datetime) -> int:
    """Epoch seconds; what lies before 2009 or in days to come was written in another unit than meant."""
    try:
        if not text.isascii():
            raise ValueError(f"time {text!r} holds other signs than digits and - : . T Z +")
        moment = parse_moment(text)
    except ValueError as error:
        raise Unprocessable(f"{field}: {error}") from None
    if not _EARLIEST <= moment <= now + _AHEAD:
        raise Unprocessable(
            f"{field} {text!r} is {iso(moment)}, which nothing here can have: give seconds, ms or µs since "
            f"1970 or ISO time between {_EARLIEST:%Y} and {_AHEAD.days} days from now"
        )
    return int(moment.timestamp())  # what lies within a second lies on no bar's edge: rounded down


def on_grid(field: str, seconds: int, timeframe: str) -> int:
    step = int(TIMEFRAMES[timeframe].total_seconds())
    origin = 4 * 86_400 if timeframe == "1w" else 0
    off = (seconds - origin) % step
    if off:
        raise Unprocessable(
            f"{field} {seconds}: no {timeframe} bar opens then; one opens at {seconds - off} "
            f"and the next at {seconds - off + step}"
        )
    return seconds
