"""Tables of perpetual futures: candles, aggregated trades, open interest, funding.

One series (`binance.BTC-USDT-PERP`) has all of them, so they are a domain of their own, candles too.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.tables.conditions import on_grid, optional, unless, values
from ingestion_assets.tables.contract import TIME, Column, Promise, Table
from ingestion_assets.tables.market import PROVENANCE, candles

_ORIGIN = "Binance USDT-M: data.binance.vision first, the REST API for what is not there yet"
_MINUTE_US = 60_000_000


def _positive(name: str) -> Promise:
    return Promise(
        f"{name} is positive and finite",
        unless(lambda rows: (values(rows, name) > 0) & (values(rows, name) < np.inf)),
    )


def _not_negative(name: str) -> Promise:
    return Promise(
        f"{name} is finite and not negative",
        unless(lambda rows: (values(rows, name) >= 0) & (values(rows, name) < np.inf)),
    )


def _ratio(name: str, text: str) -> Column:
    return Column(name, pa.float64(), f"{text}; only the archive tells it", required=False)


PERP_1M = dataclasses.replace(
    candles("1m", timedelta(minutes=1)),
    domain="derivatives",
    text="1m candles of perpetual futures as the venue gives them; closed bars only, nothing filled in.",
    cron="*/5 * * * *",
    origin=_ORIGIN,
    history="since the listing",
)

AGG_TRADES_UM = Table(
    domain="derivatives",
    name="agg_trades_um",
    text="Trades of USDT-margined perpetuals; fills of one taker order at one price are one row.",
    columns=(
        Column("id", pa.int64(), "the venue's number of the aggregated trade; numbers follow on each other"),
        Column("time", TIME, "when it was traded (UTC)"),
        Column("price", pa.float64(), "in the quote currency"),
        Column("quantity", pa.float64(), "in the base currency"),
        Column("first_trade_id", pa.int64(), "the first of the trades that are in it"),
        Column("last_trade_id", pa.int64(), "the last of them"),
        Column("buyer_is_maker", pa.bool_(), "true: the taker sold; false: the taker bought"),
        *PROVENANCE,
    ),
    key="id",
    grid=False,
    cut="day",
    grain=timedelta(minutes=1),
    origin=_ORIGIN,
    cron="20 * * * *",
    late_after=timedelta(hours=3),
    cadence="a day at a time when the archive has it; the open day by REST, every hour",
    history="since 2019-12-31 in the archive",
    promises=(
        Promise("id is not negative", unless(lambda rows: values(rows, "id") >= 0)),
        _positive("price"),
        _positive("quantity"),
        Promise(
            "last_trade_id is not below first_trade_id",
            unless(lambda rows: values(rows, "last_trade_id") >= values(rows, "first_trade_id")),
        ),
    ),
)

OPEN_INTEREST_5M = Table(
    domain="derivatives",
    name="open_interest_5m",
    text="How much of a perpetual is held open, measured every five minutes.",
    columns=(
        Column("time", TIME, "when it was measured (UTC)"),
        Column("open_interest", pa.float64(), "contracts held open, in the base currency"),
        Column("open_interest_value", pa.float64(), "what they are worth, in the quote currency"),
        _ratio("top_account_ratio", "long / short accounts among the top traders"),
        _ratio("top_position_ratio", "long / short positions of the top traders"),
        _ratio("account_ratio", "long / short accounts of everybody"),
        _ratio("taker_volume_ratio", "bought / sold by takers in the five minutes before"),
        *PROVENANCE,
    ),
    grain=timedelta(minutes=5),
    origin="Binance USDT-M: data.binance.vision `metrics` first, the REST API for what is not there yet",
    cron="*/15 * * * *",
    late_after=timedelta(minutes=45),
    cadence="every 15 min",
    history="since 2020-09 in the archive, which has holes; what neither has is `unrecoverable`",
    promises=(
        Promise("time lies on the grid", on_grid(timedelta(minutes=5))),
        _not_negative("open_interest"),
        _not_negative("open_interest_value"),
    ),
)

FUNDING_RATES = Table(
    domain="derivatives",
    name="funding_rates",
    text="Funding of perpetuals as it was settled; a positive rate is paid by who is long.",
    columns=(
        Column("time", TIME, "the full minute for which it was settled (UTC)"),
        Column(
            "rate",
            pa.float64(),
            "part of a position that is paid for one interval; 0.0001 is 0.01 %; with dividends of shares",
        ),
        Column("settled_at", TIME, "the moment that the venue gives, some milliseconds later"),
        Column("interval_hours", pa.int32(), "hours between two settlements, if told", required=False),
        Column("mark_price", pa.float64(), "price by which positions were valued, if told", required=False),
        *PROVENANCE,
    ),
    grid=False,
    grain=timedelta(minutes=1),
    origin=_ORIGIN,
    cron="*/15 * * * *",
    late_after=timedelta(minutes=45),
    cadence="every 15 min; settled every 8 hours, of some symbols every 4 or 1",
    history="since the listing",
    promises=(
        Promise("rate lies between -1 and 1", unless(lambda rows: np.abs(values(rows, "rate")) < 1)),
        Promise(
            "time is a full minute, the nearest to settled_at",
            unless(
                lambda rows: (
                    (values(rows, "time") % _MINUTE_US == 0)
                    & (np.abs(values(rows, "settled_at") - values(rows, "time")) <= _MINUTE_US // 2)
                )
            ),
        ),
        Promise("mark_price is positive", optional("mark_price", lambda v, _: (v > 0) & (v < np.inf))),
    ),
)

DERIVATIVES = {t.name: t for t in (PERP_1M, AGG_TRADES_UM, OPEN_INTEREST_5M, FUNDING_RATES)}
