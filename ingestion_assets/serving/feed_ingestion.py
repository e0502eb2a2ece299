"""Ingestion on request of what is no market: the series that a body means, its run, the answer.

A run takes the tables of the series and all that is made of them, as for markets. A source whose key is not
set is not asked; one whose key is wrong fails its run at once, in the vendor's own words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.exceptions import HTTPException

from ingestion_assets.dagster_api import DagsterApi
from ingestion_assets.dagster_api.runs import Run, assets, launch_run, run_page
from ingestion_assets.intervals import Window, iso, month_of
from ingestion_assets.registry import Series
from ingestion_assets.serving import ingestion
from ingestion_assets.serving.models import Ingested
from ingestion_assets.serving.problems import Unprocessable
from ingestion_assets.settings import Settings
from ingestion_assets.sources.errors import BadRequest, NotFound, SourceError
from ingestion_assets.sources.feeds import Vendor
from ingestion_assets.sources.market import Market
from ingestion_assets.sources.news.rss import feed_series
from ingestion_assets.sources.public_address import check_public
from ingestion_assets.tables import DOMAIN_FEATURES, Table
from ingestion_assets.tables.news import NEWS_ITEMS
from ingestion_assets.tables.onchain import BALANCES, METRICS, TRANSACTIONS
from ingestion_assets.tables.sentiment import NEWS_SENTIMENT, POSTS_SENTIMENT
from ingestion_assets.tables.social import POSTS
from ingestion_assets.workbench import Workbench
from ingestion_assets.workbench.access import unkeyed

# What is fetched of a source's series, the table that the answer tells of first.
TABLES: dict[str, tuple[Table, ...]] = {
    "glassnode": (METRICS,),
    "covalent": (TRANSACTIONS, BALANCES),
    "x": (POSTS,),
    "reddit": (POSTS,),
    "newsapi": (NEWS_ITEMS,),
    "rss": (NEWS_ITEMS,),
}
LONGEST_DAYS = 366


@dataclass(frozen=True)
class Wanted:
    """A series by its id or whatever names it, what of it, and since when."""

    source: str
    text: str
    window: Window
    most: int | None = None  # so many of the newest rows only


def unasked(bench: Workbench, source: str) -> Ingested | None:
    """The answer where a source's key is not set, as the older system had it; None where it can be asked."""
    reason = unkeyed(bench.settings, [_vendor(bench, source)])
    if reason is None:
        return None
    return Ingested(
        status="no_data",
        path=None,
        features_written=0,
        rows=0,
        new_rows=0,
        fetched_rows=0,
        left_open=[],
        run_url=None,
        reason=reason,
    )


def _vendor(bench: Workbench, source: str) -> type[Vendor]:
    """Who is asked for the series of a source."""
    return next(one for one in bench.vendors if one.serves == source)


def registered(bench: Workbench, dagster: DagsterApi, text: str, now: datetime) -> Series:
    """The series; one that is new is registered, and becomes a partition."""
    return _entered(bench, dagster, lambda: ingestion.described(bench, text, now), now)


def registered_feed(bench: Workbench, dagster: DagsterApi, url: str, now: datetime) -> Series:
    """The series of a feed's URL; what is no feed, or lies where nobody may go, is not registered."""
    import asyncio

    rss = bench.vendor(_vendor(bench, "rss"))
    check_public(url, allowed=rss.allowed)  # type: ignore[attr-defined]

    def found() -> Series:
        every = bench.registry.series()
        known = next((s for s in every if s.source == "rss" and s.metadata.get("url") == url), None)
        return known or feed_series(url, asyncio.run(_looked_up(rss, url)), {s.id for s in every})

    return _entered(bench, dagster, found, now)


async def _looked_up(vendor: Vendor, symbol: str) -> Market:
    async with vendor:
        return await vendor.look_up(symbol)


def _entered(bench: Workbench, dagster: DagsterApi, find: Callable[[], Series], now: datetime) -> Series:
    found = find()
    entry = bench.registry.get(found.id)
    if entry is None:
        bench.registry.add_missing([found])
        bench.expect([found], now)
    dagster.add_partitions(found.domain, [found.id])
    return found if entry is None else entry.series


def tried(what: str, work: Callable[[], str]) -> str:
    """What cannot be meant is 4xx, what a vendor did wrong 502; each says what was tried."""
    try:
        return work()
    except SourceError as error:
        status = 404 if isinstance(error, NotFound) else 422 if isinstance(error, BadRequest) else 502
        raise HTTPException(status, f"{what} failed: {error}") from None


def since(given: datetime | None, until: datetime | None, usual: timedelta, now: datetime) -> Window:
    """From a time that was given, or from a while ago, to now or a time that was given."""
    end = min(now, _utc(until)) if until else now
    start = _utc(given) if given else end - usual
    if not now - timedelta(days=LONGEST_DAYS) <= start < end:
        raise Unprocessable(
            f"since {iso(start)}: give a time before {iso(end)} and not more than {LONGEST_DAYS} days ago"
        )
    return Window(start, end)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def launch(dagster: DagsterApi, settings: Settings, series: Series, wanted: Wanted, now: datetime) -> str:
    """A run over the months of the window; its id."""
    tables, there, window = TABLES[series.source], assets(dagster), wanted.window
    paths = dict.fromkeys(path for table in tables for path in ingestion.made_of(table, there))
    config: dict[str, object] = {"lookback_minutes": ingestion.minutes_back(window, now)}
    config |= {"until": iso(window.end)} if window.end < now else {}
    config |= {"max_rows": wanted.most} if wanted.most is not None else {}
    return launch_run(
        dagster,
        ingestion.ASSET_JOB,
        assets=[*paths, *(path for path in _judged(tables, settings) if path in there)],
        keys=(f"{month_of(window.start)}|{series.id}", f"{month_of(window.end)}|{series.id}"),
        config={table.path.replace("/", "__"): {"config": config} for table in tables},
        tags={ingestion.CAUSE: "api_manual", "ingest/asked_by": "api"},
    )


def _judged(tables: Collection[Table], settings: Settings) -> list[str]:
    """How the texts sound, where that is wanted."""
    if POSTS in tables and settings.social_sentiment_enrich:
        return [POSTS_SENTIMENT.path]
    return [NEWS_SENTIMENT.path] if NEWS_ITEMS in tables else []


def answered(dagster: DagsterApi, run: Run, tables: Sequence[Table]) -> Ingested:
    """The newest file that holds something, and what was written everywhere."""
    paths = [table.path for table in tables]
    held = [one for one in run.materialized if one.asset in paths and one.figures.get("rows")]
    held.sort(key=lambda one: (one.partition or "", -paths.index(one.asset)))
    online = [f"online/{table.name}" for table in DOMAIN_FEATURES.values()]
    return Ingested(
        status="ok" if held else "no_data",
        path=str(held[-1].figures["path"]) if held else None,
        features_written=ingestion.total([run], online, "features_written"),
        rows=int(held[-1].figures["rows"]) if held else 0,
        new_rows=ingestion.total([run], paths, "new_rows"),
        fetched_rows=ingestion.total([run], paths, "fetched_rows"),
        left_open=ingestion.left_open(run, paths),
        run_url=run_page(dagster, run.id),
    )
