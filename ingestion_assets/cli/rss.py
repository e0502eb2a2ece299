"""`ingest rss FEED_URL`: register a feed and fetch what it holds, in one go."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli import output
from ingestion_assets.cli.errors import BadInput, Failed

if TYPE_CHECKING:
    from ingestion_assets.registry import Series
    from ingestion_assets.workbench import Workbench


def rss(
    feed_url: Annotated[str, typer.Argument(help="Of an RSS or Atom feed, like https://host/feed.xml.")],
    name: Annotated[str | None, typer.Option(help="Its id after `rss.`; made of the URL otherwise.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Figures as JSON on stdout.")] = False,
) -> None:
    """Register a feed and ingest it: its schedule polls it from then on. Again: fetch what is new."""
    from ingestion_assets.ingestion import slices_of, summary
    from ingestion_assets.intervals import Window
    from ingestion_assets.stores.registry_table import process_owner
    from ingestion_assets.tables.news import NEWS_ITEMS
    from ingestion_assets.workbench import Workbench

    bench = Workbench()
    bench.catalog.create()
    series, new = _registered(bench, feed_url.strip(), name)
    now = datetime.now(UTC)
    since = series.listed_at or now
    pieces = list(slices_of([series], Window(since, now), NEWS_ITEMS.cut))
    landed = list(bench.ingest(NEWS_ITEMS, pieces, run=process_owner()))
    totals = summary(landed)
    figures: dict[str, Any] = {
        "series": series.id,
        "registered": new,
        "title": series.description,
        "url": series.metadata["url"],
        "items": sum(one.rows for one in landed),
        "new": totals["new_rows"],
        "changed": totals["changed_rows"],
        "first": min((one.first for one in landed if one.first), default=None),
        "last": max((one.last for one in landed if one.last), default=None),
        "requests": totals["requests"],
        "path": bench.lake.url(NEWS_ITEMS, series.id),
    }
    if as_json:
        output.show_json(figures)
    else:
        _tell(figures)
    if totals["failed"]:
        raise Failed(f"{series.id} failed: {totals['failed'][series.id]}")


def _registered(bench: Workbench, url: str, name: str | None) -> tuple[Series, bool]:
    """The feed's series, and whether it is new. What is no feed, or nowhere to go, is not registered."""
    from ingestion_assets.sources.news.rss import Rss, feed_series

    name = name.removeprefix("rss.") if name is not None else None
    every = bench.registry.series()
    known = next((s for s in every if s.source == "rss" and s.metadata.get("url") == url), None)
    if known is not None:
        if name is not None and known.id != f"rss.{name}":
            raise BadInput(f"{url} is registered already, as {known.id}")
        return known, False
    taken = {s.id for s in every}
    if name is not None and f"rss.{name}" in taken:
        raise BadInput(f"--name {name!r}: rss.{name} is another feed already")

    async def look() -> Any:
        async with bench.vendor(Rss) as vendor:
            return await vendor.look_up(url)

    market = asyncio.run(look())
    series = feed_series(url, market, taken, name)
    bench.registry.add_missing([series])
    return series, True


def _tell(figures: dict[str, Any]) -> None:
    said = "registered" if figures["registered"] else "registered before"
    output.say(f"{figures['series']} ({figures['title'] or 'without a title'}), {said}.")
    output.say(
        f"{output.plural(figures['new'], 'new item')}, {figures['changed']} edited, {figures['items']} held"
        + (
            f", {figures['first']:%Y-%m-%d %H:%M} to {figures['last']:%Y-%m-%d %H:%M} UTC."
            if figures["items"]
            else "."
        ),
        style="green",
    )
    output.say(f"select * from '{figures['path']}' order by time desc limit 10")  # noqa: S608 our own path
