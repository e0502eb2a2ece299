"""Posts on X that match a query: recent search, and counts.

Vendor    X, https://docs.x.com/x-api/posts/search/introduction
Host      api.x.com; api.twitter.com still answers
Key       the bearer token of an app, sent as a header
Price     by the post that is read (about $0.005 in 2026, told in the console), so a ceiling for each UTC day
          is kept; counts are reckoned here as one post an answer
Limits    450 requests in 15 minutes; x-rate-limit-reset is the epoch second at which they are free again;
          its quarters of an hour are not ours, so that a 429 says more than what is told to be left
Search    10 to 100 posts to an answer, newest first, `next_token` to older ones, `since_id` and `until_id`
          on both sides; ids tell the time of posting. Without results there is no `data`
Counts    every bucket that has begun, those without posts too; the first and last may be shorter
History   seven days
Revises   an edited post has a new id; what is deleted has to be deleted here by whoever keeps it
Errors    {"title": …, "detail": …, "status": …}; a used-up month is a 429 titled UsageCapExceeded; posts that
          cannot be shown are told in `errors` of an answer that is otherwise good
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series, check_id
from ingestion_assets.sources.backwards import backwards
from ingestion_assets.sources.clock import read_at, told_now
from ingestion_assets.sources.errors import MalformedAnswer, SourceError
from ingestion_assets.sources.feeds import Absent, Page, feed
from ingestion_assets.sources.governor import Budget
from ingestion_assets.sources.http_vendor import HttpVendor
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.sources.paging import by_time
from ingestion_assets.sources.social.x_posts import (
    Document,
    document_of,
    first_id,
    normalise_counts,
    normalise_posts,
    problem_of,
)
from ingestion_assets.sources.spending import Allowance, paid
from ingestion_assets.tables.social import POST_COUNTS, POSTS

PUBLIC_URL = "https://api.x.com"
LIMIT = Budget(limit=450, seconds=900)
FEWEST, MOST = 10, 100
SERVED = timedelta(days=7) - timedelta(minutes=10)
LONGEST_QUERY = 128  # as many characters as a series' symbol may have
_FIELDS = "author_id,created_at,edit_history_tweet_ids,lang,note_tweet,public_metrics,referenced_tweets"


class X(HttpVendor):
    name, domain, serves = "x", "social", "x"
    needs = "twitter_bearer_token"
    usual = (POSTS,)
    allowance = Allowance("day", "post reads")

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        self._client = self._door(
            options.base_url or PUBLIC_URL,
            "/2/tweets",
            LIMIT,
            classify=self._classify,
            headers={"Authorization": f"Bearer {options.api_key}"} if options.api_key else {},
        )

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        """A query; its id is what of it may stand in an id, and where that loses something, a mark."""
        query = " ".join(text.split())
        if not query or len(query) > LONGEST_QUERY:
            raise ValueError(f"query {text[:40]!r} has {len(query)} characters: use 1 to {LONGEST_QUERY}")
        slug = re.sub(r"[^A-Za-z0-9_-]+", "-", query).strip("-")[:60] or "query"
        mark = "" if slug == query else "-" + hashlib.sha256(query.encode()).hexdigest()[:6]
        return check_id(f"{cls.serves}.{slug}{mark}"), query

    async def now(self) -> datetime:
        """Asking how much was used costs nothing, and its Date tells the time."""
        await self._client.get("/2/usage/tweets", parse=document_of)
        return told_now(self._client)

    @feed(
        POSTS,
        phase="rest",
        page_rows=MOST,
        page_cost=MOST,
        least_cost=FEWEST,
        settle=timedelta(seconds=30),
        horizon=SERVED,
    )
    async def posts(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        wanted = self.ration.left(series.id)
        most = None if wanted is None else max(FEWEST, wanted)
        async for page in backwards(self._search(series, window, most), POSTS, window, most=most):
            yield page

    @feed(POST_COUNTS, phase="rest", page_rows=168, settle=timedelta(minutes=1), horizon=SERVED)
    async def counts(self, series: Series, window: Window) -> AsyncIterator[Page]:
        async def ask(part: Window) -> pa.Table:
            params = {"query": query_of(series), "granularity": "hour"}
            params |= {"start_time": _written(part.start), "end_time": _written(part.end)}
            document = await self._paid("/2/tweets/counts/recent", params, 1, lambda _: 1)
            return normalise_counts(document, self.options.origin)

        async for page in by_time(ask, POST_COUNTS, window, step=POST_COUNTS.grain):
            yield page

    async def _search(self, series: Series, window: Window, most: int | None) -> AsyncIterator[pa.Table]:
        """Answer by answer to the past, each no larger than what may still be spent and is still wanted."""
        since = first_id(window.start) - 1
        params: dict[str, Any] = {"query": query_of(series), "tweet.fields": _FIELDS}
        params |= {"since_id": since, "until_id": first_id(window.end)}
        tokens: set[str] = set()
        got = 0
        while True:
            left = await self.options.purse.left() if self.options.purse else None
            wanted = MOST if most is None else most - got
            many = max(FEWEST, min(MOST, wanted, MOST if left is None else left))
            document = await self._paid(
                "/2/tweets/search/recent", params | {"max_results": many}, many, _read
            )
            got += _read(document)
            read = read_at(self._client, self.options.origin)
            yield normalise_posts(document, read, self.options.origin)
            token = document.get("meta", {}).get("next_token")
            if token is None:
                return
            if token in tokens:
                raise MalformedAnswer(f"the search of {series.id} leads nowhere: next_token was given before")
            tokens.add(token)
            params["next_token"] = token

    async def _paid(self, path: str, params: Mapping[str, Any], most: int, cost: Any) -> Document:
        return await self._client.get(
            path,
            params,
            parse=document_of,
            each=lambda ask: paid(self.options.purse, most, ask, cost),
        )

    def _classify(self, status: int, headers: Mapping[str, str], body: bytes) -> SourceError | None:
        return problem_of(status, headers, body, time.time())


def query_of(series: Series) -> str:
    """What is searched for: a query that is too long for a symbol stands in the series' metadata."""
    return str(series.metadata.get("query") or series.symbol)


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(document: Document) -> int:
    return len(document.get("data") or ())
