"""`ingest rss`: a feed is registered and fetched, again only what is new; what is no feed is refused."""

from __future__ import annotations

import duckdb
import pytest

from ingestion_assets_tests.cli.conftest import Ingest, Simulator


@pytest.fixture
def url(simulator: Simulator) -> str:
    return f"{simulator.url}/feeds/herald.xml"


def test_a_feed_is_registered_fetched_and_told_of(ingest: Ingest, url: str):
    told = ingest("rss", url, "--json").ok().json
    assert told["series"].startswith("rss.127-0-0-1")
    assert (told["registered"], told["title"], told["url"]) == (True, "Coin Herald", url)
    assert told["new"] == told["items"] == 30
    held = duckdb.sql(f"select count(*), count(distinct id) from '{told['path']}'").fetchall()
    assert held == [(30, 30)]
    entry = ingest.bench.registry.require(told["series"]).series
    assert (entry.domain, entry.source, entry.enabled) == ("news", "rss", True)
    again = ingest("rss", url, "--json").ok().json
    assert (again["series"], again["registered"], again["new"]) == (told["series"], False, 0)
    assert again["items"] >= 30


def test_people_are_told_in_words_and_may_name_the_feed(ingest: Ingest, url: str):
    told = ingest("rss", url, "--name", "herald").ok().err
    assert "rss.herald (Coin Herald), registered." in told
    assert "30 new items, 0 edited, 30 held" in told
    assert "registered already, as rss.herald" in ingest("rss", url, "--name", "other").err
    other = ingest("rss", url.replace("herald", "ledger"), "--name", "herald")
    assert (other.code != 0, "another feed already" in other.err) == (True, True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{}/feeds/nobody.xml", "there is no feed"),
        ("{}/api/v3/time", "no RSS or Atom feed"),
        ("http://10.0.0.1/feed.xml", "not on the public internet"),
        ("file:///etc/passwd", "not http or https"),
        ("feed.xml", "not http or https"),
    ],
)
def test_what_is_no_feed_is_said_so_and_not_registered(
    ingest: Ingest, simulator: Simulator, wrong: str, said: str
):
    result = ingest("rss", wrong.format(simulator.url))
    assert result.code != 0
    assert said in result.err
    assert [s for s in ingest.bench.registry.series() if s.source == "rss"] == []
