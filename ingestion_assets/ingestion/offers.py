"""What the feeds of a series have together, and what each is asked for; the planner counts with it, too.

How a slice is fetched from them is feeds.py's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ingestion_assets.ingestion.plan import Offer, in_pages
from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series
from ingestion_assets.sources.feeds import Feed, Vendor
from ingestion_assets.tables import Table


def questions(feed: Feed, windows: list[Window]) -> list[Window]:
    """What a feed is asked for when these are missing: together what one page, or an archive's file, holds.

    Of events nobody knows how many there are, and who charges for each is not asked for those held.
    """
    if not feed.table.grid:
        return windows
    return in_pages(windows, feed.whole or feed.table.grain * feed.page_rows)


def offered(feeds: Sequence[tuple[type[Vendor], Feed]], now: datetime) -> Offer:
    """What all feeds together have at this moment."""
    windows = [feed.offered(now) for _, feed in feeds]
    limited = all(feed.horizon is not None for _, feed in feeds)
    return Offer(
        name=feeds[0][0].serves,
        until=max(w.end for w in windows),
        since=min(w.start for w in windows) if limited else None,
        page_rows=max(feed.page_rows for _, feed in feeds),
    )


def nobody_gives(table: Table, series: Series, among: Sequence[type[Vendor]]) -> str:
    """Why there is no feed for a table of a series."""
    able = sorted({f.phase for k in among if k.serves == series.source for f in k.feeds if f.table is table})
    phases = ", ".join(sorted(series.strategy.phases))
    if not able:
        return f"nobody gives {table.path} of {series.source}"
    return (
        f"series {series.id!r} has the strategy {series.strategy.value} ({phases}), "
        f"and {table.path} is given by {', '.join(able)} only: register it with another strategy"
    )
