"""Plans that let through so much only: our sources keep within them, wait, or say what is the matter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingestion_assets.intervals import Window, floor
from ingestion_assets.registry import Series
from ingestion_assets.simulator import Fault, Simulator
from ingestion_assets.simulator.limits import CHEAPEST_PLANS, Quota
from ingestion_assets.sources.equities.polygon import FREE_PLAN, Polygon
from ingestion_assets.sources.errors import RateLimited
from ingestion_assets.sources.feeds import Absent, Page, Vendor
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.sources.news.newsapi import NewsApi
from ingestion_assets.sources.onchain.covalent import Covalent
from ingestion_assets.sources.snapshots.coingecko import CoinGecko
from ingestion_assets.sources.social.x import X

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = floor(datetime.now(UTC), timedelta(minutes=1))
COIN = Series("coingecko.bitcoin-usd", "snapshots", "coingecko", "bitcoin/usd")
SEARCH = Series("newsapi.bitcoin", "news", "newsapi", "bitcoin")
POSTS = Series("x.bitcoin", "social", "x", "bitcoin")
SHARE = Series("polygon.AAPL", "equities", "polygon", "AAPL")
ADDRESS = "0x" + "ab" * 20
WALLET = Series(f"covalent.eth-mainnet.{ADDRESS}", "onchain", "covalent", f"eth-mainnet:{ADDRESS}")


class Counting:
    """A purse without a bottom."""

    def __init__(self) -> None:
        self.spent = 0

    async def left(self) -> int | None:
        return None

    async def reserve(self, units: int) -> str:
        self.spent += units
        return "now"

    async def settle(self, period: str, reserved: int, used: int) -> None:
        self.spent += used - reserved


def asked(
    kind: type[Vendor], url: str, feed: str, series: Series, *windows: Window, **options: Any
) -> tuple[list[Page | Absent], Any]:
    """What came of windows asked for one after the other, and who was asked."""

    async def main() -> tuple[list[Page | Absent], Any]:
        async with kind(SourceOptions(**{"base_url": url, "api_key": "any"} | options)) as vendor:
            fetch: Callable[..., Any] = getattr(vendor, feed)
            return [page for window in windows for page in [p async for p in fetch(series, window)]], vendor

    return asyncio.run(main())


def days(count: int) -> list[Window]:
    return [Window(NOW - (n + 3) * DAY, NOW - (n + 2) * DAY) for n in range(count)]


def test_a_quota_counts_what_it_refuses_and_begins_anew():
    moment = [59_000]
    quota = Quota(2, 60, lambda: moment[0])
    assert [quota.wait() for _ in range(4)] == [0, 0, 1, 1]
    moment[0] = 60_000
    assert [quota.wait() for _ in range(3)] == [0, 0, 60]


def test_there_are_none_unless_asked_for_and_only_for_vendors_that_have_one():
    assert Simulator()._gate.quotas == {}
    with pytest.raises(ValueError, match="no quota is simulated for binance"):
        Simulator(quotas={"binance": (1, 1)})
    assert Simulator(quotas=CHEAPEST_PLANS)._gate.quotas.keys() == CHEAPEST_PLANS.keys()


def test_coingecko_is_asked_again_when_its_second_is_over_and_every_request_is_paid():
    purse = Counting()
    with Simulator(quotas={"coingecko": (2, 1)}) as simulator:
        pages, _ = asked(CoinGecko, simulator.url, "prices", COIN, *days(8), purse=purse)
        assert [page.window for page in pages] == days(8)
        assert simulator.requests.rejected > 0
        assert purse.spent == simulator.requests.count == 8 + simulator.requests.rejected


def test_goldrush_is_asked_no_faster_than_its_plan_allows():
    with Simulator(quotas=CHEAPEST_PLANS) as simulator:
        month = Window(floor(NOW, DAY) - 20 * DAY, floor(NOW, DAY))
        pages, _ = asked(Covalent, simulator.url, "transactions", WALLET, month)
        assert sum(page.rows.num_rows for page in pages if isinstance(page, Page)) > 500
        assert simulator.requests.count > CHEAPEST_PLANS["covalent"][0]
        assert simulator.requests.rejected == 0


def test_a_newsapi_day_that_is_spent_is_said_at_once_and_not_asked_again():
    with Simulator(quotas={"newsapi": (2, 86_400)}) as simulator:
        with pytest.raises(RateLimited, match="rateLimited: You have made too many requests"):
            asked(NewsApi, simulator.url, "items", SEARCH, *days(9))
        assert simulator.requests.rejected == 1


def test_x_is_waited_for_when_it_says_until_when():
    with Simulator() as simulator:
        simulator.faults.add(Fault("rate_limited", path="/2/tweets/search/", times=2, retry_after=1))
        pages, _ = asked(X, simulator.url, "posts", POSTS, Window(NOW - 3 * HOUR, NOW - 2 * HOUR))
        assert pages
        assert simulator.requests.rejected == 2


def test_a_quarter_of_an_hour_that_x_has_had_enough_of_is_told():
    with (
        Simulator(quotas={"x": (1, 900)}) as simulator,
        pytest.raises(RateLimited, match="Too Many Requests") as caught,
    ):
        parts = [Window(NOW - (n + 3) * HOUR, NOW - (n + 2) * HOUR) for n in range(3)]
        asked(X, simulator.url, "posts", POSTS, *parts, attempts=1)
    assert caught.value.retry_after is not None
    assert 0 <= caught.value.retry_after <= 901


def test_on_polygons_free_plan_the_pace_is_learnt_from_the_first_refusal():
    async def main(url: str) -> Polygon:
        async with Polygon(SourceOptions(base_url=url, api_key="any", attempts=1)) as vendor:
            assert vendor.governor.budget is None
            with pytest.raises(RateLimited, match="exceeded the maximum requests per minute"):
                for _ in range(3):
                    await vendor.look_up("AAPL")
            return vendor

    with Simulator(quotas={"polygon": (2, 86_400)}) as simulator:
        assert asyncio.run(main(simulator.url)).governor.budget == FREE_PLAN
