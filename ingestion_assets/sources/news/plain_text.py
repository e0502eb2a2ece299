"""Words out of HTML, and items told apart: pure, and nothing but the standard library."""

from __future__ import annotations

import hashlib
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urlsplit

_UNSEEN = {"script", "style", "head", "template", "noscript", "iframe", "object", "svg"}
_INLINE = {"a", "abbr", "b", "bdi", "cite", "code", "em", "font", "i", "mark", "q", "s", "small", "span"}
_INLINE |= {"strong", "sub", "sup", "time", "u", "wbr", "del", "ins", "kbd", "var"}
# What says where a reader came from, not what the page is.
_TRACKING = ("utm_", "mc_", "pk_", "hsa_")
_TRACKERS = {
    "fbclid",
    "gclid",
    "dclid",
    "msclkid",
    "igshid",
    "yclid",
    "cmpid",
    "ref",
    "ref_src",
    "source",
    "sref",
}
_TRACKERS |= {"guccounter", "ncid", "smid", "taid", "__source", "feature", "rss"}


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen.append(tag)
        elif tag not in _INLINE:
            self.pieces.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _INLINE:
            self.pieces.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._unseen:
            while self._unseen.pop() != tag:
                pass
        elif tag not in _INLINE:
            self.pieces.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(data)


def plain(markup: str | None) -> str:
    """What a reader sees of it, on one line."""
    if not markup:
        return ""
    if "<" not in markup and "&" not in markup:
        return " ".join(markup.split())
    words = _Words()
    words.feed(markup)
    words.close()
    return " ".join("".join(words.pieces).split())


def all_said(title: str | None, summary: str | None, content: str | None) -> str:
    """Title and words, a line each; of summary and content the longer one, where it begins with the other."""
    head, brief, long = plain(title), plain(summary), plain(content)
    if long.startswith(brief.rstrip("….")):
        brief = ""
    elif brief.startswith(long.rstrip("….")):
        long = ""
    return "\n".join(line for line in (head, brief, long) if line and (line is head or line != head))


def page_of(url: str | None) -> str | None:
    """The URL without what tells where the reader came from: the same for the same page."""
    if not url:
        return None
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").removeprefix("www.")
        query = [
            (name, value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True, max_num_fields=100)
            if name.lower() not in _TRACKERS and not name.lower().startswith(_TRACKING)
        ]
    except ValueError:
        return url.strip()
    if not host:
        return url.strip()
    return f"{host}{parts.path.rstrip('/')}" + (f"?{urlencode(sorted(query))}" if query else "")


def hashed(*parts: str | None) -> str:
    """A short name for what the parts say together; other parts give another one."""
    text = "\x1f".join("" if part is None else part for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
