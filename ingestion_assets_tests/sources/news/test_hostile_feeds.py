"""Feeds that mean harm: a poll of them ends soon, takes little memory, and goes nowhere private."""

from __future__ import annotations

import asyncio
import gzip
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.sources.errors import BadRequest, MalformedAnswer, SourceError, VendorDown
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.sources.news import polling
from ingestion_assets.sources.news.feed_document import MEMORY, MOST_ENTRIES
from ingestion_assets.sources.news.polling import poll, read
from ingestion_assets.sources.news.rss import Rss
from ingestion_assets.sources.public_address import NotPublic
from ingestion_assets_tests.sources.news.feeds import (
    PATH,
    ask,
    item,
    polled,
    recently,
    rows_of,
    rss,
    series,
    served,
)
from ingestion_assets_tests.sources.replay import Replay, Reply

HOST = "127.0.0.1"
ENTITIES = "".join(f'<!ENTITY b{n} "{f"&b{n - 1};" * 10}">' for n in range(1, 12))
LAUGHS = f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY b0 "ha">{ENTITIES}]>'
SWELLING = '<!DOCTYPE r [<!ENTITY a "' + "a" * 50_000 + '">]>'
FILE = '<!DOCTYPE r [<!ENTITY f SYSTEM "file:///etc/passwd">]>'


def channel(title: str) -> str:
    return f'<rss version="2.0"><channel><item><guid>1</guid><title>{title}</title></item></channel></rss>'


def told(body: str | bytes) -> dict:
    return asyncio.run(read(body.encode() if isinstance(body, str) else body, {"content-type": "text/xml"}))


@contextmanager
def sending(*pieces: bytes, endless: bytes = b"") -> Iterator[str]:
    """A server that says the pieces, then the same thing for ever, as fast as it is read."""
    server = socket.create_server((HOST, 0))
    over = threading.Event()

    def serve() -> None:
        line, _ = server.accept()
        with line:
            line.recv(65_536)
            try:
                for piece in pieces:
                    line.sendall(piece)
                while endless and not over.is_set():
                    line.sendall(endless)
                over.wait()
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://{HOST}:{server.getsockname()[1]}/feed.xml"
    finally:
        over.set()
        server.close()
        thread.join()


def fetched(url: str, seconds: float = 20.0) -> polling.Poll:
    return asyncio.run(poll(url, seconds=seconds, allowed={HOST}))


@pytest.mark.parametrize(
    ("document", "longest"),
    [
        (LAUGHS + channel("&b11;"), 1_000),
        (SWELLING + channel("&a;" * 50_000), 500_000),
        (FILE + channel("&f;"), 100),
    ],
)
def test_entities_do_not_swell_and_read_no_files(document: str, longest: int):
    every = told(document)["entries"]
    assert sum(len(str(entry)) for entry in every) < longest + 1_000
    assert "root:" not in str(every)


@pytest.mark.parametrize(
    "sign", ["<", "<a", "<![CDATA[", "&", "<!--", "<x>", "<item><title>x</title>", "<a b='"]
)
def test_a_document_of_one_thing_repeated_ends(sign: str):
    body = '<rss version="2.0"><channel>' + sign * (300_000 // len(sign))
    try:
        assert len(told(body)["entries"]) <= MOST_ENTRIES
    except MalformedAnswer as error:
        assert "it is not used" in str(error)


LARGE = """
import asyncio, resource
from ingestion_assets.sources.errors import MalformedAnswer
from ingestion_assets.sources.news.feed_document import MOST_ENTRIES
from ingestion_assets.sources.news.polling import MOST_BYTES, read

one = b"<item><title>x</title></item>"
body = b'<rss version="2.0"><channel>' + one * ((MOST_BYTES - 100) // len(one))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    assert len(asyncio.run(read(body, {"content-type": "text/xml"}))["entries"]) == MOST_ENTRIES
except MalformedAnswer as error:
    assert "too much memory or time" in str(error)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, after - before)
"""


def test_the_reader_has_a_memory_of_its_own_that_ends():
    """A document as large as may come, of nothing but items, read by a process that has no other children."""
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    reader, ours = (int(kilobytes) * 1024 for kilobytes in done.stdout.split())
    assert reader <= MEMORY
    assert ours < 200 << 20


def test_a_reader_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(polling, "READING_SECONDS", 0.01)
    with pytest.raises(MalformedAnswer, match=r"more than 0\.01 s"):
        told(channel("x"))


def test_a_hundred_megabytes_are_not_read_to_their_end():
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 104857600\r\n\r\n<rss>"
    with sending(head, endless=b"x" * 65_536) as url, pytest.raises(BadRequest, match="larger than 10485760"):
        fetched(url)


def test_chunks_without_end_are_cut_off():
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"4000\r\n" + b"<" * 0x4000 + b"\r\n"
    with sending(head, endless=chunk) as url, pytest.raises(BadRequest, match="larger than 10485760"):
        fetched(url)


def test_a_packed_bomb_is_cut_off_too():
    bomb = gzip.compress(b"<rss>" + b" " * (200 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = Reply(body=bomb, content_type="text/xml", headers={"Content-Encoding": "gzip"})
    with Replay({PATH: answer}) as replay, pytest.raises(BadRequest, match="larger than 10485760"):
        fetched(replay.url + PATH)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 150 << 20


def test_a_packed_file_that_swells_is_not_used():
    bomb = Reply(body=gzip.compress(b"<rss>" + b" " * (200 << 20)), content_type="application/gzip")
    with Replay({PATH: bomb}) as replay, pytest.raises(BadRequest, match="more than 10485760 bytes"):
        fetched(replay.url + PATH)


def test_who_says_nothing_is_not_waited_for():
    with sending() as url, pytest.raises(VendorDown, match=r"within 0\.3 s"):
        fetched(url, seconds=0.3)


@pytest.mark.parametrize(
    "target",
    [
        *(
            "http://10.0.0.1/x",
            "http://169.254.169.254/latest/meta-data",
            "http://[::1]/",
            "file:///etc/passwd",
        ),
        *("http://[::1", "//[", "http://[bad]/x", "http://a:99999999/"),
    ],
)
def test_a_redirect_to_a_private_place_is_not_followed(target: str):
    with Replay({PATH: Reply(302, b"", headers={"Location": target})}) as replay, pytest.raises(NotPublic):
        fetched(replay.url + PATH)


def test_a_redirect_to_what_is_no_url_is_refused_with_words():
    with (
        Replay({PATH: Reply(302, b"", headers={"Location": "//["})}) as replay,
        pytest.raises(NotPublic, match=r"leads to '//\[', which is no URL"),
    ):
        fetched(replay.url + PATH)


def test_headers_with_bytes_that_are_no_text_lose_no_feed(tmp_path: Path):
    """Neither at the first poll, nor where what was kept of them is sent back."""
    odd = served(rss(item("a"), item("b")), "application/rss+xml; x=\xe9", ETag='"\xe9\xff"')
    with Replay({PATH: odd}) as replay:
        for _ in range(2):
            assert rows_of(ask(replay, recently(), folder=tmp_path)).num_rows == 2
        location = Reply(302, b"", headers={"Location": f"{PATH}?\xe9"})
        replay.answers["/moved"] = location
        assert len(fetched(replay.url + "/moved").entries) == 2


@pytest.mark.parametrize(
    "words",
    [
        *(
            "<![CDATA[see <![mso]> here]]>",
            "<![CDATA[code: if (a<![0])]]>",
            "see <![mso]> here",
            "if (a<![0])",
        ),
        *("&#99999999999;", "<![CDATA[&#99999999999;]]>", f"&#{'9' * 5_000};", "&#x7fffffffffffffff;"),
        *("<![CDATA[<!-- left open]]>", "&lt;a b=", "<![CDATA[</]]>"),
    ],
)
def test_one_odd_item_does_not_lose_the_others(words: str):
    rows = polled(rss(item("a"), item("b", description=words), item("c")), recently())
    assert {"Title of a", "Title of b", "Title of c"} == set(rows.column("title").to_pylist())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("sign", ["<a ", "<!--", "<![", "</a", "<svg>"])
def test_an_item_of_one_thing_repeated_is_read_in_time(sign: str):
    long = f"<![CDATA[{sign * (1_000_000 // len(sign))}]]>"
    assert polled(rss(item("a", description=long), item("b")), recently()).num_rows == 2


def test_nothing_stands_still_while_items_are_read():
    """Who looks something up in the lake meanwhile asks the event loop, and is answered."""

    async def main() -> list[str]:
        loop, heard = asyncio.get_running_loop(), list[str]()

        class Lake:
            def months(self, table: Any, series: str) -> list[str]:
                async def answer() -> str:
                    return series

                heard.append(asyncio.run_coroutine_threadsafe(answer(), loop).result(30))
                return []

            def holes(self, table: Any, series: str, window: Any) -> list[Any]:
                return []

            def read(self, table: Any, series: str, window: Any, columns: Any = None) -> Any:
                raise AssertionError("nothing is held")

        options = SourceOptions(base_url=replay.url, timeout=10.0, held=Lake())
        async with Rss(options) as vendor:
            _ = [page async for page in vendor.items(series(replay.url + PATH), recently())]
        return heard

    with Replay({PATH: served(rss(item("a")))}) as replay:
        assert asyncio.run(main()) == ["rss.paper"]


def test_only_the_host_that_the_settings_name_is_let_through_and_only_its_port():
    async def look(url: str) -> None:
        async with Rss(SourceOptions(base_url="http://127.0.0.1:1", timeout=5.0)) as vendor:
            await vendor.look_up(url)

    with Replay({PATH: served(rss())}) as replay, pytest.raises(NotPublic):
        asyncio.run(look(replay.url + PATH))


def test_redirects_in_a_circle_end():
    with Replay({PATH: Reply(302, b"", headers={"Location": PATH})}) as replay:
        with pytest.raises(SourceError, match="redirects"):
            fetched(replay.url + PATH)
        assert replay.count(PATH) < 10


def test_odd_signs_and_very_long_words_are_stored_as_they_can_be():
    body = rss(item("a", title="nul &#0; bell &#7; half &#xD800; whole 😀", description="w" * 1_000_000))
    (row,) = polled(body, recently()).to_pylist()
    assert "😀" in row["title"]
    assert "\0" not in row["title"]
    assert len(row["summary"]) == 1_000_000
    assert row["known_at"] <= datetime.now(UTC)
