"""URLs that somebody typed in are followed to public addresses only: no way into this machine's network.

A name is resolved first, every address that it has must be public, and the connection goes to one of just
these, so a name that changes its mind in between changes nothing. Each redirect is looked at like the first
URL. Hosts that the settings name themselves (a simulator, a proxy) may be let through by name, with or
without a port.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from ingestion_assets.sources.errors import BadRequest, VendorDown, clean_url

if TYPE_CHECKING:
    import aiohttp

REDIRECTS = 5
_LONGEST = 2_000
Resolve = Callable[[str, int], list[str]]


class NotPublic(BadRequest):
    """The URL leads somewhere where nothing of ours may go, or is no URL."""


@dataclass(frozen=True)
class Document:
    """What a URL gave in the end."""

    url: str
    status: int
    headers: dict[str, str]
    body: bytes


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet's; one that wraps another is judged by both."""
    ip = ip_address(address.partition("%")[0])
    inner: IPv4Address | IPv6Address | None = None
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip.ipv4_mapped:
            return is_public(str(inner))
    if inner is not None and not is_public(str(inner)):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def resolve(host: str, port: int) -> list[str]:
    """Every address of a name; numbers in whatever spelling the system understands are addresses too."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def check_public(url: str, allowed: Collection[str] = (), lookup: Resolve = resolve) -> list[str]:
    """The addresses that may be connected to for this URL; raises NotPublic."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise NotPublic(f"{url[:80]!r} is no URL ({error}): write it like https://host/feed.xml") from None
    if len(url) > _LONGEST or any(ord(c) <= 32 or ord(c) == 127 for c in url) or "\\" in url:
        raise NotPublic(
            f"{clean_url(url)[:80]!r} holds signs that no URL may: write it like https://host/feed"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise NotPublic(f"{clean_url(url)[:80]!r} is not http or https: write it like https://host/feed.xml")
    if "@" in parts.netloc:
        raise NotPublic(f"{clean_url(url)[:80]!r} has a user or password in it: leave these out")
    return _addresses(host, port or (443 if parts.scheme == "https" else 80), allowed, lookup)


def _addresses(host: str, port: int, allowed: Collection[str], lookup: Resolve) -> list[str]:
    try:
        addresses = lookup(host, port)
    except (OSError, UnicodeError) as error:
        raise NotPublic(f"host {host!r} cannot be found ({error}): is it spelled right?") from None
    if host in allowed or f"{host}:{port}" in allowed:
        return addresses
    private = [address for address in addresses if not is_public(address)]
    if private or not addresses:
        raise NotPublic(f"host {host!r} is not on the public internet: only addresses there may be named")
    return addresses


async def fetch_public(
    url: str,
    *,
    most_bytes: int,
    seconds: float = 30.0,
    allowed: Collection[str] = (),
    lookup: Resolve = resolve,
    headers: Mapping[str, str] | None = None,
) -> Document:
    """GET a document, over a few redirects at most; every hop has to be public."""
    import asyncio

    import aiohttp

    connector = aiohttp.TCPConnector(resolver=_checking(allowed, lookup), use_dns_cache=False)
    limits = aiohttp.ClientTimeout(total=seconds)
    sent = {"User-Agent": "ingestion_assets", **(headers or {})}
    async with aiohttp.ClientSession(connector=connector, timeout=limits, headers=sent) as session:
        for _ in range(REDIRECTS + 1):
            # Numbers are not handed to the resolver, so they are looked at here as well.
            await asyncio.to_thread(check_public, url, allowed, lookup)
            try:
                async with session.get(url, allow_redirects=False) as answer:
                    told = {name: _readable(value) for name, value in answer.headers.items()}
                    if answer.status in (301, 302, 303, 307, 308) and "Location" in answer.headers:
                        url = _led(url, _readable(answer.headers["Location"]))
                        continue
                    return Document(url, answer.status, told, await _body(answer, most_bytes))
            except TimeoutError:
                raise VendorDown(f"{clean_url(url)} did not answer within {seconds:g} s") from None
            except aiohttp.ClientError as error:
                raise VendorDown(f"{clean_url(url)}: {type(error).__name__}: {error}") from None
    raise BadRequest(f"{clean_url(url)}: more than {REDIRECTS} redirects")


def _readable(value: str) -> str:
    """A header's value without the bytes that are no UTF-8, which can be neither kept nor shown."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _led(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise NotPublic(f"{clean_url(url)} leads to {location[:80]!r}, which is no URL ({error})") from None


async def _body(answer: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    body = await answer.content.read(most_bytes + 1)
    while len(body) <= most_bytes and not answer.content.at_eof():
        body += await answer.content.read(most_bytes + 1 - len(body))
    if len(body) > most_bytes:
        raise BadRequest(f"{clean_url(str(answer.url))} is larger than {most_bytes} bytes")
    return body


def _checking(allowed: Collection[str], lookup: Resolve) -> Any:
    """A resolver that gives public addresses only; what it gives is what is connected to."""
    import asyncio

    from aiohttp.abc import AbstractResolver, ResolveResult

    class Checking(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            addresses = await asyncio.to_thread(_addresses, host, port, allowed, lookup)
            return [
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                    proto=socket.IPPROTO_TCP,
                    flags=socket.AI_NUMERICHOST,
                )
                for address in addresses
            ]

        async def close(self) -> None: ...

    return Checking()
