"""Binance spot candles, all of their fields, by its own REST API.

Vendor    Binance, https://developers.binance.com/docs/binance-spot-api-docs/rest-api
Hosts     api.binance.com; data-api.binance.vision has the public market data too and is not geo-blocked
Key       none for public data
Limits    weight per minute and IP, told by exchangeInfo.rateLimits (6,000 in 2026) and, used so far, by
          the X-MBX-USED-WEIGHT-… headers; over it 429, hammering on brings 418 until a stated time
Candles   at most 1,000 per answer at weight 2; startTime and endTime include bars that open on them;
          the last bar is unfinished until its close time has passed
History   since the listing; nothing expires
Revises   hardly ever; holes are outages of the venue, a minute without trades has a bar of volume 0
Errors    {"code": -1121, "msg": "Invalid symbol."}, also inside answers that say 200
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import numpy as np
import orjson
import pyarrow as pa
from pyarrow import csv

from ingestion_assets.intervals import EPOCH, TIMEFRAMES, Window, micros, moment_of
from ingestion_assets.sources.errors import (
    AuthError,
    BadRequest,
    Banned,
    GeoBlocked,
    MalformedAnswer,
    NotFound,
    RateLimited,
    SourceError,
    VendorDown,
    excerpt,
)
from ingestion_assets.sources.governor import Budget, Governor, RedisCounter
from ingestion_assets.sources.http import HttpClient, expect_json, host_of, retry_after
from ingestion_assets.sources.market import Market, Pages, SourceOptions
from ingestion_assets.tables import Table
from ingestion_assets.tables.arrays import column, numbers, repeated
from ingestion_assets.tables.contract import TIME

log = logging.getLogger(__name__)

PUBLIC_URL = "https://api.binance.com"
PUBLIC_FALLBACK_URL = "https://data-api.binance.vision"
DOCUMENTED_BUDGET = Budget(limit=6_000, seconds=60)
WEIGHT = {"klines": 2, "exchangeInfo": 20, "time": 1, "all_prices": 4}
_INTERVAL_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}
_LONGEST_REFUSAL = 4_096
_BANNED_UNTIL = re.compile(rb"banned until (\d{13})")

_FIELDS = {
    "time": pa.int64(),
    "open": pa.float64(),
    "high": pa.float64(),
    "low": pa.float64(),
    "close": pa.float64(),
    "volume": pa.float64(),
    "close_time": pa.int64(),
    "quote_volume": pa.float64(),
    "trades": pa.int64(),
    "taker_buy_volume": pa.float64(),
    "taker_buy_quote_volume": pa.float64(),
}
_LINES = bytes.maketrans(b"]", b"\n")
_PARSING = csv.ParseOptions(quote_char=False)
_CONVERSION = csv.ConvertOptions(column_types=_FIELDS, include_columns=list(_FIELDS))
_FIRST_OPEN, _LAST_OPEN = re.compile(rb"\s*\[\s*\[\s*(\d+)\s*,"), re.compile(rb"\[\s*(\d+)\s*,")
_ANSWERS_AT_ONCE = 15  # about 2.5 MB


class Binance:
    name = "binance"
    page_rows = 1_000
    page_weight = WEIGHT["klines"]

    def __init__(self, options: SourceOptions) -> None:
        base_url = options.base_url or PUBLIC_URL
        self.settle = options.settle
        self.origin = options.origin
        # A host of one's own choosing stands alone; the public one has a public second.
        self._fallback = options.fallback_url or (None if options.base_url else PUBLIC_FALLBACK_URL)
        self._counter = RedisCounter(options.redis_url) if options.redis_url else None
        self._client = HttpClient(
            base_url,
            Governor(host_of(base_url), DOCUMENTED_BUDGET, self._counter),
            classify=classify,
            learn=self._learn_used,
            timeout=options.timeout,
            attempts=options.attempts,
            concurrency=options.concurrency,
        )
        self._used_header = "X-MBX-USED-WEIGHT-1M"
        self._prepared: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._prepared is not None:
            self._prepared.cancel()
        await self._client.__aexit__(*exception)
        if self._counter is not None:
            await self._counter.close()

    @property
    def requests(self) -> int:
        return self._client.requests

    @property
    def governor(self) -> Governor:
        return self._client.governor

    async def now(self) -> datetime:
        """By the venue's own clock, which also tells where its weight windows begin."""
        asked = time.time()
        try:
            answer = await self._get("/api/v3/time", None, WEIGHT["time"], _object)
        except NotFound:  # a host that only replays candles; its Date header is still a clock
            return datetime.now(UTC) + timedelta(seconds=self._client.date_skew or 0.0)
        if not isinstance(told := answer.get("serverTime"), int):
            raise MalformedAnswer(f"time tells no serverTime: {told!r}")
        moment = EPOCH + timedelta(milliseconds=told)
        self.governor.skew = moment.timestamp() - (asked + time.time()) / 2
        return moment

    async def market(self, symbol: str) -> Market:
        vendor_symbol = spelled(symbol)
        try:
            info = await self._exchange_info(vendor_symbol)
        except NotFound:
            raise NotFound(await self._unknown(symbol, vendor_symbol)) from None
        entry = next((s for s in info.get("symbols", ()) if s.get("symbol") == vendor_symbol), None)
        if entry is None:
            raise NotFound(await self._unknown(symbol, vendor_symbol))
        trading = entry.get("status") == "TRADING"
        first = await self._klines(vendor_symbol, "1m", startTime=0, limit=1)
        last = first if trading else await self._klines(vendor_symbol, "1m", limit=1)
        ended = _opens(last)
        return Market(
            symbol=symbol,
            listed_at=_opens(first),
            delisted_at=None if trading or ended is None else ended + timedelta(minutes=1),
            trading=trading,
            timeframes=frozenset(TIMEFRAMES),
        )

    async def page(self, symbol: str, table: Table, window: Window) -> pa.Table:
        await self._prepare(symbol)
        params = self._question(symbol, table, window)
        return await self._get(
            "/api/v3/klines",
            params,
            WEIGHT["klines"],
            lambda body: self._rows(symbol, table, window, params["limit"], [body]),
        )

    async def pages(self, symbol: str, table: Table, window: Window) -> Pages:
        """Many bodies read at once cost half of what they cost one by one.

        An answer that does not go on where the one before ended, or is not in order, is left to `page`,
        which asks again.
        """
        await self._prepare(symbol)
        grain, bodies, rest = table.grain // timedelta(milliseconds=1), list[bytes](), window
        stopped: SourceError | None = None
        while rest.start < rest.end and len(bodies) < _ANSWERS_AT_ONCE:
            params = self._question(symbol, table, rest)
            try:
                body = await self._get("/api/v3/klines", params, WEIGHT["klines"], _listed)
            except SourceError as error:
                if not bodies:
                    raise
                stopped = error
                break
            first, last = _FIRST_OPEN.match(body), _LAST_OPEN.match(body, body.rfind(b"["))
            if not first or not last or int(first[1]) != params["startTime"]:
                break
            # A whole page ends where it should; any other is counted, which takes longer.
            beyond = int(last[1]) - (params["startTime"] + (params["limit"] - 1) * grain)
            count = params["limit"] if beyond == 0 else body.count(b"]") - 1
            if count > params["limit"]:
                break
            bodies.append(body)
            if count < params["limit"]:
                break
            rest = Window(EPOCH + timedelta(milliseconds=int(last[1]) + grain), window.end)
        try:
            if bodies:
                most = self.page_rows * len(bodies)
                rows = await asyncio.to_thread(self._rows, symbol, table, window, most, bodies)
                return Pages(rows, len(bodies), stopped)
        except MalformedAnswer as error:
            log.info("asking for a single page instead of %d: %s", len(bodies), error)
        return Pages(await self.page(symbol, table, window), len(bodies) + 1)

    def _question(self, symbol: str, table: Table, window: Window) -> dict[str, Any]:
        """A window that holds a single page's worth of bars asks for no more than those."""
        start, end = micros(window.start) // 1_000, micros(window.end) // 1_000
        fits = (end - start) // (table.grain // timedelta(milliseconds=1)) + 1
        return {
            "symbol": spelled(symbol),
            "interval": _timeframe(table.grain),
            "startTime": start,
            "endTime": end - 1,
            "limit": max(1, min(self.page_rows, fits)),
        }

    def _rows(self, symbol: str, table: Table, window: Window, most: int, bodies: list[bytes]) -> pa.Table:
        start, end = micros(window.start) // 1_000, micros(window.end) // 1_000
        columns = parse_klines(*bodies)
        opens = columns["time"]
        if len(opens) and (opens[0] < start or (np.diff(opens) <= 0).any()):
            raise MalformedAnswer(
                f"the page for {symbol} from {window.start:%Y-%m-%d %H:%M} "
                "is not in rising order without repeats"
            )
        if len(opens) > most:  # one that nobody asked for is the unfinished one, whatever its time says
            raise MalformedAnswer(
                f"the page for {symbol} has {len(opens)} bars, more than the {most} asked for"
            )
        if len(opens) and opens[-1] >= end:
            keep = int(np.searchsorted(opens, end))
            columns = {name: values[:keep] for name, values in columns.items()}
        return normalise_klines(columns, table, self.settle, self.origin)

    async def first_after(self, symbol: str, table: Table, moment: datetime) -> datetime | None:
        columns = await self._klines(
            spelled(symbol), _timeframe(table.grain), startTime=micros(moment) // 1_000, limit=1
        )
        return _opens(columns)

    def horizon(self, table: Table, now: datetime) -> datetime | None:
        return None

    def weight_per_second(self) -> float | None:
        budget = self.governor.budget
        return budget.spendable / budget.seconds if budget else None

    async def _klines(self, vendor_symbol: str, interval: str, **params: int) -> dict[str, Any]:
        return await self._get(
            "/api/v3/klines",
            {"symbol": vendor_symbol, "interval": interval, **params},
            WEIGHT["klines"],
            parse_klines,
        )

    async def _exchange_info(self, vendor_symbol: str) -> dict[str, Any]:
        info = await self._get(
            "/api/v3/exchangeInfo", {"symbol": vendor_symbol}, WEIGHT["exchangeInfo"], _object
        )
        self._learn_limits(info.get("rateLimits", ()))
        return info

    async def _prepare(self, symbol: str) -> None:
        """Once, before the first page: the limit in force and the venue's clock."""
        if self._prepared is None:
            self._prepared = asyncio.create_task(self._learn_rules(spelled(symbol)))
        await asyncio.shield(self._prepared)

    async def _learn_rules(self, vendor_symbol: str) -> None:
        try:
            await self._exchange_info(vendor_symbol)
        except (NotFound, VendorDown, MalformedAnswer):
            return  # the pages themselves will say what is wrong; the documented limit stays in force

    def _learn_limits(self, limits: Any) -> None:
        for limit in limits:
            if limit.get("rateLimitType") == "REQUEST_WEIGHT" and limit.get("interval") in _INTERVAL_SECONDS:
                number = int(limit["intervalNum"])
                self.governor.budget = Budget(
                    int(limit["limit"]), number * _INTERVAL_SECONDS[limit["interval"]]
                )
                self._used_header = f"X-MBX-USED-WEIGHT-{number}{limit['interval'][0]}"
                return

    def _learn_used(self, headers: Mapping[str, str]) -> int | None:
        used = headers.get(self._used_header, "")
        return int(used) if used.isdigit() else None

    async def _get(self, path: str, params: Any, weight: int, parse: Any) -> Any:
        try:
            return await self._client.get(path, params, parse=parse, weight=weight)
        except GeoBlocked:
            if self._fallback is None:
                raise
            self._client.base_url, self._fallback = self._fallback, None
            return await self._client.get(path, params, parse=parse, weight=weight)

    async def _unknown(self, symbol: str, vendor_symbol: str) -> str:
        prices = await self._get("/api/v3/ticker/price", None, WEIGHT["all_prices"], _list)
        known = [entry["symbol"] for entry in prices]
        near = difflib.get_close_matches(vendor_symbol, known, n=3, cutoff=0.6)
        hint = f"nearest names: {', '.join(near)}" if near else f"it lists {len(known)} markets, none alike"
        return f"binance has no market {symbol!r} ({vendor_symbol}); {hint}"


def spelled(symbol: str) -> str:
    """`BTC/USDT` → `BTCUSDT`."""
    return symbol.replace("/", "")


def classify(status: int, headers: Mapping[str, str], body: bytes) -> SourceError | None:
    """Binance's own error body, whatever the status says."""
    if len(body) > _LONGEST_REFUSAL or b'"code"' not in body or b'"msg"' not in body:
        return None
    try:
        error = orjson.loads(body)
        code, text = int(error["code"]), str(error["msg"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    said = f"HTTP {status}: {code} {text}"
    wait = retry_after(headers)
    if status == 418 or b"banned" in body:
        until = _BANNED_UNTIL.search(body)
        moment = EPOCH + timedelta(milliseconds=int(until[1])) if until else None
        if wait is None and moment is not None:
            wait = max(0.0, (moment - datetime.now(UTC)).total_seconds())
        return Banned(said, wait, moment)
    if status == 429 or code in (-1003, -1015):
        return RateLimited(said, wait)
    if status == 451:
        return None
    if "restricted location" in text:
        return GeoBlocked(f"{said}. This place is not served: set another base URL or use another venue")
    if code in (-1121, -1122, -4144):
        return NotFound(said)
    if code in (-2008, -2014, -2015, -1022, -1002):
        return AuthError(said)
    if status >= 500 or code in (-1000, -1001, -1006, -1007, -1008, -1016):
        return VendorDown(said, wait)
    return BadRequest(said)


def parse_klines(*bodies: bytes) -> dict[str, Any]:
    """The columns of one or several klines answers, vendor units, as NumPy arrays.

    An answer is a list of flat lists, so it becomes CSV by taking away quotes, opening brackets and white
    space, with line ends for closing brackets; the comma between two rows then stands at the head of the
    second, as if each had an empty first field. Arrow's reader takes it from there: six times as fast as
    a JSON reader. Fields that the vendor may add behind the ones we know are passed over.
    """
    body = bodies[0]
    for each in bodies:
        expect_json(each, b"[")
    text = b"".join(b"," + each.translate(_LINES, b'" \n\r\t[') for each in bodies)
    if text == b",\n":
        return {name: np.empty(0, kind.to_pandas_dtype()) for name, kind in _FIELDS.items()}
    given = text.count(b",", 0, text.find(b"\n"))
    if given < len(_FIELDS):
        raise MalformedAnswer(f"a kline has {given} fields, {len(_FIELDS)} are needed: {excerpt(body)}")
    names = ["nothing", *_FIELDS, *(f"extra_{n}" for n in range(given - len(_FIELDS)))]
    try:
        table = csv.read_csv(
            pa.BufferReader(text),
            read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=1 << 26),
            parse_options=_PARSING,
            convert_options=_CONVERSION,
        )
    except pa.ArrowInvalid as error:
        raise MalformedAnswer(f"the klines are not rows of numbers ({error}): {excerpt(body)}") from None
    columns = {}
    for name in _FIELDS:
        if table.column(name).null_count and name in ("time", "close_time"):
            raise MalformedAnswer(f"a kline has no {name}: {excerpt(body)}")
        columns[name] = numbers(table.column(name))
    return columns


def normalise_klines(columns: Mapping[str, Any], table: Table, settle: timedelta, origin: str) -> pa.Table:
    """Rows of the table from a klines answer's columns. Pure."""
    opens, closes = _in_micros(columns["time"]), _in_micros(columns["close_time"])
    closes = closes // 1_000 * 1_000  # whether told in ms or in µs
    known = opens + (table.grain + settle) // timedelta(microseconds=1)
    given = {name: _column(columns[name], kind) for name, kind in _FIELDS.items()}
    times = {"time": opens, "close_time": closes, "known_at": known}
    given |= {name: column(values, TIME) for name, values in times.items()}
    given["source"] = repeated(origin, len(opens))
    return table.conform(pa.Table.from_arrays(list(given.values()), names=list(given)))


def _column(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """What the vendor left out became NaN on the way, and is null again."""
    if values.dtype != kind.to_pandas_dtype() or (values.dtype.kind == "f" and np.isnan(values).any()):
        return pa.array(values, from_pandas=True)
    return column(values, kind)


def _in_micros(times: np.ndarray) -> np.ndarray:
    """Binance gives ms; its archive gives µs since 2025, and the API can be asked to. Told by magnitude."""
    return times if len(times) and times[0] > 10**14 else times * 1_000


def _timeframe(grain: timedelta) -> str:
    return next(name for name, length in TIMEFRAMES.items() if length == grain)


def _opens(columns: Mapping[str, Any]) -> datetime | None:
    """When the first of the bars opens; None: there is none, as of a symbol not yet traded."""
    times = _in_micros(columns["time"])
    return moment_of(times[0]) if len(times) else None


def _listed(body: bytes) -> bytes:
    expect_json(body, b"[")
    return body


def _object(body: bytes) -> dict[str, Any]:
    expect_json(body, b"{")
    return _json(body)


def _list(body: bytes) -> list[Any]:
    expect_json(body, b"[")
    return _json(body)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer(f"the answer is cut-off or broken JSON ({error}): {excerpt(body)}") from None
