"""Feeds: recorded ones row by row, the odd ones, what is asked for again, what a poll says it covers."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from xml.sax.saxutils import escape

import pyarrow as pa
import pytest

from ingestion_assets.intervals import Window
from ingestion_assets.sources.errors import AuthError, BadRequest, NotFound, VendorDown
from ingestion_assets.sources.feeds import Absent, Page
from ingestion_assets.sources.news.rss import Rss
from ingestion_assets.stores.lake import Lake
from ingestion_assets.tables.news import NEWS_ITEMS
from ingestion_assets_tests.sources.news.feeds import (
    PATH,
    ask,
    item,
    of_month,
    polled,
    recently,
    rows_of,
    rss,
    served,
)
from ingestion_assets_tests.sources.replay import Replay, Reply, Turns

NOW = datetime.now(UTC).replace(microsecond=0)
RECENT = recently()
AN_HOUR_AGO = max(NOW - timedelta(hours=1), RECENT.start + timedelta(seconds=30))


@pytest.mark.parametrize(
    ("name", "count", "last", "publisher"),
    [
        (
            "coindesk_2023-03-13.xml",
            50,
            "2023-03-13T10:13:50Z",
            "CoinDesk: Bitcoin, Ethereum, Crypto News and Price Data",
        ),
        ("decrypt_2025.xml", 58, "2025-12-12T21:59:32Z", "Decrypt"),
        ("theblock_2025.xml", 19, "2025-12-12T22:33:11Z", "The Block"),
    ],
)
def test_a_recorded_feed_gives_exactly_its_items(
    recordings: Path, name: str, count: int, last: str, publisher: str
):
    body = (recordings / "rss" / name).read_bytes()
    newest = datetime.fromisoformat(last)
    months = [of_month(newest - timedelta(days=31)), of_month(newest)]
    with Replay({PATH: served(body)}) as replay:
        rows = pa.concat_tables([rows_of(ask(replay, month)) for month in months])
    text = body.decode()
    guids = re.findall(r"<guid[^>]*>(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?</guid>", text)
    told = sorted(
        parsedate_to_datetime(d) for d in re.findall(r"<pubDate>(.*?)</pubDate>", text.split("<item", 1)[1])
    )
    assert len(guids) == count
    assert sorted(rows.column("guid").to_pylist()) == sorted(html.unescape(g) for g in guids)
    times = rows.column("time").to_pylist()
    assert times == told
    assert times[-1] == newest
    assert rows.column("published").to_pylist() == times
    assert rows.column("dated").to_pylist() == ["published"] * count
    assert set(rows.column("publisher").to_pylist()) == {publisher}
    for column in ("title", "url", "story", "text"):
        assert rows.column(column).null_count == 0
    assert not [words for words in rows.column("text").to_pylist() if re.search(r"</?(p|a|br|img)\b", words)]
    assert min(rows.column("known_at").to_pylist()) >= NOW


def test_content_is_stored_as_sent_and_its_words_beside_it():
    body = rss(
        item(
            "a",
            at=AN_HOUR_AGO,
            title="Fees &amp;amp; taxes",
            description=escape("<p>Up <b>5</b>%<script>evil()</script><br>today</p>"),
        )
    )
    (row,) = polled(body, RECENT).to_pylist()
    assert row["title"] == "Fees &amp; taxes"
    assert row["summary"] == "<p>Up <b>5</b>%<script>evil()</script><br>today</p>"
    assert row["text"] == "Fees & taxes\nUp 5% today"


def test_items_without_dates_guids_or_links_are_kept_apart_and_found_again():
    bare = "<item><title>Only words</title></item><item><description>Other words</description></item>"
    linked = item(None, link="https://paper.example/x?utm_source=rss", title="No guid")
    rows = polled(rss(bare, linked), RECENT)
    again = polled(rss(bare, item(None, link="https://www.paper.example/x", title="No guid")), RECENT)
    assert rows.num_rows == 3
    assert set(rows.column("id").to_pylist()) == set(again.column("id").to_pylist())
    assert set(rows.column("dated").to_pylist()) == {"seen"}
    assert rows.column("time").to_pylist() == rows.column("known_at").to_pylist()
    assert rows.column("published").null_count == 3


def test_an_item_given_twice_is_one_with_its_newer_words_and_a_guid_for_all_tells_nothing_apart():
    twice = rss(
        item("a", at=AN_HOUR_AGO, title="old"), item("a", at=AN_HOUR_AGO + timedelta(seconds=9), title="new")
    )
    assert polled(twice, RECENT).column("title").to_pylist() == ["new"]
    broken = rss(*(item("0", at=AN_HOUR_AGO, link=f"https://paper.example/{n}") for n in range(3)))
    assert polled(broken, RECENT).num_rows == 3


@pytest.mark.parametrize(
    "said",
    [
        "Sat, 01 Jan 0000 00:00:00 GMT",
        "0000-00-00T00:00:00Z",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "99999-01-01",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "soon",
        "Mon, 45 Foo 2024 99:99:99 +9900",
    ],
)
def test_dates_that_cannot_be_are_kept_as_text_and_the_item_is_of_the_poll(said: str):
    (row,) = polled(rss(item("a", at=said)), RECENT).to_pylist()
    assert (row["dated"], row["published"], row["published_text"]) == ("seen", None, said)
    assert row["time"] == row["known_at"] >= NOW


@pytest.mark.parametrize(
    ("said", "seconds"), [("2 minutes ago", 120), ("about an hour ago", 3600), ("3 hrs ago", 10_800)]
)
def test_relative_dates_count_from_the_poll(said: str, seconds: int):
    now = datetime.now(UTC)
    (row,) = polled(
        rss(item("a", at=said)), Window(now - timedelta(days=2), now + timedelta(minutes=1))
    ).to_pylist()
    assert row["dated"] == "relative"
    assert (row["known_at"] - row["time"]).total_seconds() == seconds


def test_a_feed_that_breaks_off_gives_what_can_be_read():
    body = rss(*(item(str(n), at=AN_HOUR_AGO) for n in range(5)))
    assert polled(body[: len(body) * 3 // 5], RECENT).num_rows in (2, 3)


def test_a_poll_covers_the_time_from_its_oldest_item_on():
    with Replay({PATH: served(rss(item("a", at=AN_HOUR_AGO)))}) as replay:
        absent, page = ask(replay, Window(AN_HOUR_AGO - timedelta(days=3), NOW))
        assert isinstance(absent, Absent) and isinstance(page, Page)
        assert absent.window.end == page.window.start == AN_HOUR_AGO.replace(second=0)
        assert page.window.end == NOW
        assert "holds nothing from before" in absent.evidence
        (empty,) = ask(replay, Window(AN_HOUR_AGO - timedelta(days=9), AN_HOUR_AGO - timedelta(days=8)))
        assert isinstance(empty, Absent)


def test_what_has_not_changed_is_not_sent_again_and_comes_out_the_same(tmp_path: Path):
    body = rss(item("a", at=AN_HOUR_AGO))
    first = served(body, **{"ETag": '"one"', "Last-Modified": "Sat, 01 Mar 2025 00:00:00 GMT"})
    with Replay({PATH: Turns(first, Reply(304, b""))}) as replay:
        before = rows_of(ask(replay, RECENT, folder=tmp_path))
        after = rows_of(ask(replay, RECENT, folder=tmp_path))
        sent = replay.asked[1].headers
    assert before.drop(["known_at"]).equals(after.drop(["known_at"]))
    assert sent["If-None-Match"] == '"one"'
    assert sent["If-Modified-Since"] == "Sat, 01 Mar 2025 00:00:00 GMT"


def test_a_kept_answer_that_was_damaged_is_asked_for_again_in_full(tmp_path: Path):
    with Replay({PATH: served(rss(item("a", at=AN_HOUR_AGO)), ETag='"one"')}) as replay:
        ask(replay, RECENT, folder=tmp_path)
        (kept,) = tmp_path.iterdir()
        kept.write_bytes(kept.read_bytes()[:-5])
        assert rows_of(ask(replay, RECENT, folder=tmp_path)).num_rows == 1
        assert "If-None-Match" not in replay.asked[1].headers


def test_what_is_held_keeps_its_time_and_what_comes_late_is_of_the_poll(tmp_path: Path):
    lake = Lake(str(tmp_path / "lake"))
    undated, late = item("undated"), item("late", at=RECENT.start - timedelta(days=3))
    with Replay({PATH: served(rss(undated))}) as replay:
        first = rows_of(ask(replay, RECENT, held=lake))
    month = f"{RECENT.start:%Y-%m}"
    lake.merge(NEWS_ITEMS, "rss.paper", month, first, notes={}, covered=[RECENT])
    before = of_month(RECENT.start - timedelta(days=3))
    lake.merge(
        NEWS_ITEMS, "rss.paper", f"{before.start:%Y-%m}", NEWS_ITEMS.empty(), notes={}, covered=[before]
    )
    with Replay({PATH: served(rss(undated, late))}) as replay:
        second = rows_of(ask(replay, RECENT, held=lake))
    told = {row["guid"]: row for row in second.to_pylist()}
    assert told["undated"]["time"] == first.column("time")[0].as_py()
    assert told["late"]["time"] == told["late"]["known_at"]
    assert told["late"]["published"] == RECENT.start - timedelta(days=3)
    merge = lake.merge(NEWS_ITEMS, "rss.paper", month, second, notes={})
    assert (merge.new, merge.changed, merge.rows) == (1, 0, 2)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Reply(404, b"gone"), NotFound),
        (Reply(410, b"gone"), NotFound),
        (Reply(401, b"who are you"), AuthError),
        (Reply(503, b"later"), VendorDown),
        (Reply(400, b"what"), BadRequest),
        (served(b"<html><body>Please log in</body></html>", "text/html"), BadRequest),
        (served(b"", "application/xml"), BadRequest),
        (served(b'{"json": true}', "application/json"), BadRequest),
        (
            served(b'{"version": "https://jsonfeed.org/version/1.1", "items": []}', "application/feed+json"),
            BadRequest,
        ),
        (served(b"\x1f\x8b\x08 but broken", "application/gzip"), BadRequest),
    ],
)
def test_what_is_no_feed_is_said_so(answer: Reply, error: type[Exception]):
    with pytest.raises(error, match=re.escape("/feed.xml")):
        polled(answer, RECENT)


def test_a_series_without_a_feed_says_how_to_get_one():
    with pytest.raises(ValueError, match="ingest rss FEED_URL"):
        Rss.named("coindesk")
