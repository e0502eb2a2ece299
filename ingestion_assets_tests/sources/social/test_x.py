"""X: recorded answers, paging to the past, what is spent, what its errors are."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from ingestion_assets.ingestion.spending import CatalogPurse
from ingestion_assets.intervals import iso
from ingestion_assets.registry import Series
from ingestion_assets.sources.errors import (
    AuthError,
    BadRequest,
    MalformedAnswer,
    QuotaSpent,
    RateLimited,
    VendorDown,
)
from ingestion_assets.sources.feeds import Page
from ingestion_assets.sources.social.x import X
from ingestion_assets.sources.social.x_posts import (
    first_id,
    time_of,
)
from ingestion_assets.sources.spending import Allowance
from ingestion_assets.stores.budgets import Budgets
from ingestion_assets.stores.catalog import Catalog
from ingestion_assets.tables.social import POST_COUNTS, POSTS
from ingestion_assets_tests.sources.derivatives.asking import ask, at, covered, rows_of, window
from ingestion_assets_tests.sources.interrupted import gone_on
from ingestion_assets_tests.sources.replay import Reply, Turns

SERIES = Series("x.tweepy", "social", "x", "Tweepy")
SEARCH, COUNTS = "/2/tweets/search/recent", "/2/tweets/counts/recent"
EVENING = window("2022-10-07T22:00", "2022-10-07T23:00")


def post(number: int, **more: object) -> dict:
    return {"id": str(number), "text": f"post {number}", "edit_history_tweet_ids": [str(number)], **more}


def minutes(start: str, count: int) -> list[int]:
    """Ids of posts, one a minute, newest first."""
    return [first_id(at(start) + timedelta(minutes=n)) + n for n in reversed(range(count))]


def serving(numbers: list[int]):
    """Search as X does it: newest first, between two ids, page by page."""

    def answer(query: dict[str, str]) -> dict:
        low, high = int(query["since_id"]), int(query["until_id"])
        found = [n for n in numbers if low < n < high]
        start, many = int(query.get("next_token", "t0")[1:]), int(query["max_results"])
        page = found[start : start + many]
        meta: dict = {"result_count": len(page)}
        if start + many < len(found):
            meta["next_token"] = f"t{start + many}"
        return {"meta": meta} | ({"data": [post(n) for n in page]} if page else {})

    return answer


@pytest.fixture
def purse(tmp_path):
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.create()

    def of(limit: int) -> CatalogPurse:
        allowance = Allowance("day", "post reads", limit)
        return CatalogPurse(
            Budgets(catalog), "x", allowance, "raise X_SPEND_PER_DAY_USD", lambda: EVENING.end
        )

    yield of
    catalog.close()


def test_full_fields_are_kept():
    number = first_id(at("2022-10-07T22:30"))
    metrics = {"retweet_count": 1, "reply_count": 2, "like_count": 3, "quote_count": 4, "impression_count": 5}
    entry = post(
        number, author_id="42", lang="en", created_at="2022-10-07T22:30:00.000Z", public_metrics=metrics
    )
    entry["referenced_tweets"] = [{"type": "quoted", "id": "7"}, {"type": "replied_to", "id": "8"}]
    answer = {"data": [entry], "meta": {"result_count": 1}}
    pages, asked = ask(X, POSTS, {SEARCH: answer}, EVENING, SERIES, api_key="secret")
    row = rows_of(POSTS, pages).to_pylist()[0]
    assert row["time"] == at("2022-10-07T22:30")
    assert [row[n] for n in ("reposts", "replies", "likes", "quotes", "impressions")] == [1, 2, 3, 4, 5]
    assert (row["author"], row["language"], row["answers_to"], row["kind"]) == ("42", "en", "8", "comment")
    assert asked[0].headers["Authorization"] == "Bearer secret"
    assert int(asked[0].query["since_id"]) == first_id(EVENING.start) - 1


def test_a_long_post_is_kept_whole_and_an_edited_one_is_of_when_it_was_edited():
    first, edited = first_id(at("2022-10-07T21:50")), first_id(at("2022-10-07T22:10:05.5"))
    long = post(first_id(at("2022-10-07T22:30")), note_tweet={"text": "all of it, and more"}, text="all of…")
    changed = post(
        edited, edit_history_tweet_ids=[str(first), str(edited)], withheld={"country_codes": ["DE"]}
    )
    changed |= {"created_at": "2022-10-07T21:50:00.000Z", "author_id": "42"}
    users = {"users": [{"id": "42", "username": "someone"}]}
    answer = {"data": [long, changed], "includes": users, "meta": {"result_count": 2}}
    pages, asked = ask(X, POSTS, {SEARCH: answer}, EVENING, SERIES)
    one, two = POSTS.in_order(rows_of(POSTS, pages)).to_pylist()
    assert (one["time"], one["edited_at"]) == (at("2022-10-07T22:10:05"), at("2022-10-07T22:10:05.5"))
    assert two["text"] == "all of it, and more"
    assert "note_tweet" in asked[0].query["tweet.fields"].split(",")


@pytest.mark.parametrize(
    "entry",
    ["text", None, {"id": "7"}, post(7, public_metrics=[1]), post(7, author_id=42), post(7, created_at=3)],
)
def test_a_post_that_is_not_as_documented_is_named(entry):
    with pytest.raises(MalformedAnswer, match="cannot be read"):
        ask(X, POSTS, {SEARCH: {"data": [entry], "meta": {"result_count": 1}}}, EVENING, SERIES)


def test_pages_reach_to_the_start_and_end():
    numbers = minutes("2022-10-06T00:00", 1_000)
    day = window("2022-10-06T01:00", "2022-10-06T06:00")
    pages, asked = ask(X, POSTS, {SEARCH: serving(numbers)}, day, SERIES)
    rows = rows_of(POSTS, pages)
    assert rows.num_rows == 300
    assert rows.column("time").combine_chunks().unique().__len__() == 300
    assert len(asked) == 3
    windows = covered(pages)
    assert (windows[-1].start, windows[0].end) == (day.start, day.end)
    assert all(newer.start == older.end for newer, older in itertools.pairwise(windows))


def test_a_search_that_breaks_off_goes_on_with_what_is_older():
    numbers = minutes("2022-10-06T00:00", 1_000)
    day = window("2022-10-06T01:00", "2022-10-06T06:00")
    before, after, asked = gone_on(X, POSTS, {SEARCH: serving(numbers)}, day, SERIES, path=SEARCH, at=3)
    young, old = rows_of(POSTS, before), rows_of(POSTS, after)
    assert (young.num_rows, asked) == (199, 2)  # the oldest one is not done with before the next answer
    assert sorted(young.column("id").to_pylist() + old.column("id").to_pylist()) == [
        str(number) for number in sorted(numbers)[60:360]
    ]


def test_nothing_found_is_an_answer():
    pages, asked = ask(X, POSTS, {SEARCH: {"meta": {"result_count": 0}}}, EVENING, SERIES)
    assert covered(pages) == [EVENING]
    assert len(asked) == 1


def test_the_ceiling_stops_a_search_and_the_next_day_goes_on(purse):
    numbers = minutes("2022-10-06T00:00", 1_000)
    day = window("2022-10-06T01:00", "2022-10-06T06:00")
    account = purse(250)
    gathered: list = []
    with pytest.raises(
        QuotaSpent, match=r"250 of 250 post reads are spent in 2022-10-07 .*X_SPEND_PER_DAY_USD"
    ):
        ask_into(gathered, {SEARCH: serving(numbers)}, day, purse=account)
    assert sum(page.rows.num_rows for page in gathered) == 249  # the oldest is not done with yet
    rest = window("2022-10-06T01:00", iso(min(page.window.start for page in gathered)))
    pages, asked = ask(X, POSTS, {SEARCH: serving(numbers)}, rest, SERIES, purse=purse(1_000))
    assert rows_of(POSTS, pages).num_rows == 51
    assert len(asked) == 1
    assert account.budgets.spent("x", "2022-10-07") == 250 + 51


def ask_into(gathered: list, answers: dict, part, **options) -> None:
    """As `ask`, but what came before an error is kept."""
    import asyncio

    from ingestion_assets.sources.market import SourceOptions
    from ingestion_assets_tests.sources.replay import Replay

    async def main(url: str) -> None:
        async with X(SourceOptions(base_url=url, attempts=1, **options)) as opened:
            async for page in opened.posts(SERIES, part):
                assert isinstance(page, Page)
                gathered.append(page)

    with Replay(answers) as replay:
        asyncio.run(main(replay.url))


def test_a_refusal_costs_nothing_and_a_lost_answer_stays_counted(purse):
    account = purse(1_000)
    with pytest.raises(AuthError):
        ask(X, POSTS, {SEARCH: Reply(401, {"title": "Unauthorized"})}, EVENING, SERIES, purse=account)
    assert account.budgets.spent("x", "2022-10-07") == 0
    with pytest.raises(MalformedAnswer):
        ask(X, POSTS, {SEARCH: b'{"data": ['}, EVENING, SERIES, purse=account)
    assert account.budgets.spent("x", "2022-10-07") == 100


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (
            Reply(429, {"title": "UsageCapExceeded", "detail": "Monthly product cap"}),
            QuotaSpent,
            "Monthly product",
        ),
        (Reply(402, {"title": "CreditsDepleted", "detail": "no credits"}), QuotaSpent, "no credits"),
        (
            Reply(
                403,
                {
                    "title": "SpendCapReached",
                    "detail": "blocked until the next cycle",
                    "type": "https://api.twitter.com/2/problems/credits",
                },
            ),
            QuotaSpent,
            "until the next cycle",
        ),
        (Reply(429, {"type": "https://api.x.com/2/problems/usage-capped"}), QuotaSpent, "usage-capped"),
        (Reply(429, {"errors": [{"code": 88, "message": "Rate limit exceeded"}]}), RateLimited, "Rate limit"),
        (Reply(200, {"errors": "none"}), MalformedAnswer, "no list"),
        (
            Reply(401, {"title": "Unauthorized", "status": 401, "detail": "Unauthorized"}),
            AuthError,
            "Unauthorized",
        ),
        (Reply(403, {"title": "Forbidden", "detail": "not your plan"}), AuthError, "not your plan"),
        (
            Reply(403, {"client_id": "1" * 200, "title": "Client Forbidden", "detail": "attach it"}),
            AuthError,
            "HTTP 403: Client Forbidden: attach it",
        ),
        (Reply(503, {"title": "Service Unavailable", "status": 503}), VendorDown, "Service Unavailable"),
        (
            Reply(400, {"errors": [{"message": "since_id is too old"}], "title": "Invalid"}),
            BadRequest,
            "too old",
        ),
        (Reply(200, {"errors": [{"title": "Not Found", "detail": "gone"}]}), BadRequest, "gone"),
        (
            Reply(200, {"data": [{"id": 7, "text": ""}], "meta": {"result_count": 1}}),
            MalformedAnswer,
            "as text",
        ),
        (Reply(200, {"data": [], "meta": {"result_count": 3}}), MalformedAnswer, "tells of 3"),
    ],
)
def test_errors_are_what_they_say_and_show_no_secret(reply, kind, words):
    with pytest.raises(kind, match=words) as caught:
        ask(X, POSTS, {SEARCH: reply}, EVENING, SERIES, api_key="AAAA-secret")
    assert "AAAA-secret" not in str(caught.value)


def test_a_limit_without_words_is_one_too():
    for told in (b"", b"Too Many Requests", b"<html>busy</html>"):
        with pytest.raises(RateLimited) as caught:
            reply = Reply(429, told, {"x-rate-limit-reset": "1"}, "text/plain")
            ask(X, POSTS, {SEARCH: reply}, EVENING, SERIES)
        assert caught.value.retry_after == 1.0


@pytest.mark.timeout(60)
def test_the_vendor_s_quarter_of_an_hour_is_not_taken_for_ours():
    """It may be over in a moment: the next request is made, and only a 429 is waited for."""
    numbers = minutes("2022-10-07T22:00", 150)
    spent = {"x-rate-limit-limit": "450", "x-rate-limit-remaining": "0", "x-rate-limit-reset": "1"}

    def answer(query: dict[str, str]) -> Reply:
        return Reply(200, serving(numbers)(query), spent)

    long = window("2022-10-07T22:00", "2022-10-08T01:00")
    pages, _ = ask(X, POSTS, {SEARCH: answer}, long, SERIES)
    assert rows_of(POSTS, pages).num_rows == 150


def test_posts_that_cannot_be_shown_do_not_hide_the_others():
    number = first_id(at("2022-10-07T22:30"))
    answer = {"data": [post(number)], "meta": {"result_count": 1}, "errors": [{"title": "Not Found"}]}
    pages, _ = ask(X, POSTS, {SEARCH: answer}, EVENING, SERIES)
    assert rows_of(POSTS, pages).num_rows == 1


def test_a_token_that_comes_again_ends_the_chain():
    numbers = minutes("2022-10-07T22:00", 20)
    first = {"data": [post(n) for n in numbers[:10]], "meta": {"result_count": 10, "next_token": "t"}}
    again = {"data": [post(n) for n in numbers[10:]], "meta": {"result_count": 10, "next_token": "t"}}
    with pytest.raises(MalformedAnswer, match="next_token was given before"):
        ask(X, POSTS, {SEARCH: Turns(first, again)}, EVENING, SERIES)


def test_counts_are_asked_for_whole_hours():
    part = window("2022-10-07T00:00", "2022-10-07T03:00")
    hours = [f"2022-10-07T0{n}:00:00.000Z" for n in range(4)]
    data = [{"start": hours[n], "end": hours[n + 1], "tweet_count": n} for n in range(3)]
    pages, asked = ask(
        X, POST_COUNTS, {COUNTS: {"data": data, "meta": {"total_tweet_count": 3}}}, part, SERIES
    )
    assert rows_of(POST_COUNTS, pages).column("posts").to_pylist() == [0, 1, 2]
    assert asked[0].query["start_time"] == "2022-10-07T00:00:00Z"


def test_names_of_queries_are_safe_and_apart():
    assert X.named("bitcoin") == ("x.bitcoin", "bitcoin")
    first, second = X.named("bitcoin OR btc lang:en"), X.named("bitcoin OR btc -lang:en")
    assert first is not None
    assert second is not None
    assert first[0] != second[0]
    assert first[1] == "bitcoin OR btc lang:en"
    with pytest.raises(ValueError, match="has 200 characters"):
        X.named("a" * 200)


def test_an_id_tells_its_time():
    assert time_of(1513413325731868675).date().isoformat() == "2022-04-11"
    assert first_id(time_of(1513413325731868675)) == 1513413325731868675 >> 22 << 22
