"""On-chain tables: metrics of whole chains, what an address holds, what it has sent and received.

Amounts of a chain's smallest unit are kept as decimal text: they go up to 2^256 - 1, which has 78 digits,
and the widest decimal of Arrow has 76, of most readers of Parquet 38. Text is exact everywhere.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.tables.conditions import not_finite, optional, unless, values
from ingestion_assets.tables.contract import NAME, TIME, Column, Promise, Table

DAY = timedelta(days=1)
# What metrics are called in short; behind it category and name as the vendor has them.
ALIASES = {"active_addresses": "addresses.active_count", "price": "market.price_usd_close"}
_COVALENT = "GoldRush (Covalent) `balances_v2`, `transactions_v3`"
_SOURCE = Column("source", NAME, "how the row came: rest, simulator")


def _optional(name: str, kind: pa.DataType, text: str) -> Column:
    return Column(name, kind, text, required=False)


def _amount(name: str, text: str, *, required: bool = False) -> Column:
    return Column(name, pa.string(), f"{text}, in the smallest unit of the coin, exact, as text", required)


def _whole(name: str) -> Promise:
    """Digits and nothing else: no float has been near it."""

    def broken(rows: pa.Table) -> np.ndarray:
        import pyarrow.compute as pc  # takes a twentieth of a second, and tables are imported by all

        fine = pc.match_substring_regex(rows.column(name), r"^[0-9]{1,78}$")
        return ~pc.fill_null(fine, True).to_numpy(zero_copy_only=False)

    return Promise(f"{name} is a whole number of at most 78 digits", broken)


METRICS = Table(
    domain="onchain",
    name="metrics_1d",
    text="Daily metrics of a chain or coin. A value that was revised later is a row of its own beside the "
    "first: the highest `revision` is the present one, `known_at` tells which was known when.",
    columns=(
        Column("id", pa.string(), "day, component and revision: 2024-08-01/value/0"),
        Column("time", TIME, "the beginning of the day that is measured (UTC)"),
        Column("component", NAME, "`value`, or the part's name where a metric has several"),
        _optional("value", pa.float64(), "as told; null where the vendor says null"),
        Column("revision", pa.int32(), "0 for what was read first, then 1, 2 …"),
        _SOURCE,
        Column(
            "known_at",
            TIME,
            "when we read it; of point-in-time metrics, which are never revised, the end of the day + 15 min",
        ),
    ),
    key="id",
    grid=False,
    keeps=True,
    grain=DAY,
    cron="35 * * * *",
    late_after=timedelta(days=2),
    promises=(
        Promise(
            "time is the beginning of a day", unless(lambda rows: values(rows, "time") % 86_400_000_000 == 0)
        ),
        Promise("value is finite, or null", not_finite(("value",))),
        Promise("revision is not negative", unless(lambda rows: values(rows, "revision") >= 0)),
    ),
    origin="Glassnode `/v1/metrics`, resolution 24h",
    cadence="looked for every hour; a day is told 10 min after its end, entity metrics up to 2 h",
    history="since the coin's first block, as far as the plan goes",
    needs="GLASSNODE_API_KEY",
)

BALANCES = Table(
    domain="onchain",
    name="balances_1d",
    text="What an address holds of every coin, read once a day.",
    columns=(
        Column("time", TIME, "the day on which it was read (UTC)"),
        Column("contract", NAME, "address of the coin's contract"),
        Column("measured_at", TIME, "the moment that the vendor gives for it"),
        _optional("symbol", NAME, "what the coin calls itself"),
        _optional("name", NAME, "the same, longer"),
        _optional("decimals", pa.int32(), "10 to the power of it is one whole coin"),
        _amount("balance", "held", required=True),
        _optional("amount", pa.float64(), "balance / 10^decimals, rounded as floats are"),
        _optional("quote_rate", pa.float64(), "US dollars for a coin; null when nobody prices it"),
        _optional("quote", pa.float64(), "US dollars for all of them, as the vendor reckons"),
        _SOURCE,
        Column("known_at", TIME, "when we read it"),
    ),
    key="time",
    among="contract",
    keeps=True,
    grain=DAY,
    cron="10 * * * *",
    late_after=timedelta(days=2),
    promises=(
        _whole("balance"),
        Promise("amount, quote_rate and quote are finite", not_finite(("amount", "quote_rate", "quote"))),
        Promise("quote_rate is not negative", optional("quote_rate", lambda v, _: v >= 0)),
    ),
    origin=_COVALENT,
    cadence="once a day, as early as can be",
    history="since the first reading; a day on which nobody read is `unrecoverable`",
    needs="COVALENT_API_KEY",
)

TRANSACTIONS = Table(
    domain="onchain",
    name="transactions",
    text="Transactions that an address sent or received.",
    columns=(
        Column("hash", pa.string(), "the transaction's hash"),
        Column("time", TIME, "when its block was signed (UTC)"),
        Column("block", pa.int64(), "height of its block"),
        _optional("offset", pa.int64(), "its place in the block, if told"),
        _optional("successful", pa.bool_(), "false: it was reverted, the fee was paid all the same"),
        Column("from_address", pa.string(), "who sent it"),
        _optional("to_address", pa.string(), "who received it; null: it made a contract"),
        _amount("value", "sent along", required=True),
        _optional("value_quote", pa.float64(), "the same in US dollars, if told"),
        _amount("fees_paid", "paid for it"),
        _optional("gas_offered", pa.int64(), "gas that it might have used"),
        _optional("gas_spent", pa.int64(), "gas that it used"),
        _amount("gas_price", "paid for each unit of gas"),
        _optional("gas_quote", pa.float64(), "the fee in US dollars, if told"),
        _optional("gas_quote_rate", pa.float64(), "US dollars for a coin at that time, if told"),
        _SOURCE,
        Column("known_at", TIME, "when its block was settled: 15 min after it was signed"),
    ),
    key="hash",
    grid=False,
    grain=timedelta(minutes=1),
    cron="*/15 * * * *",
    late_after=timedelta(hours=2),
    promises=(
        _whole("value"),
        _whole("fees_paid"),
        _whole("gas_price"),
        Promise("block is not negative", unless(lambda rows: values(rows, "block") >= 0)),
        Promise("dollars are finite", not_finite(("value_quote", "gas_quote", "gas_quote_rate"))),
    ),
    origin=_COVALENT,
    cadence="every 15 min",
    history="since the address's first transaction",
    needs="COVALENT_API_KEY",
)

ONCHAIN = {table.name: table for table in (METRICS, BALANCES, TRANSACTIONS)}
