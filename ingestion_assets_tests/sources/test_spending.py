"""What asking costs: never counted lower than what a vendor was really asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.ingestion.spending import CatalogPurse
from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series
from ingestion_assets.sources.errors import QuotaSpent, SourceError
from ingestion_assets.sources.feeds import Vendor
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.sources.news.newsapi import NewsApi
from ingestion_assets.sources.onchain.covalent import Covalent
from ingestion_assets.sources.onchain.glassnode import Glassnode
from ingestion_assets.sources.snapshots.coingecko import CoinGecko
from ingestion_assets.sources.social.x import X
from ingestion_assets.sources.spending import Allowance
from ingestion_assets.stores.budgets import Budgets
from ingestion_assets.stores.catalog import Catalog
from ingestion_assets_tests.sources.replay import Replay, Reply, Turns

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
HOUR = Window(NOW - timedelta(hours=2), NOW - timedelta(hours=1))
DAY = Window(datetime(2024, 8, 1, tzinfo=UTC), datetime(2024, 8, 2, tzinfo=UTC))
ADDRESS = "0x" + "ab" * 20
BALANCES = {"data": {"items": [], "updated_at": "2024-08-01T00:00:00Z"}, "error": False}

# vendor, feed, series, window, where it asks, a good answer, units of one request
ASKED: dict[str, tuple[type[Vendor], str, Series, Window, str, Any, int]] = {
    "coingecko": (
        CoinGecko,
        "snapshot",
        Series("coingecko.bitcoin-usd", "snapshots", "coingecko", "bitcoin/usd"),
        Window(NOW, NOW + timedelta(minutes=5)),
        "/api/v3/coins/markets",
        [{"id": "bitcoin", "current_price": 1.0}],
        1,
    ),
    "glassnode": (
        Glassnode,
        "metrics",
        Series("glassnode.ETH.addresses.count", "onchain", "glassnode", "ETH:addresses/count"),
        DAY,
        "/v1/metrics/addresses/count",
        [{"t": int(DAY.start.timestamp()), "v": 1.0}],
        2,
    ),
    "newsapi": (
        NewsApi,
        "items",
        Series("newsapi.bitcoin", "news", "newsapi", "bitcoin"),
        HOUR,
        "/v2/everything",
        {"status": "ok", "totalResults": 0, "articles": []},
        1,
    ),
    "covalent": (
        Covalent,
        "balances",
        Series(f"covalent.eth-mainnet.{ADDRESS}", "onchain", "covalent", f"eth-mainnet:{ADDRESS}"),
        DAY,
        f"/v1/eth-mainnet/address/{ADDRESS}/balances_v2/",
        BALANCES,
        1,
    ),
    "x": (
        X,
        "posts",
        Series("x.bitcoin", "social", "x", "bitcoin"),
        HOUR,
        "/2/tweets/search/recent",
        {"meta": {"result_count": 0}},
        100,
    ),
}
FAILED = Reply(500, {"error": "x"})


class Account:
    """A vendor's account in a catalog of its own."""

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        catalog = Catalog(f"sqlite:///{folder / 'catalog.sqlite'}")
        catalog.create()
        self.budgets = Budgets(catalog)
        self.purse = CatalogPurse(
            self.budgets, "vendor", Allowance("day", "units", limit), "buy", lambda: NOW
        )

    @property
    def spent(self) -> int:
        return self.budgets.spent("vendor", f"{NOW:%Y-%m-%d}")


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(tmp_path)


def ask(name: str, url: str, account: Account, attempts: int = 5) -> None:
    kind, feed, series, window, *_ = ASKED[name]

    async def main() -> None:
        options = SourceOptions(base_url=url, api_key="k", attempts=attempts, purse=account.purse)
        async with kind(options) as vendor:
            pages: AsyncIterator[Any] = getattr(vendor, feed)(series, window)
            _ = [page async for page in pages]

    asyncio.run(main())


@pytest.mark.parametrize("name", ASKED)
def test_every_attempt_that_was_sent_is_counted(name: str, account: Account):
    *_, path, good, units = ASKED[name]
    with Replay({path: Turns(FAILED, FAILED, FAILED, good)}) as replay:
        ask(name, replay.url, account)
        sent = replay.count(path)
    assert sent >= 4
    found = (sent - 3) * units if name != "x" else 0  # posts were read in none of these
    assert account.spent == 3 * units + found


@pytest.mark.parametrize("name", ASKED)
def test_an_attempt_for_which_nothing_is_left_is_not_sent(name: str, tmp_path: Path):
    *_, path, _good, units = ASKED[name]
    account = Account(tmp_path, limit=2 * units)
    with Replay({path: FAILED}) as replay, pytest.raises(QuotaSpent, match="are spent"):
        ask(name, replay.url, account)
    assert replay.count(path) == 2
    assert account.spent == 2 * units


@pytest.mark.parametrize("name", ASKED)
def test_a_refusal_is_counted_where_requests_are_charged(name: str, account: Account):
    *_, path, _good, units = ASKED[name]
    with Replay({path: Reply(401, {"error": "no"})}) as replay, pytest.raises(SourceError):
        ask(name, replay.url, account)
    assert account.spent == (0 if name == "x" else units)


@pytest.mark.parametrize("name", ASKED)
def test_where_nothing_answers_nothing_is_counted(name: str, account: Account):
    with Replay() as replay:
        url = replay.url
    with pytest.raises(SourceError, match="nothing answers there"):
        ask(name, url, account, attempts=3)
    assert account.spent == 0


@pytest.mark.parametrize("name", ASKED)
def test_asking_for_the_time_costs_nothing(name: str, account: Account):
    """As `ingest plan` and each run do."""
    kind = ASKED[name][0]

    async def main(url: str) -> datetime:
        async with kind(SourceOptions(base_url=url, api_key="k", purse=account.purse)) as vendor:
            return await vendor.now()

    free = {"/v1/user/api_usage": {}, "/2/usage/tweets": {"data": {}}}
    with Replay(free) as replay:
        told = asyncio.run(main(replay.url))
    assert abs(told - datetime.now(UTC)) < timedelta(minutes=1)
    assert account.spent == 0
    assert all(one.path in free for one in replay.asked)
