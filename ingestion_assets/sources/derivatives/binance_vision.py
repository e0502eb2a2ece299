"""Binance USDT-margined perpetuals from the public archive: the same as the REST API gives, in files.

Vendor    Binance, https://github.com/binance/binance-public-data
Host      data.binance.vision; served everywhere, no limit told, no key
Files     data/futures/um/{monthly,daily}/klines/<S>/1m/<S>-1m-<when>.zip           monthly and daily
          data/futures/um/{monthly,daily}/aggTrades/<S>/<S>-aggTrades-<when>.zip    monthly and daily
          data/futures/um/daily/metrics/<S>/<S>-metrics-<day>.zip                   daily only
          data/futures/um/monthly/fundingRate/<S>/<S>-fundingRate-<month>.zip       monthly only
          each beside a .CHECKSUM: `sha256  name.zip`
Appears   a day's file some hours after its end, a month's in the first days of the next one
Columns   with a header since about 2022, without before; times in ms, of spot in µs since 2025
Revises   files are restated, some checksums are wrong, some days were never there: what a file lacks is
          left to the REST API, and a file that does not match its checksum is not used
Metrics   open interest every 5 minutes, of a day from 00:00 or from 00:05 to the next midnight, with
          empty fields and repeated times in some files; since 2026-06-25 stamped with the
          beginning of their five minutes, not the end (binance-public-data issue 491): `known_at` fits both
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import Window, floor, holes, micros, moment_of, month_window, months
from ingestion_assets.registry import Series
from ingestion_assets.sources.archives import Archive, FilePage
from ingestion_assets.sources.derivatives import binance_files as files
from ingestion_assets.sources.derivatives.binance_usdm import BinanceUsdm, spelled
from ingestion_assets.sources.errors import MalformedAnswer, NotFound
from ingestion_assets.sources.feeds import Absent, Page, feed
from ingestion_assets.sources.http_vendor import HttpVendor
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.tables import Table
from ingestion_assets.tables.derivatives import AGG_TRADES_UM, FUNDING_RATES, OPEN_INTEREST_5M, PERP_1M

log = logging.getLogger(__name__)

PUBLIC_URL = "https://data.binance.vision"
DAY = timedelta(days=1)
APPEARS = timedelta(hours=10)
_ATTEMPTS = 2  # a file that does not match its checksum now will hardly do so a minute later
_WORTH_A_MONTH = timedelta(days=3)
_HOLDS_NOTHING = "the archive's file holds no line"

Read = Callable[[files.Archive], pa.Table]


class BinanceVision(Archive, HttpVendor):
    name, domain, serves = "binance_vision", "derivatives", "binance"

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        base = options.base_url or PUBLIC_URL
        self._client = self._door(base, "/data", None, attempts=min(options.attempts, 3))
        self._sums: dict[str, str] = {}  # of the files that were read

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        return BinanceUsdm.named(text)

    @feed(PERP_1M, phase="bulk", settle=APPEARS, whole=DAY, page_rows=1_440)
    async def candles(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        def read(archive: files.Archive) -> pa.Table:
            return files.candles(archive, self.options.settle, self._origin)

        async for page in self._cover(PERP_1M, "klines", series, window, read):
            yield page

    @feed(AGG_TRADES_UM, phase="bulk", settle=APPEARS, whole=DAY, page_rows=500_000)
    async def trades(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        def read(archive: files.Archive) -> pa.Table:
            return files.trades(archive, self.options.settle, self._origin)

        for part in _days(window):
            path = _daily("aggTrades", spelled(series.symbol), part)
            answer = await self._file(path, part, read)
            if isinstance(answer, Absent) or answer.num_rows == 0:
                yield answer if isinstance(answer, Absent) else Absent(part, _HOLDS_NOTHING, 2)
                continue
            for solid in _without_leaps(_within(AGG_TRADES_UM, answer, part), part):
                yield self._from(path, solid)

    @feed(OPEN_INTEREST_5M, phase="bulk", settle=APPEARS, whole=DAY, page_rows=288)
    async def open_interest(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        def read(archive: files.Archive) -> pa.Table:
            return files.open_interest(archive, self._origin)

        # Midnight may be the last row of the day before.
        before = Window(window.start - DAY, window.start)
        carried: pa.Table | None = None
        if window.start == floor(window.start, DAY):
            answer = await self._file(_daily("metrics", spelled(series.symbol), before), before, read)
            carried = None if isinstance(answer, Absent) else answer
        for part in _days(window):
            path = _daily("metrics", spelled(series.symbol), part)
            answer = await self._file(path, part, read)
            rows = [t for t in (carried, None if isinstance(answer, Absent) else answer) if t is not None]
            carried = None if isinstance(answer, Absent) else answer
            whole = OPEN_INTEREST_5M.distinct(pa.concat_tables(rows)) if rows else None
            for piece in _filled(OPEN_INTEREST_5M, whole, part, answer):
                yield self._from(path, piece)

    @feed(FUNDING_RATES, phase="bulk", settle=APPEARS, whole=DAY, page_rows=93)
    async def funding(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        def read(archive: files.Archive) -> pa.Table:
            return files.funding(archive, self.options.settle, self._origin)

        for month in months(window):
            whole = month_window(month)
            part = Window(max(whole.start, window.start), min(whole.end, window.end))
            path = _monthly("fundingRate", spelled(series.symbol), whole)
            answer = await self._file(path, part, read)
            if isinstance(answer, Absent) or answer.num_rows == 0:
                yield answer if isinstance(answer, Absent) else Absent(part, _HOLDS_NOTHING, 2)
            else:
                yield self._from(path, Page(_within(FUNDING_RATES, answer, part), part, 2))

    @property
    def _origin(self) -> str:
        return "simulator" if self.options.origin == "simulator" else "bulk"

    async def _cover(
        self, table: Table, kind: str, series: Series, window: Window, read: Read
    ) -> AsyncIterator[Page | Absent]:
        """Month by month where most of one is wanted and its file is there, day by day otherwise."""
        symbol = spelled(series.symbol)
        for month in months(window):
            whole = month_window(month)
            part = Window(max(whole.start, window.start), min(whole.end, window.end))
            answer: pa.Table | Absent = Absent(part, "")
            if part.length >= _WORTH_A_MONTH:
                path = _monthly(kind, symbol, whole)
                answer = await self._file(path, part, read)
            if not isinstance(answer, Absent):
                for piece in _filled(table, answer, part, answer):
                    yield self._from(path, piece)
                continue
            for day in _days(part):
                path = _daily(kind, symbol, day)
                answer = await self._file(path, day, read)
                rows = None if isinstance(answer, Absent) else answer
                for piece in _filled(table, rows, day, answer):
                    yield self._from(path, piece)

    async def _file(self, path: str, window: Window, read: Read) -> pa.Table | Absent:
        """The rows of a file; Absent when there is none, or none that can be trusted."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                file, digest = await self._client.download(path)
            except NotFound:
                return Absent(window, f"{self._client.base_url}{path} is not there")
            with file:
                try:
                    await self._compare(path, digest)
                    self._sums[path] = digest
                    return await asyncio.to_thread(read, files.Archive(file, path))
                except MalformedAnswer as error:
                    log.warning("%s", error)
                    if attempt == _ATTEMPTS:
                        return Absent(window, str(error), 2 * attempt, error)
        raise AssertionError("unreachable")

    async def _compare(self, path: str, digest: str) -> None:
        name, published = path.rpartition("/")[2], await self.checksum(path)
        if published is None:
            log.info("%s has no CHECKSUM; the sums inside the file have to do", name)
        elif published != digest:
            raise MalformedAnswer(
                f"{name} has the SHA-256 {digest[:16]}…, its CHECKSUM says {published[:16]}…: "
                "the file is not used"
            )

    async def checksum(self, path: str) -> str | None:
        try:
            text = await self._client.get(f"{path}.CHECKSUM", parse=bytes)
        except NotFound:
            return None
        words = text.decode("ascii", "replace").split()
        if not words or len(words[0]) != 64:
            raise MalformedAnswer(f"{path.rpartition('/')[2]}.CHECKSUM is no SHA-256: {text[:80]!r}")
        return words[0].lower()

    def _from(self, path: str, piece: Page | Absent) -> Page | Absent:
        """A page with the file that it came from, if that was there."""
        if isinstance(piece, Absent) or path not in self._sums:
            return piece
        return FilePage(piece.rows, piece.window, piece.requests, path, self._sums[path])


def _monthly(kind: str, symbol: str, month: Window) -> str:
    return _path("monthly", kind, symbol, f"{month.start:%Y-%m}")


def _daily(kind: str, symbol: str, day: Window) -> str:
    return _path("daily", kind, symbol, f"{day.start:%Y-%m-%d}")


def _path(rhythm: str, kind: str, symbol: str, when: str) -> str:
    folder, what = (f"{symbol}/1m", "1m") if kind == "klines" else (symbol, kind)
    return f"/data/futures/um/{rhythm}/{kind}/{folder}/{symbol}-{what}-{when}.zip"


def _days(window: Window) -> list[Window]:
    """The window cut at midnights."""
    cuts, start = [], window.start
    while start < window.end:
        end = min(floor(start, DAY) + DAY, window.end)
        cuts.append(Window(start, end))
        start = end
    return cuts


def _within(table: Table, rows: pa.Table, window: Window) -> pa.Table:
    first, end = np.searchsorted(table.times(rows), [micros(window.start), micros(window.end)])
    return rows.slice(first, end - first)


def _filled(
    table: Table, rows: pa.Table | None, window: Window, answer: pa.Table | Absent
) -> list[Page | Absent]:
    """The stretches of a grid that have rows as pages; for what a file lacks somebody else is asked."""
    requests = answer.requests if isinstance(answer, Absent) else 2
    if rows is None:
        return [answer] if isinstance(answer, Absent) else []
    inside = _within(table, rows, window)
    lacking = holes(table.times(inside), window, table.grain)
    why = answer.evidence if isinstance(answer, Absent) else "the archive's file leaves it out"
    error = answer.error if isinstance(answer, Absent) else None
    pieces: list[Page | Absent] = [Absent(hole, why, 0, error) for hole in lacking]
    cursor = window.start
    for hole in [*lacking, Window(window.end, window.end)]:
        if cursor < hole.start:
            solid = Window(cursor, hole.start)
            pieces.append(Page(_within(table, inside, solid), solid, requests))
            requests = 0
        cursor = hole.end
    return pieces


def _without_leaps(rows: pa.Table, window: Window) -> list[Page | Absent]:
    """Trades are numbered without gaps: where numbers are left out, the minutes of that are not covered."""
    ids, times = rows.column("id").to_numpy(), AGG_TRADES_UM.times(rows)
    leaps = np.flatnonzero(np.diff(ids) != 1)
    pieces: list[Page | Absent] = []
    start, first = window.start, 0
    for leap in leaps.tolist():
        left = floor(moment_of(times[leap]), AGG_TRADES_UM.grain)
        right = min(floor(moment_of(times[leap + 1]), AGG_TRADES_UM.grain) + AGG_TRADES_UM.grain, window.end)
        evidence = f"the archive's file goes from trade {ids[leap]} to {ids[leap + 1]}"
        pieces.append(Page(rows.slice(first, leap + 1 - first), Window(start, max(start, left)), 0))
        pieces.append(Absent(Window(left, right), evidence, 0))
        start, first = right, leap + 1
    return [*pieces, Page(rows.slice(first), Window(start, window.end), 2)]
