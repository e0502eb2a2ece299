"""Tables of what providers show of a coin or an index: snapshots of the present, and their own histories."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.tables.conditions import not_finite, unless, values
from ingestion_assets.tables.contract import TIME, Column, Promise, Table
from ingestion_assets.tables.market import PROVENANCE, TIME_COLUMN, price_promises

_ORIGIN = "CoinGecko; `mock` gives the same of the simulated world"
_KEY = "COINGECKO_API_KEY for CoinGecko, none for mock"
_POSITIVE = Promise(
    "price is positive and finite",
    unless(lambda rows: (values(rows, "price") > 0) & (values(rows, "price") < np.inf)),
)


def _told(name: str, text: str, kind: pa.DataType | None = None) -> Column:
    """A column that the provider may leave out."""
    return Column(name, kind or pa.float64(), text, required=False)


_NUMBERS = {
    "market_cap": "circulating supply at this price, in the quote currency",
    "fully_diluted_valuation": "the same of every coin there will ever be",
    "volume_24h": "traded in 24 hours everywhere, in the quote currency",
    "high_24h": "highest price of 24 hours",
    "low_24h": "lowest price of 24 hours",
    "change_24h": "price now minus price 24 hours ago",
    "change_percent_24h": "the same in percent; -4.38 is -4.38 %",
    "circulating_supply": "coins in circulation",
    "total_supply": "coins there are, those burned left out",
    "max_supply": "coins there will ever be",
    "ath": "highest price ever",
    "atl": "lowest price ever",
}

MARKET_SNAPSHOTS = Table(
    domain="snapshots",
    name="markets",
    text="What a provider shows of a market at the moment of asking; a later one never replaces it.",
    columns=(
        Column("time", TIME, "when we asked (UTC)"),
        _told("updated_at", "the provider's own time of what it shows", TIME),
        Column("price", pa.float64(), "in the quote currency"),
        *(_told(name, text) for name, text in _NUMBERS.items()),
        _told("market_cap_rank", "place among all by market cap", pa.int32()),
        _told("ath_at", "when the highest price was", TIME),
        _told("atl_at", "when the lowest price was", TIME),
        *PROVENANCE,
    ),
    grain=timedelta(minutes=5),
    grid=False,
    origin=_ORIGIN,
    cadence="every 5 min",
    cron="*/5 * * * *",
    ways=("snapshot",),
    history="since the first one was taken; one that was not taken is `unrecoverable`",
    needs=_KEY,
    promises=(_POSITIVE, Promise("numbers are finite", not_finite(_NUMBERS))),
)

PRICE_HISTORY = Table(
    domain="snapshots",
    name="prices",
    text="A provider's own history of price, market cap and volume, at the odd times at which it took them.",
    columns=(
        Column("time", TIME, "the provider's own time (UTC), about one an hour"),
        Column("price", pa.float64(), "in the quote currency"),
        _told("market_cap", "circulating supply at this price, in the quote currency"),
        _told("volume_24h", "traded in the 24 hours before, in the quote currency"),
        *PROVENANCE,
    ),
    grain=timedelta(hours=1),
    grid=False,
    origin=_ORIGIN,
    cadence="every hour",
    cron="15 * * * *",
    late_after=timedelta(hours=3),
    history="the last 365 days",
    needs=_KEY,
    promises=(_POSITIVE, Promise("numbers are finite", not_finite(("market_cap", "volume_24h")))),
)

OHLC_4H = Table(
    domain="snapshots",
    name="ohlc_4h",
    text="A provider's own 4h candles, without volume; of its stamps, which are ends, the beginnings.",
    columns=(
        TIME_COLUMN,
        Column("open", pa.float64(), "first price, in the quote currency"),
        Column("high", pa.float64(), "highest price"),
        Column("low", pa.float64(), "lowest price"),
        Column("close", pa.float64(), "last price"),
        Column("close_time", TIME, "the last millisecond that belongs to the bar"),
        *PROVENANCE,
    ),
    grain=timedelta(hours=4),
    origin=_ORIGIN,
    cadence="every hour",
    cron="15 * * * *",
    late_after=timedelta(hours=9),  # two candles and an hour
    history="the last 30 days",
    needs=_KEY,
    promises=price_promises(timedelta(hours=4)),
)

SNAPSHOTS = {t.name: t for t in (MARKET_SNAPSHOTS, PRICE_HISTORY, OHLC_4H)}
