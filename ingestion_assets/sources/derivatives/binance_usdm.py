"""Binance USDT-margined perpetuals by the REST API: candles, aggregated trades, open interest, funding.

Vendor    Binance, https://developers.binance.com/docs/derivatives/usds-margined-futures
Host      fapi.binance.com; not served in some countries (451), where only the archive is left
Key       none for public data
Limits    weight per minute and IP, told by exchangeInfo.rateLimits (2,400 in 2026); klines weigh 1, 2, 5
          or 10 for up to 99, 499, 1,000 or 1,500 rows, so 499 give most rows for their weight;
          aggTrades weigh 20 for 1,000; fundingRate has 500 requests and futures/data 1,000 in five
          minutes of their own
Trades    numbered without gaps, so pages follow the number and not the time
Funding   usually every 8 hours, of some symbols every 4 or 1; stamped some milliseconds after the hour;
          of shares' perpetuals a dividend beside it (`rateType` is Special): one row with the sum of both
Open int. openInterestHist knows the last 30 days; its `timestamp` is a number, in old answers a text;
          seen newest first too
History   of candles, trades and funding since the listing
Errors    {"code": -1121, "msg": "Invalid symbol."}, as the spot API
"""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from ingestion_assets.intervals import EPOCH, Window, iso, micros, moment_of
from ingestion_assets.registry import Series, parse_id, series_id
from ingestion_assets.sources.derivatives.binance_rows import (
    described,
    normalise_funding,
    normalise_open_interest,
    normalise_trades,
    perpetual,
)
from ingestion_assets.sources.errors import MalformedAnswer, NotFound, excerpt
from ingestion_assets.sources.feeds import Page, feed
from ingestion_assets.sources.governor import Budget
from ingestion_assets.sources.http import expect_json
from ingestion_assets.sources.http_vendor import HttpVendor
from ingestion_assets.sources.market import Market, SourceOptions
from ingestion_assets.sources.market.binance import classify, normalise_klines, parse_klines
from ingestion_assets.sources.paging import by_time
from ingestion_assets.tables.derivatives import AGG_TRADES_UM, FUNDING_RATES, OPEN_INTEREST_5M, PERP_1M

PUBLIC_URL = "https://fapi.binance.com"
WEIGHT = Budget(limit=2_400, seconds=60)
FUNDING = Budget(limit=500, seconds=300)
STATISTICS = Budget(limit=1_000, seconds=300)
KLINES, TRADES, OPEN_INTERESTS, FUNDINGS = 499, 1_000, 500, 1_000
_SERVED = timedelta(days=30) - timedelta(hours=1)  # the vendor's 30 days end a little earlier than ours
_MILLISECOND = timedelta(milliseconds=1)


class BinanceUsdm(HttpVendor):
    name, domain, serves = "binance_usdm", "derivatives", "binance"
    usual = (PERP_1M, OPEN_INTEREST_5M, FUNDING_RATES)  # trades are a thousand times as much

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        base = options.base_url or PUBLIC_URL
        self._main = self._door(base, "", WEIGHT, classify=classify, learn=_used)
        self._funding = self._door(base, "/fapi/v1/fundingRate", FUNDING, classify=classify)
        self._statistics = self._door(base, "/futures/data", STATISTICS, classify=classify)

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        exchange, symbol = parse_id(f"{cls.serves}.{text}")
        return (series_id(exchange, symbol), symbol) if ":" in symbol else None

    async def now(self) -> datetime:
        """By the venue's clock; the answer tells the limit in force too."""
        told = (await self._info()).get("serverTime")
        if not isinstance(told, int):
            raise MalformedAnswer(f"exchangeInfo tells no serverTime: {told!r}")
        return EPOCH + _MILLISECOND * told

    async def look_up(self, symbol: str) -> Market:
        listed = {str(entry.get("symbol")): entry for entry in (await self._info())["symbols"]}
        name = spelled(symbol)
        entry = listed.get(name)
        if entry is None or not perpetual(entry):
            near = difflib.get_close_matches(name, listed, n=3, cutoff=0.6)
            hint = f"nearest names: {', '.join(near)}" if near else f"it lists {len(listed)}, none alike"
            raise NotFound(f"binance has no perpetual {symbol!r} ({name}); {hint}")
        return described(entry, symbol)

    @feed(PERP_1M, phase="rest", page_rows=KLINES, page_weight=2)
    async def candles(self, series: Series, window: Window) -> AsyncIterator[Page]:
        async def ask(part: Window) -> pa.Table:
            params = _span(series, part, KLINES) | {"interval": "1m"}
            columns = await self._main.get("/fapi/v1/klines", params, parse=parse_klines, weight=2)
            return normalise_klines(columns, PERP_1M, self.options.settle, self.options.origin)

        async for page in by_time(ask, PERP_1M, window, step=PERP_1M.grain):
            yield page

    @feed(AGG_TRADES_UM, phase="rest", page_rows=TRADES, page_weight=20)
    async def trades(self, series: Series, window: Window) -> AsyncIterator[Page]:
        """By time to find the first one, then by number until one lies behind the window."""
        cursor, following, vain = window.start, None, 0
        while cursor < window.end:
            params: dict[str, Any] = {"symbol": spelled(series.symbol), "limit": TRADES}
            params |= {"startTime": _ms(cursor)} if following is None else {"fromId": following}
            rows = await self._main.get("/fapi/v1/aggTrades", params, parse=self._trades, weight=20)
            if rows.num_rows == 0 and vain == 0:
                vain = 1  # an empty answer is believed when it is given twice
                continue
            ids = rows.column("id").to_numpy()
            expected = following is None or not len(ids) or ids[0] == following
            if not expected or (np.diff(ids) != 1).any():
                raise MalformedAnswer(
                    f"trades of {series.symbol} from {iso(cursor)} on do not follow on each other by number"
                )
            times = AGG_TRADES_UM.times(rows)
            first, end = np.searchsorted(times, [micros(window.start), micros(window.end)])
            done = rows.num_rows == 0 or end < rows.num_rows
            reached = window.end if done else moment_of(times[-1])
            # Another trade may have the last one's millisecond, so that one is not done with yet.
            yield Page(rows.slice(first, end - first), Window(cursor, max(cursor, reached)), 1 + vain)
            if done:
                return
            cursor, following, vain = max(cursor, reached), int(ids[-1]) + 1, 0

    @feed(
        OPEN_INTEREST_5M,
        phase="rest",
        page_rows=OPEN_INTERESTS,
        settle=timedelta(minutes=1),
        horizon=_SERVED,
    )
    async def open_interest(self, series: Series, window: Window) -> AsyncIterator[Page]:
        async def ask(part: Window) -> pa.Table:
            params = _span(series, part, OPEN_INTERESTS) | {"period": "5m"}
            return await self._statistics.get(
                "/futures/data/openInterestHist", params, parse=self._open_interest
            )

        longest = OPEN_INTEREST_5M.grain * OPEN_INTERESTS
        async for page in by_time(
            ask, OPEN_INTEREST_5M, window, step=OPEN_INTEREST_5M.grain, longest=longest
        ):
            yield page

    @feed(FUNDING_RATES, phase="rest", page_rows=FUNDINGS, settle=timedelta(minutes=1))
    async def funding(self, series: Series, window: Window) -> AsyncIterator[Page]:
        async def ask(part: Window) -> pa.Table:
            """The vendor's stamps lie about the minute, so its answer is cut by ours."""
            around = Window(part.start - timedelta(seconds=30), part.end + timedelta(seconds=30))
            rows = await self._funding.get(
                "/fapi/v1/fundingRate",
                _span(series, around, FUNDINGS),
                parse=self._funding_rates,
            )
            times = FUNDING_RATES.times(rows)
            first, end = np.searchsorted(times, [micros(part.start), micros(part.end)])
            return rows.slice(first, end - first)

        async for page in by_time(ask, FUNDING_RATES, window, step=FUNDING_RATES.grain):
            yield page

    async def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = await self._main.get("/fapi/v1/exchangeInfo", parse=_rules)
        for limit in info.get("rateLimits", ()):
            if limit.get("rateLimitType") == "REQUEST_WEIGHT" and limit.get("interval") == "MINUTE":
                self._main.governor.budget = Budget(int(limit["limit"]), 60 * int(limit["intervalNum"]))
        return info

    def _trades(self, body: bytes) -> pa.Table:
        return normalise_trades(_entries(body), self.options.settle, self.options.origin)

    def _open_interest(self, body: bytes) -> pa.Table:
        return normalise_open_interest(_entries(body), self.options.origin)

    def _funding_rates(self, body: bytes) -> pa.Table:
        rows = normalise_funding(entries := _entries(body), self.options.settle, self.options.origin)
        # The last minute of a full answer may go on in the next one.
        return rows if len(entries) < FUNDINGS else rows.slice(0, rows.num_rows - 1)


def spelled(symbol: str) -> str:
    """`BTC/USDT:USDT` → `BTCUSDT`."""
    return symbol.partition(":")[0].replace("/", "")


def _span(series: Series, window: Window, limit: int) -> dict[str, Any]:
    """Both ends are inclusive."""
    end = -(-micros(window.end) // 1_000) - 1
    return {"symbol": spelled(series.symbol), "startTime": _ms(window.start), "endTime": end, "limit": limit}


def _ms(moment: datetime) -> int:
    return -(-micros(moment) // 1_000)


def _used(headers: Mapping[str, str]) -> int | None:
    used = headers.get("X-MBX-USED-WEIGHT-1M", "")
    return int(used) if used.isdigit() else None


def _rules(body: bytes) -> dict[str, Any]:
    expect_json(body, b"{")
    info: dict[str, Any] = _json(body)
    symbols = info.get("symbols")
    if not isinstance(symbols, list) or not all(isinstance(one, dict) for one in symbols):
        raise MalformedAnswer(f"exchangeInfo has no symbols: {excerpt(body)}")
    return info


def _entries(body: bytes) -> list[Mapping[str, Any]]:
    expect_json(body, b"[")
    return _json(body)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer(f"the answer is cut-off or broken JSON ({error}): {excerpt(body)}") from None
