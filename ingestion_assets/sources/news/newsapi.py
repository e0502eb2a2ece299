"""NewsAPI: a search over many papers, and the headlines of a category.

Who: NewsAPI.org. Documentation: newsapi.org/docs. Host: newsapi.org, `/v2/everything`, `/v2/top-headlines`.
Key: NEWS_API_KEY, sent as `X-Api-Key`.
Limits (developer plan): 100 requests a day, 50 in 12 hours; the first 100 results of a search only. 429 tells
no Retry-After, so it is not asked again within an hour.
History: the last month, older articles are refused (426). Articles are shown 24 hours after publication, so
that is when they could first be known: `known_at`.
Revisions: articles that were taken down come as `[Removed]`, mostly of 1970; what is held of them stays.

Newest first, at most 100 to an answer. What lies behind an answer is asked for by time, up to its oldest
article: a second page would lie beyond the first 100 results. Series: `newsapi.bitcoin` searches for bitcoin
(another query in `metadata["query"]`), `newsapi.headlines.business` holds the headlines of a category, which
cannot be asked by time: as a feed, they are what they are now.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion_assets.intervals import Window, iso, micros, moment_of, period_window
from ingestion_assets.registry import Series, Strategy, check_id
from ingestion_assets.sources.errors import MalformedAnswer
from ingestion_assets.sources.feeds import Absent, Page, feed
from ingestion_assets.sources.http_vendor import HttpVendor
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.sources.news.items import EARLIEST
from ingestion_assets.sources.news.newsapi_articles import (
    DELAY,
    BeyondPlan,
    classify,
    document_of,
    normalise_articles,
    was_removed,
)
from ingestion_assets.sources.spending import Allowance, paid
from ingestion_assets.tables.news import NEWS_ITEMS

log = logging.getLogger(__name__)

PUBLIC_URL = "https://newsapi.org"
HORIZON = timedelta(days=29)  # a month, safely inside
PAGE = 100
CATEGORIES = ("business", "entertainment", "general", "health", "science", "sports", "technology")
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class _Found:
    """An answer: its rows that tell their time, how many articles it holds, how many there are in all."""

    rows: pa.Table
    given: int
    total: int


class NewsApi(HttpVendor):
    name, domain, serves = "newsapi", "news", "newsapi"
    needs = "news_api_key"
    allowance = Allowance("day", "requests", 100)
    strategy = Strategy.FLATPACK_API

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        self._client = self._door(
            options.base_url or PUBLIC_URL,
            "",
            None,
            classify=classify,
            concurrency=1,
            headers={"X-Api-Key": options.api_key or ""},
        )

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        kind, dot, category = text.partition(".")
        if kind == "headlines" and dot and category not in CATEGORIES:
            raise ValueError(f"category {category!r} is unknown: use one of {', '.join(CATEGORIES)}")
        return check_id(f"{cls.serves}.{text}"), text

    @feed(NEWS_ITEMS, phase="rest", settle=DELAY, horizon=HORIZON, page_rows=PAGE)
    async def items(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        if series.symbol.startswith("headlines."):
            async for page in self._headlines(series, window):
                yield page
            return
        cursor, number = window.end, 1
        told: set[str] = set()
        same: list[pa.Table] = []  # what came of one second, of which there is more than one answer holds
        while cursor > window.start:
            open_still = Window(window.start, cursor)
            try:
                found = await self._ask("/v2/everything", _search(series, open_still, number))
            except BeyondPlan as error:
                yield Absent(open_still, str(error))
                return
            times = NEWS_ITEMS.times(found.rows)
            if told and len(times) and moment_of(times[-1]) >= cursor:
                yield Absent(open_still, f"newsapi shows no more of its {found.total} results")
                return
            _check_within(times, open_still)
            # The oldest second of an answer may hold more, so it is asked for again and comes twice.
            same.append(_without(found.rows, told))
            told.update(found.rows.column("id").to_pylist())
            done = found.given >= found.total or not found.given
            if not done and not len(times):
                raise MalformedAnswer(f"newsapi tells no time of its {found.given} articles")
            oldest = open_still.start if done else _second_of(times[0]) + _SECOND
            number += 1
            if oldest < cursor:
                yield Page(NEWS_ITEMS.in_order(pa.concat_tables(same)), Window(oldest, cursor))
                cursor, number, same = oldest, 1, []

    async def _headlines(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        params = {"category": series.symbol.partition(".")[2], "pageSize": PAGE}
        rows = (await self._ask("/v2/top-headlines", params)).rows
        times, period = NEWS_ITEMS.times(rows), period_window(f"{window.start:%Y-%m}")
        oldest = min(window.end, moment_of(times[0])) if len(times) else window.start
        if oldest > window.start:
            yield Absent(Window(window.start, oldest), "headlines are those of now", 0)
        inside = (times >= micros(period.start)) & (times < micros(period.end))
        yield Page(rows.filter(pa.array(inside)), Window(max(oldest, window.start), window.end))

    async def _ask(self, path: str, params: Mapping[str, Any]) -> _Found:
        return await self._client.get(
            path,
            params,
            parse=self._found,
            offload=True,
            each=lambda ask: paid(self.options.purse, 1, ask),
        )

    def _found(self, body: bytes) -> _Found:
        document = document_of(body)
        rows = _told_when(normalise_articles(document, self.options.origin))
        return _Found(rows, len(document["articles"]), document["totalResults"])


def _second_of(time: int) -> datetime:
    return moment_of(time).replace(microsecond=0)


def _search(series: Series, window: Window, number: int) -> dict[str, Any]:
    """Both ends are inclusive, and whole seconds."""
    return {
        "q": series.metadata.get("query", series.symbol),
        "from": _written(window.start),
        "to": _written(window.end - _SECOND),
        "sortBy": "publishedAt",
        "pageSize": PAGE,
        "page": number,
    }


def _told_when(rows: pa.Table) -> pa.Table:
    """Without those of 1970 and before: so comes what was taken down, and nothing is left of it."""
    told = pa.array(NEWS_ITEMS.times(rows) >= micros(EARLIEST))
    strange = [row for row in rows.filter(pc.invert(told)).to_pylist() if not was_removed(row["title"])]
    if strange:
        log.warning(
            "newsapi dates %d articles impossibly, they are left out: %s", len(strange), strange[0]["url"]
        )
    return rows.filter(told)


def _without(rows: pa.Table, told: set[str]) -> pa.Table:
    return rows.filter(pa.array([name not in told for name in rows.column("id").to_pylist()], pa.bool_()))


def _check_within(times: np.ndarray, window: Window) -> None:
    if len(times) and (moment_of(times[0]) < window.start or moment_of(times[-1]) >= window.end):
        raise MalformedAnswer(
            f"newsapi was asked about {window} and told of "
            f"{iso(moment_of(times[0]))} to {iso(moment_of(times[-1]))}"
        )


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
