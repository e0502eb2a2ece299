"""News from poll to verdict: a feed is ingested, a sensor sees what changed, its texts are judged once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from ingestion_assets.assets.sentiment import made as sentiment_made
from ingestion_assets.features.sentiment import Lexicon
from ingestion_assets.registry import Series
from ingestion_assets.stores.lake import Lake
from ingestion_assets.tables.news import NEWS_ITEMS
from ingestion_assets.tables.sentiment import NEWS_SENTIMENT
from ingestion_assets.workbench import Workbench
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


def test_what_was_judged_is_judged_again_only_when_its_text_or_the_judge_is_another(feeds):
    key = f"{MONTH}|rss.a"
    assert feeds.run("ingest_news", key).success
    assert feeds.run("sentiment_news", key).success
    mine = feeds.rows(NEWS_SENTIMENT, key)
    assert len({row["judged_text"] for row in mine}) == 2
    marked = [row | {"sentiment_score": 0.125} for row in mine]  # which no text here has by itself
    feeds.bench.lake.merge(NEWS_SENTIMENT, "rss.a", MONTH, rows_of(marked), notes={})
    good, bad = "Bitcoin soars to a record", "All funds returned, great recovery"
    edited = rss(GOOD, item("bad", at=NOW, title=bad), item("new", at=NOW, title="Crash"))
    with Replay({"/a": served(edited)}) as replay:
        feeds.change("rss.a", metadata={"url": f"{replay.url}/a"})
        feeds.setenv(EXCHANGE_URLS=json.dumps({"rss": replay.url}))
        config = {"ops": {"news__items": {"config": {"full_refresh": True}}}}
        assert feeds.run("ingest_news", key, run_config=config).success
    assert feeds.run("sentiment_news", key).success
    items = {row["id"]: row["title"] for row in feeds.rows(NEWS_ITEMS, key)}
    scores = {items[row["id"]]: row["sentiment_score"] for row in feeds.rows(NEWS_SENTIMENT, key)}
    assert set(scores) == {good, bad, "Crash"}
    assert scores[good] == 0.125, "held, and not judged again"
    assert scores[bad] > 0.125
    assert scores["Crash"] < 0
    other = [row | {"sentiment_model": "lexicon-0"} for row in feeds.rows(NEWS_SENTIMENT, key)]
    feeds.bench.lake.merge(NEWS_SENTIMENT, "rss.a", MONTH, rows_of(other), notes={})
    assert feeds.run("sentiment_news", key).success
    assert {row["sentiment_model"] for row in feeds.rows(NEWS_SENTIMENT, key)} == {Lexicon.name}
    assert 0.125 not in [row["sentiment_score"] for row in feeds.rows(NEWS_SENTIMENT, key)]


def test_a_file_of_judgements_that_cannot_be_read_is_made_anew(feeds):
    key = f"{MONTH}|rss.a"
    for job in ("ingest_news", "sentiment_news"):
        assert feeds.run(job, key).success
    before = feeds.rows(NEWS_SENTIMENT, key)
    feeds.file(NEWS_SENTIMENT, key).write_bytes(b"no Parquet")
    assert feeds.run("sentiment_news", key).success
    assert feeds.rows(NEWS_SENTIMENT, key) == before


def rows_of(rows):
    return NEWS_SENTIMENT.conform(pa.Table.from_pylist(rows, NEWS_SENTIMENT.schema))


class Counting(Lake):
    """A lake that counts whose stories were looked up."""

    def __init__(self, *place):
        super().__init__(*place)
        self.looked_up = []

    def read(self, table, series, window, columns=None):
        if columns is not None and "text" not in columns:
            self.looked_up.append((table.path, series))
        return super().read(table, series, window, columns)


def test_each_series_is_read_once_for_the_stories_of_a_month(feeds):
    for name in ("a", "b"):
        assert feeds.run("ingest_news", f"{MONTH}|rss.{name}").success
    bench = Workbench(feeds.bench.settings)
    bench.__dict__["lake"] = Counting(bench.settings.data_lake_path, {}, None)
    keys = [f"{MONTH}|rss.b", f"{MONTH}|rss.a"]
    made = list(sentiment_made(bench, NEWS_SENTIMENT, NEWS_ITEMS, keys, "test"))
    assert [one.error for one in made] == [None, None]
    assert sorted(bench.lake.looked_up) == [(NEWS_ITEMS.path, "rss.a"), (NEWS_ITEMS.path, "rss.b")]


def test_nothing_that_was_landed_is_lost_when_the_feed_forgets_it_and_all_is_fetched_again(feeds):
    key = f"{MONTH}|rss.a"
    assert feeds.run("ingest_news", key).success
    with Replay({"/a": served(rss(item("new", at=NOW - timedelta(seconds=1))))}) as replay:
        feeds.setenv(EXCHANGE_URLS=json.dumps({"rss": replay.url}))
        feeds.change("rss.a", metadata={"url": f"{replay.url}/a"})
        config = {"ops": {"news__items": {"config": {"full_refresh": True}}}}
        assert feeds.run("ingest_news", key, run_config=config).success
    assert {row["guid"] for row in feeds.rows(NEWS_ITEMS, key)} == {"good", "bad", "new"}
