"""Where a URL that somebody typed in may lead: nowhere but to the public internet, however it is spelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ingestion_assets.sources.errors import BadRequest, VendorDown
from ingestion_assets.sources.public_address import NotPublic, check_public, fetch_public, is_public

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_no_open_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_an_address_of_the_internet_is(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "169.254.169.254",
        "[fe80::1]",
    ],
)
@pytest.mark.parametrize(
    "form", ["http://{}/", "https://{}/feed.xml", "http://{}:8080/?u=https://example.com"]
)
def test_this_machine_is_not_reached_by_any_of_its_names(host: str, form: str) -> None:
    with pytest.raises(NotPublic):
        check_public(form.format(host))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "feed.xml",
        "//8.8.8.8/x",
        "ftp://8.8.8.8/x",
        "file:///etc/passwd",
        "gopher://8.8.8.8:70/_x",
        "javascript:alert(1)",
        "http://",
        "http:///x",
        "http://user:pass@8.8.8.8/",
        "http://8.8.8.8@127.0.0.1/",
        "http://8.8.8.8:99999/",
        "http://[::1",
        "http://8.8.8.8/\r\nHost: x",
        "http://8.8.8.8\\@127.0.0.1/",
        "http://8.8.8.8 .evil/",
        "http://" + "a" * 3_000 + "/",
        "http://" + "a" * 70 + ".example/",
        "http://ex\u0000ample/",
    ],
)
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(NotPublic) as caught:
        check_public(url, lookup=lambda host, port: ["8.8.8.8"] if len(host) < 60 else _fail())
    assert "pass@" not in str(caught.value)


def _fail() -> list[str]:
    raise UnicodeError("label too long")


def test_a_name_with_one_private_address_among_public_ones_is_refused() -> None:
    with pytest.raises(NotPublic, match="not on the public internet"):
        check_public("https://feeds.example/x", lookup=lambda host, port: ["8.8.8.8", "10.0.0.5"])
    assert check_public("https://feeds.example/x", lookup=lambda host, port: ["8.8.8.8"]) == ["8.8.8.8"]


def test_a_name_that_is_unknown_is_told_so() -> None:
    def lookup(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    with pytest.raises(NotPublic, match="is it spelled right"):
        check_public("https://feeds.example/x", lookup=lookup)


class Site:
    """A web server on loopback that redirects as it is told, and notes who asked for what."""

    def __init__(self) -> None:
        site = self
        self.asked: list[str] = []
        self.moved: dict[str, str] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(f"{self.headers['Host'].partition(':')[0]}{self.path}")
                target = site.moved.get(self.path)
                self.send_response(302 if target else 200)
                if target:
                    self.send_header("Location", target)
                body = b"" if target else b"<rss/>" * (100_000 if self.path == "/large" else 1)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.server.shutdown()
    running.server.server_close()


def fetch(url: str, **more: object) -> bytes:
    """With one name that the settings would have allowed, and a DNS that knows everything to be here."""
    given = {"most_bytes": 10_000, "allowed": ("feeds.example",), "lookup": lambda host, port: ["127.0.0.1"]}
    return asyncio.run(fetch_public(url, **given | more)).body  # type: ignore[arg-type]


def test_a_host_that_the_settings_name_is_fetched_from_the_address_that_was_looked_up(site: Site) -> None:
    assert fetch(f"http://feeds.example:{site.port}/feed.xml") == b"<rss/>"
    assert site.asked == ["feeds.example/feed.xml"]


@pytest.mark.parametrize(
    "target",
    [
        "http://other.example:{port}/secret",
        "http://127.0.0.1:{port}/secret",
        "http://[::1]:{port}/secret",
        "http://2130706433:{port}/secret",
        "file:///etc/passwd",
        "//other.example:{port}/secret",
    ],
)
def test_a_redirect_is_looked_at_like_the_first_address(target: str, site: Site) -> None:
    site.moved["/feed.xml"] = target.format(port=site.port)
    with pytest.raises(NotPublic):
        fetch(f"http://feeds.example:{site.port}/feed.xml")
    assert site.asked == ["feeds.example/feed.xml"]


def test_redirects_to_public_places_are_followed_a_few_times_only(site: Site) -> None:
    site.moved = {f"/{n}": f"/{n + 1}" for n in range(3)}
    assert fetch(f"http://feeds.example:{site.port}/0") == b"<rss/>"
    site.moved["/round"] = "/round"
    with pytest.raises(BadRequest, match="more than 5 redirects"):
        fetch(f"http://feeds.example:{site.port}/round")


def test_a_name_that_turns_private_after_it_was_looked_at_is_not_connected_to(site: Site) -> None:
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])
    with pytest.raises((NotPublic, VendorDown)):
        fetch(f"http://rebinding.example:{site.port}/x", lookup=lambda host, port: next(answers))
    assert site.asked == []


def test_a_document_that_is_too_large_is_not_read_to_its_end(site: Site) -> None:
    with pytest.raises(BadRequest, match="larger than 10000 bytes"):
        fetch(f"http://feeds.example:{site.port}/large")
