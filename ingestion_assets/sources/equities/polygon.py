"""US shares by the REST API of Polygon, which is called Massive since October 2025.

Vendor    Massive, https://massive.com/docs/rest/stocks; machine-readable in its public client
Host      api.massive.com; api.polygon.io still answers, with the same keys
Key       needed; sent as a header, never in a URL, and taken out of the vendor's own `next_url`
Limits    5 requests a minute on the free plan, none told on the others: paced once a 429 has come, which
          has no Retry-After
Bars      v2/aggs, at most 50,000 to an answer, then `next_url`; adjusted for splits unless told not to;
          a minute without trades has no bar; `results` is left out when there is none, `vw` and `n` of
          some rows; `v` may be a fraction; stamps are milliseconds, of days midnight in New York
Settled   a plan may show everything 15 minutes late, so that nothing younger is taken as final
Snapshot  v2/snapshot, up to 250 tickers to a request; empty from 03:30 to 04:00 in New York
Splits    v3/reference/splits, all of a ticker in one answer
History   2 years on the free plan, since 2003 on the largest; what a plan has not got is a 403
Errors    {"status": "ERROR", "error": …} or {"status": "NOT_AUTHORIZED", "message": …}, some with HTTP 200
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import Window, intersect, iso, micros, moment_of, subtract
from ingestion_assets.registry import Series, check_id
from ingestion_assets.sources.clock import told_now
from ingestion_assets.sources.equities.polygon_rows import (
    Document,
    days_traded,
    described,
    document_of,
    normalise_bars,
    normalise_snapshot,
    normalise_splits,
    problem_of,
    results_of,
)
from ingestion_assets.sources.equities.sessions import NEW_YORK, Session, day_of, sessions
from ingestion_assets.sources.errors import MalformedAnswer, NotFound, RateLimited, SourceError
from ingestion_assets.sources.feeds import Absent, Page, feed
from ingestion_assets.sources.governor import Budget
from ingestion_assets.sources.http_vendor import HttpVendor
from ingestion_assets.sources.market import Market, SourceOptions
from ingestion_assets.sources.paging import checked
from ingestion_assets.sources.present import slots, taken_at
from ingestion_assets.sources.together import Together
from ingestion_assets.tables.equities import EQUITY_1M, EQUITY_SNAPSHOTS, SPLITS

PUBLIC_URL = "https://api.massive.com"
FREE_PLAN = Budget(limit=5, seconds=60)
BARS, SPLITS_AT_ONCE, TICKERS_AT_ONCE = 50_000, 1_000, 100
SHOWN_AFTER = timedelta(minutes=20)
_STALLS_BORNE = 3
_FORGOTTEN, _SHOWN_AGAIN = time(3, 30), time(4)
_TICKER = re.compile(r"[A-Za-z][A-Za-z0-9]{0,9}(\.[A-Za-z0-9]{1,4})?")


class Polygon(HttpVendor):
    name, domain, serves = "polygon", "equities", "polygon"
    needs = "polygon_api_key"

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        self._client = self._door(
            options.base_url or PUBLIC_URL,
            "/polygon",
            None,
            classify=self._classify,
            headers={"Authorization": f"Bearer {options.api_key}"} if options.api_key else {},
        )
        self._snapshots = Together(self._tickers, TICKERS_AT_ONCE)
        self._splits: dict[str, pa.Table] = {}
        self._splitting = asyncio.Lock()

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        """`aapl` is AAPL; of preferred shares (BACpL) the small letter counts."""
        if not _TICKER.fullmatch(text):
            raise ValueError(f"ticker {text!r}: write it like AAPL, BRK.B or BACpL")
        ticker = text.upper() if text.islower() else text
        return check_id(f"{cls.serves}.{ticker}"), ticker

    async def now(self) -> datetime:
        document = await self._client.get("/v1/marketstatus/now", parse=document_of)
        try:
            return datetime.fromisoformat(str(document["serverTime"])).astimezone(UTC)
        except (KeyError, ValueError) as error:
            raise MalformedAnswer(f"marketstatus tells no serverTime ({error})") from None

    async def look_up(self, symbol: str) -> Market:
        try:
            document = await self._client.get(f"/v3/reference/tickers/{quote(symbol)}", parse=document_of)
        except NotFound:
            raise NotFound(f"polygon has no ticker {symbol!r}; {await self._nearest(symbol)}") from None
        return described(document, symbol)

    async def _nearest(self, symbol: str) -> str:
        params = {"search": symbol, "active": "true", "limit": 3}
        document = await self._client.get("/v3/reference/tickers", params, parse=document_of)
        names = ", ".join(str(one.get("ticker")) for one in results_of(document))
        return f"nearest names: {names}" if names else "it lists none alike"

    @feed(EQUITY_1M, phase="rest", page_rows=BARS, settle=SHOWN_AFTER)
    async def bars(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        """Answer by answer as `next_url` leads, each up to its last bar; of closed hours nobody is asked."""
        if not sessions(window):
            yield Page(EQUITY_1M.empty(), window, 0)
            return
        path: str | None = _range(series.symbol, "minute", window)
        params: Mapping[str, Any] | None = {"adjusted": "false", "sort": "asc", "limit": BARS}
        cursor, stalls = window.start, 0
        while path is not None:
            document, rows = await self._client.get(path, params, parse=self._bars, offload=True)
            rows = checked(EQUITY_1M, rows, Window(cursor, window.end))
            path, params = self._following(document), None
            if path is None:
                reached = window.end
            elif rows.num_rows:
                reached, stalls = moment_of(EQUITY_1M.times(rows)[-1]) + EQUITY_1M.grain, 0
            else:
                reached, stalls = cursor, stalls + 1
            if stalls > _STALLS_BORNE:
                raise MalformedAnswer(f"bars of {series.symbol} from {iso(cursor)} on lead nowhere: no rows")
            async for piece in self._believed(series, rows, Window(cursor, reached)):
                yield piece
            cursor = reached

    async def _believed(self, series: Series, rows: pa.Table, window: Window) -> AsyncIterator[Page | Absent]:
        """A whole session without a bar is believed when the vendor has no bar of that day either."""
        silent = [s for s in sessions(window) if intersect([s.regular], [window]) == [s.regular]]
        times = EQUITY_1M.times(rows)
        silent = [s for s in silent if not _any_within(times, s.extended)]
        lost: list[Session] = []
        if silent:
            span = Window(day_of(silent[0].day).start, day_of(silent[-1].day).end)
            params = {"adjusted": "false", "sort": "asc", "limit": BARS}
            path = _range(series.symbol, "day", span)
            traded = await self._client.get(path, params, parse=lambda body: days_traded(document_of(body)))
            lost = [s for s in silent if s.day in traded]
        gone = intersect([s.extended for s in lost], [window])
        for number, part in enumerate(subtract([window], gone)):
            first, end = np.searchsorted(times, [micros(part.start), micros(part.end)])
            yield Page(rows.slice(first, end - first), part, 0 if number else 1 + bool(silent))
        for session in lost:
            evidence = f"polygon has a bar of the day {session.day} and none of its minutes"
            for part in intersect([session.extended], [window]):
                yield Absent(part, evidence, 0)

    @feed(SPLITS, phase="rest", page_rows=SPLITS_AT_ONCE, settle=timedelta(hours=12))
    async def splits(self, series: Series, window: Window) -> AsyncIterator[Page]:
        """All of a ticker at once: there are few, and windows are many."""
        ticker, asked = series.symbol, 0
        async with self._splitting:
            if ticker not in self._splits:
                self._splits[ticker], asked = await self._all_splits(ticker), 1
        rows = self._splits[ticker]
        first, end = np.searchsorted(SPLITS.times(rows), [micros(window.start), micros(window.end)])
        yield Page(rows.slice(first, end - first), window, asked)

    async def _all_splits(self, ticker: str) -> pa.Table:
        path: str | None = "/v3/reference/splits"
        params: Mapping[str, Any] | None = {
            "ticker": ticker,
            "sort": "execution_date",
            "order": "asc",
            "limit": SPLITS_AT_ONCE,
        }
        found: dict[str, Mapping[str, Any]] = {}
        while path is not None:
            document = await self._client.get(path, params, parse=document_of)
            page = [one for one in results_of(document) if one.get("ticker") == ticker]
            fresh = {str(one.get("execution_date")): one for one in page}
            path, params = self._following(document), None
            if path is not None and not fresh.keys() - found.keys():
                raise MalformedAnswer(f"splits of {ticker} lead nowhere: a page held nothing new")
            found |= fresh
        return normalise_splits(list(found.values()), self.options.origin)

    @feed(EQUITY_SNAPSHOTS, phase="snapshot", page_rows=1, **slots(EQUITY_SNAPSHOTS))
    async def snapshot(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        entry = await self._snapshots.get(series.symbol)
        if entry is None and (_cleared(window.start) or _cleared(told_now(self._client))):
            yield Absent(window, "polygon shows nobody from 03:30 to 04:00 in New York")
            return
        if entry is None:
            raise NotFound(f"polygon shows no snapshot of {series.symbol!r}: is the ticker right?")
        taken = taken_at(window, self._client.date_skew, self.options.origin)
        yield Page(normalise_snapshot(entry, taken.at, self.options.origin, taken.known), window)

    async def _tickers(self, names: list[str]) -> dict[str, Mapping[str, Any]]:
        path = "/v2/snapshot/locale/us/markets/stocks/tickers"
        document = await self._client.get(path, {"tickers": ",".join(names)}, parse=document_of)
        shown = document.get("tickers")
        if not isinstance(shown, list) or not all(isinstance(one, dict) for one in shown):
            raise MalformedAnswer(f"{path} gives no list of tickers: {str(dict(document))[:160]}")
        return {str(one.get("ticker")): one for one in shown}

    def _bars(self, body: bytes) -> tuple[Document, pa.Table]:
        document = document_of(body)
        return document, normalise_bars(document, self.options.settle, self.options.origin)

    def _following(self, document: Document) -> str | None:
        """Where the next page is, on the host that we ask: the key goes nowhere else."""
        url = document.get("next_url")
        if not url:
            return None
        parts = urlsplit(str(url))
        query = [(name, value) for name, value in parse_qsl(parts.query) if name.lower() != "apikey"]
        return f"{parts.path}?{urlencode(query)}"

    def _classify(self, status: int, headers: Mapping[str, str], body: bytes) -> SourceError | None:
        problem = problem_of(status, headers, body)
        if isinstance(problem, RateLimited):
            self._client.governor.budget = FREE_PLAN
        return problem


def _range(ticker: str, span: str, window: Window) -> str:
    """Both ends are inclusive."""
    first, last = -(-micros(window.start) // 1_000), -(-micros(window.end) // 1_000) - 1
    return f"/v2/aggs/ticker/{quote(ticker)}/range/1/{span}/{first}/{last}"


def _cleared(moment: datetime) -> bool:
    """Whether the vendor has forgotten yesterday and knows nothing of today."""
    return _FORGOTTEN <= moment.astimezone(NEW_YORK).time() < _SHOWN_AGAIN


def _any_within(times: np.ndarray, window: Window) -> bool:
    first, end = np.searchsorted(times, [micros(window.start), micros(window.end)])
    return bool(end > first)
