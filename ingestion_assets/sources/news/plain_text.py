"""Words out of HTML that anybody may have written, and items told apart: pure, and quick whatever comes."""

from __future__ import annotations

import hashlib
import re
from html import unescape
from urllib.parse import parse_qsl, urlencode, urlsplit

MOST_MARKUP = 1 << 20  # characters of one text
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


_NAMED = re.compile(r"<(/?)\s*([a-zA-Z][^\t\n\r\f />\x00]*)")
_OPENING = re.compile(r"<(?=[a-zA-Z/!?])")
_STOP = re.compile(r""">|=\s*(?:["']|[^\s>"'][^\s>]*)?""")  # a tag's end, or where a value stands or begins
_COMMENT_END = re.compile(r"--!?\s*>")
_NEVER_MARKUP = {tag: re.compile(rf"(?=</\s*{tag}[\s/>])", re.IGNORECASE) for tag in ("script", "style")}
# No sign has such a number.
_LONG_NUMBER = re.compile(r"&#(?:0*[1-9][0-9]{7,}|[xX]0*[1-9a-fA-F][0-9a-fA-F]{6,});?")


class _Words:
    """The words between the tags. However odd the markup is, it takes time in proportion to its length.

    What begins like a tag and does not end is words. After the first one that would end but for its
    quotes, quotes mean nothing any more: otherwise each would be looked for up to the end of the text.
    """

    def __init__(self, markup: str) -> None:
        self.pieces: list[str] = []
        self._markup = markup
        self._quotes = True
        self._unseen: list[str] = []
        self._open = dict.fromkeys(_UNSEEN, 0)
        self._last = {">": markup.rfind(">"), "]]>": markup.rfind("]]>")}
        self._comments_end = True

    def read(self) -> str:
        at, end = 0, len(self._markup)
        while (found := _OPENING.search(self._markup, at)) and found.start() < self._last[">"]:
            self._say(at, found.start())
            at = self._behind(found.start())
            if at == found.start():  # it is no markup
                self._say(at, at + 1)
                at += 1
        self._say(at, end)
        return "".join(self.pieces)

    def _say(self, start: int, end: int) -> None:
        if start < end and not self._unseen:
            words = self._markup[start:end]
            self.pieces.append(unescape(_LONG_NUMBER.sub("\ufffd", words)) if "&" in words else words)

    def _behind(self, at: int) -> int:
        """Where the piece of markup ends that may begin here; where it began: it is none."""
        text = self._markup
        if text.startswith("<!--", at):
            found = _COMMENT_END.search(text, at + 4) if self._comments_end else None
            self._comments_end = found is not None
            return found.end() if found else at
        if text[at : at + 9].upper() == "<![CDATA[":
            return text.index("]]>", at) + 3 if at < self._last["]]>"] else at
        named = _NAMED.match(text, at)
        if named is None:
            return text.index(">", at) + 1
        tag = named[2].lower()
        if named[1]:
            self._leave(tag)
            return text.index(">", named.end()) + 1
        whole = _tag_end(text, named.end()) if self._quotes else None
        self._quotes = whole is not None
        end = whole[0] if whole else text.index(">", at) + 1
        closed = whole[1] if whole else text[end - 2] == "/"
        self._enter(tag, closed)
        if closed or tag not in _NEVER_MARKUP:
            return end
        over = _NEVER_MARKUP[tag].search(text, end)
        return over.start() if over else len(text)

    def _enter(self, tag: str, closed: bool) -> None:
        if tag in _UNSEEN and not closed:
            self._unseen.append(tag)
            self._open[tag] += 1
        elif tag not in _INLINE:
            self.pieces.append(" ")

    def _leave(self, tag: str) -> None:
        if self._open.get(tag):
            while (inner := self._unseen.pop()) != tag:
                self._open[inner] -= 1
            self._open[tag] -= 1
        elif tag not in _INLINE:
            self.pieces.append(" ")


def _tag_end(text: str, at: int) -> tuple[int, bool] | None:
    """Behind the `>` that ends a tag, and whether it closes itself. What `=` quotes ends nothing."""
    while stop := _STOP.search(text, at):
        found = stop[0]
        if found == ">":
            return stop.end(), stop.start() > at and text[stop.start() - 1] == "/"
        at = stop.end()
        if found[-1] in "\"'" and found[1:].lstrip() == found[-1]:
            at = text.find(found[-1], at) + 1
            if at == 0:
                return None
    return None


def plain(markup: str | None) -> str:
    """What a reader sees of it, on one line; of a very long one its beginning."""
    if not markup:
        return ""
    if "<" not in markup and "&" not in markup:
        return " ".join(markup.split())
    return " ".join(_Words(markup[:MOST_MARKUP]).read().split())


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
