"""RSS and Atom documents to entries, in a process of its own: `python -m …feed_document`, body in, JSON out.

A document comes from anybody, so reading it must not take more than its share: this process gives itself
limits of memory and processor time before it reads anything, and whoever started it has a clock as well.
Imports the parser and nothing of ours but words, so that it starts fast.
"""

from __future__ import annotations

import calendar
import contextlib
import gzip
import io
import json
import re
import sys
from typing import Any

MEMORY = 1 << 30
PROCESSOR_SECONDS = 10
MOST_ENTRIES = 5_000
MOST_BYTES = 10 << 20
_PACKED = b"\x1f\x8b"
# Numbers of no sign, halves of surrogate pairs and those beyond the last one: the parser breaks on them.
_NO_SIGNS = re.compile(
    rb"&#(?:0*(?:5529[6-9]|55[3-9]\d\d|56\d{3}|57[0-2]\d\d|573[0-3]\d|5734[0-3]"
    rb"|111411[2-9]|11141[2-9]\d|1114[2-9]\d\d|111[5-9]\d{3}|11[2-9]\d{4}|1[2-9]\d{5}|[2-9]\d{6}|[1-9]\d{7,})(?!\d)"
    rb"|x0*(?:d[89a-f][0-9a-f]{2}|11[0-9a-f]{4}|1[2-9a-f][0-9a-f]{4}|[2-9a-f][0-9a-f]{5}|[1-9a-f][0-9a-f]{6,})"
    rb"(?![0-9a-f]));?",
    re.IGNORECASE,
)
# Words that begin like a section of XML and are none: the parser loses what follows.
_SECTIONS = re.compile(rb"<!\[CDATA\[(?:.*?\]\]>|.*)|<!\[", re.DOTALL)
_PLAIN = ("title", "summary", "author", "link", "id")


def entries(body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """What a document says, as far as it can be read; `broken` names what is wrong with it."""
    import feedparser

    # The text is stored as sent, so nothing is cleaned or made absolute.
    found = feedparser.parse(
        io.BytesIO(_SECTIONS.sub(_as_words, _NO_SIGNS.sub(b"?", _unpacked(body)))),
        response_headers=headers,
        sanitize_html=False,
        resolve_relative_uris=False,
    )
    broken = found.get("bozo_exception")
    return {
        "kind": found.get("version") or "",
        "title": _text(found.feed.get("title")),
        "broken": f"{type(broken).__name__}: {broken}"[:200] if broken is not None else None,
        "left_off": max(0, len(found.entries) - MOST_ENTRIES),
        "entries": [_entry(entry) for entry in found.entries[:MOST_ENTRIES]],
    }


def _as_words(section: re.Match[bytes]) -> bytes:
    return section[0] if len(section[0]) > len(b"<![") else b"&lt;!["


def _unpacked(body: bytes) -> bytes:
    """Some feeds are packed files, beside how an answer may be packed on its way."""
    if not body.startswith(_PACKED):
        return body
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
        document = file.read(MOST_BYTES + 1)
    if len(document) > MOST_BYTES:
        raise ValueError(f"it holds more than {MOST_BYTES} bytes")
    return document


def _entry(entry: Any) -> dict[str, Any]:
    told = {name: _text(entry.get(name)) for name in _PLAIN}
    contents = [_text(one.get("value")) for one in entry.get("content", ())]
    content = next(filter(None, contents), None)
    return told | {
        "content": content,
        # Without a summary of its own the parser gives the content for one.
        "summary": None if told["summary"] == content else told["summary"],
        "published": _seconds(entry.get("published_parsed")) or _seconds(entry.get("created_parsed")),
        "updated": _seconds(entry.get("updated_parsed")) if "updated_parsed" in entry else None,
        "published_text": _text(entry.get("published") or entry.get("updated") or entry.get("created")),
    }


def _text(value: Any) -> str | None:
    """Words that can be stored: half of a surrogate pair, which some feeds have, cannot."""
    if not isinstance(value, str) or not value.strip():
        return None
    return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def _seconds(parts: Any) -> int | None:
    if parts is None:
        return None
    try:
        return calendar.timegm(parts)
    except (ValueError, OverflowError):
        return None


def main() -> None:
    with contextlib.suppress(ImportError):
        import resource

        for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, PROCESSOR_SECONDS)):
            with contextlib.suppress(ValueError, OSError):  # less is allowed already, or not on this system
                resource.setrlimit(kind, (most, most))
    headers = json.loads(sys.argv[1])
    json.dump(entries(sys.stdin.buffer.read(), headers), sys.stdout)


if __name__ == "__main__":
    main()
