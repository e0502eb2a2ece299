"""News from poll to verdict: a feed is ingested, a sensor sees what changed, its texts are judged once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from ingestion_assets.features.sentiment import Lexicon
from ingestion_assets.registry import Series
from ingestion_assets.tables.news import NEWS_ITEMS
from ingestion_assets.tables.sentiment import NEWS_SENTIMENT
from ingestion_assets_tests.sources.news.feeds import item, rss, served
from ingestion_assets_tests.sources.replay import Replay, Turns

NOW = datetime.now(UTC)
MONTH = f"{NOW:%Y-%m}"
START = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
GOOD = item(
    "good", at=NOW, title="Bitcoin soars to a record", link="https://paper.example/good?utm_source=rss"
)
BAD = item("bad", at=NOW, title="Exchange hacked, funds stolen")
AGAIN = item("copy", at=NOW, title="Bitcoin soars", link="https://www.paper.example/good/")


@pytest.fixture
def feeds(world):
    """Two registered feeds; the second one tells a story of the first again, and at its next poll changes."""
    answers = {"/a": served(rss(GOOD, BAD)), "/b": Turns(served(rss(AGAIN)), served(rss(AGAIN, BAD)))}
    with Replay(answers) as replay:
        world.setenv(EXCHANGE_URLS=json.dumps({"rss": replay.url}))
        made = [
            Series(
                f"rss.{name}", "news", "rss", name, listed_at=START, metadata={"url": f"{replay.url}/{name}"}
            )
            for name in ("a", "b")
        ]
        world.bench.registry.add_missing(made)
        world.instance.add_dynamic_partitions("news", [one.id for one in made])
        yield world


def test_news_are_judged_when_they_change_and_a_story_told_twice_is_marked(feeds):
    for name in ("a", "b"):
        assert feeds.run("ingest_news", f"{MONTH}|rss.{name}").success
    assert [row["guid"] for row in feeds.rows(NEWS_ITEMS, f"{MONTH}|rss.b")] == ["copy"]
    tick = feeds.tick("sentiment_news")
    assert {run.success for run in feeds.execute(tick.run_requests)} == {True}
    mine = {row["id"]: row for row in feeds.rows(NEWS_SENTIMENT, f"{MONTH}|rss.a")}
    told = {row["guid"]: mine[row["id"]] for row in feeds.rows(NEWS_ITEMS, f"{MONTH}|rss.a")}
    assert told["good"]["sentiment_label"] == "positive"
    assert told["bad"]["sentiment_label"] == "negative"
    assert {row["sentiment_model"] for row in mine.values()} == {Lexicon.name}
    assert [row["duplicate_of"] for row in mine.values()] == [None, None]
    (copy,) = feeds.rows(NEWS_SENTIMENT, f"{MONTH}|rss.b")
    assert copy["duplicate_of"] == "rss.a"
    assert copy["known_at"] == feeds.rows(NEWS_ITEMS, f"{MONTH}|rss.b")[0]["known_at"]
    again = feeds.tick("sentiment_news", tick.cursor)
    assert not again.run_requests


def test_nothing_that_was_landed_is_lost_when_the_feed_forgets_it_and_all_is_fetched_again(feeds):
    key = f"{MONTH}|rss.a"
    assert feeds.run("ingest_news", key).success
    with Replay({"/a": served(rss(item("new", at=NOW - timedelta(seconds=1))))}) as replay:
        feeds.setenv(EXCHANGE_URLS=json.dumps({"rss": replay.url}))
        feeds.change("rss.a", metadata={"url": f"{replay.url}/a"})
        config = {"ops": {"news__items": {"config": {"full_refresh": True}}}}
        assert feeds.run("ingest_news", key, run_config=config).success
    assert {row["guid"] for row in feeds.rows(NEWS_ITEMS, key)} == {"good", "bad", "new"}
