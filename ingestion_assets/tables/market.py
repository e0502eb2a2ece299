"""Market tables: candles as venues give them, and candles aggregated from them."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.tables.conditions import on_grid, optional, unless, values
from ingestion_assets.tables.contract import NAME, TIME, Column, Promise, Table

TIME_COLUMN = Column("time", TIME, "when the bar opens (UTC)")
PRICES_AND_VOLUMES = (
    Column("open", pa.float64(), "price of the first trade, in the quote currency"),
    Column("high", pa.float64(), "highest price"),
    Column("low", pa.float64(), "lowest price"),
    Column("close", pa.float64(), "price of the last trade"),
    Column("volume", pa.float64(), "traded amount, in the base currency"),
    Column("close_time", TIME, "the last millisecond that belongs to the bar"),
    Column("quote_volume", pa.float64(), "traded amount, in the quote currency", required=False),
    Column("trades", pa.int64(), "number of trades", required=False),
    Column("taker_buy_volume", pa.float64(), "amount bought by takers, in the base currency", required=False),
    Column("taker_buy_quote_volume", pa.float64(), "the same in the quote currency", required=False),
)
PROVENANCE = (
    Column("source", NAME, "how the row came: rest, bulk, stream, derived; simulator when it is not real"),
    Column("known_at", TIME, "when the row could first be known: bar end + settle, or when a revision came"),
)


VOLUME_PROMISE = Promise(
    "volume is finite and not negative",
    unless(lambda r: (values(r, "volume") >= 0) & (values(r, "volume") < np.inf)),
)


def price_promises(grain: timedelta) -> tuple[Promise, ...]:
    """What is true of any bar, a share's as well as a coin's."""
    return (
        Promise("time lies on the grid", on_grid(grain)),
        Promise("low is a positive price", unless(lambda r: values(r, "low") > 0)),
        Promise("high is a finite price", unless(lambda r: values(r, "high") < np.inf)),
        Promise(
            "high is at least open and close",
            unless(lambda r: values(r, "high") >= np.maximum(values(r, "open"), values(r, "close"))),
        ),
        Promise(
            "low is at most open and close",
            unless(lambda r: values(r, "low") <= np.minimum(values(r, "open"), values(r, "close"))),
        ),
    )


def candle_promises(grain: timedelta) -> tuple[Promise, ...]:
    return (
        *price_promises(grain),
        VOLUME_PROMISE,
        Promise(
            "quote_volume is finite and not negative",
            optional("quote_volume", lambda v, _: (v >= 0) & (v < np.inf)),
        ),
        Promise("trades is not negative", optional("trades", lambda v, _: v >= 0)),
        Promise(
            "taker_buy_volume lies between 0 and volume",
            optional(
                "taker_buy_volume", lambda v, r: (v >= 0) & (v <= values(r, "volume") * (1 + 1e-9) + 1e-9)
            ),
        ),
        Promise(
            "taker_buy_quote_volume is finite and not negative",
            optional("taker_buy_quote_volume", lambda v, _: (v >= 0) & (v < np.inf)),
        ),
    )


def candles(timeframe: str, grain: timedelta) -> Table:
    return Table(
        domain="market",
        name=f"ohlcv_{timeframe}",
        text=f"{timeframe} candles as the venue gives them; closed bars only, nothing filled in.",
        columns=(TIME_COLUMN, *PRICES_AND_VOLUMES, *PROVENANCE),
        grain=grain,
        promises=candle_promises(grain),
        origin="Binance by its own API; every other exchange through ccxt",
        cadence="every 5 min" if timeframe == "1m" else "every 15 min",
        history="since the listing, as far as the venue serves it (Kraken: the last 720 bars)",
    )


def aggregates(timeframe: str, grain: timedelta, parts: int) -> Table:
    return Table(
        domain="market",
        name=f"ohlcv_{timeframe}",
        text=f"{timeframe} candles aggregated from ohlcv_1m; `coverage` tells how much of each was there.",
        columns=(
            TIME_COLUMN,
            *PRICES_AND_VOLUMES,
            Column("minutes", pa.int32(), f"1m bars that went in; {parts} when complete"),
            Column("coverage", pa.float64(), "minutes / minutes of the whole bar; below 1 there was a gap"),
            *PROVENANCE,
        ),
        grain=grain,
        computed=True,
        origin="`market/ohlcv_1m`",
        cadence="when an hour is over, and whatever changes later",
        history="as `market/ohlcv_1m`",
        promises=(
            *candle_promises(grain),
            Promise(
                "coverage lies in (0, 1]",
                unless(lambda r: (values(r, "coverage") > 0) & (values(r, "coverage") <= 1)),
            ),
        ),
    )


OHLCV_1M = candles("1m", timedelta(minutes=1))
OHLCV_5M = candles("5m", timedelta(minutes=5))
OHLCV_1H = aggregates("1h", timedelta(hours=1), 60)
OHLCV_1D = aggregates("1d", timedelta(days=1), 1_440)
OHLCV_1W = aggregates("1w", timedelta(weeks=1), 10_080)

INGESTED = {"1m": OHLCV_1M, "5m": OHLCV_5M}
DERIVED = {"1h": OHLCV_1H, "1d": OHLCV_1D, "1w": OHLCV_1W}
