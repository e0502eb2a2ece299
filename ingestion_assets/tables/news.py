"""News: items as feeds and searches give them. Who is asked is in sources/news."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.tables.conditions import unless, values
from ingestion_assets.tables.contract import NAME, TIME, Column, Promise, Table

_HISTORY = "RSS: from the first poll on, with what the feed held then; NewsAPI: the last month"


def _text(name: str, text: str, *, required: bool = False) -> Column:
    return Column(name, pa.string(), text, required=required)


NEWS_ITEMS = Table(
    domain="news",
    name="items",
    text="Items of news feeds and news searches as they were sent, each once; edited ones take the place "
    "of what they were.",
    columns=(
        _text("id", "made of the item's guid, or where it has none of its link or its words", required=True),
        Column(
            "time",
            TIME,
            "when it was published (UTC); when first seen, if it tells no such time or came to light later",
        ),
        Column("dated", NAME, "where `time` comes from: published, updated, relative (`2 hours ago`), seen"),
        Column("published", TIME, "the time of publication that it tells, if that can be", required=False),
        _text("published_text", "what stands there instead of a date that can be"),
        _text("guid", "how the feed itself calls it"),
        _text("url", "where it leads, as sent; a relative link of a feed made whole"),
        _text("story", "the same for the same page wherever it is linked: its URL without tracking, hashed"),
        _text("title", "as sent"),
        _text("summary", "as sent; may hold HTML"),
        _text("content", "as sent; may hold HTML; NewsAPI cuts it at 200 characters"),
        _text("text", "title, summary and content without HTML, each once", required=True),
        _text("author", "as sent"),
        Column("publisher", NAME, "name of the feed, or of the paper that NewsAPI names", required=False),
        Column("source", NAME, "how the row came: rest, simulator"),
        Column("known_at", TIME, "when it could first be known: the poll; of NewsAPI 24 h after publication"),
    ),
    key="id",
    grid=False,
    keeps=True,
    grain=timedelta(minutes=1),
    cron="*/15 * * * *",
    late_after=timedelta(hours=26),  # NewsAPI shows nothing sooner than after a day
    promises=(
        Promise("id is not empty", unless(lambda rows: _lengths(rows, "id") > 0)),
        Promise("time is not before 1990", unless(lambda rows: values(rows, "time") >= 631_152_000_000_000)),
        Promise(
            "known_at is not before time",
            unless(lambda rows: values(rows, "known_at") >= values(rows, "time")),
        ),
    ),
    origin="RSS and Atom feeds; NewsAPI `everything` and `top-headlines`",
    cadence="every 15 min",
    history=_HISTORY,
    needs="NEWS_API_KEY for NewsAPI; none for feeds",
)


def _lengths(rows: pa.Table, name: str) -> np.ndarray:
    import pyarrow.compute as pc

    return pc.fill_null(pc.utf8_length(rows.column(name)), 0).to_numpy(zero_copy_only=False)


NEWS = {table.name: table for table in (NEWS_ITEMS,)}
