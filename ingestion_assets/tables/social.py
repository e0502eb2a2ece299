"""Social tables: posts that match a query or stand in a forum, and how many there were."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.tables.conditions import optional, unless, values
from ingestion_assets.tables.contract import NAME, TIME, Column, Promise, Table

HOUR = timedelta(hours=1)
_NEEDS = "TWITTER_BEARER_TOKEN for X; REDDIT_CLIENT_ID and REDDIT_CLIENT_SECRET for Reddit"
_COUNTS = {
    "likes": "likes on X when it was read",
    "replies": "answers",
    "reposts": "reposts on X",
    "quotes": "quotes on X",
    "bookmarks": "bookmarks on X",
    "impressions": "how often it was shown on X",
}


def _text(name: str, text: str, *, required: bool = False) -> Column:
    return Column(name, pa.string(), text, required=required)


def _filled(name: str) -> Promise:
    def broken(rows: pa.Table) -> np.ndarray:
        import pyarrow.compute as pc  # takes a twentieth of a second, and tables are imported by all

        return pc.fill_null(pc.equal(rows.column(name), ""), True).to_numpy(zero_copy_only=False)

    return Promise(f"{name} is not empty", broken)


POSTS = Table(
    domain="social",
    name="posts",
    text="Posts as they were when first read. Texts are as sent; who deletes a post does not reach it here, "
    "so mind the vendors' terms.",
    columns=(
        _text(
            "id",
            "the vendor's id, a number as text on X, t3_… (post) or t1_… (comment) on Reddit",
            required=True,
        ),
        Column("time", TIME, "when it was posted (UTC)"),
        Column("kind", NAME, "post, or comment"),
        _text("author", "id of the author on X, name on Reddit; null when the account is gone"),
        _text("title", "Reddit's posts have one"),
        _text("text", "what was written; empty where a post is only a link", required=True),
        _text("url", "where it leads, or where it stands"),
        Column("language", NAME, "as X guesses", required=False),
        Column("place", NAME, "the subreddit on Reddit", required=False),
        _text("answers_to", "id of what it answers to"),
        *(Column(name, pa.int64(), text, required=False) for name, text in _COUNTS.items()),
        Column("score", pa.int64(), "votes up less votes down on Reddit when it was read", required=False),
        Column("upvote_ratio", pa.float64(), "votes up / all votes on Reddit", required=False),
        Column("edited_at", TIME, "when it was edited, if told", required=False),
        Column("source", NAME, "how the row came: rest, simulator"),
        Column("known_at", TIME, "when we read it"),
    ),
    key="id",
    grid=False,
    keeps=True,
    grain=timedelta(minutes=1),
    cron="*/15 * * * *",
    late_after=timedelta(hours=2),
    promises=(
        _filled("id"),
        Promise(
            "time is not before 2005", unless(lambda rows: values(rows, "time") >= 1_104_537_600_000_000)
        ),
        *(Promise(f"{name} is not negative", optional(name, lambda v, _: v >= 0)) for name in _COUNTS),
        Promise(
            "upvote_ratio lies between 0 and 1",
            optional("upvote_ratio", lambda v, _: (v >= 0) & (v <= 1)),
        ),
    ),
    origin="X recent search; Reddit listings",
    cadence="every 15 min",
    history="X: seven days; Reddit: about the last 1,000 posts of a subreddit",
    needs=_NEEDS,
)

POST_COUNTS = Table(
    domain="social",
    name="post_counts_1h",
    text="How many posts matched a query in each hour, without reading them.",
    columns=(
        Column("time", TIME, "when the hour begins (UTC)"),
        Column("until", TIME, "when it ends; the first and last bucket of an answer may be shorter"),
        Column("posts", pa.int64(), "how many"),
        Column("source", NAME, "how the row came: rest, simulator"),
        Column("known_at", TIME, "the end of the hour + 1 min"),
    ),
    grain=HOUR,
    cron="6 * * * *",
    late_after=timedelta(hours=3),
    promises=(
        Promise("posts is not negative", unless(lambda rows: values(rows, "posts") >= 0)),
        Promise(
            "until lies behind time, by an hour at most",
            unless(
                lambda rows: (
                    (values(rows, "until") > values(rows, "time"))
                    & (values(rows, "until") <= values(rows, "time") + 3_600_000_000)
                )
            ),
        ),
    ),
    origin="X recent counts",
    cadence="every hour",
    history="seven days",
    needs="TWITTER_BEARER_TOKEN",
)

SOCIAL = {table.name: table for table in (POSTS, POST_COUNTS)}
