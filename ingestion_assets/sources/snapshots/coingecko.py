"""What CoinGecko shows of a coin now, and its own history of prices.

Vendor    CoinGecko, https://docs.coingecko.com/v3.0.1/reference
Host      api.coingecko.com with a demo key
Key       a demo key is free; sent as a header
Limits    30 requests a minute and 10,000 a month, those that fail included, so that coins are asked for
          together, up to 250 in a request
Names     a coin is called by the provider's own id (bitcoin, usd-coin), for tickers are not unique
History   365 days by the hour; 4h candles of 30 days, stamped with their ends; what is asked of less than
          two days comes finer, so that at least three are asked for
Stamps    odd times, about one an hour; the last point is the present, and may stand before its predecessor
Errors    {"error": …}, {"status": {"error_code": …, "error_message": …}}, {"status": 500, "error": …}
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import Window, micros
from ingestion_assets.registry import Series, Strategy, check_id
from ingestion_assets.sources.errors import MalformedAnswer, NotFound
from ingestion_assets.sources.feeds import Absent, Page, feed
from ingestion_assets.sources.governor import Budget
from ingestion_assets.sources.http_vendor import HttpVendor
from ingestion_assets.sources.market import Market, SourceOptions
from ingestion_assets.sources.present import slots, taken_at
from ingestion_assets.sources.snapshots.coingecko_rows import (
    answer_of,
    normalise_chart,
    normalise_market,
    normalise_ohlc,
    problem_of,
)
from ingestion_assets.sources.spending import Allowance, paid
from ingestion_assets.sources.together import Together
from ingestion_assets.tables import Table
from ingestion_assets.tables.snapshots import MARKET_SNAPSHOTS, OHLC_4H, PRICE_HISTORY

PUBLIC_URL = "https://api.coingecko.com"
DEMO = Budget(limit=30, seconds=60)
COINS_AT_ONCE = 250
_HOURLY = timedelta(days=3)
_COIN = re.compile(r"[A-Za-z0-9_-]+")
# What people type for the largest ones; every other coin by its id.
_TICKERS = {
    "btc": "bitcoin",
    "eth": "ethereum",
    "sol": "solana",
    "bnb": "binancecoin",
    "xrp": "ripple",
    "ada": "cardano",
    "doge": "dogecoin",
    "ltc": "litecoin",
    "link": "chainlink",
    "dot": "polkadot",
    "usdt": "tether",
    "usdc": "usd-coin",
}
_CURRENCIES = ("usd", "eur", "gbp", "jpy", "chf", "cny", "krw", "try", "brl", "btc", "eth", "bnb", "sats")


class CoinGecko(HttpVendor):
    name, domain, serves = "coingecko", "snapshots", "coingecko"
    needs: ClassVar[str | None] = "coingecko_api_key"
    strategy = Strategy.FLATPACK_SNAPSHOT_STREAM
    allowance: ClassVar[Allowance | None] = Allowance("month", "requests", 10_000)
    root: ClassVar[str] = "/api/v3"

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        self._client = self._door(
            options.base_url or PUBLIC_URL,
            f"/{self.name}",
            DEMO,
            classify=problem_of,
            headers={"x-cg-demo-api-key": options.api_key} if options.api_key else {},
        )
        self._markets: dict[str, Together[Mapping[str, Any]]] = {}

    async def now(self) -> datetime:
        """A snapshot is of the moment of asking, which our own clock tells; a simulated world has its own."""
        if self.options.origin != "simulator":
            return datetime.now(UTC)
        await self._client.get(f"{self.root}/ping", parse=bytes)
        return datetime.now(UTC) + timedelta(seconds=self._client.date_skew or 0.0)

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        """`bitcoin`, `BTC-USD`, `usd-coin/eur`: a coin, and a currency at the end, dollars without."""
        coin, currency = _taken_apart(text.lower())
        coin = _TICKERS.get(coin, coin)
        return check_id(f"{cls.serves}.{coin}-{currency}"), f"{coin}/{currency}"

    async def look_up(self, symbol: str) -> Market:
        coin, _, currency = symbol.partition("/")
        if await self._market(coin, currency) is None:
            raise NotFound(f"{self.name} has no coin {coin!r}; {await self._nearest(coin)}")
        return Market(symbol, None, None, trading=True, timeframes=frozenset())

    async def _nearest(self, coin: str) -> str:
        found = await self._get("/search", {"query": coin}, b"{")
        names = ", ".join(str(one.get("id")) for one in (found.get("coins") or ())[:3])
        return f"nearest ids: {names}" if names else "it lists none alike"

    @feed(MARKET_SNAPSHOTS, phase="snapshot", page_rows=1, together=True, **slots(MARKET_SNAPSHOTS))
    async def snapshot(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        coin, _, currency = series.symbol.partition("/")
        entry = await self._market(coin, currency)
        if entry is None:
            raise NotFound(f"{self.name} shows no market {series.symbol!r}: is the coin's id right?")
        if entry.get("current_price") is None:
            yield Absent(window, f"{self.name} shows {series.symbol} without a price")
            return
        taken = taken_at(window, self._client.date_skew, self.options.origin)
        yield Page(normalise_market(entry, taken.at, self.options.origin, taken.known), window)

    @feed(
        PRICE_HISTORY,
        phase="rest",
        page_rows=744,
        settle=timedelta(minutes=10),
        horizon=timedelta(days=365) - timedelta(hours=2),
    )
    async def prices(self, series: Series, window: Window) -> AsyncIterator[Page]:
        coin, _, currency = series.symbol.partition("/")
        since = min(window.start, window.end - _HOURLY)
        span = {"from": micros(since) // 1_000_000, "to": -(-micros(window.end) // 1_000_000)}
        path = f"/coins/{quote(coin)}/market_chart/range"

        async def ask() -> pa.Table:
            chart = await self._get(path, {"vs_currency": currency} | span, b"{")
            return normalise_chart(chart, self.options.settle, self.options.origin)

        yield await _believed(ask, PRICE_HISTORY, window)

    @feed(
        OHLC_4H,
        phase="rest",
        page_rows=180,
        settle=timedelta(minutes=10),
        horizon=timedelta(days=30) - timedelta(hours=4),
    )
    async def candles(self, series: Series, window: Window) -> AsyncIterator[Page]:
        coin, _, currency = series.symbol.partition("/")

        async def ask() -> pa.Table:
            sent = await self._get(f"/coins/{quote(coin)}/ohlc", {"vs_currency": currency, "days": 30}, b"[")
            return OHLC_4H.in_order(normalise_ohlc(sent, self.options.settle, self.options.origin))

        yield await _believed(ask, OHLC_4H, window)

    async def _market(self, coin: str, currency: str) -> Mapping[str, Any] | None:
        async def ask(coins: list[str]) -> dict[str, Mapping[str, Any]]:
            params = {"vs_currency": currency, "ids": ",".join(coins), "per_page": COINS_AT_ONCE}
            shown = await self._get("/coins/markets", params, b"[")
            if not all(isinstance(one, dict) and "id" in one for one in shown):
                raise MalformedAnswer(f"an entry of coins/markets names no coin: {str(shown)[:160]}")
            return {str(one["id"]): one for one in shown}

        return await self._markets.setdefault(currency, Together(ask, COINS_AT_ONCE)).get(coin)

    async def _get(self, path: str, params: Mapping[str, Any], opening: bytes) -> Any:
        return await self._client.get(
            self.root + path,
            params,
            parse=lambda body: answer_of(body, opening),
            each=lambda ask: paid(self.options.purse, 1, ask),
        )


def _taken_apart(text: str) -> tuple[str, str]:
    head, _, tail = text.replace("/", "-").rpartition("-")
    coin, currency = (head, tail) if head and tail in _CURRENCIES else (text.replace("/", "-"), "usd")
    if not _COIN.fullmatch(coin):
        raise ValueError(f"coin {text!r}: write its id and a currency, like bitcoin-usd")
    return coin, currency


async def _believed(ask: Callable[[], Awaitable[pa.Table]], table: Table, window: Window) -> Page:
    """What lies in the window. That nothing does is believed when the provider says so twice.

    Of a window so short that no point need be in it once is enough, where the answer holds others.
    """
    every = await ask()
    rows = _within(table, every, window)
    if rows.num_rows or (every.num_rows and window.length <= 2 * table.grain):
        return Page(rows, window)
    return Page(_within(table, await ask(), window), window, 2)


def _within(table: Table, rows: pa.Table, window: Window) -> pa.Table:
    first, end = np.searchsorted(table.times(rows), [micros(window.start), micros(window.end)])
    return rows.slice(first, end - first)
