"""ccxt's exceptions in the words of our error tree.

ccxt lumps together what must be told apart (400, 403, 404, 451 and 503 are all `ExchangeNotAvailable`),
so the HTTP status of the answer is asked first and the class of the exception second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from multidict import CIMultiDict

from ingestion_assets.sources.errors import (
    AuthError,
    BadRequest,
    Banned,
    GeoBlocked,
    MalformedAnswer,
    NotFound,
    RateLimited,
    SourceError,
    VendorDown,
    clean_url,
    excerpt,
)
from ingestion_assets.sources.http import retry_after

# What ccxt's lenient parsers stumble over when an answer does not have the shape they expect.
STUMBLES = (AttributeError, IndexError, KeyError, TypeError, ValueError)
_URL = re.compile(r"https?://[^\s\"'<>]+")


@dataclass
class Wire:
    """The last answer that came over the wire during one call into ccxt."""

    url: str = ""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=CIMultiDict)
    body: str = ""
    anything_goes: bool = False  # whether other answers than JSON are expected

    @property
    def html(self) -> bool:
        return self.body.lstrip()[:1] == "<"


def explained(error: Exception, wire: Wire, timeout: float, secrets: tuple[str, ...]) -> SourceError:
    """The error of our tree for an exception that came out of ccxt; its text holds no secret."""
    kind = type(error).__name__
    found = _URL.search(str(error))
    url = clean_url(wire.url or (found.group() if found else ""))
    cause = error.__cause__
    if isinstance(cause, TimeoutError):
        return VendorDown(f"{url} did not answer within {timeout:g} s")
    if isinstance(cause, (aiohttp.ClientError, OSError)):
        why = _without(str(cause), secrets)
        return VendorDown(f"{url}: the connection failed ({type(cause).__name__}: {why})")
    if wire.status is not None and not 200 <= wire.status < 300:
        body = _without(excerpt(wire.body.encode()) or "no text", secrets)
        return _in_our_words(f"{url}: HTTP {wire.status} ({kind}): {body}", error, wire)
    said = _cut(_without(" ".join(str(error).split()), secrets))
    return _in_our_words(f"{url}: {kind}: {said}" if url else f"{kind}: {said}", error, wire)


def _in_our_words(text: str, error: Exception, wire: Wire) -> SourceError:
    import ccxt  # costs seconds; by now it is there

    status, wait = wire.status, retry_after(wire.headers)
    if status == 451 or isinstance(error, ccxt.RestrictedLocation):
        return GeoBlocked(f"{text}. This place is not served: set another base URL or use another venue")
    if status == 418:
        return Banned(text, wait)
    if status == 429 or isinstance(error, (ccxt.RateLimitExceeded, ccxt.DDoSProtection)):
        return RateLimited(text, wait)
    if isinstance(error, ccxt.BadSymbol):
        return NotFound(text)
    if status in (401, 403) or isinstance(error, ccxt.AuthenticationError):
        # A CDN's firewall answers 403 with a page; the vendor itself answers with its own words.
        return VendorDown(text, wait) if wire.html else AuthError(text)
    if isinstance(error, (ccxt.ArgumentsRequired, ccxt.BadRequest, ccxt.NotSupported)):
        return BadRequest(text)
    if status is not None and 400 <= status < 500 and status != 408:
        return NotFound(text) if status == 404 else BadRequest(text)
    if isinstance(error, ccxt.NetworkError) or (status is not None and not 200 <= status < 300):
        return VendorDown(text, wait)
    if wire.html or isinstance(error, (ccxt.BadResponse, *STUMBLES)):
        return MalformedAnswer(text)
    return BadRequest(text)


def _without(text: str, secrets: tuple[str, ...]) -> str:
    """The text with clean URLs and without the secrets that were given to ccxt."""
    text = _URL.sub(lambda found: clean_url(found.group()), text)
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text


def _cut(text: str, length: int = 300) -> str:
    return text if len(text) <= length else text[:length] + "…"
