"""New posts of a subreddit on Reddit.

Vendor    Reddit, https://www.reddit.com/dev/api, https://github.com/reddit-archive/reddit/wiki/OAuth2
Host      oauth.reddit.com with a token, which www.reddit.com gives for an app's id and secret
Key       needed; since November 2025 apps are approved by hand, and using posts to train models is not
          allowed without an agreement: mind the terms
Limits    100 requests a minute, averaged over ten; x-ratelimit-remaining (a float) and -reset (seconds left)
Listing   100 to an answer, newest first, `after` to older ones; ends after about 1,000 whatever there is;
          pinned posts come on top, whenever they were posted
History   what the listing still holds; what is older is not to be had
Revises   scores change, texts are edited or deleted; here posts stay as first read
Errors    {"message": "Forbidden", "error": 403, "reason": "private"}; a name that nobody has leads to
          the search; a token that is refused is {"error": "…"}; 429 may be HTML
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series, check_id
from ingestion_assets.sources.backwards import backwards
from ingestion_assets.sources.clock import read_at, told_now
from ingestion_assets.sources.errors import AuthError, MalformedAnswer, NotFound, RateLimited, SourceError
from ingestion_assets.sources.feeds import Absent, Page, feed
from ingestion_assets.sources.governor import Budget
from ingestion_assets.sources.http import HttpClient, retry_after
from ingestion_assets.sources.http_vendor import HttpVendor
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.sources.social.reddit_posts import (
    Listing,
    document_of,
    normalise_listing,
    words_of,
)
from ingestion_assets.tables.social import POSTS

PUBLIC_URL, TOKEN_URL = "https://oauth.reddit.com", "https://www.reddit.com"
TOKEN_PATH = "/api/v1/access_token"  # noqa: S105 a path
LIMIT = Budget(limit=100, seconds=60)
AT_ONCE = 100
LISTED = 950  # a listing that ends with fewer holds all there is
_AGENT = "python:ingestion_assets:1 (data pipeline)"
_NAME = re.compile(r"(?:/?r/)?([A-Za-z0-9][A-Za-z0-9_]{1,20})")


class Reddit(HttpVendor):
    name, domain, serves = "reddit", "social", "reddit"
    needs, secret = "reddit_client_id", "reddit_client_secret"
    usual = (POSTS,)

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        pair = f"{options.api_key}:{options.api_secret}".encode()
        basic = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        self._tokens = self._way(options.base_url or TOKEN_URL, basic)
        self._listings: HttpClient | None = None
        self._until = 0.0  # so long the token is good
        self._asking = asyncio.Lock()

    def _way(self, base: str, headers: Mapping[str, str]) -> HttpClient:
        return self._door(
            base, "/reddit", LIMIT, classify=_problem_of, headers={"User-Agent": _AGENT, **headers}
        )

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        """`bitcoin`, `r/bitcoin`; capitals do not count."""
        found = _NAME.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"subreddit {text!r}: write it like bitcoin or r/bitcoin")
        name = found[1].lower()
        return check_id(f"{cls.serves}.{name}"), name

    async def now(self) -> datetime:
        await self._open()
        return told_now(self._tokens)

    @feed(POSTS, phase="rest", page_rows=AT_ONCE, settle=timedelta(seconds=30))
    async def posts(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        walk = _Walk(self, series.symbol)
        most = self.ration.left(series.id)
        async for page in backwards(walk.answers(), POSTS, window, walk.cut_off, most):
            yield page

    async def listing(self, subreddit: str, after: str | None, count: int) -> Listing:
        client = await self._open()
        params: dict[str, Any] = {"limit": AT_ONCE, "raw_json": 1}
        if after is not None:
            params |= {"after": after, "count": count}
        document = await client.get(f"/r/{subreddit}/new", params, parse=document_of)
        origin = self.options.origin
        return normalise_listing(document, read_at(client, origin), origin)

    async def _open(self) -> HttpClient:
        """With a token that is good for some minutes still."""
        async with self._asking:
            if self._listings is None or time.monotonic() > self._until:
                form = {"grant_type": "client_credentials"}
                token, seconds = await self._tokens.get(TOKEN_PATH, form=form, parse=_token)
                client = self._way(self.options.base_url or PUBLIC_URL, {"Authorization": f"bearer {token}"})
                self._listings = await self._opened.enter_async_context(client)
                self._until = time.monotonic() + seconds - 300
            return self._listings


class _Walk:
    """One way down a listing."""

    def __init__(self, reddit: Reddit, subreddit: str) -> None:
        self._reddit, self._subreddit, self._items = reddit, subreddit, 0

    async def answers(self) -> AsyncIterator[pa.Table]:
        """Pinned posts are put where they belong by their time; those from behind the end are left out."""
        pinned, after, known = POSTS.empty(), None, set[str]()
        while True:
            listing = await self._reddit.listing(self._subreddit, after, self._items)
            self._items += listing.items
            pinned = POSTS.distinct(pa.concat_tables([pinned, listing.pinned]))
            first = pinned.num_rows if listing.after or self.cut_off() else 0
            if listing.rows.num_rows:
                first = min(first, int(np.searchsorted(POSTS.times(pinned), POSTS.times(listing.rows)[0])))
            yield POSTS.distinct(pa.concat_tables([pinned.slice(first), listing.rows]))
            pinned, after = pinned.slice(0, first), listing.after
            if after is None:
                return
            if after in known:
                raise MalformedAnswer(f"r/{self._subreddit} leads nowhere: `after` {after} was given before")
            known.add(after)

    def cut_off(self) -> str | None:
        ended = f"the listing of r/{self._subreddit} ended after {self._items} posts"
        return ended if self._items >= LISTED else None


def _token(body: bytes) -> tuple[str, float]:
    """The token, and for how many seconds it is good. Nothing of such an answer gets into an error text."""
    try:
        document = orjson.loads(body)
        if document.get("access_token") is None:
            why = document.get("error") or "it does not say why"
            raise AuthError(f"Reddit gives no token: {str(why)[:160]}")
        return str(document["access_token"]), float(document.get("expires_in") or 3_600)
    except (ValueError, TypeError, AttributeError) as error:
        raise MalformedAnswer(
            f"the answer with the token is cut off or not as documented ({type(error).__name__}, "
            f"{len(body)} bytes, not shown here)"
        ) from None


def _problem_of(status: int, headers: Mapping[str, str], body: bytes) -> SourceError | None:
    """A 429 says in x-ratelimit-reset when it is over, and may be a page."""
    reset = headers.get("x-ratelimit-reset", "").partition(".")[0]
    if status == 429:
        wait = float(reset) if reset.isdigit() else retry_after(headers)
        return RateLimited("HTTP 429: too many requests", wait)
    if "/subreddits/search" in headers.get("Location", ""):
        return NotFound("there is no such subreddit: Reddit leads to its search instead")
    words = words_of(body)
    if status in (401, 403) and words:
        return AuthError(f"HTTP {status}: {words}")
    return NotFound(f"HTTP 404: {words}") if status == 404 and words else None
