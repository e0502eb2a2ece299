"""Binance's documents about one market's present: last price, 24 hours, order book."""

from typing import Any

from ingestion_assets.simulator import noise
from ingestion_assets.simulator.answers import Market
from ingestion_assets.simulator.binance_facts import fixed
from ingestion_assets.simulator.symbols import Symbol


def price(market: Market, symbol: Symbol) -> dict[str, Any] | None:
    """ticker/price; nothing when the market never traded."""
    found = market.history.latest(market.ask(symbol, 1), 1)
    if not len(found):
        return None
    return {"symbol": symbol.name, "price": fixed(int(found.close[-1]), symbol.price_decimals)}


def mini(market: Market, symbol: Symbol) -> dict[str, Any] | None:
    """ticker/24hr?type=MINI; nothing when there was no trade in 24 hours."""
    opened_ms, day = market.day(symbol)
    if not len(day):
        return None
    last = int(noise.bits(noise.key(symbol.name, "trade"), 0, 1)[0] >> 34) + opened_ms // 1000
    trades = int(day.trades.sum())
    return {
        "symbol": symbol.name,
        "openPrice": fixed(int(day.open[0]), symbol.price_decimals),
        "highPrice": fixed(int(day.high.max()), symbol.price_decimals),
        "lowPrice": fixed(int(day.low.min()), symbol.price_decimals),
        "lastPrice": fixed(int(day.close[-1]), symbol.price_decimals),
        "volume": fixed(int(day.volume.sum()), symbol.lot_decimals),
        "quoteVolume": fixed(int(day.quote_volume.sum()), 8),
        "openTime": opened_ms,
        "closeTime": market.clock.now_ms(),
        "firstId": last - trades + 1,
        "lastId": last,
        "count": trades,
    }


def full(market: Market, symbol: Symbol) -> dict[str, Any] | None:
    """ticker/24hr."""
    document = mini(market, symbol)
    if document is None:
        return None
    opened, last = float(document["openPrice"]), float(document["lastPrice"])
    volume, quote = float(document["volume"]), float(document["quoteVolume"])
    book = depth(market, symbol, 1)
    (bid,), (ask,) = book["bids"], book["asks"]
    return {
        "symbol": symbol.name,
        "priceChange": f"{last - opened:.8f}",
        "priceChangePercent": f"{(last / opened - 1) * 100:.3f}",
        "weightedAvgPrice": f"{quote / volume if volume else last:.8f}",
        "prevClosePrice": document["openPrice"],
        "lastQty": bid[1],
        "bidPrice": bid[0],
        "bidQty": bid[1],
        "askPrice": ask[0],
        "askQty": ask[1],
        **document,
    }


def depth(market: Market, symbol: Symbol, limit: int) -> dict[str, Any]:
    """An order book around the last price: some ticks between levels, more to be had further away."""
    found = market.history.latest(market.ask(symbol, 1), 1)
    now = market.clock.now_ms()
    book: dict[str, Any] = {"lastUpdateId": now // 100, "bids": [], "asks": []}
    if not len(found):
        return book
    middle = int(found.close[-1])
    for side, direction, first in (("bids", -1, 0), ("asks", 1, 1)):
        random = noise.bits(noise.key(symbol.name, side, now // 1000), 0, limit).tolist()
        level = middle + first * direction
        for bits in random:
            if level < 1:
                break
            lots = 1 + bits % (int(symbol.quote_per_minute / symbol.price * 10**symbol.lot_decimals) + 1)
            book[side].append([fixed(level, symbol.price_decimals), fixed(lots, symbol.lot_decimals)])
            level += direction * (1 + (bits >> 40) % 7)
    return book
