"""Feeds as publishers spell, pack and encode them, and what of them is the same in every dialect."""

from __future__ import annotations

import codecs
import gzip
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingestion_assets_tests.sources.news.feeds import PATH, ask, item, polled, recently, rows_of, rss, served
from ingestion_assets_tests.sources.replay import Replay, Reply

NOW = datetime.now(UTC).replace(microsecond=0)
RECENT = recently()
AN_HOUR_AGO = max(NOW - timedelta(hours=1), RECENT.start + timedelta(seconds=30))


@pytest.mark.parametrize(
    ("body", "content_type", "title"),
    [
        ("Ünïcode".encode(), "application/xml", "Ünïcode"),
        ("Привет".encode("windows-1251"), "text/xml; charset=windows-1251", "Привет"),
        ("日本".encode("shift_jis"), "application/xml; charset=shift_jis", "日本"),
    ],
)
def test_the_charset_of_the_answer_counts(body: bytes, content_type: str, title: str):
    document = (
        b'<rss version="2.0"><channel><item><guid>1</guid><title>' + body + b"</title></item></channel></rss>"
    )
    assert polled(served(document, content_type), RECENT).column("title").to_pylist() == [title]


@pytest.mark.parametrize(
    ("pack", "coding", "content_type"),
    [
        (gzip.compress, "gzip", "application/rss+xml"),
        (zlib.compress, "deflate", "application/rss+xml"),
        (lambda body: zlib.compress(body)[2:-4], "deflate", "application/rss+xml"),
        (gzip.compress, None, "application/gzip"),
        (lambda body: codecs.BOM_UTF8 + body, None, "text/xml"),
        (lambda body: body.decode().replace("utf-8", "utf-16").encode("utf-16"), None, "application/xml"),
    ],
)
def test_packed_and_marked_bodies_are_opened(pack: Any, coding: str | None, content_type: str):
    headers = {"Content-Encoding": coding} if coding else {}
    answer = served(pack(rss(item("a", at=AN_HOUR_AGO, title="naïve"))), content_type, **headers)
    assert polled(answer, RECENT).column("title").to_pylist() == ["naïve"]


def test_relative_links_start_from_where_the_feed_is_in_the_end():
    links = item("a", at=AN_HOUR_AGO, link="/a/1"), item("b", at=AN_HOUR_AGO, link="../b?x=1")
    bare = "<item><guid>7</guid><title>x</title></item>"
    moved = Reply(301, b"", {"Location": "/new/place/feed.xml"})
    with Replay({PATH: moved, "/new/place/feed.xml": served(rss(*links, bare))}) as replay:
        told = {row["guid"]: row["url"] for row in rows_of(ask(replay, RECENT)).to_pylist()}
        assert told == {"a": f"{replay.url}/a/1", "b": f"{replay.url}/new/b?x=1", "7": "7"}


def test_older_and_odder_dialects_are_feeds_too():
    moment = f"{AN_HOUR_AGO:%Y-%m-%dT%H:%M:%S}+00:00"
    rdf = f"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="x"><title>One</title></channel>
    <item rdf:about="https://x.example/1"><title>T</title><link>https://x.example/1</link>
    <dc:date>{moment}</dc:date><dc:creator>Ann</dc:creator></item></rdf:RDF>"""
    (row,) = polled(served(rdf.encode(), "application/rdf+xml"), RECENT).to_pylist()
    assert (row["guid"], row["author"], row["publisher"]) == ("https://x.example/1", "Ann", "One")
    assert (row["time"], row["dated"]) == (AN_HOUR_AGO, "updated")
    atom = f"""<feed xmlns="http://www.w3.org/2005/Atom"><title>Two</title><entry><id>urn:1</id><title>T</title>
    <published>{moment}</published><updated>{moment}</updated><link rel="self" href="https://x.example/self"/>
    <link href="https://x.example/1"/><content type="xhtml">
    <div xmlns="http://www.w3.org/1999/xhtml"><p>A <b>b</b></p></div></content></entry></feed>"""
    (row,) = polled(served(atom.encode(), "application/atom+xml"), RECENT).to_pylist()
    assert (row["url"], row["time"], row["dated"]) == ("https://x.example/1", AN_HOUR_AGO, "published")
    assert row["text"] == "T\nA b"
    data = item(
        "a", at=AN_HOUR_AGO, description="<![CDATA[<p>5 &lt; 6 & more</p>]]>", title="<![CDATA[A & B]]>"
    )
    (row,) = polled(rss(data), RECENT).to_pylist()
    assert (row["title"], row["summary"]) == ("A & B", "<p>5 &lt; 6 & more</p>")
    assert row["text"] == "A & B\n5 < 6 & more"


@pytest.mark.parametrize(
    "written",
    ["%a, %d %b %Y %H:%M:%S +0000", "%d %b %y %H:%M GMT", "%a, %d %b %Y %H:%M UT", "%Y-%m-%dT%H:%M:%S.000Z"],
)
def test_dates_in_the_spellings_that_publishers_use(written: str):
    moment = AN_HOUR_AGO.replace(second=0)
    (row,) = polled(rss(item("a", at=f"{moment:{written}}")), RECENT).to_pylist()
    assert (row["published"], row["dated"]) == (moment, "published")


def test_a_wrong_charset_gives_odd_words_and_no_failure():
    document = rss(item("a", at=AN_HOUR_AGO, title="naïve")).replace(b"utf-8", b"klingon")
    assert polled(document, RECENT).column("title").to_pylist() == ["naïve"]
    mixed = rss(item("a", at=AN_HOUR_AGO)).replace(b"Title of a", b"caf\xe9 and \xc3\xa9")
    assert polled(mixed, RECENT).num_rows == 1


def test_atom_is_a_feed_too():
    moment = AN_HOUR_AGO.isoformat().replace("+00:00", "Z")
    body = f"""<feed xmlns="http://www.w3.org/2005/Atom"><title>Atomic</title><entry><id>tag:x,1</id>
    <title type="html">A &amp;lt;b&gt; c</title><link href="https://x.example/1"/><updated>{moment}</updated>
    <author><name>Ann</name></author><content type="html">&lt;p&gt;Hello&lt;/p&gt;</content></entry></feed>"""
    (row,) = polled(served(body.encode(), "application/atom+xml"), RECENT).to_pylist()
    assert (row["guid"], row["author"], row["publisher"]) == ("tag:x,1", "Ann", "Atomic")
    assert (row["dated"], row["time"], row["content"]) == ("updated", AN_HOUR_AGO, "<p>Hello</p>")
