"""The demo's steps for what feeds give, domain by domain: a little of each, and what must be true of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ingestion_assets.cli import output
from ingestion_assets.intervals import Window, bars, floor

if TYPE_CHECKING:
    from ingestion_assets.registry import Series
    from ingestion_assets.tables import Table
    from ingestion_assets.workbench import Workbench

Say = Callable[[str], None]
Expect = Callable[[bool, str], None]

PERPETUAL = "binance.LINK-USDT-PERP"
SHARE = "polygon.AAPL"
SEARCH = "newsapi.bitcoin"
SHOWN = ("coingecko.bitcoin-usd", "mock.SPX-USD")
CHAINS = ("glassnode.BTC.addresses.active_count", f"covalent.eth-mainnet.0x{'5e' * 20}")
POSTED = ("x.bitcoin", "reddit.bitcoin")
_DAYS = timedelta(days=2)


def perpetuals(bench: Workbench, say: Say, expect: Expect) -> None:
    """Two days up to now: what the archive has from there, the rest from the API."""
    from ingestion_assets.ingestion import slices_of, summary
    from ingestion_assets.tables.derivatives import DERIVATIVES

    now = floor(datetime.now(UTC), timedelta(days=1)) + timedelta(hours=1)
    window = Window(now - _DAYS, now)
    found, refused = bench.adopt([PERPETUAL], now)
    expect(not refused, f"{PERPETUAL} could not be registered: {refused}")
    for table in DERIVATIVES.values():
        pieces = list(slices_of([found[PERPETUAL]], window, table.cut))
        figures = summary(list(bench.ingest(table, pieces, run="demo")))
        expect(not figures["failed"], f"{table.path}: {figures['failed']}")
        say(
            f"{output.number(figures['new_rows'])} rows of {table.path}, "
            f"{output.plural(figures['requests'], 'request')}"
        )
        if table.grid:
            wanted = bars([window], table.grain)
            expect(figures["new_rows"] == wanted, f"{wanted} were expected")
        left = bench.ledger.open(table.path, PERPETUAL)
        inside = [gap for gap in left if gap.window.start < window.end and gap.window.end > window.start]
        expect(not inside, f"{table.path}: {inside[:1]} is open still")


def shares(bench: Workbench, say: Say, expect: Expect) -> None:
    """A week of minute bars, files first, with nights and a weekend in it; the splits; a snapshot."""
    from ingestion_assets.registry import Strategy
    from ingestion_assets.tables.equities import EQUITIES, EQUITY_SNAPSHOTS

    now = datetime.now(UTC)
    series = bench.describe(SHARE, now)
    series = dataclasses.replace(series, strategy=Strategy.FLATPACK_SNAPSHOT_STREAM)
    bench.registry.add_missing([series])
    window = Window(floor(now, timedelta(days=1)) - timedelta(days=7), now + timedelta(minutes=5))
    for table in EQUITIES.values():
        _fetched(bench, table, [series], window, say, expect)
        if table is not EQUITY_SNAPSHOTS:
            expect(not bench.ledger.open(table.path, SHARE), f"{table.path} has a gap")


def providers(bench: Workbench, say: Say, expect: Expect) -> None:
    """Each market by its own provider: what it shows now, and its histories."""
    from ingestion_assets.tables.snapshots import SNAPSHOTS

    now = datetime.now(UTC)
    series = [bench.describe(name, now) for name in SHOWN]
    bench.registry.add_missing(series)
    window = Window(floor(now, timedelta(days=1)) - timedelta(days=2), now + timedelta(minutes=5))
    for table in SNAPSHOTS.values():
        _fetched(bench, table, series, window, say, expect)


def news(bench: Workbench, say: Say, expect: Expect) -> None:
    """A search and a feed of the simulated papers, and how what they say sounds."""
    from ingestion_assets.features.sentiment import Lexicon
    from ingestion_assets.intervals import period_window
    from ingestion_assets.registry import Series
    from ingestion_assets.tables.news import NEWS_ITEMS

    now = datetime.now(UTC)
    url = f"{bench.settings.vendor_urls['rss']}/feeds/herald.xml"
    since = now - timedelta(days=3)
    feed = Series("rss.herald", "news", "rss", "herald", listed_at=since, metadata={"url": url})
    series = [bench.describe(SEARCH, now), feed]
    bench.registry.add_missing(series)
    _fetched(bench, NEWS_ITEMS, series, Window(since, now), say, expect)
    held: list[str] = []
    for one in series:
        for month in bench.lake.months(NEWS_ITEMS, one.id):
            rows = bench.lake.read(NEWS_ITEMS, one.id, period_window(month), ["text"])
            held += rows.column("text").to_pylist()
    labels = [one.label for one in Lexicon().judge(held)]
    expect({"positive", "negative"} <= set(labels), f"all sound alike: {set(labels)}")
    say(f"{labels.count('positive')} of them sound good, {labels.count('negative')} bad")


def chains(bench: Workbench, say: Say, expect: Expect) -> None:
    """Ten days of a metric and of an address's transactions, and what the address holds now."""
    from ingestion_assets.tables.onchain import METRICS, ONCHAIN

    now = datetime.now(UTC)
    series = [bench.describe(name, now) for name in CHAINS]
    bench.registry.add_missing(series)
    today = floor(now, timedelta(days=1))
    window = Window(today - timedelta(days=10), today + timedelta(days=1))
    for table in ONCHAIN.values():
        one = series[:1] if table is METRICS else series[1:]
        _fetched(bench, table, one, window, say, expect)


def posts(bench: Workbench, say: Say, expect: Expect) -> None:
    """Posts of twelve hours, as far as the ceiling for X goes, and how many there were by the hour."""
    from ingestion_assets.tables.social import SOCIAL

    now = datetime.now(UTC)
    series = [bench.describe(name, now) for name in POSTED]
    bench.registry.add_missing(series)
    hour = floor(now, timedelta(hours=1))
    window = Window(hour - timedelta(hours=12), hour)
    for table in SOCIAL.values():
        able = [one for one in series if bench.askable(table, one)]
        _fetched(bench, table, able, window, say, expect)
    for account in bench.accounts():
        expect(account.limit is None or account.spent <= account.limit, f"{account.vendor}: {account.text}")
        say(f"{account.vendor}: {account.text}")


def _fetched(
    bench: Workbench, table: Table, series: Sequence[Series], window: Window, say: Say, expect: Expect
) -> None:
    from ingestion_assets.ingestion import slices_of, summary

    figures = summary(list(bench.ingest(table, list(slices_of(series, window, table.cut)), run="demo")))
    expect(not figures["failed"], f"{table.path}: {figures['failed']}")
    new, asked = output.number(figures["new_rows"]), output.plural(figures["requests"], "request")
    say(f"{new} rows of {table.path}, {asked}")
