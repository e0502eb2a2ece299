"""US shares from the flat files of Polygon (Massive): every minute bar of every share, a file for each day.

Vendor    Massive, https://massive.com/docs/flat-files; S3 protocol, path style
Host      files.massive.com, bucket `flatfiles`
Key       an access key id of its own; the secret half is the API key
Files     us_stocks_sip/minute_aggs_v1/2024/08/2024-08-01.csv.gz: a trading day of New York, from 04:00 to
          20:00 there, about 25 MB packed and 1.5 million lines of all tickers, one after the other
Columns   ticker,volume,open,close,high,low,window_start,transactions; found by name, for close stands
          before high; window_start in nanoseconds; volume may be a fraction
Appears   by 11:00 in New York the next day, and some never do: the API gives those
Prices    unadjusted, always
Errors    S3's: NoSuchKey, AccessDenied for days that the plan has not got, InvalidAccessKeyId,
          SignatureDoesNotMatch
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import Window, intersect, micros
from ingestion_assets.registry import Series
from ingestion_assets.sources.equities import polygon_csv as csv
from ingestion_assets.sources.equities.polygon import Polygon
from ingestion_assets.sources.equities.sessions import days, sessions
from ingestion_assets.sources.errors import AuthError, MalformedAnswer, RateLimited, SourceError, VendorDown
from ingestion_assets.sources.feeds import Absent, Page, Vendor, feed
from ingestion_assets.sources.governor import Governor
from ingestion_assets.sources.http import host_of, with_patience
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.tables.equities import EQUITY_1M

log = logging.getLogger(__name__)

PUBLIC_URL = "https://files.massive.com"
BUCKET = "flatfiles"
APPEARS = timedelta(hours=16)  # after midnight UTC, which is before the end of the day in New York
DAYS_KEPT = 25  # on this machine while they are worked on: a month, for all tickers
_PIECE = 1 << 20
_WRONG_KEY = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure", "RequestTimeTooSkewed")
_GONE = ("NoSuchKey", "404")
_NOT_OURS = ("AccessDenied", "403")
_SLOWER = ("SlowDown", "TooManyRequests", "429", "RequestLimitExceeded")


@dataclass
class _Day:
    """A day's file, once it is here."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    path: Path | None = None
    absent: str = ""
    error: SourceError | None = None
    requests: int = 0


class PolygonFiles(Vendor):
    name, domain, serves = "polygon_files", "equities", "polygon"
    needs, secret = "polygon_s3_access_key_id", "polygon_s3_secret_access_key"

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        self._url = options.base_url or PUBLIC_URL
        self._governor = Governor(host_of(self._url) + "/flatfiles")
        self._days: OrderedDict[date, _Day] = OrderedDict()
        self._downloads = asyncio.Semaphore(2)
        self._client: Any

    async def __aenter__(self) -> Self:
        self._client = await asyncio.to_thread(_client, self._url, self.options)
        self._folder = tempfile.TemporaryDirectory(prefix="flatfiles-")
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._client.close()
        self._folder.cleanup()

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        return Polygon.named(text)

    @feed(EQUITY_1M, phase="bulk", settle=APPEARS, whole=timedelta(days=1), page_rows=20_000)
    async def bars(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        """Day by day of New York; when the exchange was closed, nothing was traded and nobody is asked."""
        open_then = {s.day: s.extended for s in sessions(window)}
        for day, part in days(window):
            hours = intersect([part], [open_then[day]] if day in open_then else [])
            if not hours:
                yield Page(EQUITY_1M.empty(), part, 0)
                continue
            rows, held = await self._of(day, series.symbol)
            if rows is None or rows.num_rows == 0:
                why = held.absent or f"the file of {day} has no line of {series.symbol}"
                yield Absent(part, why, held.requests, held.error)
                continue
            first, end = np.searchsorted(EQUITY_1M.times(rows), [micros(part.start), micros(part.end)])
            yield Page(rows.slice(first, end - first), part, held.requests)

    async def _of(self, day: date, ticker: str) -> tuple[pa.Table | None, _Day]:
        """A ticker's rows of a day; the file is fetched once, whoever asks for it first."""
        held = self._days.setdefault(day, _Day())
        self._days.move_to_end(day)
        async with held.lock:
            if held.path is None and not held.absent:
                await self._fetch(day, held)
                self._make_room()
            else:
                held.requests = 0
            if held.path is None:
                return None, held
            found = await asyncio.to_thread(csv.rows_of, held.path, ticker, self.options.settle, self._origin)
        return found, held

    def _make_room(self) -> None:
        """The days that were not asked for in the longest time go, but for those just being read."""
        idle = [day for day, held in self._days.items() if not held.lock.locked()]
        for day in idle[: max(0, len(self._days) - DAYS_KEPT)]:
            gone = self._days.pop(day)
            if gone.path is not None:
                gone.path.unlink()

    async def _fetch(self, day: date, held: _Day) -> None:
        name = f"us_stocks_sip/minute_aggs_v1/{day:%Y/%m/%Y-%m-%d}.csv.gz"

        async def once() -> None:
            await self._governor.admit(1)
            held.requests += 1
            held.path = await asyncio.to_thread(self._download, name, day)

        held.requests = 0
        try:
            async with self._downloads:
                await with_patience(once, self._governor, min(self.options.attempts, 3))
        except _Absence as absence:
            held.absent, held.error = str(absence), absence.error
        except MalformedAnswer as error:
            log.warning("%s", error)
            held.absent, held.error = str(error), error

    def _download(self, name: str, day: date) -> Path:
        """The file as a table beside the others; neither it nor its text is ever in memory as a whole."""
        from botocore.exceptions import BotoCoreError, ClientError

        target = Path(self._folder.name) / f"{day}.parquet"
        try:
            body = self._client.get_object(Bucket=BUCKET, Key=name)["Body"]
            with tempfile.TemporaryFile(dir=self._folder.name) as packed:
                for piece in body.iter_chunks(_PIECE):
                    packed.write(piece)
                packed.seek(0)
                csv.convert(packed, target, name)
        except ClientError as error:
            raise self._problem(error, name) from None
        except BotoCoreError as error:
            raise VendorDown(f"{self._url}/{BUCKET}/{name}: {error}") from None
        return target

    def _problem(self, error: Any, name: str) -> Exception:
        said = error.response.get("Error", {})
        code, status = str(said.get("Code")), error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        text = f"{self._url}/{BUCKET}/{name}: {code}: {said.get('Message', 'no text')}"
        for half in (self.options.api_secret, self.options.api_key):
            text = text.replace(half, "***") if half else text
        if code in _WRONG_KEY:
            return AuthError(text)
        if code in _GONE:
            return _Absence(f"{name} is not there")
        if code in _NOT_OURS:
            return _Absence(f"{name} is not for this key ({code})", AuthError(text))
        if code in _SLOWER or status == 429:
            return RateLimited(text)
        return VendorDown(text) if status >= 500 else AuthError(text) if status == 401 else SourceError(text)

    @property
    def _origin(self) -> str:
        return "simulator" if self.options.origin == "simulator" else "bulk"


class _Absence(Exception):
    """There is no such file for us."""

    def __init__(self, text: str, error: SourceError | None = None) -> None:
        super().__init__(text)
        self.error = error


def _client(url: str, options: SourceOptions) -> Any:
    import boto3
    from botocore.config import Config

    session = boto3.session.Session(options.api_key, options.api_secret, region_name="us-east-1")
    return session.client(
        "s3",
        endpoint_url=url,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=options.timeout,
            read_timeout=options.timeout,
            retries={"total_max_attempts": 1},
        ),
    )
