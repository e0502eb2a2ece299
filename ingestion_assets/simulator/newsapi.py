"""The NewsAPI vendor on its developer plan: a day late, a month back, a hundred results of a search.

Documentation: newsapi.org/docs. Any key is taken but one that begins with `wrong`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ingestion_assets.simulator.answers import Answer, Market, as_json
from ingestion_assets.simulator.clock import to_ms
from ingestion_assets.simulator.press import PAPERS, Article, Press

Query = Mapping[str, str]
DAY_MS = 86_400_000
DELAY_MS, REACH_MS, MOST = DAY_MS, 30 * DAY_MS, 100
CATEGORIES = ("business", "entertainment", "general", "health", "science", "sports", "technology")


class NewsApi:
    name = "newsapi"
    prefix = ("/v2/everything", "/v2/top-headlines")

    def __init__(self, market: Market, press: Press) -> None:
        self.market, self.press = market, press

    def meet(self, query: Query, headers: Mapping[str, str]) -> Answer | None:
        key = headers.get("X-Api-Key") or headers.get("Authorization") or query.get("apiKey", "")
        if not key:
            return _error(401, "apiKeyMissing", "Your API key is missing. Append this to the URL.")
        if key.removeprefix("Bearer ").startswith("wrong"):
            return _error(401, "apiKeyInvalid", "Your API key is invalid or incorrect.")
        return None

    def too_many(self, seconds: int) -> Answer:
        return _error(429, "rateLimited", "You have made too many requests recently on a Developer account.")

    def answer(self, path: str, query: Query) -> tuple[Answer, int]:
        try:
            if path == "/v2/everything":
                return self._everything(query), 1
            if path == "/v2/top-headlines":
                return self._headlines(query), 1
        except ValueError as error:
            return _error(400, "parameterInvalid", str(error)), 1
        return _error(404, "endpointNotFound", "There is nothing here."), 0

    def _everything(self, query: Query) -> Answer:
        if not query.get("q"):
            return _error(400, "parametersMissing", "Required parameters are missing: q, sources, domains.")
        shown = self.market.clock.now_ms() - DELAY_MS
        earliest = shown + DELAY_MS - REACH_MS
        start = to_ms(query["from"]) if query.get("from") else earliest
        end = min(to_ms(query["to"]) + 1_000 if query.get("to") else shown, shown)
        if start < earliest:
            return _error(
                426,
                "parameterInvalid",
                "You are trying to request results too far in the past. Your plan permits you to request "
                f"articles as far back as {_said(earliest)[:10]}, but you have requested {query['from']}.",
            )
        words = query["q"].lower().split()
        found = [a for a in self.press.written(start, end) if any(w in a.title.lower() for w in words)]
        return _page(found[::-1], query)

    def _headlines(self, query: Query) -> Answer:
        category = query.get("category", "general")
        if category not in CATEGORIES:
            raise ValueError(f"The category {category} is not one of {', '.join(CATEGORIES)}.")
        shown = self.market.clock.now_ms() - DELAY_MS
        return _page(self.press.written(shown - DAY_MS, shown)[-20:][::-1], query)


def _page(found: list[Article], query: Query) -> Answer:
    size, number = int(query.get("pageSize", 20)), int(query.get("page", 1))
    if not 1 <= size <= 100 or number < 1:
        raise ValueError("pageSize is 1 to 100, page 1 or more.")
    if size * (number - 1) >= MOST:
        said = (
            f"You have requested too many results. Developer accounts are limited to a max of {MOST} results."
        )
        return _error(426, "maximumResultsReached", said)
    part = found[size * (number - 1) : min(size * number, MOST)]
    return as_json({"status": "ok", "totalResults": len(found), "articles": [_told(one) for one in part]})


def _told(article: Article) -> dict[str, Any]:
    return {
        "source": {"id": None, "name": PAPERS[article.paper]},
        "author": None,
        "title": article.title,
        "description": article.lead,
        "url": article.url,
        "urlToImage": None,
        "publishedAt": _said(article.at_ms),
        "content": f"{article.body[:100]}… [+{len(article.body)} chars]",
    }


def _said(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _error(status: int, code: str, message: str) -> Answer:
    return as_json({"status": "error", "code": code, "message": message}, status)
