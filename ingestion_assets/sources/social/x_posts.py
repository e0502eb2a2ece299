"""Rows of the social tables from what X sends. Pure."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa

from ingestion_assets.intervals import EPOCH, micros
from ingestion_assets.sources.errors import (
    AuthError,
    BadRequest,
    MalformedAnswer,
    NotFound,
    QuotaSpent,
    RateLimited,
    SourceError,
    excerpt,
)
from ingestion_assets.sources.http import expect_json, retry_after
from ingestion_assets.tables import Table
from ingestion_assets.tables.social import POST_COUNTS, POSTS

_KINDS = {400: BadRequest, 401: AuthError, 403: AuthError, 404: NotFound}
_SPENT = ("UsageCapExceeded", "CreditsDepleted", "SpendCapReached")
_SPENT_TYPES = ("/problems/usage-capped", "/problems/credits")
log = logging.getLogger(__name__)

Document = Mapping[str, Any]
_FIRST_ID_MS = 1_288_834_974_657  # ids count milliseconds from here, shifted by 22 bits
_METRICS = {
    "likes": "like_count",
    "replies": "reply_count",
    "reposts": "retweet_count",
    "quotes": "quote_count",
    "bookmarks": "bookmark_count",
    "impressions": "impression_count",
}


def document_of(body: bytes) -> Document:
    expect_json(body, b"{")
    try:
        document: Document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer(f"the answer is cut-off or broken JSON ({error}): {excerpt(body)}") from None
    problems = document.get("errors")
    if problems and not isinstance(problems, list):
        raise MalformedAnswer(f"errors of an answer are no list: {str(problems)[:160]}")
    if problems and "data" not in document and "meta" not in document:
        raise BadRequest(f"HTTP 200 with errors only: {_words(problems[0])}")
    if problems:
        log.warning("X left out %d posts of an answer, the first: %s", len(problems), _words(problems[0]))
    return document


def normalise_posts(document: Document, known: datetime, origin: str) -> pa.Table:
    """Rows from a search, newest first in the answer, oldest first here. Pure."""
    posts = _entries(document, POSTS)
    rows = [_post(entry, known, origin) for entry in posts]
    numbers = [int(row["id"]) for row in rows]
    if any(older >= newer for newer, older in itertools.pairwise(numbers)):
        raise MalformedAnswer("the posts of an answer are not in falling order without repeats")
    return _table(POSTS, rows[::-1])


def normalise_counts(document: Document, origin: str) -> pa.Table:
    """Rows from recent counts, with the shorter buckets at both ends. Pure."""
    rows = []
    for entry in _entries(document, POST_COUNTS):
        try:
            start, end, count = _moment(entry["start"]), _moment(entry["end"]), int(entry["tweet_count"])
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedAnswer(
                f"a bucket of counts cannot be read ({error!r}): {str(entry)[:160]}"
            ) from None
        known = end + timedelta(minutes=1)
        rows.append({"time": start, "until": end, "posts": count, "source": origin, "known_at": known})
    return _table(POST_COUNTS, rows)


def _post(entry: Document, known: datetime, origin: str) -> dict[str, Any]:
    try:
        number = entry["id"]
        if not isinstance(number, str) or not number.isdigit():
            raise MalformedAnswer(f"id {number!r} of a post is no number as text")
        row = {
            "id": number,
            "time": _posted(entry),
            "kind": "comment" if _answers_to(entry) else "post",
            "author": entry.get("author_id"),
            "text": _full_text(entry),
            "url": f"https://x.com/i/status/{number}",
            "language": entry.get("lang"),
            "answers_to": _answers_to(entry),
            "edited_at": _edited(entry),
            "source": origin,
            "known_at": known,
        }
        metrics = entry.get("public_metrics") or {}
        return row | {name: metrics.get(told) for name, told in _METRICS.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedAnswer(f"a post cannot be read ({error!r}): {str(entry)[:160]}") from None


def _full_text(entry: Document) -> str:
    """Of a long post `text` holds the beginning only."""
    return str((entry.get("note_tweet") or {}).get("text") or entry["text"])


def _posted(entry: Document) -> datetime:
    """As told, but of an edited post not when its first version was: it is searched for by its own id."""
    told = _moment(entry["created_at"]) if entry.get("created_at") else time_of(int(entry["id"]))
    edited = _edited(entry)
    return told if edited is None else max(told, edited.replace(microsecond=0))


def _answers_to(entry: Document) -> str | None:
    linked = entry.get("referenced_tweets") or []
    return next((str(one["id"]) for one in linked if one.get("type") == "replied_to"), None)


def _edited(entry: Document) -> datetime | None:
    """An edited post has a new id, made when it was edited."""
    versions = entry.get("edit_history_tweet_ids") or []
    return time_of(int(entry["id"])) if len(versions) > 1 and str(entry["id"]) != str(versions[0]) else None


def _entries(document: Document, table: Table) -> Sequence[Document]:
    entries = document.get("data", [])
    if not isinstance(entries, list) or not isinstance(document.get("meta", {}), dict):
        raise MalformedAnswer(f"the answer holds no list of {table.name}: {str(dict(document))[:160]}")
    told = document.get("meta", {}).get("result_count")
    if told is not None and told != len(entries):
        raise MalformedAnswer(f"the answer tells of {told} {table.name} and holds {len(entries)}")
    return entries


def _table(table: Table, rows: list[dict[str, Any]]) -> pa.Table:
    try:
        return table.in_order(pa.Table.from_pylist(rows, schema=table.schema))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise MalformedAnswer(f"{table.name} cannot be read ({error}): {str(rows[:1])[:160]}") from None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def time_of(number: int) -> datetime:
    """When a post was made, which its id tells."""
    return EPOCH + timedelta(milliseconds=(number >> 22) + _FIRST_ID_MS)


def first_id(moment: datetime) -> int:
    """The smallest id that a post of this moment or later can have."""
    return max(0, -(-micros(moment) // 1_000) - _FIRST_ID_MS) << 22


def problem_of(status: int, headers: Mapping[str, str], body: bytes, now: float) -> SourceError | None:
    """What X says in its own way; None: it is not one of these."""
    if status < 400:
        return None
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    said = told if isinstance(told, dict) else {"detail": excerpt(body) or "no text"}
    text = f"HTTP {status}: {_words(said)}"
    if status == 402 or said.get("title") in _SPENT or str(said.get("type", "")).endswith(_SPENT_TYPES):
        return QuotaSpent(text)
    if status == 429:
        reset = headers.get("x-rate-limit-reset", "")
        return RateLimited(text, max(1.0, float(reset) - now) if reset.isdigit() else retry_after(headers))
    return _KINDS[status](text) if status in _KINDS and isinstance(told, dict) else None


def _words(said: Any) -> str:
    if not isinstance(said, dict):
        return str(said)[:300]
    listed = said.get("errors")
    nested = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    parts = (said.get("title"), said.get("detail"), said.get("message"), nested.get("message"))
    words = list(dict.fromkeys(str(part) for part in parts if part))
    return ": ".join(words)[:300] or str(said)[:300]
