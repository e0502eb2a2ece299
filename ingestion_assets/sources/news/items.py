"""Rows of `news/items` from what feeds and searches tell. Pure.

What an item is called, and when it was published, must come out the same at every poll: an item that tells no
date has the moment at which it was first seen, and what is held already keeps its time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from ingestion_assets.sources.news.plain_text import all_said, hashed, page_of
from ingestion_assets.tables.news import NEWS_ITEMS

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_UNITS = {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3_600, "hr": 3_600, "day": 86_400}
_UNITS |= {"week": 604_800, "month": 30 * 86_400, "year": 365 * 86_400}
_AGO = re.compile(rf"(?:about |~)?(\d{{1,4}}|an?) ({'|'.join(_UNITS)})s? ago", re.IGNORECASE)
_WORDS = {"just now": 0, "now": 0, "today": 0, "yesterday": 86_400}


def feed_rows(
    entries: Sequence[Mapping[str, Any]],
    *,
    publisher: str,
    now: datetime,
    held: Mapping[str, datetime],
    origin: str,
) -> pa.Table:
    """The items of a poll, each once, by time. `held` are the times of those that we have already."""
    rows: dict[str, dict[str, Any]] = {}
    for entry, name in zip(entries, _names(entries), strict=True):
        row = _row(entry, name, now, held)
        if name not in rows or row["time"] > rows[name]["time"]:  # given twice: the newer words
            rows[name] = row
    for row in rows.values():
        row |= {"publisher": publisher or None, "source": origin, "known_at": now}
    return table_of(rows.values())


def table_of(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    every = list(rows)
    columns = {c.name: pa.array([row.get(c.name) for row in every], c.type) for c in NEWS_ITEMS.columns}
    return NEWS_ITEMS.in_order(NEWS_ITEMS.conform(pa.table(columns)))


def _names(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ids. A guid that stands for several pages, as broken feeds have it, does not tell items apart."""
    pages: dict[str, set[str | None]] = defaultdict(set)
    for entry in entries:
        pages[entry.get("id") or ""].add(page_of(entry.get("link")))
    names = []
    for entry in entries:
        guid, page = entry.get("id"), page_of(entry.get("link"))
        if guid and len(pages[guid]) == 1:
            names.append(hashed("guid", guid))
        elif guid or page:
            names.append(hashed("page", guid, page))
        else:
            words = all_said(entry.get("title"), entry.get("summary"), entry.get("content"))
            names.append(hashed("words", words))
    return names


def _row(entry: Mapping[str, Any], name: str, now: datetime, held: Mapping[str, datetime]) -> dict[str, Any]:
    published, updated = _moment(entry.get("published"), now), _moment(entry.get("updated"), now)
    said = entry.get("published_text") or ""
    ago = _ago(said)
    if published is not None:
        time, dated = published, "published"
    elif updated is not None:
        time, dated = updated, "updated"
    elif ago is not None:
        time, dated = now - ago, "relative"
    else:
        time, dated = now, "seen"
    url = entry.get("link")
    return {
        "id": name,
        "time": held.get(name, time),
        "dated": dated,
        "published": published,
        "published_text": said or None if dated == "seen" else None,
        "guid": entry.get("id"),
        "url": url,
        "story": hashed(page_of(url)) if url else None,
        **{part: entry.get(part) for part in ("title", "summary", "content", "author")},
        "text": all_said(entry.get("title"), entry.get("summary"), entry.get("content")),
    }


def _moment(seconds: int | None, now: datetime) -> datetime | None:
    """A time of publication that can be: neither before there were feeds, nor in the future."""
    if seconds is None or not EARLIEST.timestamp() <= seconds <= now.timestamp():
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _ago(text: str) -> timedelta | None:
    words = " ".join(text.lower().split())
    if words in _WORDS:
        return timedelta(seconds=_WORDS[words])
    found = _AGO.fullmatch(words)
    if found is None:
        return None
    count = 1 if found[1].startswith("a") else int(found[1])
    return min(timedelta(seconds=count * _UNITS[found[2].lower()]), timedelta(days=10_000))
