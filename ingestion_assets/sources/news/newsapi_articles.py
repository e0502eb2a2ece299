"""Rows of `news/items` from what NewsAPI sends, and errors from what it says. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa

from ingestion_assets.sources.errors import (
    AuthError,
    BadRequest,
    MalformedAnswer,
    NotFound,
    QuotaSpent,
    RateLimited,
    SourceError,
    VendorDown,
    excerpt,
)
from ingestion_assets.sources.http import expect_json
from ingestion_assets.sources.news.items import table_of
from ingestion_assets.sources.news.plain_text import all_said, hashed, page_of

DELAY = timedelta(hours=24)
_HOUR = 3_600.0
_WITHOUT_KEY = {"apiKeyInvalid", "apiKeyMissing", "apiKeyDisabled"}


class BeyondPlan(BadRequest):
    """What the plan does not include: older articles, more results."""


def normalise_articles(document: Mapping[str, Any], origin: str) -> pa.Table:
    """Rows from an answer. Pure."""
    articles = document.get("articles")
    if not isinstance(articles, list) or not isinstance(document.get("totalResults"), int):
        raise MalformedAnswer("the answer has no `articles` and `totalResults`")
    rows: dict[str, dict[str, Any]] = {}
    for article in articles:
        with _expected("an article is", article):
            row = _row(article)
            rows.setdefault(row["id"], row | {"source": origin})
    with _expected("articles are", articles):
        return table_of(rows.values())


@contextlib.contextmanager
def _expected(what: str, sent: Any) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise MalformedAnswer(f"{what} not as documented ({error}): {str(sent)[:120]}") from None


def _row(article: Mapping[str, Any]) -> dict[str, Any]:
    said = str(article["publishedAt"])
    published = datetime.fromisoformat(said)
    url, title = article["url"], article["title"]
    publisher = (article.get("source") or {}).get("name")
    summary, content = article.get("description"), article.get("content")
    words = all_said(title, summary, _uncut(content))
    published = published.astimezone(UTC) if published.tzinfo else published.replace(tzinfo=UTC)
    removed = was_removed(title)
    return {
        "id": hashed("removed", said, url) if removed else hashed("page", url or words),
        "time": published,
        "dated": "published",
        "published": published,
        "url": url,
        "story": hashed(page_of(url)) if url and not removed else None,
        "title": title,
        "summary": summary,
        "content": content,
        "text": "" if removed else words,
        "author": article.get("author"),
        "publisher": publisher,
        "known_at": published + DELAY,
    }


def _uncut(content: str | None) -> str | None:
    """Without the note of how much was cut off."""
    return content.rpartition("[+")[0] if content and content.endswith("chars]") else content


def classify(status: int, headers: Mapping[str, str], body: bytes) -> SourceError | None:
    """The vendor's errors, in its own words."""
    if status == 200 and b'"error"' not in body[:40]:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict) or document.get("status") != "error":
        return None
    code, said = str(document.get("code")), str(document.get("message"))
    text = f"{code}: {said}"
    if code in _WITHOUT_KEY:
        return AuthError(f"{text} (NEWS_API_KEY)")
    if code == "apiKeyExhausted":
        return QuotaSpent(text)
    if code == "rateLimited" or status == 429:
        return RateLimited(text, _HOUR)
    if code == "corsNotAllowed":  # of the plan, with the status of what lies beyond it
        return AuthError(text)
    if code == "maximumResultsReached" or status == 426 or "too far in the past" in said:
        return BeyondPlan(text)
    if code == "sourceDoesNotExist":
        return NotFound(text)
    if code == "unexpectedError" or status >= 500:
        return VendorDown(text)
    return BadRequest(text)


def document_of(body: bytes) -> dict[str, Any]:
    expect_json(body, b"{")
    try:
        document: dict[str, Any] = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer(f"the answer is cut-off or broken JSON ({error}): {excerpt(body)}") from None
    return document


def was_removed(title: str | None) -> bool:
    return title == "[Removed]"
