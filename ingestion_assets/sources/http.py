"""The one way to a vendor over HTTP: time limits, pace, retries for what can heal, errors from the tree.

A vendor file hands over how its errors look (`classify`); everything else is the same for all vendors.
"""

from __future__ import annotations

import asyncio
import base64
import email.utils
import hashlib
import logging
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from ingestion_assets.sources.errors import (
    AuthError,
    BadRequest,
    Banned,
    GeoBlocked,
    MalformedAnswer,
    NotFound,
    RateLimited,
    SourceError,
    Transient,
    Unreachable,
    VendorDown,
    clean_url,
    excerpt,
)
from ingestion_assets.sources.governor import LONGEST_WAIT, Governor

log = logging.getLogger(__name__)

_PIECE = 1 << 20
_SHORTEST_KEY = 8  # shorter ones stand in ordinary words

Classify = Callable[[int, Mapping[str, str], bytes], SourceError | None]
T = TypeVar("T")


async def with_patience(once: Callable[[], Awaitable[T]], governor: Governor, attempts: int) -> T:
    """Do it again while what went wrong can heal; the host is left alone for as long as it asks."""
    attempt = 1
    while True:
        try:
            return await once()
        except Transient as error:
            wait = _wait(error, attempt)
            if isinstance(error, RateLimited):
                await governor.shut(wait)
            if attempt >= attempts or wait > LONGEST_WAIT:
                raise
            log.info("asking again in %.1f s (attempt %d): %s", wait, attempt, error)
            if not isinstance(error, RateLimited):
                await asyncio.sleep(wait)
            attempt += 1


def _wait(error: Transient, attempt: int) -> float:
    """What the vendor asks for; otherwise longer each time, not quite regular."""
    if error.retry_after is not None:
        return error.retry_after
    jitter = random.uniform(0.75, 1.25)  # noqa: S311 not a secret
    return min(LONGEST_WAIT / 4, 0.25 * 2 ** (attempt - 1)) * jitter


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class HttpClient:
    """One vendor host: connections, pace and patience. Use it inside `async with`."""

    base_url: str
    governor: Governor
    classify: Classify = lambda status, headers, body: None
    learn: Callable[[Mapping[str, str]], int | None] = lambda headers: None
    timeout: float = 30.0
    attempts: int = 5
    concurrency: int = 8
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # of every request: where keys go
    requests: int = 0
    _dated: tuple[str, float] = field(default=("", 0.0), repr=False)
    _session: aiohttp.ClientSession | None = field(default=None, repr=False)
    _slots: asyncio.Semaphore | None = field(default=None, repr=False)

    async def __aenter__(self) -> HttpClient:
        self._slots = asyncio.Semaphore(self.concurrency)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.concurrency),
            timeout=aiohttp.ClientTimeout(total=self.timeout),
            headers={"User-Agent": "ingestion_assets", **self.headers},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        parse: Callable[[bytes], T],
        weight: int = 1,
        offload: bool = False,
        form: Mapping[str, str] | None = None,
        each: Callable[[Callable[[], Awaitable[T]]], Awaitable[T]] | None = None,
    ) -> T:
        """What `parse` makes of the vendor's answer; raises what the tree in errors.py says.

        `parse` may raise MalformedAnswer, which is asked again like the rest of what can heal.
        `offload` runs it beside the event loop: worth it for bodies that take milliseconds.
        A `form` is posted. Every attempt is made through `each`: where it costs something, it is paid there.
        """

        async def once() -> T:
            body = await self._once(path, params, weight, form)
            try:
                if offload:
                    return await asyncio.get_running_loop().run_in_executor(None, parse, body)
                return parse(body)
            except MalformedAnswer as error:
                where = clean_url(self.base_url + path + _query(params))
                error.args = (self.without_keys(f"{where}: {error}"),)
                raise
            except SourceError as error:
                error.args = (self.without_keys(str(error)),)
                raise

        attempt = once if each is None else lambda: each(once)
        return await with_patience(attempt, self.governor, self.attempts)

    async def _once(
        self,
        path: str,
        params: Mapping[str, Any] | None,
        weight: int,
        form: Mapping[str, str] | None = None,
    ) -> bytes:
        assert self._session is not None and self._slots is not None, "use HttpClient inside `async with`"
        async with self._slots:
            window = await self.governor.admit(weight)
            self.requests += 1
            url = self.base_url + path
            try:
                method = "GET" if form is None else "POST"
                async with self._session.request(
                    method, url, params=params, data=form, allow_redirects=False
                ) as response:
                    body = await response.read()
                    answer = Answer(response.status, response.headers, body)
            except TimeoutError:
                raise VendorDown(f"{clean_url(url)} did not answer within {self.timeout:g} s") from None
            except aiohttp.ClientError as error:
                raise _broken(url, error) from None
        self._dated = answer.headers.get("Date", ""), time.time()
        used = self.learn(answer.headers)
        if used is not None:
            await self.governor.learn_used(window, used)
        self._raise_unless_fine(url + _query(params), answer)
        return answer.body

    async def download(self, path: str, *, weight: int = 1) -> tuple[IO[bytes], str]:
        """A large answer as an open temporary file, and its SHA-256; it is never in memory as a whole.

        However long it takes: only a line on which nothing comes for `timeout` is given up.
        """
        return await with_patience(lambda: self._download(path, weight), self.governor, self.attempts)

    async def _download(self, path: str, weight: int) -> tuple[IO[bytes], str]:
        assert self._session is not None and self._slots is not None, "use HttpClient inside `async with`"
        patience = aiohttp.ClientTimeout(total=None, sock_connect=self.timeout, sock_read=self.timeout)
        url, digest = self.base_url + path, hashlib.sha256()
        file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 handed over open
        try:
            async with self._slots:
                await self.governor.admit(weight)
                self.requests += 1
                async with self._session.get(url, timeout=patience, allow_redirects=False) as response:
                    if response.status != 200:
                        body = await response.content.read(_PIECE)
                        self._raise_unless_fine(url, Answer(response.status, response.headers, body))
                        raise VendorDown(f"{clean_url(url)}: HTTP {response.status} is no file")
                    async for piece in response.content.iter_chunked(_PIECE):
                        digest.update(piece)
                        file.write(piece)
            file.seek(0)
        except TimeoutError:
            file.close()
            raise VendorDown(f"{clean_url(url)}: nothing came for {self.timeout:g} s") from None
        except aiohttp.ClientError as error:
            file.close()
            raise _broken(url, error) from None
        except BaseException:
            file.close()
            raise
        return file, digest.hexdigest()

    def _raise_unless_fine(self, url: str, answer: Answer) -> None:
        problem = self.classify(answer.status, answer.headers, answer.body) or by_status(answer)
        if problem is not None:
            problem.args = (self.without_keys(f"{clean_url(url)}: {problem}"),)
            raise problem

    def without_keys(self, text: str) -> str:
        """A text without the keys that were sent, which some vendors repeat when they refuse them."""
        for name, value in self.headers.items():
            kind, _, secret = value.rpartition(" ")
            told = [secret] if name.lower() != "user-agent" else []
            if kind == "Basic":
                told.append(base64.b64decode(secret).decode().rpartition(":")[2])
            for one in told:
                text = text.replace(one, "***") if len(one) >= _SHORTEST_KEY else text
        return text

    @property
    def date_skew(self) -> float | None:
        """By how many seconds the vendor's clock is ahead of ours, by the Date of its last answer."""
        said, heard = self._dated
        stamp = email.utils.parsedate_tz(said)
        return None if stamp is None else email.utils.mktime_tz(stamp) + 0.5 - heard


def by_status(answer: Answer) -> SourceError | None:
    """What a status means, where the vendor does not say it in its own way; None: all is fine."""
    status, text = answer.status, f"HTTP {answer.status}: {excerpt(answer.body) or 'no text'}"
    if 200 <= status < 300:
        return None
    wait = retry_after(answer.headers)
    if status == 429:
        return RateLimited(text, wait)
    if status == 418:
        return Banned(text, wait)
    if status in (401, 403):
        # A CDN's firewall answers 403 with a page; the vendor itself answers with its own words.
        html = answer.body.lstrip()[:1] == b"<"
        return VendorDown(text, wait) if html else AuthError(text)
    if status == 451:
        return GeoBlocked(f"{text}. This place is not served: set another base URL or use another venue")
    if status == 404:
        return NotFound(text)
    if status == 408 or status >= 500 or 300 <= status < 400:
        return VendorDown(text, wait)
    return BadRequest(text)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date."""
    text = headers.get("Retry-After")
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    stamp = email.utils.parsedate_tz(text)
    return max(0.0, email.utils.mktime_tz(stamp) - time.time()) if stamp else None


def expect_json(body: bytes, opening: bytes) -> None:
    """A body that does not begin and end as promised is no data: a CDN's page, a proxy's apology."""
    closing = {b"[": b"]", b"{": b"}"}[opening]
    if body.lstrip()[:1] != opening or body.rstrip()[-1:] != closing:
        raise MalformedAnswer(f"the answer is not the JSON {opening.decode()}…: {excerpt(body) or 'empty'}")


def host_of(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _query(params: Mapping[str, Any] | None) -> str:
    return "?" + "&".join(f"{name}={value}" for name, value in params.items()) if params else ""


def _broken(url: str, error: aiohttp.ClientError) -> VendorDown:
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error.strerror or error.os_error
        return Unreachable(
            f"{clean_url(url)}: nothing answers there ({cause}): is it running, is the address right?"
        )
    return VendorDown(f"{clean_url(url)}: the connection broke ({type(error).__name__}: {error})")
