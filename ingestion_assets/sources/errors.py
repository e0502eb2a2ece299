"""What can go wrong with a vendor, as a tree, and which of it can heal by itself.

    SourceError
    ├── AuthError         401, 403 with the vendor's own words: a key is missing, wrong or not entitled
    ├── GeoBlocked        451: this place on earth is not served; another host or venue may be
    ├── NotFound          404, unknown symbol: nearest names are in the text when the vendor lists any
    ├── QuotaSpent        402, a monthly cap, our own ceiling: nothing more is to be had in this period
    ├── BadRequest        other 4xx: our request is wrong; asking again changes nothing
    └── Transient         can heal: asked again, a bounded number of times
        ├── RateLimited       429, honouring Retry-After
        │   └── Banned        418: nothing is asked until the stated time
        ├── VendorDown        5xx, 408, reset, timed out, a CDN's error page
        │   └── Unreachable       no connection: nothing was asked
        └── MalformedAnswer   2xx that is not what the documentation promises: HTML, cut-off JSON,
                              shuffled or repeated rows, a page that makes no progress

Texts never hold secrets: `clean_url` is the only way a URL gets into one.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_SECRET_WORDS = ("key", "token", "secret", "signature", "password", "auth")


class SourceError(Exception):
    """A vendor did not give what was asked for."""


class AuthError(SourceError):
    pass


class GeoBlocked(SourceError):
    pass


class NotFound(SourceError):
    pass


class QuotaSpent(SourceError):
    """What was paid for is used up; asking again changes nothing before the next period."""


class BadRequest(SourceError):
    pass


class Transient(SourceError):
    """Can heal; `retry_after` is how many seconds the vendor asks us to wait, when it says so."""

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class RateLimited(Transient):
    pass


class Banned(RateLimited):
    """Nothing may be asked until `until`."""

    def __init__(self, text: str, retry_after: float | None = None, until: datetime | None = None) -> None:
        super().__init__(text, retry_after)
        self.until = until


class VendorDown(Transient):
    pass


class Unreachable(VendorDown):
    """There was no connection, so that nothing was asked."""


class MalformedAnswer(Transient):
    pass


def clean_url(url: str) -> str:
    """The URL without user, password and the values of parameters that sound secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = [
        (name, "***" if any(word in name.lower() for word in _SECRET_WORDS) else value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    return urlunsplit((parts.scheme, host, parts.path, urlencode(query, safe="*/:"), ""))


def excerpt(body: bytes, length: int = 160) -> str:
    """The beginning of an answer, on one line, for an error text."""
    text = " ".join(body[: length * 2].decode("utf-8", "replace").split())
    return text if len(text) <= length else text[:length] + "…"
