"""The simulated press: its own public client and our sources see the same articles; limits as documented."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ingestion_assets.intervals import Window, union
from ingestion_assets.registry import Series
from ingestion_assets.simulator import Simulator
from ingestion_assets.sources.errors import AuthError
from ingestion_assets.sources.feeds import Absent, Page, Vendor
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.sources.news.newsapi import NewsApi
from ingestion_assets.sources.news.rss import Rss
from ingestion_assets_tests.sources.news.feeds import rows_of

BITCOIN = Series("newsapi.bitcoin", "news", "newsapi", "bitcoin")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


def fetched(
    kind: type[Vendor], url: str, series: Series, window: Window, key: str = "any"
) -> list[Page | Absent]:
    async def main() -> list[Page | Absent]:
        async with kind(SourceOptions(base_url=url, attempts=1, api_key=key)) as vendor:
            (feed,) = kind.feeds
            return [page async for page in feed.fetch(vendor, series, window)]

    return asyncio.run(main())


@pytest.fixture
def client(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    newsapi = pytest.importorskip("newsapi", reason="newsapi-python is not installed")
    from newsapi import newsapi_client

    for name in ("EVERYTHING_URL", "TOP_HEADLINES_URL"):
        place = getattr(newsapi_client.const, name).partition("newsapi.org")[2]
        monkeypatch.setattr(newsapi_client.const, name, simulator.url + place)
    return newsapi.NewsApiClient


def test_the_vendors_own_client_and_ours_find_the_same_articles(simulator: Simulator, client):
    end = (datetime.now(UTC) - 2 * DAY).replace(second=0, microsecond=0)
    window = Window(end - 20 * DAY, end)
    rows = rows_of(fetched(NewsApi, simulator.url, BITCOIN, window))
    assert rows.num_rows > 200
    assert union(p.window for p in fetched(NewsApi, simulator.url, BITCOIN, window)) == [window]
    theirs = client("any").get_everything(
        q="bitcoin",
        from_param=window.start.strftime("%Y-%m-%dT%H:%M:%S"),
        to=(window.end - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S"),
        sort_by="publishedAt",
        page_size=100,
    )
    assert theirs["totalResults"] == rows.num_rows
    newest = rows.sort_by([("time", "descending")]).column("url").to_pylist()[:100]
    assert {one["url"] for one in theirs["articles"]} == set(newest)


def test_their_client_sees_the_refusals_that_are_documented(client):
    from newsapi.newsapi_exception import NewsAPIException

    for key, arguments, code in (
        ("wrong", {"q": "bitcoin"}, "apiKeyInvalid"),
        ("any", {"q": "bitcoin", "page": 2, "page_size": 100}, "maximumResultsReached"),
        ("any", {"q": "bitcoin", "from_param": "2020-01-01"}, "parameterInvalid"),
    ):
        with pytest.raises(NewsAPIException) as caught:
            client(key).get_everything(**arguments)
        assert caught.value.get_code() == code
    assert client("any").get_top_headlines(category="business")["articles"]


def test_a_wrong_key_is_refused_once_in_the_vendors_words(simulator: Simulator):
    now = datetime.now(UTC)
    simulator.requests.clear()
    with pytest.raises(AuthError, match="apiKeyInvalid: Your API key is invalid"):
        fetched(NewsApi, simulator.url, BITCOIN, Window(now - 3 * DAY, now - 2 * DAY), key="wrong-key")
    assert simulator.requests.count == 1


def test_nothing_is_shown_before_a_day_is_over_or_after_a_month(simulator: Simulator):
    now = datetime.now(UTC).replace(microsecond=0)
    pages = fetched(NewsApi, simulator.url, BITCOIN, Window(now - timedelta(hours=20), now))
    assert rows_of(pages).num_rows == 0
    (absent,) = fetched(NewsApi, simulator.url, BITCOIN, Window(now - 40 * DAY, now - 35 * DAY))
    assert isinstance(absent, Absent)


def test_a_feed_holds_the_last_articles_of_its_paper_and_none_twice(simulator: Simulator):
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    window = Window(now - timedelta(hours=6), now)
    herald, ledger = (
        rows_of(
            fetched(
                Rss,
                simulator.url,
                Series(f"rss.{p}", "news", "rss", p, metadata={"url": f"{simulator.url}/feeds/{p}.xml"}),
                window,
            )
        )
        for p in ("herald", "ledger")
    )
    assert set(herald.column("publisher").to_pylist()) == {"Coin Herald"}
    assert not set(herald.column("id").to_pylist()) & set(ledger.column("id").to_pylist())
    assert herald.column("dated").to_pylist() == ["published"] * herald.num_rows
    assert 1 <= herald.num_rows <= 30


def test_the_same_seed_writes_the_same_articles():
    asked = f"/v2/everything?q=ether&apiKey=x&from={datetime.now(UTC) - 9 * DAY:%Y-%m-%d}"
    import requests

    told = []
    for seed in (7, 7, 8):
        with Simulator(seed=seed, now=datetime.now(UTC).replace(minute=0, second=0, microsecond=0)) as one:
            told.append(requests.get(one.url + asked, timeout=30).json())
    assert told[0] == told[1] != told[2]
