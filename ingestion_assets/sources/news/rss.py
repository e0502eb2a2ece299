"""RSS and Atom feeds of anybody: what a feed holds at this moment, poll by poll.

Who: any publisher. One series for each feed, its URL in `metadata["url"]`; `ingest rss URL` registers it.
Documents: RSS 0.9x to 2.0, Atom 0.3 and 1.0, and what is nearly one of these; encodings as they come.
Limits: none that are told; a feed is asked once in a run, and only for what changed (ETag, Last-Modified).
Key: none. Addresses: public ones only, see public_address.py.
History: none. A feed holds its last items, 10 to 100 mostly; what has left it is not to be had any more.
Revisions: items are edited in place; the newer words count, the older ones are kept aside.

A poll says what was published from its oldest item on. What was missed before that is gone; items that come
to light only after their month has been fetched have the time at which they were first seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from ingestion_assets.intervals import Window, floor, iso, micros, moment_of, period_window
from ingestion_assets.registry import Series, Strategy, check_id
from ingestion_assets.sources.errors import BadRequest
from ingestion_assets.sources.feeds import Absent, Page, Vendor, feed
from ingestion_assets.sources.market import Market, SourceOptions
from ingestion_assets.sources.news.items import feed_rows
from ingestion_assets.sources.news.polling import Poll, poll
from ingestion_assets.tables.news import NEWS_ITEMS

_LONGEST_NAME = 80
_FRESH = timedelta(minutes=1)  # so long one poll serves all months of a feed


class Rss(Vendor):
    name, domain, serves = "rss", "news", "rss"
    strategy = Strategy.FLATPACK_API

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        # Where the settings send us instead is let through, wherever that is.
        self.allowed = frozenset({urlsplit(options.base_url).netloc}) if options.base_url else frozenset()
        self._polls: dict[str, Poll] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        raise ValueError(
            f"feed {text!r} is not registered: `ingest rss FEED_URL` registers a feed and fetches it"
        )

    async def look_up(self, symbol: str) -> Market:
        """A feed by its URL; it is listed since its oldest item."""
        found = await self.poll(symbol)
        rows = await asyncio.to_thread(
            feed_rows, found.entries, publisher="", now=found.now, held={}, origin=""
        )
        oldest = _reaches_back(rows) or floor(found.now, NEWS_ITEMS.grain)
        return Market(found.title, oldest, None, trading=True, timeframes=frozenset())

    @feed(NEWS_ITEMS, phase="rest", settle=timedelta(0), page_rows=100)
    async def items(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        found, asked = await self._fresh(url_of(series))
        # Beside the event loop: anybody's markup is read, and the lake.
        rows = await asyncio.to_thread(self.rows, series, found)
        times, period = NEWS_ITEMS.times(rows), period_window(f"{window.start:%Y-%m}")
        # Of its whole month, not only of the window: some items come late, or are edited.
        inside = rows.filter(pa.array((times >= micros(period.start)) & (times < micros(period.end))))
        oldest = _reaches_back(rows) or window.start
        if inside.num_rows and window.end <= oldest <= window.end + NEWS_ITEMS.grain:
            oldest = window.end - NEWS_ITEMS.grain  # all are of this very minute, and are not to wait
        if oldest > window.start:
            gone = Window(window.start, min(oldest, window.end))
            yield Absent(gone, f"the feed holds nothing from before {iso(oldest)} any more", asked)
        if oldest < window.end:
            yield Page(inside, Window(max(oldest, window.start), window.end), asked)

    def rows(self, series: Series, found: Poll) -> pa.Table:
        """The items of a poll; whatever is held already keeps its time, and so its place."""
        held = self._held(series)
        rows = feed_rows(
            found.entries,
            publisher=found.title,
            now=found.now,
            held=held,
            origin=self.options.origin,
        )
        names, times = rows.column("id").to_pylist(), rows.column("time").to_pylist()
        late = [
            name not in held and self._closed(series, time, found.now)
            for name, time in zip(names, times, strict=True)
        ]
        return _seen_first(rows, pa.array(late), found.now) if any(late) else rows

    def _held(self, series: Series) -> dict[str, datetime]:
        """The time of every item of the feed that was ever landed."""
        lake = self.options.held
        if lake is None or not (months := lake.months(NEWS_ITEMS, series.id)):
            return {}
        ever = Window(period_window(months[0]).start, period_window(months[-1]).end)
        rows = lake.read(NEWS_ITEMS, series.id, ever, ["id", "time"])
        return dict(zip(rows.column("id").to_pylist(), rows.column("time").to_pylist(), strict=True))

    def _closed(self, series: Series, time: datetime, now: datetime) -> bool:
        """Whether nobody will ask for an item of that time: its month was before, and has been fetched."""
        if self.options.held is None or (time.year, time.month) == (now.year, now.month):
            return False
        minute = floor(time, NEWS_ITEMS.grain)
        return not self.options.held.holes(NEWS_ITEMS, series.id, Window(minute, minute + NEWS_ITEMS.grain))

    async def poll(self, url: str) -> Poll:
        return (await self._fresh(url))[0]

    async def _fresh(self, url: str) -> tuple[Poll, int]:
        """The feed as it is now, and how many requests that took."""
        async with self._turns.setdefault(url, asyncio.Lock()):
            held = self._polls.get(url)
            if held is not None and datetime.now(UTC) - held.now < _FRESH:
                return held, 0
            self._polls[url] = await poll(
                url, seconds=self.options.timeout, allowed=self.allowed, folder=self.options.folder
            )
            return self._polls[url], 1


def _reaches_back(rows: pa.Table) -> datetime | None:
    """The minute of the oldest item that tells when it was published; None: none does."""
    dated = rows.filter(pc.not_equal(rows.column("dated").cast(pa.string()), "seen"))
    return floor(moment_of(NEWS_ITEMS.times(dated)[0]), NEWS_ITEMS.grain) if dated.num_rows else None


def feed_series(url: str, market: Market, taken: Collection[str], name: str | None = None) -> Series:
    """The series of a feed that was looked up, with an id that no other one has."""
    identity = check_id(f"{Rss.serves}.{name}") if name is not None else _identity(url, taken)
    return Series(
        id=identity,
        domain=Rss.domain,
        source=Rss.serves,
        symbol=identity.partition(".")[2],
        strategy=Rss.strategy,
        timeframes=(),
        listed_at=market.listed_at,
        backfill_from=market.listed_at,
        description=market.symbol[:200],
        metadata={"url": url},
    )


def _identity(url: str, taken: Collection[str]) -> str:
    """Made of what the URL says, and where that is taken, of a mark of the whole."""
    parts = urlsplit(url)
    words = re.sub(r"[^A-Za-z0-9]+", "-", f"{(parts.hostname or '').removeprefix('www.')}-{parts.path}")
    identity = f"{Rss.serves}.{words.strip('-').lower()[:_LONGEST_NAME].strip('-') or 'feed'}"
    return identity if identity not in taken else f"{identity}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def url_of(series: Series) -> str:
    url = series.metadata.get("url")
    if not isinstance(url, str):
        raise BadRequest(f"series {series.id!r} has no feed: register it with `ingest rss FEED_URL`")
    return url


def _seen_first(rows: pa.Table, late: pa.Array, now: datetime) -> pa.Table:
    """The rows with the moment of the poll for the time of those that came to light too late."""
    for name, value in (("time", now), ("dated", "seen")):
        number = rows.schema.get_field_index(name)
        kind = rows.schema.field(number).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        column = pc.if_else(late, pa.scalar(value, plain), rows.column(number).cast(plain))
        rows = rows.set_column(number, rows.schema.field(number), column.cast(kind))
    return NEWS_ITEMS.in_order(rows)
