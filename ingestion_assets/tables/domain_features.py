"""Feature tables of the other domains: what models read of metrics, posts and news. Markets: features.py.

A row holds what is told of its day or bucket and of days before, never of later ones.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.tables.conditions import not_finite, on_grid, outside
from ingestion_assets.tables.contract import NAME, TIME, Column, Promise, Table
from ingestion_assets.tables.news import NEWS_ITEMS
from ingestion_assets.tables.onchain import BALANCES, DAY, METRICS, TRANSACTIONS
from ingestion_assets.tables.sentiment import NEWS_SENTIMENT, POSTS_SENTIMENT
from ingestion_assets.tables.social import POSTS

LOOKBACK_DAYS = 30
_SOURCE = Column("source", NAME, "how the row came: derived")


def _number(name: str, text: str) -> Column:
    return Column(name, pa.float64(), text, required=False)


def _finite(columns: tuple[Column, ...]) -> Promise:
    numbers = [column.name for column in columns if pa.types.is_floating(column.type)]
    return Promise("no number is NaN or infinite", not_finite(numbers))


# Of an address. Coins are those of the chain, of 10^18 units, as wherever addresses begin with 0x; of
# other addresses there is the count alone.
ADDRESS_COMPONENTS = {
    "transactions": "those it sent or received, reverted ones too",
    "sent": "coins it sent with them, unless reverted",
    "received": "coins sent to it, unless reverted",
    "fees": "coins it paid for those it sent, reverted ones too",
    "balance_usd": "what it held, as read that day, of coins with a price",
}

_METRIC_COLUMNS = (
    Column("time", TIME, "the beginning of the day that is measured (UTC)"),
    Column(
        "component",
        NAME,
        "as in `onchain/metrics_1d`; online a part stands behind its metric's name. Of an address: "
        + "; ".join(f"`{name}`: {text}" for name, text in ADDRESS_COMPONENTS.items()),
    ),
    Column("value", pa.float64(), "as last told; of an address the sum of the day"),
    _number("change_1d", "value − value of the day before; null when that is not held"),
    _number("pct_1d", "value / value of the day before − 1; null when that was 0"),
    _number("pct_7d", "the same against 7 days before"),
    _number("pct_30d", "the same against 30 days before"),
    _number("mean_7d", "mean of the last 7 days; null unless all are held"),
    _number("mean_30d", "the same of the last 30"),
    _number("z_30d", "(value − mean) / σ of the last 30 days, ddof 0; null when all are the same"),
    _SOURCE,
    Column("known_at", TIME, "the latest known_at of this day and the 30 before"),
)

ONCHAIN_1D = Table(
    domain="features",
    name="onchain_1d",
    text="Standard features of each day of an on-chain metric, or of what an address did and held.",
    columns=_METRIC_COLUMNS,
    grain=DAY,
    among="component",
    grid=False,
    computed=True,
    promises=(_finite(_METRIC_COLUMNS), Promise("time is the beginning of a day", on_grid(DAY))),
    origin=f"`{METRICS.path}`, `{TRANSACTIONS.path}`, `{BALANCES.path}`",
    cadence="after each ingestion; of an address's transactions a day when it has ended",
    history="as the tables that it is made of; days of which all transactions are held",
)


def _buckets(name: str, grain: timedelta, texts: Table, sentiment: Table, noun: str) -> Table:
    columns = (
        Column("time", TIME, "when the bucket begins (UTC)"),
        Column("count", pa.int64(), f"{noun} of the bucket; a bucket without any has no row"),
        Column("judged", pa.int64(), "of those, the ones whose sentiment is held"),
        _number("sentiment_mean", "mean of their sentiment_score, each with the same weight"),
        _number("share_positive", "positive ones / judged"),
        _number("share_negative", "negative ones / judged"),
        _SOURCE,
        Column("known_at", TIME, "end of the bucket, or when the last of its texts was known, if later"),
    )
    return Table(
        domain="features",
        name=name,
        text=f"How many {noun} there were in each bucket, and how they sound.",
        columns=columns,
        grain=grain,
        grid=False,
        computed=True,
        promises=(
            _finite(columns),
            Promise("time is the beginning of a bucket", on_grid(grain)),
            Promise("count is at least 1", outside("count", 1, np.inf)),
            Promise("judged is not negative", outside("judged", 0, np.inf)),
            Promise("sentiment_mean lies between -1 and 1", outside("sentiment_mean", -1, 1)),
            *(
                Promise(f"{share} lies between 0 and 1", outside(share, 0, 1))
                for share in ("share_positive", "share_negative")
            ),
        ),
        origin=f"`{texts.path}`, `{sentiment.path}`",
        cadence="after each ingestion; a bucket when it has ended",
        history=f"as `{texts.path}`",
    )


MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
# Buckets by the table of texts, and of how they sound, that they are made of.
BUCKETS: dict[str, tuple[Table, Table, Table]] = {
    "social_1m": (_buckets("social_1m", MINUTE, POSTS, POSTS_SENTIMENT, "posts"), POSTS, POSTS_SENTIMENT),
    "social_1h": (_buckets("social_1h", HOUR, POSTS, POSTS_SENTIMENT, "posts"), POSTS, POSTS_SENTIMENT),
    "news_1h": (_buckets("news_1h", HOUR, NEWS_ITEMS, NEWS_SENTIMENT, "items"), NEWS_ITEMS, NEWS_SENTIMENT),
}
# By name, with the domain whose series they are made for.
DOMAIN_FEATURES: dict[str, Table] = {ONCHAIN_1D.name: ONCHAIN_1D} | {n: b[0] for n, b in BUCKETS.items()}


ONCHAIN_SOURCES = (METRICS, TRANSACTIONS, BALANCES)


def domain_of(table: Table) -> str:
    """`features/social_1h` is cut by the series of `social`."""
    return table.name.partition("_")[0]


def features_of(table: Table) -> list[Table]:
    """The feature tables that are made of a table's rows."""
    if table in ONCHAIN_SOURCES:
        return [ONCHAIN_1D]
    return [made for made, texts, _ in BUCKETS.values() if texts is table]
