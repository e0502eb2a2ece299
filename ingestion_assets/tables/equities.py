"""Tables of shares: minute bars as they were traded, splits, and snapshots of the present.

Prices are never adjusted: what a split does to them is told by the table of splits, and applied by whoever
wants it. Times are UTC; a trading day is one of New York's.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.tables.conditions import not_finite, optional, unless, values
from ingestion_assets.tables.contract import TIME, Column, Promise, Table
from ingestion_assets.tables.market import PROVENANCE, TIME_COLUMN, VOLUME_PROMISE, price_promises

_KEY = "POLYGON_API_KEY (MASSIVE_API_KEY)"
_CADENCE = timedelta(minutes=5)


def _told(name: str, text: str, kind: pa.DataType | None = None) -> Column:
    """A column that the vendor may leave out."""
    return Column(name, kind or pa.float64(), text, required=False)


EQUITY_1M = Table(
    domain="equities",
    name="bars_1m",
    text="Minute bars of shares, unadjusted, before and after hours included; no bar where nobody traded.",
    columns=(
        TIME_COLUMN,
        Column("open", pa.float64(), "price of the first trade, in dollars, not adjusted for splits"),
        Column("high", pa.float64(), "highest price"),
        Column("low", pa.float64(), "lowest price"),
        Column("close", pa.float64(), "price of the last trade"),
        Column("volume", pa.float64(), "traded shares; fractions are traded too"),
        Column("close_time", TIME, "the last millisecond that belongs to the bar"),
        _told("vwap", "price weighted by volume; only the API tells it"),
        _told("transactions", "number of trades", pa.int64()),
        *PROVENANCE,
    ),
    grain=timedelta(minutes=1),
    grid=False,
    origin="Polygon (Massive): flat files first, the REST API for what is not there yet",
    cadence="a day at a time when the file is there, by 12:00 in New York the next day; the rest by REST",
    cron="*/15 * * * *",
    late_after=timedelta(minutes=45),  # the cheaper plans show a minute after 15 min
    history="since 2003-09-10, as far as the plan goes",
    needs=f"{_KEY}; for flat files POLYGON_S3_ACCESS_KEY_ID too",
    promises=(
        *price_promises(timedelta(minutes=1)),
        VOLUME_PROMISE,
        Promise("vwap is finite and not negative", optional("vwap", lambda v, _: (v >= 0) & (v < np.inf))),
        Promise("transactions is not negative", optional("transactions", lambda v, _: v >= 0)),
    ),
)

SPLITS = Table(
    domain="equities",
    name="splits",
    text="Splits of shares: from the execution date on, `split_from` old ones are `split_to` new ones.",
    columns=(
        Column("time", TIME, "when the day begins in New York on which it takes effect (UTC)"),
        Column("execution_date", pa.date32(), "that day"),
        Column("split_from", pa.float64(), "so many old shares"),
        Column("split_to", pa.float64(), "become so many new ones"),
        _told("id", "the vendor's own", pa.string()),
        *PROVENANCE,
    ),
    grain=timedelta(days=1),
    grid=False,
    origin="Polygon (Massive), `v3/reference/splits`",
    cadence="once a day",
    cron="40 10 * * *",
    late_after=timedelta(days=3),
    history="as far as the vendor knows",
    needs=_KEY,
    promises=(
        Promise(
            "both sides of the split are positive",
            unless(lambda rows: (values(rows, "split_from") > 0) & (values(rows, "split_to") > 0)),
        ),
    ),
)

_BAR_OF = ("open", "high", "low", "close", "volume", "vwap")
_SNAPSHOT_NUMBERS = (
    "price",
    "last_trade_price",
    "last_trade_size",
    "bid",
    "ask",
    "bid_size",
    "ask_size",
    *(f"{part}_{what}" for part in ("day", "previous", "minute") for what in _BAR_OF),
    "change",
    "change_percent",
)
_MEANINGS = {
    "price": "of the last trade; where none is told the close of the newest bar that is",
    "bid_size": "as the vendor gives it: round lots, or shares since late 2025",
    "ask_size": "as the vendor gives it: round lots, or shares since late 2025",
    "change": "since the previous close, in dollars",
    "change_percent": "since the previous close; 0.82 is 0.82 %",
} | {
    f"{part}_{what}": f"{what} of {name}"
    for part, name in (("day", "today"), ("previous", "the day before"), ("minute", "the newest minute bar"))
    for what in _BAR_OF
}

EQUITY_SNAPSHOTS = Table(
    domain="equities",
    name="snapshots",
    text="What the vendor shows of a share at the moment of asking; a later one never replaces it.",
    columns=(
        Column("time", TIME, "when we asked (UTC)"),
        _told("updated_at", "the vendor's own time of what it shows", TIME),
        *(_told(name, _MEANINGS.get(name, name.replace("_", " "))) for name in _SNAPSHOT_NUMBERS),
        _told("last_trade_at", "when the last trade was", TIME),
        _told("quote_at", "when bid and ask were quoted", TIME),
        _told("minute_time", "when the newest minute bar opens", TIME),
        _told("minute_transactions", "number of trades in it", pa.int64()),
        *PROVENANCE,
    ),
    grain=_CADENCE,
    grid=False,
    origin="Polygon (Massive), `v2/snapshot/…/tickers`, up to 250 tickers in one request",
    cadence="every 5 min, of series whose strategy has snapshots",
    cron="*/5 * * * *",
    ways=("snapshot",),
    history="since the first one was taken; one that was not taken is `unrecoverable`",
    needs=_KEY,
    promises=(Promise("numbers are finite", not_finite(_SNAPSHOT_NUMBERS)),),
)

EQUITIES = {t.name: t for t in (EQUITY_1M, SPLITS, EQUITY_SNAPSHOTS)}
