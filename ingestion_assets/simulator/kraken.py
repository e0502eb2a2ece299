"""The Kraken REST vendor, as much of it as candles need. Errors come as 200 with `{"error": […]}`.

Documentation: docs.kraken.com, Spot REST, Market Data. OHLC gives the last 720 closed candles and the
unfinished one, whatever `since` says; pairs have legacy keys (XXBTZUSD) or plain ones (SOLUSD).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ingestion_assets.simulator.answers import Answer, Market, as_json
from ingestion_assets.simulator.kraken_facts import INTERVALS, ROWS, asset, pair, plain
from ingestion_assets.simulator.symbols import KRAKEN, Symbol
from ingestion_assets.simulator.world import Candles

Query = Mapping[str, str]


class Refusal(Exception):
    """An error that Kraken answers."""


class Kraken:
    """Answers under /0/public/."""

    prefix = "/0/public/"

    def __init__(self, market: Market) -> None:
        self.market = market
        self._paths: dict[str, Callable[[Query], Any]] = {
            "Time": self._time,
            "SystemStatus": self._status,
            "Assets": lambda _: {a: asset(a) for s in KRAKEN.values() for a in (s.base, s.quote)},
            "AssetPairs": self._pairs,
            "OHLC": self._ohlc,
            "Ticker": self._ticker,
        }

    def answer(self, path: str, query: Query) -> tuple[Answer, int]:
        """The answer; the weight is always 0, as Kraken counts otherwise."""
        handler = self._paths.get(path.removeprefix(self.prefix))
        try:
            if handler is None:
                raise Refusal("EGeneral:Unknown method")
            return as_json({"error": [], "result": handler(query)}, rows=path.endswith("OHLC")), 0
        except Refusal as refusal:
            return as_json({"error": [str(refusal)]}), 0

    def _time(self, _: Query) -> dict[str, Any]:
        seconds = self.market.vendor_ms() // 1000
        text = datetime.fromtimestamp(seconds, UTC).strftime("%a, %d %b %y %H:%M:%S +0000")
        return {"unixtime": seconds, "rfc1123": text}

    def _status(self, _: Query) -> dict[str, Any]:
        now = datetime.fromtimestamp(self.market.vendor_ms() // 1000, UTC)
        return {"status": "online", "timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _pairs(self, query: Query) -> dict[str, Any]:
        return {s.name: pair(s, online=self.market.trading(s)) for s in self._asked(query)}

    def _ohlc(self, query: Query) -> dict[str, Any]:
        (symbol,) = self._asked(query, need=True)
        interval, since = query.get("interval", "1"), query.get("since", "0")
        if interval not in INTERVALS or not since.lstrip("-").isdigit():
            raise Refusal("EGeneral:Invalid arguments")
        ask = self.market.ask(symbol, int(interval))
        found = self.market.history.latest(ask, ROWS)
        closed = found.open_ms[found.open_ms < ask.unfinished_ms]
        last = int(closed[-1]) if len(closed) else ask.unfinished_ms
        found = found.take(found.open_ms > int(since) * 1000)
        return {symbol.name: _rows(found), "last": last // 1000}

    def _ticker(self, query: Query) -> dict[str, Any]:
        return {s.name: document for s in self._asked(query) if (document := self._day(s))}

    def _day(self, symbol: Symbol) -> dict[str, Any] | None:
        opened_ms, day = self.market.day(symbol)
        if not len(day):
            return None
        midnight = day.take(day.open_ms >= (opened_ms // 86_400_000 + 1) * 86_400_000)
        spans = (midnight if len(midnight) else day.take(slice(-1, None)), day)
        price, lot = symbol.price_decimals, symbol.lot_decimals
        close = int(day.close[-1])
        return {
            "a": [plain(close + 1, price), "1", "1.000"],
            "b": [plain(close, price), "1", "1.000"],
            "c": [plain(close, price), plain(max(1, int(day.volume[-1])), lot)],
            "v": [plain(int(span.volume.sum()), lot) for span in spans],
            "p": [plain(_vwap(span), price) for span in spans],
            "t": [int(span.trades.sum()) for span in spans],
            "l": [plain(int(span.low.min()), price) for span in spans],
            "h": [plain(int(span.high.max()), price) for span in spans],
            "o": plain(int(spans[0].open[0]), price),
        }

    def _asked(self, query: Query, *, need: bool = False) -> list[Symbol]:
        """The pairs of `pair=`, by key, altname or wsname; all when nothing is asked and nothing needed."""
        listed = [s for s in KRAKEN.values() if self.market.known(s)]
        if "pair" not in query:
            if need:
                raise Refusal("EGeneral:Invalid arguments")
            return listed
        by_name = {name: s for s in listed for name in (s.wsname, s.altname, s.name)}
        try:
            found = [by_name[name] for name in query["pair"].split(",")]
        except KeyError:
            raise Refusal("EQuery:Unknown asset pair") from None
        if need and len(found) != 1:
            raise Refusal("EGeneral:Invalid arguments")
        return found


def _vwap(candles: Candles) -> int:
    """The volume-weighted price in ticks."""
    volume = int(candles.volume.sum()) * candles.symbol.quote_scale
    return int(candles.quote_volume.sum()) // volume if volume else int(candles.close[-1])


def _rows(candles: Candles) -> list[list[Any]]:
    """[time in seconds, open, high, low, close, vwap, volume, count]; no trade means a vwap of 0.0."""
    price, lot, scale = candles.symbol.price_decimals, candles.symbol.lot_decimals, candles.symbol.quote_scale
    rows = []
    for at, *row in zip(candles.open_ms.tolist(), *(c.tolist() for c in candles.columns()), strict=True):
        volume, quote, trades = row[4:7]
        vwap = plain(quote // (volume * scale), price) if volume else "0.0"
        rows.append([at // 1000, *(plain(n, price) for n in row[:4]), vwap, plain(volume, lot, 8), trades])
    return rows
