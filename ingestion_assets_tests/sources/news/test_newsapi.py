"""NewsAPI: the recorded answer, a chain of answers to its end, the vendor's errors in its own words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.intervals import Window, union
from ingestion_assets.registry import Series
from ingestion_assets.sources.errors import (
    AuthError,
    BadRequest,
    MalformedAnswer,
    NotFound,
    QuotaSpent,
    RateLimited,
    VendorDown,
)
from ingestion_assets.sources.feeds import Absent, Page
from ingestion_assets.sources.news.newsapi import NewsApi
from ingestion_assets.sources.news.newsapi_articles import normalise_articles
from ingestion_assets.tables.news import NEWS_ITEMS
from ingestion_assets_tests.sources.derivatives.asking import ask, rows_of, window
from ingestion_assets_tests.sources.interrupted import gone_on
from ingestion_assets_tests.sources.replay import Asked, Reply

KEY = "0123456789abcdef0123456789abcdef"
PATH, HEADLINES = "/v2/everything", "/v2/top-headlines"
DAY = window("2024-08-01", "2024-08-02")
BITCOIN = Series("newsapi.bitcoin", "news", "newsapi", "bitcoin")
BUSINESS = Series("newsapi.headlines.business", "news", "newsapi", "headlines.business")


def asked_of(
    answer: Any, part: Window = DAY, series: Series = BITCOIN, path: str = PATH
) -> tuple[list[Page | Absent], list[Asked]]:
    return ask(NewsApi, NEWS_ITEMS, {path: answer}, part, series, api_key=KEY)


def article(moment: datetime, number: int) -> dict[str, Any]:
    return {
        "source": {"id": None, "name": "The Paper"},
        "author": None,
        "title": f"Title {number}",
        "description": None,
        "url": f"https://paper.example/{number}",
        "urlToImage": None,
        "publishedAt": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "content": f"Words of {number}… [+1916 chars]",
    }


def archive(times: list[datetime], most: int = 100):
    """A vendor with these articles, newest first, that shows the first `most` results only."""
    every = [article(moment, number) for number, moment in enumerate(times)]

    def answer(query: dict[str, str]) -> Any:
        low, high = (f"{query[name]}Z" for name in ("from", "to"))
        found = sorted((a for a in every if low <= a["publishedAt"] <= high), key=lambda a: a["publishedAt"])[
            ::-1
        ]
        size, page = int(query["pageSize"]), int(query["page"])
        if size * (page - 1) >= most:
            return error(426, "maximumResultsReached", "You have requested too many results.")
        return {
            "status": "ok",
            "totalResults": len(found),
            "articles": found[size * (page - 1) : size * page],
        }

    return answer


def error(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"status": "error", "code": code, "message": message})


def test_the_recorded_answer_gives_exactly_its_articles(recordings: Path):
    document = json.loads((recordings / "newsapi" / "everything_bitcoin_2020-08-09.body.json").read_bytes())
    part = window("2020-08-08", "2020-08-10")
    pages, sent = asked_of(document, part)
    rows = rows_of(NEWS_ITEMS, pages)
    articles = document["articles"]
    assert rows.num_rows == len(articles) == 20
    told = {row["url"]: row for row in rows.to_pylist()}
    for one in articles:
        row = told[one["url"]]
        assert row["time"] == row["published"] == datetime.fromisoformat(one["publishedAt"])
        assert row["known_at"] - row["time"] == timedelta(hours=24)
        assert (row["title"], row["summary"], row["content"]) == (
            one["title"],
            one["description"],
            one["content"],
        )
        assert (row["author"], row["publisher"]) == (one["author"], one["source"]["name"])
        assert "chars]" not in row["text"] and "<" not in row["text"]
    assert rows.column("time").to_pylist() == sorted(rows.column("time").to_pylist())
    # It holds 20 of 7,724 and goes on giving these: what lies behind is not claimed to be known.
    assert isinstance(pages[-1], Absent)
    assert "7724" in pages[-1].evidence
    assert pages[-1].window == Window(part.start, rows.column("time")[0].as_py() + timedelta(seconds=1))
    assert sent[0].headers["X-Api-Key"] == KEY
    assert KEY not in str(sent[0].query)


def test_what_does_not_fit_into_an_answer_is_asked_for_by_time_until_there_is_no_more():
    times = [DAY.start + timedelta(minutes=3 * n) for n in range(430)]
    pages, sent = asked_of(archive(times))
    rows = rows_of(NEWS_ITEMS, pages)
    assert sorted(rows.column("time").to_pylist()) == times
    assert union(page.window for page in pages) == [DAY]
    assert [one.query["page"] for one in sent] == ["1"] * 5
    assert [one.query["pageSize"] for one in sent] == ["100"] * 5


def test_more_articles_of_one_second_than_the_plan_shows_are_not_claimed():
    noon = DAY.start + timedelta(hours=12)
    pages, _ = asked_of(archive([noon] * 150 + [DAY.start]))
    assert isinstance(pages[-1], Absent)
    assert "maximumResultsReached" in pages[-1].evidence
    assert pages[-1].window.end == noon + timedelta(seconds=1)
    pages, _ = asked_of(archive([noon] * 150 + [DAY.start], most=10_000))
    assert rows_of(NEWS_ITEMS, pages).num_rows == 151
    assert union(page.window for page in pages) == [DAY]


def test_an_empty_search_covers_its_window():
    (page,), _ = asked_of({"status": "ok", "totalResults": 0, "articles": []})
    assert (page.rows.num_rows, page.window) == (0, DAY)


def test_headlines_are_those_of_now():
    found = {"status": "ok", "totalResults": 1, "articles": [article(DAY.start + timedelta(hours=20), 1)]}
    (absent, page), sent = asked_of(found, series=BUSINESS, path=HEADLINES)
    assert sent[0].query == {"category": "business", "pageSize": "100"}
    assert absent.window.end == page.window.start == DAY.start + timedelta(hours=20)
    assert page.rows.num_rows == 1


def test_a_search_that_breaks_off_goes_on_with_what_is_older():
    times = [DAY.start + timedelta(minutes=3 * n) for n in range(430)]
    options = {"path": PATH, "at": 3, "api_key": KEY}
    before, after, _ = gone_on(NewsApi, NEWS_ITEMS, {PATH: archive(times)}, DAY, BITCOIN, **options)
    young, old = (rows_of(NEWS_ITEMS, pages).column("time").to_pylist() for pages in (before, after))
    assert 0 < len(young) < len(times)
    assert sorted({*young, *old}) == times  # those of the last second may come twice


def test_what_was_taken_down_and_has_lost_its_time_stops_nothing():
    times = [DAY.start + timedelta(minutes=30 * n) for n in range(40)]
    gone = article(datetime(1970, 1, 1, tzinfo=UTC), 0) | {
        "source": {"id": None, "name": "[Removed]"},
        "title": "[Removed]",
        "description": "[Removed]",
        "content": "[Removed]",
        "url": "https://removed.com",
    }
    every = archive(times)

    def answer(query: dict[str, str]) -> Any:
        told = every(query)
        return told | {"totalResults": told["totalResults"] + 1, "articles": [*told["articles"], gone]}

    pages, _ = asked_of(answer)
    assert rows_of(NEWS_ITEMS, pages).num_rows == 40
    assert union([p.window for p in pages if isinstance(p, Page)]) == [DAY]
    found = {"status": "ok", "totalResults": 2, "articles": [article(times[3], 1), gone]}
    (_, page), _ = asked_of(found, series=BUSINESS, path=HEADLINES)
    assert isinstance(page, Page)
    assert (page.rows.num_rows, page.window.start) == (1, times[3])


def test_nulls_stay_null_and_fractions_of_seconds_are_kept():
    bare = article(DAY.start, 1) | {"title": None, "content": None, "source": None, "url": None}
    exact = article(DAY.start, 2) | {"publishedAt": "2024-08-01T10:11:12.1234567Z"}
    rows = normalise_articles(
        {"status": "ok", "totalResults": 2, "articles": [bare, exact]}, "rest"
    ).to_pylist()
    assert [rows[0][name] for name in ("title", "summary", "url", "story", "publisher", "author")] == [
        None
    ] * 6
    assert rows[0]["text"] == ""
    assert rows[1]["time"] == datetime(2024, 8, 1, 10, 11, 12, 123456, tzinfo=UTC)


def test_articles_that_were_taken_down_are_kept_apart_and_say_nothing():
    moments = [DAY.start, DAY.start + timedelta(hours=1)]
    removed = [article(m, 0) | {"title": "[Removed]", "url": "https://removed.com"} for m in moments]
    rows = normalise_articles({"status": "ok", "totalResults": 2, "articles": removed}, "rest")
    assert rows.num_rows == 2
    assert rows.column("text").to_pylist() == ["", ""]
    assert rows.column("story").null_count == 2


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "apiKeyInvalid", AuthError),
        (401, "apiKeyMissing", AuthError),
        (401, "apiKeyDisabled", AuthError),
        (429, "apiKeyExhausted", QuotaSpent),
        (429, "rateLimited", RateLimited),
        (400, "parameterInvalid", BadRequest),
        (400, "parametersMissing", BadRequest),
        (400, "sourcesTooMany", BadRequest),
        (400, "sourceDoesNotExist", NotFound),
        (426, "corsNotAllowed", AuthError),
        (500, "unexpectedError", VendorDown),
        (200, "apiKeyInvalid", AuthError),
    ],
)
def test_errors_are_told_in_the_vendors_words_without_the_key(status: int, code: str, kind: type[Exception]):
    with pytest.raises(kind, match=f"{code}: Words of the vendor") as caught:
        asked_of(error(status, code, "Words of the vendor"))
    assert KEY not in str(caught.value)


def test_the_recorded_refusal_is_not_asked_again_soon(recordings: Path):
    recorded = json.loads((recordings / "errors" / "newsapi_rate_limited.json").read_bytes())
    with pytest.raises(RateLimited, match="100 requests over a 24 hour period") as caught:
        asked_of(Reply(recorded["status"], recorded["body"]))
    assert caught.value.retry_after is not None and caught.value.retry_after >= 3_600


def test_what_the_plan_does_not_reach_back_to_is_absent_and_no_failure():
    said = "You are trying to request results too far in the past."
    (absent,), _ = asked_of(error(426, "parameterInvalid", said))
    assert isinstance(absent, Absent)
    assert (absent.window, said in absent.evidence) == (DAY, True)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>busy</html>",
        b'{"status":"ok","totalResults":1,"articles":[{"title":"x"',
        {"status": "ok"},
        {"status": "ok", "totalResults": 1, "articles": [{"title": "x"}]},
        {"status": "ok", "totalResults": 1, "articles": [None]},
        {"status": "ok", "totalResults": 1, "articles": [article(datetime.max.replace(tzinfo=UTC), 1)]},
        {"status": "ok", "totalResults": 1, "articles": [article(DAY.start, 1) | {"source": "bbc-news"}]},
        {"status": "ok", "totalResults": 1, "articles": [article(DAY.start, 1) | {"title": 7}]},
        {"status": "ok", "totalResults": 1, "articles": [article(DAY.start, 1) | {"publishedAt": "soon"}]},
        {"status": "ok", "totalResults": 1, "articles": [article(DAY.start - timedelta(days=1), 1)]},
    ],
)
def test_what_is_not_as_documented_is_no_data(body: Any):
    with pytest.raises(MalformedAnswer):
        asked_of(body)


def test_ids_name_searches_and_categories():
    assert NewsApi.named("bitcoin") == ("newsapi.bitcoin", "bitcoin")
    assert NewsApi.named("headlines.business") == ("newsapi.headlines.business", "headlines.business")
    with pytest.raises(ValueError, match="technology"):
        NewsApi.named("headlines.finance")


def test_the_delay_is_never_asked_about():
    (feed,) = NewsApi.feeds
    now = datetime(2024, 8, 10, 12, tzinfo=UTC)
    assert feed.offered(now).end == now - timedelta(hours=24)
    assert feed.offered(now).start > now - timedelta(days=31)
