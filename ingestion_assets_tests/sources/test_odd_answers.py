"""Whatever stands at any place of an answer: it is read, or refused as what it is, soon, without a crash."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from ingestion_assets.sources.errors import SourceError
from ingestion_assets.sources.news import newsapi_articles
from ingestion_assets.sources.onchain import covalent_rows, glassnode_metrics
from ingestion_assets.sources.snapshots import coingecko_rows
from ingestion_assets.sources.social import reddit_posts, x_posts
from ingestion_assets.tables import Table
from ingestion_assets.tables.news import NEWS_ITEMS
from ingestion_assets.tables.onchain import BALANCES, METRICS, TRANSACTIONS
from ingestion_assets.tables.snapshots import MARKET_SNAPSHOTS, OHLC_4H, PRICE_HISTORY
from ingestion_assets.tables.social import POST_COUNTS, POSTS

NOW = datetime(2024, 8, 2, tzinfo=UTC)
MIDNIGHT, FIRST = "2024-08-01T00:00:00.000Z", 1_722_470_400
ODD = (None, True, 7, -1, 1.5, 10**30, -(10**30), "", "x", [], {}, [1], {"a": 1}, [None], "1e999")
ID = str(x_posts.first_id(datetime(2024, 8, 1, 1, tzinfo=UTC)))

Read = Callable[[bytes], pa.Table]


def _transactions(body: bytes) -> pa.Table:
    data = covalent_rows.data_of(body)
    covalent_rows.older_path(data, "/v1/1/address/0x1/transactions_v3")
    return covalent_rows.normalise_transactions(data, "rest")


ANSWERS: dict[str, tuple[Table, Read, Any]] = {
    "x": (
        POSTS,
        lambda body: x_posts.normalise_posts(x_posts.document_of(body), NOW, "rest"),
        {
            "data": [
                {
                    "id": ID,
                    "text": "t",
                    "author_id": "1",
                    "created_at": MIDNIGHT,
                    "lang": "en",
                    "edit_history_tweet_ids": [ID],
                    "note_tweet": {"text": "long"},
                    "public_metrics": {"like_count": 1},
                    "referenced_tweets": [{"type": "quoted", "id": "3"}],
                }
            ],
            "meta": {"result_count": 1, "next_token": "a"},
            "errors": [{"title": "Not Found"}],
        },
    ),
    "counts": (
        POST_COUNTS,
        lambda body: x_posts.normalise_counts(x_posts.document_of(body), "rest"),
        {"data": [{"start": MIDNIGHT, "end": "2024-08-01T01:00:00.000Z", "tweet_count": 3}], "meta": {}},
    ),
    "reddit": (
        POSTS,
        lambda body: reddit_posts.normalise_listing(reddit_posts.document_of(body), NOW, "rest").rows,
        {
            "kind": "Listing",
            "data": {
                "after": "t3_a",
                "children": [
                    {
                        "kind": "t3",
                        "data": {
                            "id": "a",
                            "name": "t3_a",
                            "created_utc": 1.7224704e9,
                            "title": "t",
                            "author": "u",
                            "selftext": "s",
                            "score": 1,
                            "num_comments": 2,
                            "upvote_ratio": 0.5,
                            "edited": 2e9,
                            "permalink": "/r/x",
                            "subreddit": "x",
                            "stickied": False,
                        },
                    },
                    {
                        "kind": "t1",
                        "data": {"id": "b", "created_utc": FIRST, "body": "s", "parent_id": "t3_a"},
                    },
                ],
            },
        },
    ),
    "newsapi": (
        NEWS_ITEMS,
        lambda body: newsapi_articles.normalise_articles(newsapi_articles.document_of(body), "rest"),
        {
            "totalResults": 1,
            "articles": [
                {
                    "source": {"id": None, "name": "n"},
                    "author": "a",
                    "title": "t",
                    "description": "d",
                    "url": "https://a.example/b",
                    "publishedAt": MIDNIGHT,
                    "content": "c [+1 chars]",
                }
            ],
        },
    ),
    "balances": (
        BALANCES,
        lambda body: covalent_rows.normalise_balances(covalent_rows.data_of(body), NOW, NOW, "rest"),
        {
            "data": {
                "updated_at": "2024-08-01T00:00:00.123456789Z",
                "items": [
                    {
                        "contract_address": "0xA",
                        "contract_name": "n",
                        "contract_ticker_symbol": "s",
                        "contract_decimals": 18,
                        "balance": "12",
                        "quote_rate": 1.5,
                        "quote": 3,
                    }
                ],
            },
            "error": False,
        },
    ),
    "transactions": (
        TRANSACTIONS,
        _transactions,
        {
            "data": {
                "current_page": 1,
                "links": {"prev": "https://h.example/page/0/", "next": None},
                "items": [
                    {
                        "block_signed_at": MIDNIGHT,
                        "block_height": 1,
                        "tx_hash": "0x1",
                        "tx_offset": 1,
                        "successful": True,
                        "from_address": "0x1",
                        "to_address": "0x2",
                        "value": "1",
                        "value_quote": 1.0,
                        "fees_paid": "1",
                        "gas_offered": 1,
                        "gas_spent": 1,
                        "gas_price": 1,
                        "gas_quote": 1.0,
                        "gas_quote_rate": 1.0,
                    }
                ],
            },
            "error": False,
        },
    ),
    "glassnode": (
        METRICS,
        lambda body: glassnode_metrics.normalise_metric(glassnode_metrics.readings_of(body), NOW, "rest"),
        [{"t": FIRST, "v": 1.5}, {"t": FIRST + 86_400, "o": {"a": 1, "b": {"c": None}}}],
    ),
    "market": (
        MARKET_SNAPSHOTS,
        lambda body: coingecko_rows.normalise_market(coingecko_rows.answer_of(body, b"{"), NOW, "rest"),
        {
            "current_price": 1.5,
            "market_cap": 1,
            "market_cap_rank": 1,
            "ath_date": MIDNIGHT,
            "total_supply": None,
        },
    ),
    "chart": (
        PRICE_HISTORY,
        lambda body: coingecko_rows.normalise_chart(
            coingecko_rows.answer_of(body, b"{"), timedelta(), "rest"
        ),
        {name: [[FIRST * 1_000, 1.5]] for name in ("prices", "market_caps", "total_volumes")},
    ),
    "ohlc": (
        OHLC_4H,
        lambda body: coingecko_rows.normalise_ohlc(coingecko_rows.answer_of(body, b"["), timedelta(), "rest"),
        [[FIRST * 1_000, 1, 2, 0.5, 1.5]],
    ),
}


def places(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a document something can stand, its root left out."""
    below = document.items() if isinstance(document, dict) else enumerate(document)
    for name, value in below if isinstance(document, dict | list) else ():
        yield (*above, name)
        if isinstance(value, dict | list):
            yield from places(value, (*above, name))


def odd(document: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The document with one thing left out, or with another one in its place."""
    for *way, last in places(document):
        for value in (*ODD, places):
            changed = copy.deepcopy(document)
            inner = changed
            for name in way:
                inner = inner[name]
            if value is places:
                del inner[last]
            else:
                inner[last] = value
            yield (*way, last, "left out" if value is places else value), changed


@pytest.mark.parametrize("name", ANSWERS)
def test_every_odd_answer_is_read_or_refused(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    table, read, document = ANSWERS[name]
    assert table.examine(read(json.dumps(document).encode()))[1].num_rows == 0
    refused = 0
    for what, changed in odd(document):
        try:
            table.examine(read(json.dumps(changed).encode()))
        except SourceError:
            refused += 1
        except Exception as error:  # the test is that there is none
            raise AssertionError(f"{name} with {what}") from error
    assert refused > 20
