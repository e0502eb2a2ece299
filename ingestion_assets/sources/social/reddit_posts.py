"""Rows of the social tables from what Reddit's listings send. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa

from ingestion_assets.intervals import EPOCH
from ingestion_assets.sources.errors import MalformedAnswer, excerpt
from ingestion_assets.sources.http import expect_json
from ingestion_assets.tables.social import POSTS

Document = Mapping[str, Any]
_KINDS = {"t1": "comment", "t3": "post"}
_GONE = ("[deleted]", "[removed]")


@dataclass(frozen=True)
class Listing:
    """The posts of one answer, oldest first, those that are pinned on top apart, and where older ones are."""

    rows: pa.Table
    pinned: pa.Table
    after: str | None

    @property
    def items(self) -> int:
        return int(self.rows.num_rows + self.pinned.num_rows)


def document_of(body: bytes) -> Document:
    expect_json(body, b"{")
    try:
        document: Document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer(f"the answer is cut-off or broken JSON ({error}): {excerpt(body)}") from None
    return document


def normalise_listing(document: Document, known: datetime, origin: str) -> Listing:
    """A listing of posts or comments. Pure."""
    data = document.get("data")
    if document.get("kind") != "Listing" or not isinstance(data, dict):
        raise MalformedAnswer(f"the answer is no Listing: {str(dict(document))[:160]}")
    if not isinstance(data.get("children"), list):
        raise MalformedAnswer(f"the Listing has no children: {str(data)[:160]}")
    rows: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for child in data["children"]:
        try:
            kind, told = child["kind"], child["data"]
            if kind in _KINDS:
                rows[bool(told.get("stickied"))].append(_row(kind, told, known, origin))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MalformedAnswer(
                f"an entry of a Listing cannot be read ({error!r}): {str(child)[:160]}"
            ) from None
    return Listing(_table(rows[False]), _table(rows[True]), data.get("after") or None)


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    try:
        return POSTS.distinct(pa.Table.from_pylist(rows, schema=POSTS.schema))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise MalformedAnswer(f"a Listing cannot be read ({error}): {str(rows[:1])[:160]}") from None


def _row(kind: str, data: Document, known: datetime, origin: str) -> dict[str, Any]:
    author = data.get("author")
    permalink = data.get("permalink")
    return {
        "id": data.get("name") or f"{kind}_{data['id']}",
        "time": _moment(data["created_utc"]),
        "kind": _KINDS[kind],
        "author": None if author in _GONE else author,
        "title": data.get("title"),
        "text": data.get("body" if kind == "t1" else "selftext") or "",
        "url": f"https://www.reddit.com{permalink}" if permalink else data.get("url"),
        "place": data.get("subreddit"),
        "answers_to": data.get("parent_id"),
        "replies": data.get("num_comments"),
        "score": data.get("score"),
        "upvote_ratio": data.get("upvote_ratio"),
        "edited_at": _edited(data.get("edited")),
        "source": origin,
        "known_at": known,
    }


def words_of(body: bytes) -> str | None:
    """What Reddit says of an error: `message`, `explanation`, and as `reason` why a subreddit is closed."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(told, dict):
        return None
    parts = (told.get(name) for name in ("message", "explanation", "reason"))
    return ": ".join(str(part) for part in parts if part) or None


def _moment(seconds: float) -> datetime:
    """Seconds since 1970, as a float; a number that cannot be a time of Reddit's is refused."""
    value = float(seconds)
    if not 1e9 < value < 1e11:
        raise ValueError(f"created_utc {seconds!r} is no time in seconds")
    return EPOCH + timedelta(seconds=value)


def _edited(told: Any) -> datetime | None:
    """`false`, or when it was edited; very old edits are only `true`."""
    return None if isinstance(told, bool) or told is None else _moment(told)
