"""Binance spot REST as facts: weights, error texts, the shapes of documents that are not candles.

Documentation: developers.binance.com, Spot API, REST. Limits as of 2026: 6,000 weight per minute,
300,000 raw requests per 5 minutes. Every refusal is `{"code": …, "msg": …}`.
"""

import re
from collections.abc import Mapping
from typing import Any

from ingestion_assets.simulator.symbols import Symbol

DEFAULT_ROWS, MAX_ROWS = 500, 1000
NUMBER = re.compile(r"[0-9]{1,20}")

Query = Mapping[str, str]


class Refusal(Exception):
    """An error that Binance answers: HTTP status, code and text."""

    def __init__(self, code: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


def mandatory(name: str) -> Refusal:
    return Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str, legal: str) -> Refusal:
    return Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def invalid(name: str) -> Refusal:
    return Refusal(-1130, f"Data sent for parameter '{name}' is not valid.")


def unread(read: int, sent: int) -> Refusal:
    text = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'."
    return Refusal(-1104, text)


UNKNOWN_SYMBOL = Refusal(-1121, "Invalid symbol.")
UNKNOWN_INTERVAL = Refusal(-1120, "Invalid interval.")
COMBINATION = Refusal(-1128, "Combination of optional parameters invalid.")


def sent(query: Query, name: str) -> str:
    if not query.get(name):
        raise mandatory(name)
    return query[name]


def number(query: Query, name: str, default: int | None = None) -> int | None:
    text = query.get(name)
    if text is None:
        return default
    if not NUMBER.fullmatch(text):
        raise illegal(name, "^[0-9]{1,20}$")
    return min(int(text), 2**53)


def ticker_weight(symbols: int | None) -> int:
    """ticker/24hr by how many symbols are asked; None is all of them."""
    if symbols is None or symbols > 100:
        return 80
    return 2 if symbols <= 20 else 40


def depth_weight(limit: int) -> int:
    return next((weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if limit <= most), 250)


def fixed(value: int, decimals: int) -> str:
    """A whole number of ticks or lots as Binance writes it, with eight places."""
    whole, part = divmod(value, 10**decimals)
    return (
        f"{whole}.{part:0{decimals}d}".ljust(len(f"{whole}.") + 8, "0") if decimals else f"{whole}.00000000"
    )


def market(symbol: Symbol, *, trading: bool) -> dict[str, Any]:
    """One entry of exchangeInfo.symbols."""
    tick, lot = fixed(1, symbol.price_decimals), fixed(1, symbol.lot_decimals)
    small_quote = symbol.quote == "BTC"
    return {
        "symbol": symbol.name,
        "status": "TRADING" if trading else "BREAK",
        "baseAsset": symbol.base,
        "baseAssetPrecision": 8,
        "quoteAsset": symbol.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": trading,
        "isMarginTradingAllowed": trading,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "1000000.00000000",
                "tickSize": tick,
            },
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "92141578.00000000", "stepSize": lot},
            {"filterType": "ICEBERG_PARTS", "limit": 100},
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": "0.00000000",
                "maxQty": "91600.00000000",
                "stepSize": "0.00000000",
            },
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": "5",
                "bidMultiplierDown": "0.2",
                "askMultiplierUp": "5",
                "askMultiplierDown": "0.2",
                "avgPriceMins": 5,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": "0.00010000" if small_quote else "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        ],
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }
