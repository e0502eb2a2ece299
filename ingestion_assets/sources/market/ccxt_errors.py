"""ccxt's exceptions in the words of our error tree, and answers that ccxt should have objected to.

ccxt lumps together what must be told apart (400, 403, 404, 451 and 503 are all `ExchangeNotAvailable`),
so the HTTP status of the answer is asked first and the class of the exception second. What some exchanges
say with a 200 is known to ccxt as some error only; there the exchange's own words decide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

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
_SAID = (
    ("asset pair", NotFound),  # Kraken, "Unknown" or "Invalid"
    ("symbol invalid", NotFound),  # Bybit 10001, with which it refuses any parameter
    ("eservice:throttled", RateLimited),  # Kraken
    ("ip has been banned", Banned),  # Bybit 10009
    ("compliance rules", GeoBlocked),  # Bybit 10024
    ("system error", VendorDown),  # Bybit 10016
    ("server timeout", VendorDown),  # Bybit 10000
    ("don't have permission", AuthError),  # OKX 50030
)
_FIELDS_OF_A_BAR = 5


@dataclass
class Wire:
    """The last answer that came over the wire during one call into ccxt."""

    url: str = ""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=CIMultiDict)
    body: str = ""
    anything_goes: bool = False  # whether other answers than JSON are expected
    bars: int = 0  # that ccxt found in it, asked for or not

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
    if not wire.html and (kind := _said(wire.body)) is not None:
        return kind(text)
    if status in (401, 403) or isinstance(error, ccxt.AuthenticationError):
        # A CDN's firewall answers 403 with a page; the vendor itself answers with its own words.
        return VendorDown(text, wait) if wire.html else AuthError(text)
    if isinstance(error, (ccxt.ArgumentsRequired, ccxt.BadRequest, ccxt.NotSupported)):
        return BadRequest(text)
    if isinstance(error, (ccxt.RequestTimeout, ccxt.OnMaintenance)):
        return VendorDown(text, wait)
    if status is not None and 400 <= status < 500 and status != 408:
        return NotFound(text) if status == 404 else BadRequest(text)
    if isinstance(error, ccxt.NetworkError) or (status is not None and not 200 <= status < 300):
        return VendorDown(text, wait)
    if wire.html or isinstance(error, (ccxt.BadResponse, *STUMBLES)):
        return MalformedAnswer(text)
    return BadRequest(text)


def _said(body: str) -> type[SourceError] | None:
    text = body[:1_000].lower()
    return next((kind for words, kind in _SAID if words in text), None)


def without_candles(wire: Wire) -> MalformedAnswer | None:
    """What is wrong with an answer in which ccxt found no candles; None: it says that there are none.

    ccxt takes all that has not the shape it expects for "no candles".
    """
    if wire.bars or '"no_data"' in wire.body:
        return None
    inside = list(_lists_and_nulls(json.loads(wire.body)))
    where, shown = clean_url(wire.url), excerpt(wire.body.encode())
    if any(isinstance(one, list) and any(map(_like_a_bar, one)) for one in inside):
        return MalformedAnswer(f"{where}: the answer holds candles, but none of this market: {shown}")
    if not inside:
        return MalformedAnswer(f"{where}: the answer says nothing of candles: {shown}")
    return None


def _lists_and_nulls(document: Any) -> Iterator[Any]:
    if isinstance(document, list) or document is None:
        yield document
    elif isinstance(document, dict):
        for name, value in document.items():
            if not name.lower().startswith("err"):
                yield from _lists_and_nulls(value)


def _like_a_bar(row: Any) -> bool:
    return isinstance(row, (list, dict)) and len(row) >= _FIELDS_OF_A_BAR


def _without(text: str, secrets: tuple[str, ...]) -> str:
    """The text with clean URLs and without the secrets that were given to ccxt."""
    text = _URL.sub(lambda found: clean_url(found.group()), text)
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text


def _cut(text: str, length: int = 300) -> str:
    return text if len(text) <= length else text[:length] + "…"
