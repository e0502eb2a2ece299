"""One poll of one feed: over HTTP within limits, asked only for what changed, read in a process of its own.

Whoever has a feed may send anything, so a poll has a size, a time and a memory that it cannot exceed.
What came is kept in a folder together with its ETag: where the server says that nothing changed, that is
read again, so a poll always gives everything the feed holds, and nothing is lost if landing it once failed.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import orjson

from ingestion_assets.sources.errors import BadRequest, MalformedAnswer, NotFound, clean_url, excerpt
from ingestion_assets.sources.http import Answer, by_status
from ingestion_assets.sources.news import feed_document
from ingestion_assets.sources.public_address import Document, fetch_public

MOST_BYTES = feed_document.MOST_BYTES
READING_SECONDS = 60.0
_READER = str(Path(feed_document.__file__).resolve())
_KINDS = "application/atom+xml, application/rss+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1"
_MARKS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}


@dataclass(frozen=True)
class Poll:
    """Everything that a feed held at a moment."""

    url: str
    now: datetime
    title: str
    entries: list[dict[str, Any]]
    unchanged: bool = False  # the server said so


async def poll(
    url: str, *, seconds: float, allowed: Collection[str] = (), folder: Path | None = None
) -> Poll:
    kept = _Kept.of(folder, url)
    now = datetime.now(UTC)
    document = await fetch_public(
        url,
        most_bytes=MOST_BYTES,
        seconds=seconds,
        allowed=allowed,
        headers={"Accept": _KINDS, **kept.conditions()},
    )
    unchanged = document.status == 304 and kept.body is not None
    if unchanged:
        assert kept.body is not None
        body, headers = kept.body, kept.headers
    else:
        _check(document)
        body, headers = document.body, {k.lower(): v for k, v in document.headers.items()}
    try:
        told = await read(body, headers)
    except MalformedAnswer as error:
        raise BadRequest(f"{clean_url(url)}: {error}") from None
    if not told["kind"] and not told["entries"]:
        why = told["broken"] or "it is something else"
        raise BadRequest(f"{clean_url(url)} is no RSS or Atom feed ({why}): {excerpt(body) or 'empty'}")
    if not unchanged:
        kept.keep(body, headers)
    entries = [entry | {"link": _whole(document.url, entry)} for entry in told["entries"]]
    return Poll(url, now, told["title"] or "", entries, unchanged)


def _whole(url: str, entry: Mapping[str, Any]) -> str | None:
    """The entry's link; a relative one starts from the feed. Its guid once more is no link."""
    link: str | None = entry["link"]
    if not link or link == entry["id"]:
        return link
    try:
        return urljoin(url, link)
    except ValueError:
        return link


def _check(document: Document) -> None:
    problem = by_status(Answer(document.status, document.headers, document.body))
    if problem is None:
        return
    if document.status in (404, 410):
        problem = NotFound(f"HTTP {document.status}: there is no feed (any more)")
    problem.args = (f"{clean_url(document.url)}: {problem}",)
    raise problem


async def read(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """What the document says, read in another process, which may fail without harm to this one."""
    sent = {name: headers[name] for name in ("content-type", "content-language") if name in headers}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        _READER,
        orjson.dumps(sent).decode(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={},  # nothing that it reads is to see our secrets
    )
    try:
        output, complaint = await asyncio.wait_for(process.communicate(body), READING_SECONDS)
    except TimeoutError:
        raise MalformedAnswer(f"reading it took more than {READING_SECONDS:g} s: it is not used") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = complaint.decode("utf-8", "replace").strip().rpartition("\n")[2] or "killed"
        raise MalformedAnswer(
            f"reading it took too much memory or time, or failed: it is not used ({last[:160]})"
        )
    told: dict[str, Any] = orjson.loads(output)
    return told


@dataclass
class _Kept:
    """The last answer of a feed, and how to ask whether it still stands."""

    path: Path | None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path | None, url: str) -> _Kept:
        if folder is None:
            return cls(None)
        path = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.feed"
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            headers, digest = orjson.loads(head)
        except (OSError, orjson.JSONDecodeError, ValueError):  # it is only kept to be asked for less
            return cls(path)
        return cls(path, body, headers) if hashlib.sha256(body).hexdigest() == digest else cls(path)

    def conditions(self) -> dict[str, str]:
        """Headers that ask only for what changed since."""
        if self.body is None:
            return {}
        return {ours: self.headers[theirs] for theirs, ours in _MARKS.items() if theirs in self.headers}

    def keep(self, body: bytes, headers: Mapping[str, str]) -> None:
        if self.path is None or not any(mark in headers for mark in _MARKS):
            return
        told = {
            name: headers[name] for name in (*_MARKS, "content-type", "content-language") if name in headers
        }
        head = orjson.dumps([told, hashlib.sha256(body).hexdigest()])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.path.parent, delete=False) as file:
            file.write(head + b"\n" + body)
        Path(file.name).replace(self.path)
