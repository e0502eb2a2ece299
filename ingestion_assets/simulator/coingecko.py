"""CoinGecko, and the provider `mock` in its shapes: coins by id, markets, histories, candles.

Documentation: docs.coingecko.com. A coin costs what it costs on the simulated Binance. `mock` calls coins
by their tickers and has an index, SPX, that no provider of coins has, and asks for no key. CoinGecko does:
any is taken but one that begins with `wrong`.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ingestion_assets.simulator import noise
from ingestion_assets.simulator.answers import Answer, Market, as_json
from ingestion_assets.simulator.intervals import MINUTE_MS
from ingestion_assets.simulator.noise import Ints
from ingestion_assets.simulator.symbols import BINANCE, Symbol

Query = Mapping[str, str]
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_IDS = {
    "BTC": "bitcoin",
    "ETH": "ethereum",
    "SOL": "solana",
    "BNB": "binancecoin",
    "XRP": "ripple",
    "ADA": "cardano",
    "DOGE": "dogecoin",
    "LTC": "litecoin",
    "LINK": "chainlink",
    "DOT": "polkadot",
}
_SUPPLY = {"BTC": 19_700_000, "ETH": 120_000_000, "SOL": 470_000_000}
_MAX_SUPPLY = {"BTC": 21_000_000, "LTC": 84_000_000}
_SPX = replace(BINANCE["BTCUSDT"], name="SPX", base="SPX", price=5_000.0, walk="SPX", listed_ms=0)
COINS: dict[str, Symbol] = {
    **{coin: BINANCE[f"{ticker}USDT"] for ticker, coin in _IDS.items()},
    **{ticker: BINANCE[f"{ticker}USDT"] for ticker in _IDS},
    "SPX": _SPX,
}
_WORTH = {"usd": 1.0, "eur": 0.92, "gbp": 0.79, "jpy": 150.0}


class CoinGecko:
    """Answers under /api/v3/ for what is a coin's."""

    name = "coingecko"
    prefix: tuple[str, ...] = ("/api/v3/coins/", "/api/v3/simple/", "/api/v3/search")

    def __init__(self, market: Market) -> None:
        self.market = market

    def meet(self, query: Query, headers: Mapping[str, str]) -> Answer | None:
        key = headers.get("x-cg-demo-api-key") or query.get("x_cg_demo_api_key", "")
        if not key:
            return _refused(401, 10_002, "API Key Missing")
        return _refused(401, 10_010, "Invalid API Key") if key.startswith("wrong") else None

    def too_many(self, seconds: int) -> Answer:
        answer = _refused(429, 429, "You've exceeded the Rate Limit. Please visit the pricing page.")
        answer.headers["Retry-After"] = str(seconds)
        return answer

    def answer(self, path: str, query: Query) -> tuple[Answer, int]:
        mock, what = path.startswith("/mock/"), path.split("/v3/", 1)[1]
        coins = {name: one for name, one in COINS.items() if name.isupper() == mock}
        if what == "ping":
            return as_json({"gecko_says": "(V3) To the Moon!"}), 0
        if what == "search":
            word = query.get("query", "").lower()
            found = [
                {"id": name, "symbol": one.base} for name, one in coins.items() if word[:3] in name.lower()
            ]
            return as_json({"coins": found}), 0
        currency = query.get("vs_currency", query.get("vs_currencies", "")).lower()
        if not currency:
            return as_json({"error": "Missing parameter vs_currency"}, 422), 0
        if currency not in _WORTH:
            return as_json({"error": "invalid vs_currency"}, 422), 0
        if what == "coins/markets":
            wanted = [name for name in query.get("ids", "").split(",") if name] or list(coins)
            return as_json([self._market(n, coins[n], _WORTH[currency]) for n in wanted if n in coins]), 0
        return self._of_coin(what.split("/"), coins, currency, query), 0

    def _of_coin(self, parts: list[str], coins: Mapping[str, Symbol], currency: str, query: Query) -> Answer:
        symbol = coins.get(parts[1]) if len(parts) > 2 else None
        if symbol is None:
            return as_json({"error": "coin not found"}, 404)
        now, worth = self.market.clock.now_ms(), _WORTH[currency]
        if parts[2:] == ["market_chart", "range"]:
            start, end = int(query["from"]) * 1_000, min(int(query["to"]) * 1_000, now)
            if start < now - 365 * _DAY_MS - _DAY_MS:
                return _refused(401, 10_012, "Your request exceeds the allowed time range of 365 days.")
            return as_json(self._chart(parts[1], symbol, start, end, worth))
        if parts[2:] == ["ohlc"]:
            return as_json(self._ohlc(symbol, int(query.get("days", 30)), worth))
        return as_json({"error": "Incorrect path. Please check https://docs.coingecko.com"}, 404)

    def _market(self, name: str, symbol: Symbol, worth: float) -> dict[str, Any]:
        now = self.market.clock.now_ms()
        day = self.market.world.minutes(symbol, now // MINUTE_MS - 1_440, 1_441)
        tick = 10.0**symbol.price_decimals
        price, before = (int(day.open[at]) / tick * worth for at in (-1, 0))
        supply = _SUPPLY.get(symbol.base, 1_000_000_000)
        most = _MAX_SUPPLY.get(symbol.base)
        told = datetime.fromtimestamp(now // 60_000 * 60, UTC)
        return {
            "id": name,
            "symbol": symbol.base.lower(),
            "name": name.replace("-", " ").title(),
            "image": f"https://assets.coingecko.com/coins/images/1/large/{name}.png",
            "current_price": round(price, 8),
            "market_cap": round(price * supply),
            "market_cap_rank": list(COINS).index(name) % len(_IDS) + 1,
            "fully_diluted_valuation": round(price * most) if most else None,
            "total_volume": round(float(day.quote_volume.sum()) / 1e8 * 10 * worth),
            "high_24h": round(int(day.high.max()) / tick * worth, 8),
            "low_24h": round(int(day.low.min()) / tick * worth, 8),
            "price_change_24h": round(price - before, 8),
            "price_change_percentage_24h": round(100 * (price - before) / before, 5),
            "market_cap_change_24h": round((price - before) * supply, 4),
            "market_cap_change_percentage_24h": round(100 * (price - before) / before, 5),
            "circulating_supply": float(supply),
            "total_supply": float(most or supply),
            "max_supply": float(most) if most else None,
            "ath": round(symbol.price * 3 * worth, 2),
            "ath_change_percentage": round(100 * (price / (symbol.price * 3 * worth) - 1), 5),
            "ath_date": "2024-03-14T07:10:36.635Z",
            "atl": round(symbol.price / 100 * worth, 6),
            "atl_change_percentage": round(100 * (price / (symbol.price / 100 * worth) - 1), 5),
            "atl_date": "2013-07-06T00:00:00.000Z",
            "roi": None,
            "last_updated": told.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    def _chart(self, name: str, symbol: Symbol, start: int, end: int, worth: float) -> dict[str, Any]:
        """A point in each hour, at an odd moment of it; of less than a day one every five minutes."""
        step = _HOUR_MS if end - start > _DAY_MS else 300_000
        hours = np.arange(start // step * step, end, step, dtype=np.int64)
        odd = [noise.key(self.market.world.seed, name, int(hour)) % (step - 60_000) for hour in hours]
        stamps = hours + np.array(odd, np.int64)
        stamps = stamps[(stamps >= start) & (stamps < end)]
        prices = self._prices(symbol, stamps // MINUTE_MS) * worth
        supply = _SUPPLY.get(symbol.base, 1_000_000_000)
        lists = (prices, prices * supply, prices * supply / 20)
        names = ("prices", "market_caps", "total_volumes")
        return {
            kind: [[stamp, value] for stamp, value in zip(stamps.tolist(), values.tolist(), strict=True)]
            for kind, values in zip(names, lists, strict=True)
        }

    def _ohlc(self, symbol: Symbol, days: int, worth: float) -> list[list[float]]:
        """4h candles, stamped with their ends; the last one ends in the future."""
        step, now = 4 * _HOUR_MS, self.market.clock.now_ms()
        first = (now - days * _DAY_MS) // step * step
        made = self.market.world.minutes(symbol, first // MINUTE_MS, (now - first) // MINUTE_MS + 1)
        tick, rows = 10.0**symbol.price_decimals / worth, []
        for start in range(first, now, step):
            part = made.take((made.open_ms >= start) & (made.open_ms < start + step))
            prices = (part.open[0], part.high.max(), part.low.min(), part.close[-1])
            rows.append([start + step, *(round(int(price) / tick, 8) for price in prices)])
        return rows

    def _prices(self, symbol: Symbol, minutes: Ints) -> np.ndarray:
        if not len(minutes):
            return np.zeros(0)
        first = int(minutes[0])
        opens = self.market.world.minutes(symbol, first, int(minutes[-1]) - first + 1).open
        return opens[minutes - first] / 10.0**symbol.price_decimals


class Mock(CoinGecko):
    """The same under /mock/v3/, for whoever asks."""

    name = "mock"
    prefix = ("/mock/v3/",)

    def meet(self, query: Query, headers: Mapping[str, str]) -> Answer | None:
        return None


def _refused(status: int, code: int, text: str) -> Answer:
    return as_json({"status": {"error_code": code, "error_message": text}}, status)
