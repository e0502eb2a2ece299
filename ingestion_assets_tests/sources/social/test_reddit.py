"""Reddit: recorded listings, the token, the way down a listing and its end after about a thousand."""

from __future__ import annotations

import base64

import pytest

from ingestion_assets.registry import Series
from ingestion_assets.sources.errors import AuthError, MalformedAnswer, NotFound, RateLimited, VendorDown
from ingestion_assets.sources.feeds import Absent
from ingestion_assets.sources.social.reddit import TOKEN_PATH, Reddit
from ingestion_assets.tables.social import POSTS
from ingestion_assets_tests.sources.derivatives.asking import ask, at, covered, rows_of, window
from ingestion_assets_tests.sources.interrupted import gone_on
from ingestion_assets_tests.sources.replay import Reply

SERIES = Series("reddit.askreddit", "social", "reddit", "askreddit")
NEW = "/r/askreddit/new"
TOKEN = {"access_token": "t0ken", "token_type": "bearer", "expires_in": 86_400}
KEYS = {"api_key": "app", "api_secret": "hunter2"}
MIDNIGHT = 1_722_470_400
DAY = window("2024-08-01", "2024-08-02")
QUARANTINED = {
    "quarantine_message_html": "<p>" + "mind " * 99,
    "reason": "quarantined",
    "message": "Forbidden",
}


def listing(children: list[dict], after: str | None = None) -> dict:
    return {"kind": "Listing", "data": {"children": children, "after": after, "before": None}}


def post(number: int, seconds: float, **more: object) -> dict:
    data = {"id": f"p{number}", "name": f"t3_p{number}", "created_utc": seconds, "title": f"post {number}"}
    return {"kind": "t3", "data": data | {"selftext": "", "author": "a", "edited": False} | more}


def serving(children: list[dict]):
    """A listing as Reddit gives it, newest first, 100 at a time."""

    def answer(query: dict[str, str]) -> dict:
        names = [child["data"]["name"] for child in children]
        start = names.index(query["after"]) + 1 if "after" in query else 0
        page = children[start : start + int(query["limit"])]
        more = start + len(page) < len(children)
        return listing(page, page[-1]["data"]["name"] if more else None)

    return answer


def test_the_app_gets_a_token_and_asks_with_it():
    child = post(1, MIDNIGHT + 60.5, edited=MIDNIGHT + 90.0, selftext="text", permalink="/r/a/1", score=-3)
    pages, asked = ask(Reddit, POSTS, {TOKEN_PATH: TOKEN, NEW: listing([child])}, DAY, SERIES, **KEYS)
    row = rows_of(POSTS, pages).to_pylist()[0]
    assert row["time"] == at("2024-08-01T00:01:00.5")
    assert row["edited_at"] == at("2024-08-01T00:01:30")
    assert (row["text"], row["score"], row["url"]) == ("text", -3, "https://www.reddit.com/r/a/1")
    assert asked[0].headers["Authorization"] == "Basic " + base64.b64encode(b"app:hunter2").decode()
    assert asked[1].headers["Authorization"] == "bearer t0ken"
    assert asked[1].query == {"limit": "100", "raw_json": "1"}
    assert covered(pages)[-1].start == DAY.start


@pytest.mark.parametrize(
    "body",
    [
        b'{"access_token": "eyJ-s3cret-t0ken", "token_type": "bearer", "expi',
        b'{"access_token": "eyJ-s3cret-t0ken", "expires_in": }',
        b'{"access_token": "eyJ-s3cret-t0ken", "expires_in": "soon"}',
        b'{"access_token": "eyJ-s3cret-t0ken", "expires_in": [1]}',
        b'["eyJ-s3cret-t0ken"]',
        b'{"refresh_token": "eyJ-s3cret-t0ken"}',
        b"<html>eyJ-s3cret-t0ken</html>",
    ],
)
def test_an_answer_with_a_token_is_never_shown(body: bytes, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    with pytest.raises((MalformedAnswer, AuthError), match="token") as caught:
        ask(Reddit, POSTS, {TOKEN_PATH: body}, DAY, SERIES, **KEYS, attempts=2)
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"


def test_what_authors_and_moderators_took_away_is_null_or_as_sent():
    gone = post(1, MIDNIGHT + 10, author="[deleted]", selftext="[removed]", edited=True, upvote_ratio=None)
    crossed = post(2, MIDNIGHT + 20, author=None, selftext=None, crosspost_parent="t3_p1", is_gallery=True)
    comment = {
        "id": "c3",
        "created_utc": MIDNIGHT + 30,
        "body": "so it is",
        "parent_id": "t3_p1",
        "author": "b",
    }
    more = [{"kind": "t1", "data": comment}, {"kind": "more", "data": {"children": ["c4"]}}]
    pages, _ = ask(
        Reddit, POSTS, {TOKEN_PATH: TOKEN, NEW: listing([*more, crossed, gone])}, DAY, SERIES, **KEYS
    )
    rows = POSTS.in_order(rows_of(POSTS, pages)).to_pylist()
    assert [row["author"] for row in rows] == [None, None, "b"]
    assert [row["text"] for row in rows] == ["[removed]", "", "so it is"]
    assert [row["kind"] for row in rows] == ["post", "post", "comment"]
    assert (rows[2]["id"], rows[2]["answers_to"], rows[0]["edited_at"]) == ("t1_c3", "t3_p1", None)


def test_a_listing_is_followed_until_before_the_window():
    children = [post(n, MIDNIGHT + 600 * 60 - 60 * n) for n in range(700)]
    part = window("2024-08-01T03:00", "2024-08-01T10:01")
    pages, asked = ask(Reddit, POSTS, {TOKEN_PATH: TOKEN, NEW: serving(children)}, part, SERIES, **KEYS)
    rows = POSTS.in_order(rows_of(POSTS, pages))
    assert rows.num_rows == 421
    assert [one.query.get("after") for one in asked[1:]] == [None, *(f"t3_p{n}" for n in (99, 199, 299, 399))]
    assert (covered(pages)[-1].start, covered(pages)[0].end) == (part.start, part.end)


def test_a_listing_that_breaks_off_loses_nothing():
    children = [post(n, MIDNIGHT + 600 * 60 - 60 * n) for n in range(500)]
    answers = {TOKEN_PATH: TOKEN, NEW: serving(children)}
    before, after, _ = gone_on(Reddit, POSTS, answers, DAY, SERIES, path=NEW, at=4, **KEYS)
    young, old = (rows_of(POSTS, pages).column("id").to_pylist() for pages in (before, after))
    assert len(young) == 299  # the oldest one is not done with before the next answer
    assert sorted(young + old) == sorted(child["data"]["name"] for child in children)


def test_what_lies_behind_the_end_of_a_listing_is_not_to_be_had():
    children = [post(n, MIDNIGHT + 86_000 - 10 * n) for n in range(1_001)]
    answer = serving(children)

    def topped(query: dict[str, str]) -> dict:
        page = answer(query)
        if "after" not in query:  # a pinned post from long ago does not tell of what lies between
            page["data"]["children"].insert(0, post(9_000, MIDNIGHT - 9, stickied=True))
        return page

    pages, asked = ask(Reddit, POSTS, {TOKEN_PATH: TOKEN, NEW: topped}, DAY, SERIES, **KEYS)
    assert rows_of(POSTS, pages).num_rows == 1_001
    assert len(asked) == 12
    absent = [page for page in pages if isinstance(page, Absent)]
    assert [a.window.start for a in absent] == [DAY.start]
    assert "the listing of r/askreddit ended after 1002 posts" in absent[0].evidence


def test_a_young_subreddit_has_nothing_before_its_first_post():
    pages, _ = ask(
        Reddit, POSTS, {TOKEN_PATH: TOKEN, NEW: listing([post(1, MIDNIGHT + 9)])}, DAY, SERIES, **KEYS
    )
    assert not [page for page in pages if isinstance(page, Absent)]
    assert covered(pages)[-1].start == DAY.start


def test_pinned_posts_neither_end_the_way_nor_get_lost():
    pinned = [post(9_000, MIDNIGHT - 86_400 * 30, stickied=True), post(9_001, MIDNIGHT + 30, stickied=True)]
    children = [post(n, MIDNIGHT + 600 * 60 - 60 * n) for n in range(600)]
    answer = serving(children)

    def topped(query: dict[str, str]) -> dict:
        page = answer(query)
        if "after" not in query:
            page["data"]["children"] = pinned + page["data"]["children"]
        return page

    pages, _ = ask(Reddit, POSTS, {TOKEN_PATH: TOKEN, NEW: topped}, DAY, SERIES, **KEYS)
    ids = rows_of(POSTS, pages).column("id").to_pylist()
    assert len(ids) == len(set(ids)) == 601
    assert "t3_p9001" in ids
    assert covered(pages)[-1].start == DAY.start


def test_a_chain_that_leads_nowhere_ends():
    page = listing([post(1, MIDNIGHT + 50), post(2, MIDNIGHT + 40)], after="t3_p2")
    with pytest.raises(MalformedAnswer, match="leads nowhere"):
        ask(Reddit, POSTS, {TOKEN_PATH: TOKEN, NEW: page}, DAY, SERIES, **KEYS)


@pytest.mark.parametrize(
    ("answers", "kind", "words"),
    [
        ({TOKEN_PATH: Reply(401, {"message": "Unauthorized", "error": 401})}, AuthError, "Unauthorized"),
        ({TOKEN_PATH: {"error": "invalid_grant"}}, AuthError, "invalid_grant"),
        (
            {TOKEN_PATH: TOKEN, NEW: Reply(403, {"message": "Forbidden", "error": 403})},
            AuthError,
            "Forbidden",
        ),
        (
            {TOKEN_PATH: TOKEN, NEW: Reply(403, QUARANTINED)},
            AuthError,
            "HTTP 403: Forbidden: quarantined",
        ),
        (
            {TOKEN_PATH: TOKEN, NEW: Reply(404, {"reason": "banned", "message": "Not Found", "error": 404})},
            NotFound,
            "HTTP 404: Not Found: banned",
        ),
        (
            {
                TOKEN_PATH: TOKEN,
                NEW: Reply(302, b"{}", {"Location": "https://x/subreddits/search?q=askreddit"}),
            },
            NotFound,
            "no such subreddit",
        ),
        (
            {TOKEN_PATH: Reply(403, b"<body>blocked by network security</body>", content_type="text/html")},
            VendorDown,
            "network security",
        ),
        ({TOKEN_PATH: TOKEN, NEW: {"kind": "t5", "data": {}}}, MalformedAnswer, "no Listing"),
        ({TOKEN_PATH: TOKEN, NEW: [listing([]), listing([])]}, MalformedAnswer, "not the JSON"),
        ({TOKEN_PATH: TOKEN, NEW: listing([{"kind": "t3"}])}, MalformedAnswer, "'data'"),
        ({TOKEN_PATH: TOKEN, NEW: listing([None])}, MalformedAnswer, "cannot be read"),
        ({TOKEN_PATH: TOKEN, NEW: listing([post(1, MIDNIGHT, score="high")])}, MalformedAnswer, "high"),
        ({TOKEN_PATH: TOKEN, NEW: listing([post(1, 5)])}, MalformedAnswer, "no time in seconds"),
    ],
)
def test_errors_are_what_they_say_and_show_no_secret(answers, kind, words):
    with pytest.raises(kind, match=words) as caught:
        ask(Reddit, POSTS, answers, DAY, SERIES, **KEYS)
    assert "hunter2" not in str(caught.value)


def test_a_limit_told_in_a_page_says_when_it_is_over():
    told = Reply(429, b"<html>whoa there</html>", {"x-ratelimit-reset": "213"}, "text/html")
    with pytest.raises(RateLimited) as caught:
        ask(Reddit, POSTS, {TOKEN_PATH: TOKEN, NEW: told}, DAY, SERIES, **KEYS)
    assert caught.value.retry_after == 213
    told = Reply(429, {"message": "Too Many Requests", "error": 429}, {"Retry-After": "9"})
    with pytest.raises(RateLimited) as caught:
        ask(Reddit, POSTS, {TOKEN_PATH: told}, DAY, SERIES, **KEYS)
    assert caught.value.retry_after == 9


def test_names_are_lower_case():
    assert Reddit.named("r/Bitcoin") == ("reddit.bitcoin", "bitcoin")
    with pytest.raises(ValueError, match="write it like bitcoin"):
        Reddit.named("no such name")
