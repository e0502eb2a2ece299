"""Posts, counts and listings as X and Reddit were recorded, through the code that reads them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from ingestion_assets.intervals import iso
from ingestion_assets.registry import Series
from ingestion_assets.sources.errors import MalformedAnswer, RateLimited
from ingestion_assets.sources.social import reddit_posts
from ingestion_assets.sources.social.reddit import TOKEN_PATH, Reddit
from ingestion_assets.sources.social.reddit_posts import normalise_listing
from ingestion_assets.sources.social.x import X
from ingestion_assets.sources.social.x_posts import document_of, normalise_counts, normalise_posts, time_of
from ingestion_assets.tables.social import POST_COUNTS, POSTS
from ingestion_assets_tests.sources.derivatives.asking import ask, at, covered, rows_of, window
from ingestion_assets_tests.sources.replay import Reply, Turns

SERIES = Series("x.tweepy", "social", "x", "Tweepy")
SEARCH, COUNTS = "/2/tweets/search/recent", "/2/tweets/counts/recent"
EVENING = window("2022-10-07T22:00", "2022-10-07T23:00")
FORUM = Series("reddit.askreddit", "social", "reddit", "askreddit")
NEW, TOKEN = "/r/askreddit/new", {"access_token": "t0ken", "expires_in": 86_400}
KEYS = {"api_key": "app", "api_secret": "hunter2"}
DAY = window("2024-08-01", "2024-08-02")


def test_a_recorded_search_gives_its_posts(recordings):
    body = json.loads((recordings / "x_twitter" / "client_search_recent_tweets.body.json").read_text())
    pages, _ = ask(X, POSTS, {SEARCH: Turns(body, {"meta": {"result_count": 0}})}, EVENING, SERIES)
    rows = POSTS.in_order(rows_of(POSTS, pages)).to_pylist()
    assert [row["id"] for row in rows] == [entry["id"] for entry in reversed(body["data"])]
    assert rows[0]["id"] == "1578511538419212288"
    assert rows[-1]["text"] == "2022-10-07 22:42:12.637103 tweepy"
    for row in rows:  # each says in its text when it was sent, and its id tells the time
        sent = at(row["text"].removesuffix(" tweepy").replace(" ", "T"))
        assert timedelta() <= row["time"] - sent < timedelta(seconds=1)
    assert rows[0]["likes"] is None
    assert rows[0]["author"] is None


def test_recorded_counts_give_every_bucket_the_short_ones_too(recordings):
    body = (recordings / "x_twitter" / "client_get_recent_tweets_count.body.json").read_bytes()
    rows = normalise_counts(document_of(body), "rest")
    told = json.loads(body)
    assert rows.num_rows == len(told["data"]) == 169
    assert sum(rows.column("posts").to_pylist()) == told["meta"]["total_tweet_count"] == 411
    first, last = rows.slice(0, 1).to_pylist()[0], rows.slice(168).to_pylist()[0]
    assert (first["time"], first["until"]) == (at("2021-09-13T19:18:24"), at("2021-09-13T20:00"))
    assert (last["time"], last["until"]) == (at("2021-09-20T19:00"), at("2021-09-20T19:18:24"))
    assert POST_COUNTS.examine(rows)[1].num_rows == 0


def test_recorded_counts_come_through_the_feed_hour_by_hour(recordings):
    body = json.loads((recordings / "x_twitter" / "client_get_recent_tweets_count.body.json").read_text())
    whole = [
        e for e in body["data"] if e["start"].endswith(":00:00.000Z") and e["end"].endswith(":00:00.000Z")
    ]
    part = window(whole[0]["start"], whole[-1]["end"])
    pages, asked = ask(X, POST_COUNTS, {COUNTS: body | {"data": whole}}, part, SERIES)
    rows = rows_of(POST_COUNTS, pages).to_pylist()
    assert [(iso(row["time"]), row["posts"]) for row in rows] == [
        (iso(at(entry["start"])), entry["tweet_count"]) for entry in whole
    ]
    assert covered(pages) == [part]
    assert len(asked) == 1


def test_recorded_posts_of_an_account_come_through_the_feed(recordings):
    """Of the same shape as a search's, with a token that leads on to an answer without posts."""
    body = json.loads((recordings / "x_twitter" / "client_get_users_tweets.body.json").read_text())
    part = window("2022-09-01", "2022-10-06")
    pages, asked = ask(X, POSTS, {SEARCH: Turns(body, {"meta": {"result_count": 0}})}, part, SERIES)
    rows = POSTS.in_order(rows_of(POSTS, pages)).to_pylist()
    told = [(entry["id"], entry["text"], time_of(int(entry["id"]))) for entry in reversed(body["data"])]
    assert [(row["id"], row["text"], row["time"]) for row in rows] == told
    assert iso(rows[0]["time"])[:10] == "2022-09-01"
    assert {row["edited_at"] for row in rows} == {row["likes"] for row in rows} == {None}
    assert asked[1].query["next_token"] == body["meta"]["next_token"]
    assert (covered(pages)[-1].start, covered(pages)[0].end) == (part.start, part.end)


def test_recorded_posts_asked_for_by_id_and_one_of_a_stream_read_alike(recordings):
    by_id = document_of((recordings / "x_twitter" / "client_get_tweets.body.json").read_bytes())
    rows = normalise_posts({"data": by_id["data"][::-1]}, EVENING.end, "rest").to_pylist()
    assert [(row["id"], row["text"]) for row in rows] == [(one["id"], one["text"]) for one in by_id["data"]]
    assert [iso(row["time"])[:16] for row in rows] == ["2020-08-12T17:01", "2020-08-12T17:11"]
    line = document_of((recordings / "x_twitter" / "filtered_stream_line.json").read_bytes())
    (row,) = normalise_posts({"data": [line["data"]]}, EVENING.end, "rest").to_pylist()
    assert (row["id"], row["text"]) == ("1513413325731868675", "test")
    assert iso(row["time"])[:10] == "2022-04-11"


def test_a_recorded_429_is_a_limit_until_the_epoch_second_it_names(recordings):
    told = json.loads((recordings / "errors" / "x_429.json").read_text())
    answer = Reply(told["status"], told["body"], headers=told["headers"])
    with pytest.raises(RateLimited, match="Too Many Requests") as caught:
        ask(X, POSTS, {SEARCH: answer}, EVENING, SERIES)
    assert caught.value.retry_after == 1.0  # that second is long over


def test_a_recorded_listing_gives_its_posts(recordings):
    body = (recordings / "reddit" / "SubredditListings.test_new.body.json").read_bytes()
    document = json.loads(body)
    found = normalise_listing(reddit_posts.document_of(body), at("2016-07-18"), "rest")
    told = [child["data"] for child in document["data"]["children"]]
    rows = POSTS.distinct(found.rows)
    assert found.items == len(told)
    assert {row["id"] for row in rows.to_pylist()} | set(found.pinned.column("id").to_pylist()) == {
        one["name"] for one in told
    }
    by_id = {one["name"]: one for one in told}
    for row in rows.to_pylist():
        one = by_id[row["id"]]
        assert row["time"].timestamp() == one["created_utc"]
        assert (row["title"], row["score"], row["replies"]) == (
            one["title"],
            one["score"],
            one["num_comments"],
        )
        assert row["edited_at"] is None or row["edited_at"].timestamp() == one["edited"]
    assert POSTS.examine(rows)[1].num_rows == 0
    assert found.after == document["data"]["after"]


def test_a_recorded_listing_comes_through_the_feed_to_its_end(recordings):
    folder = recordings / "reddit"
    listed = json.loads((folder / "SubredditListings.test_new.body.json").read_bytes())
    none = json.loads((folder / "ListingGenerator.test_no_items.body.json").read_bytes())
    told = sorted((c["data"]["created_utc"], c["data"]["name"]) for c in listed["data"]["children"])
    part = window(str(told[0][0] - told[0][0] % 60), str(told[-1][0] + 60 - told[-1][0] % 60))
    answers = {TOKEN_PATH: TOKEN, NEW: Turns(listed, none)}
    pages, asked = ask(Reddit, POSTS, answers, part, FORUM, **KEYS)
    rows = POSTS.in_order(rows_of(POSTS, pages)).to_pylist()
    assert sorted((row["time"].timestamp(), row["id"]) for row in rows) == told
    assert [one.query.get("after") for one in asked[1:]] == [None, listed["data"]["after"]]
    assert (covered(pages)[-1].start, covered(pages)[0].end) == (part.start, part.end)


def test_a_recorded_listing_with_pinned_posts_and_one_without_any(recordings):
    folder = recordings / "reddit"
    hot = reddit_posts.document_of((folder / "SubredditListings.test_hot.body.json").read_bytes())
    found = normalise_listing(hot, at("2016-03-02"), "rest")
    assert found.items == len(hot["data"]["children"])
    assert found.pinned.num_rows == sum(bool(c["data"].get("stickied")) for c in hot["data"]["children"])
    none = (folder / "ListingGenerator.test_no_items.body.json").read_bytes()
    assert normalise_listing(reddit_posts.document_of(none), at("2016-03-02"), "rest").items == 0


def test_a_recorded_answer_that_is_no_listing_is_refused(recordings):
    """What an account's multireddits are: a list of subreddits, not of posts."""
    body = (recordings / "reddit" / "MultiredditListings.test_new__self_multi.body.json").read_bytes()
    with pytest.raises(MalformedAnswer, match=r"not the JSON .*LabeledMulti"):
        ask(Reddit, POSTS, {TOKEN_PATH: TOKEN, NEW: body}, DAY, FORUM, **KEYS)
