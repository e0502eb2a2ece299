"""Feeds as publishers write them, and polling one as an engine does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingestion_assets.intervals import Window, floor
from ingestion_assets.registry import Series
from ingestion_assets.sources.feeds import Absent, Page
from ingestion_assets.sources.market import Held, SourceOptions
from ingestion_assets.sources.news.rss import Rss
from ingestion_assets.tables.news import NEWS_ITEMS
from ingestion_assets_tests.sources.replay import Replay, Reply

PATH = "/feed.xml"


def item(guid: str | None = None, *, at: datetime | str | None = None, **more: str) -> str:
    tags = {"title": f"Title of {guid}", "link": f"https://paper.example/{guid}"} | more
    if at is not None:
        tags["pubDate"] = at if isinstance(at, str) else format_datetime(at)
    if guid is not None:
        tags["guid"] = guid
    return "<item>" + "".join(f"<{name}>{text}</{name}>" for name, text in tags.items()) + "</item>"


def rss(*items: str, title: str = "The Paper") -> bytes:
    head = f'<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>{title}</title>'
    return (head + "".join(items) + "</channel></rss>").encode()


def served(body: bytes, content_type: str = "application/rss+xml", **headers: str) -> Reply:
    return Reply(body=body, content_type=content_type, headers=headers)


def series(url: str) -> Series:
    return Series("rss.paper", "news", "rss", "paper", metadata={"url": url})


def recently(days: int = 20) -> Window:
    """The open month, or what of it lies behind, as a slice of it would be asked for."""
    now = floor(datetime.now(UTC), NEWS_ITEMS.grain)
    return Window(max(now.replace(day=1, hour=0, minute=0), now - timedelta(days=days)), now)


def of_month(moment: datetime) -> Window:
    start = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return Window(start, (start + timedelta(days=32)).replace(day=1))


def ask(
    replay: Replay, window: Window, *, path: str = PATH, held: Held | None = None, folder: Path | None = None
) -> list[Page | Absent]:
    """What a poll yields for a window."""

    async def main() -> list[Page | Absent]:
        options: dict[str, Any] = {"timeout": 10.0, "held": held, "folder": folder}
        async with Rss(SourceOptions(base_url=replay.url, **options)) as vendor:
            (feed,) = Rss.feeds
            one = series(replay.url + path)
            return [page async for page in feed.fetch(vendor, one, window)]

    return asyncio.run(main())


def rows_of(pages: list[Page | Absent]) -> pa.Table:
    rows = pa.concat_tables([p.rows for p in pages if isinstance(p, Page)] or [NEWS_ITEMS.empty()])
    _, broken = NEWS_ITEMS.examine(rows)
    assert broken.num_rows == 0, broken.slice(0, 1).to_pylist()
    return rows


def polled(body: bytes | Reply, window: Window) -> pa.Table:
    answer = body if isinstance(body, Reply) else served(body)
    with Replay({PATH: answer}) as replay:
        return rows_of(ask(replay, window))
