"""Candles of every exchange that ccxt knows and that has no file of its own here.

Vendor    the exchange, through ccxt, https://docs.ccxt.com
Hosts     the exchange's own; a base URL of ours takes the place of all of them
Key       none for public data; one that is given is handed on
Limits    ccxt's `rateLimit`: how many ms of the exchange's time a request of cost 1 takes; weight here
          is such milliseconds, so a second of budget is 1,000
Candles   time, open, high, low, close, volume; all else is null. At most as many per answer as ccxt's
          `features` say
History   the exchange's; those that serve a recent stretch only are in SERVED_BARS
Revises   unknown
Errors    ccxt's, put into the words of our tree by ccxt_errors
Quirks    some exchanges answer about a fixed stretch from `since` on, so that an empty answer says
          nothing of what follows: `_first_in` looks further. ccxt takes an HTML page, cut-off JSON, a
          row without a time and the candles of another market for "no candles": here they are malformed
          answers.
"""

from __future__ import annotations

import asyncio
import difflib
import itertools
import math
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
from multidict import CIMultiDict

from ingestion_assets.intervals import EPOCH, TIMEFRAMES, Window, bars, floor, micros
from ingestion_assets.sources.errors import BadRequest, MalformedAnswer, NotFound, clean_url, excerpt
from ingestion_assets.sources.governor import Budget, Governor, RedisCounter
from ingestion_assets.sources.http import host_of, with_patience
from ingestion_assets.sources.market import Market, Pages, SourceOptions
from ingestion_assets.sources.market.ccxt_errors import STUMBLES, Wire, explained, without_candles
from ingestion_assets.tables import Table

# How many bars back from the present an exchange serves, whatever is asked for.
SERVED_BARS = {
    "kraken": 720,  # docs.kraken.com, Get OHLC Data: "older data cannot be retrieved"
    "gate": 10_000,  # "Candlestick too long ago. Maximum 10000 points …": ccxt issue 27887
    "gateio": 10_000,
    "hyperliquid": 5_000,  # candleSnapshot knows the last 5,000 bars only
}
_BARS_IN_FLIGHT = 2  # of those, the oldest may be gone by the time the question arrives
_ROWS_UNLESS_SAID = 100  # nearly every exchange gives that many
_DARK_POOL = ".d"
_COARSE = "1d"
_EARLIER = timedelta(days=60)

T = TypeVar("T")
Rows = list[list[Any]]
_WIRE: ContextVar[Wire] = ContextVar("wire")


class CcxtExchange:
    def __init__(self, exchange: str, options: SourceOptions) -> None:
        import ccxt.async_support as ccxt  # costs seconds, so only when it is used

        if exchange not in ccxt.exchanges:
            near = difflib.get_close_matches(exchange, ccxt.exchanges, n=3)
            hint = f"nearest names: {', '.join(near)}" if near else "ccxt lists those there are"
            raise ValueError(f"exchange {exchange!r} is unknown; {hint}")
        self.name = exchange
        self.settle = options.settle
        self._options = options
        config: dict[str, Any] = {"timeout": options.timeout * 1_000, "enableRateLimit": True}
        if options.api_key:
            config |= {"apiKey": options.api_key, "secret": options.api_secret}
        self._ccxt = getattr(ccxt, exchange)(config)
        wanted = self._ccxt.options.get("fetchMarkets")
        if isinstance(wanted, dict) and isinstance(wanted.get("types"), list):
            wanted["types"] = [kind for kind in wanted["types"] if kind != "option"]  # many, never asked for
        if options.base_url:
            self._ccxt.urls["api"] = _rebased(self._ccxt.urls["api"], options.base_url)
            if options.base_url.startswith("http://"):
                self._ccxt.timeout_on_exit = 0  # only TLS connections need time to close
        self._ccxt.throttle = self._pace
        self._ccxt.on_rest_response = self._note_answer
        self._parse_json, self._ccxt.parse_json = self._ccxt.parse_json, self._json
        self._parse_bar, self._ccxt.parse_ohlcv = self._ccxt.parse_ohlcv, self._bar
        self._fetch_markets, self._ccxt.fetch_markets = self._ccxt.fetch_markets, self._markets
        self.page_rows = _rows_per_answer(self._ccxt)
        self.page_weight = self._weight(1)
        self._counter = RedisCounter(options.redis_url) if options.redis_url else None
        host = host_of(
            _any_url(self._ccxt.urls["api"]).replace("{hostname}", self._ccxt.hostname or exchange)
        )
        self.governor = Governor(f"{exchange}@{host}", _budget(self._ccxt.rateLimit), self._counter)
        self._slots = asyncio.Semaphore(options.concurrency)
        self._loading: asyncio.Task[None] | None = None
        self._requests = 0
        self._skew = timedelta()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])
        await self._ccxt.close()
        if self._counter is not None:
            await self._counter.close()

    @property
    def requests(self) -> int:
        return self._requests

    async def now(self) -> datetime:
        """By the exchange's clock where it shows one, else by ours."""
        if self._ccxt.has.get("fetchTime") is not True:
            return datetime.now(UTC)
        try:
            moment = EPOCH + timedelta(milliseconds=await self._ask(self._ccxt.fetch_time))
        except NotFound:  # a host that only replays candles
            return datetime.now(UTC)
        self._skew = moment - datetime.now(UTC)
        return moment

    async def market(self, symbol: str) -> Market:
        entry = await self._market(symbol)
        trading = entry.get("active") is not False
        return Market(
            symbol=symbol,
            listed_at=await self._listed_at(entry),
            delisted_at=None if trading else await self._end(entry),
            trading=trading,
            timeframes=frozenset(TIMEFRAMES).intersection(self._ccxt.timeframes or ()),
        )

    async def page(self, symbol: str, table: Table, window: Window) -> pa.Table:
        entry = await self._market(symbol)
        rows = await self._candles(entry, table.grain, window)
        beyond = window.start + table.grain * self._limit(entry)
        if not rows and beyond < window.end:
            following = await self._first_in(entry, table.grain, Window(beyond, window.end))
            if following is not None:
                rows = await self._candles(entry, table.grain, Window(following, window.end))
        return normalise_candles(rows, table, self.settle, self._options.origin)

    async def pages(self, symbol: str, table: Table, window: Window) -> Pages:
        return Pages(await self.page(symbol, table, window), 1)

    async def first_after(self, symbol: str, table: Table, moment: datetime) -> datetime | None:
        entry = await self._market(symbol)
        now = datetime.now(UTC) + self._skew
        return await self._first_in(entry, table.grain, Window(moment, max(now, moment) + table.grain))

    def horizon(self, table: Table, now: datetime) -> datetime | None:
        served = SERVED_BARS.get(self.name)
        return None if served is None else floor(now, table.grain) - table.grain * (served - _BARS_IN_FLIGHT)

    def weight_per_second(self) -> float | None:
        budget = self.governor.budget
        return budget.spendable / budget.seconds if budget else None

    async def _listed_at(self, entry: Mapping[str, Any]) -> datetime | None:
        """What the exchange says, unless it has bars from before: then it speaks of something else."""
        coarse = self._coarsest()
        if not entry.get("created") or coarse is None:
            return None
        said = EPOCH + timedelta(milliseconds=entry["created"])
        day = floor(said, coarse)
        before = await self._candles(entry, coarse, Window(day - _EARLIER, day))
        return None if before else said

    async def _end(self, entry: Mapping[str, Any]) -> datetime | None:
        """The end of the last bar that the exchange has, unless that is the present one."""
        name, grain = min(
            ((n, g) for n, g in TIMEFRAMES.items() if n in (self._ccxt.timeframes or ())), key=lambda i: i[1]
        )
        rows = await self._ask(lambda: self._ccxt.fetch_ohlcv(entry["symbol"], name))
        end = EPOCH + timedelta(milliseconds=rows[-1][0]) + grain if rows else None
        return None if end is None or end > datetime.now(UTC) + self._skew else end

    async def _first_in(self, entry: Mapping[str, Any], grain: timedelta, window: Window) -> datetime | None:
        """When the first bar of the window opens: one answer further on, else by way of coarser bars."""
        coarse = self._coarsest()
        if coarse is None or coarse <= grain:
            return await self._walk(entry, grain, window)
        start = min(window.start + grain * self._limit(entry), window.end)
        found = await self._walk(entry, grain, Window(window.start, start))
        while found is None and start < window.end:
            day = await self._walk(entry, coarse, Window(floor(start, coarse), window.end))
            if day is None:
                return None
            inside = Window(max(day, start), min(day + coarse, window.end))
            found = await self._walk(entry, grain, inside)
            start = inside.end
        return found

    async def _walk(self, entry: Mapping[str, Any], grain: timedelta, window: Window) -> datetime | None:
        """The same, answer after answer."""
        start, step = window.start, grain * self._limit(entry)
        while start < window.end:
            rows = await self._candles(entry, grain, Window(start, window.end))
            if rows:
                return EPOCH + timedelta(milliseconds=rows[0][0])
            start += step
        return None

    async def _candles(self, entry: Mapping[str, Any], grain: timedelta, window: Window) -> Rows:
        """What one answer holds of the window, in ccxt's shape."""
        timeframe = self._timeframe(grain)
        since, until = micros(window.start) // 1_000, micros(window.end) // 1_000
        limit = max(1, min(self._limit(entry), bars([window], grain)))

        async def once() -> Rows:
            rows = await self._ccxt.fetch_ohlcv(entry["symbol"], timeframe, since=since, limit=limit)
            if not rows and (problem := without_candles(_WIRE.get())) is not None:
                raise problem
            if any(later[0] <= earlier[0] for earlier, later in itertools.pairwise(rows)):
                raise MalformedAnswer(
                    f"{self.name} repeats bars of {entry['symbol']} from {window.start:%Y-%m-%d %H:%M} on"
                )
            return [row for row in rows if since <= row[0] < until]

        return await self._ask(once)

    def _timeframe(self, grain: timedelta) -> str:
        name = next(name for name, length in TIMEFRAMES.items() if length == grain)
        offered = self._ccxt.timeframes or {}
        if self._ccxt.has.get("fetchOHLCV") is not True or not offered:
            raise BadRequest(f"{self.name} offers no candles through ccxt")
        if name not in offered:
            raise BadRequest(f"{self.name} offers no {name} candles; it offers {', '.join(offered)}")
        return name

    def _coarsest(self) -> timedelta | None:
        return TIMEFRAMES[_COARSE] if _COARSE in (self._ccxt.timeframes or {}) else None

    def _limit(self, entry: Mapping[str, Any]) -> int:
        return _rows_in_features(self._ccxt, entry) or self.page_rows

    async def _market(self, symbol: str) -> Mapping[str, Any]:
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        await asyncio.shield(self._loading)
        if symbol not in self._ccxt.markets:
            raise NotFound(self._unknown(symbol))
        return self._ccxt.markets[symbol]

    async def _markets(self, *given: Any) -> list[Any]:
        """Dark pools, which Kraken's old lists hold, have the names of its open markets and no candles."""
        listed: list[Any] = await self._fetch_markets(*given)
        return [one for one in listed if not str(one["id"]).endswith(_DARK_POOL)]

    async def _load(self) -> None:
        """Once: what is traded here. What fails, fails for all who wait for it."""

        async def once() -> None:
            if not await self._ccxt.load_markets():
                raise MalformedAnswer(f"{self.name} lists no markets at all")

        # Some exchanges are known to ccxt by their web pages only, so here an answer may be anything.
        await self._ask(once, anything_goes=True)

    def _unknown(self, symbol: str) -> str:
        known = list(self._ccxt.markets)
        near = difflib.get_close_matches(symbol, known, n=3, cutoff=0.6)
        hint = f"nearest names: {', '.join(near)}" if near else f"it lists {len(known)} markets, none alike"
        return f"{self.name} has no market {symbol!r}; {hint}"

    async def _ask(self, call: Callable[[], Awaitable[T]], *, anything_goes: bool = False) -> T:
        """A call into ccxt, in the words of our error tree, again where that can help."""
        import ccxt

        secrets = (self._options.api_key or "", self._options.api_secret or "")

        async def once() -> T:
            wire = Wire(anything_goes=anything_goes)
            token = _WIRE.set(wire)
            try:
                async with self._slots:
                    return await call()
            except (ccxt.BaseError, *STUMBLES) as error:
                raise explained(error, wire, self._options.timeout, secrets) from None
            finally:
                _WIRE.reset(token)

        return await with_patience(once, self.governor, self._options.attempts)

    async def _pace(self, cost: float | None = None) -> None:
        """In the place of ccxt's own throttle, before each request."""
        await self.governor.admit(self._weight(1 if cost is None else cost))
        self._requests += 1
        _WIRE.get().status = None

    def _weight(self, cost: float) -> int:
        return math.ceil(cost * self._ccxt.rateLimit)

    def _note_answer(
        self, status: int, _reason: str, url: str, _method: str, headers: Any, body: str, *_: Any
    ) -> str:
        """ccxt hands over every answer before it looks at it."""
        wire = _WIRE.get()
        wire.url, wire.status, wire.headers, wire.body = url, status, CIMultiDict(headers), body
        return body.strip()

    def _json(self, text: str) -> Any:
        document, wire = self._parse_json(text), _WIRE.get()
        if document is None and not wire.anything_goes and 200 <= (wire.status or 0) < 300:
            said = excerpt(text.encode()) or "empty"
            raise MalformedAnswer(f"{clean_url(wire.url)}: the answer is not whole JSON: {said}")
        return document

    def _bar(self, given: Any, market: Any = None) -> list[Any]:
        bar: list[Any] = self._parse_bar(given, market)
        _WIRE.get().bars += 1
        if len(bar) < 6 or bar[0] is None:
            raise MalformedAnswer(f"{clean_url(_WIRE.get().url)}: a bar lacks time or fields: {given}")
        return bar


def normalise_candles(rows: Rows, table: Table, settle: timedelta, origin: str) -> pa.Table:
    """Rows of the table from ccxt's candles: [ms, open, high, low, close, volume, …]. Pure."""
    opens = np.array([row[0] for row in rows], np.int64) * 1_000
    microsecond = timedelta(microseconds=1)
    length = table.grain // microsecond
    columns: dict[str, Any] = {
        "time": pa.array(opens),
        "close_time": pa.array(opens + length - 1_000),
        "known_at": pa.array(opens + length + settle // microsecond),
        "source": pa.DictionaryArray.from_arrays(np.zeros(len(rows), np.int32), pa.array([origin])),
    }
    for place, name in enumerate(("open", "high", "low", "close", "volume"), start=1):
        columns[name] = pa.array([row[place] for row in rows], pa.float64())
    return table.conform(pa.table(columns))


def _budget(rate_limit: float) -> Budget:
    """As many ms of the exchange's time as pass, in windows that hold some requests each."""
    seconds = min(60, max(1, math.ceil(3 * rate_limit / 1_000)))
    return Budget(seconds * 1_000, seconds, reserve=0.0)


def _rows_per_answer(exchange: Any) -> int:
    kinds: tuple[dict[str, Any], ...] = (
        {"spot": True},
        {"type": "swap", "linear": True},
        {"type": "swap", "inverse": True},
    )
    return next(filter(None, (_rows_in_features(exchange, kind) for kind in kinds)), _ROWS_UNLESS_SAID)


def _rows_in_features(exchange: Any, market: Mapping[str, Any]) -> int | None:
    """What ccxt says an answer about such a market holds at most."""
    features = exchange.features or {}
    if market.get("spot"):
        section = features.get("spot")
    else:
        section = (features.get(market.get("type")) or {}).get(
            "linear" if market.get("linear") else "inverse"
        )
    limit = ((section or {}).get("fetchOHLCV") or {}).get("limit")
    return int(limit) if limit else None


def _rebased(urls: Any, base_url: str) -> Any:
    """The same paths below another scheme and host, whatever the nesting."""
    if isinstance(urls, Mapping):
        return {name: _rebased(url, base_url) for name, url in urls.items()}
    return base_url.rstrip("/") + urlsplit(urls).path if isinstance(urls, str) else urls


def _any_url(urls: Any) -> str:
    while isinstance(urls, Mapping):
        urls = urls.get("public") or next(iter(urls.values()))
    return str(urls)
