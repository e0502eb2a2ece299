"""The Binance spot REST vendor: its public market-data paths, answered from the world."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from ingestion_assets.simulator import binance_facts as facts
from ingestion_assets.simulator import binance_tickers as tickers
from ingestion_assets.simulator.answers import Answer, Market, as_json
from ingestion_assets.simulator.binance_facts import Refusal
from ingestion_assets.simulator.intervals import MINUTES
from ingestion_assets.simulator.limits import Limits
from ingestion_assets.simulator.symbols import BINANCE, Symbol

Query = Mapping[str, str]
Handler = Callable[[Query], Answer]
_SYMBOL = re.compile(r"[A-Z0-9-_.]{1,20}")


class Binance:
    """Charges weight, then answers or refuses."""

    prefix = "/api/v3/"

    def __init__(self, market: Market, limits: Limits) -> None:
        self.market, self.limits = market, limits
        # path: (handler, parameters that it reads, weight)
        self._paths: dict[str, tuple[Handler, set[str], Callable[[Query], int]]] = {
            "ping": (lambda _: as_json({}), set(), lambda _: 1),
            "time": (lambda _: as_json({"serverTime": market.vendor_ms()}), set(), lambda _: 1),
            "exchangeInfo": (
                self._info,
                {"symbol", "symbols", "permissions", "showPermissionSets"},
                lambda _: 20,
            ),
            "klines": (
                self._klines,
                {"symbol", "interval", "startTime", "endTime", "limit", "timeZone"},
                lambda _: 2,
            ),
            "ticker/price": (self._price, {"symbol", "symbols"}, lambda query: 2 if "symbol" in query else 4),
            "ticker/24hr": (self._ticker, {"symbol", "symbols", "type"}, _ticker_weight),
            "depth": (self._depth, {"symbol", "limit"}, _depth_weight),
        }

    def answer(self, path: str, query: Query) -> tuple[Answer, int]:
        """The answer and the weight that it cost."""
        handler, known, weigh = self._paths.get(path.removeprefix(self.prefix), (None, set(), lambda _: 1))
        weight = weigh(query)
        verdict = self.limits.admit(weight)
        if verdict.status != 200:
            document = {"code": -1003, "msg": verdict.message}
            answer = as_json(document, verdict.status, headers={"Retry-After": str(verdict.retry_after)})
        elif handler is None:
            answer = Answer(404, b"<html><body><h2>404 Not found</h2></body></html>", "text/html")
        else:
            answer = self._guarded(handler, known, query)
        answer.headers |= self.limits.headers()
        return answer, weight

    def _guarded(self, handler: Handler, known: set[str], query: Query) -> Answer:
        try:
            if read := query.keys() - known:
                raise facts.unread(len(query) - len(read), len(query))
            return handler(query)
        except Refusal as refusal:
            return as_json({"code": refusal.code, "msg": refusal.text}, refusal.status)

    def _klines(self, query: Query) -> Answer:
        symbol = self._symbol(facts.sent(query, "symbol"))
        minutes = MINUTES.get(facts.sent(query, "interval"))
        if minutes is None:
            raise facts.UNKNOWN_INTERVAL
        if query.get("timeZone", "0") not in ("0", "+0", "-0", "0:00", "+0:00"):
            raise facts.invalid("timeZone")
        limit = min(facts.number(query, "limit", facts.DEFAULT_ROWS) or 0, facts.MAX_ROWS)
        if limit == 0:
            raise facts.invalid("limit")
        start, end = facts.number(query, "startTime"), facts.number(query, "endTime")
        page = self.market.history.page(self.market.ask(symbol, minutes), start, end, limit)
        return Answer(200, page, rows=True)

    def _info(self, query: Query) -> Answer:
        names = _names(query)
        found = self._listed() if names is None else [self._symbol(name) for name in names]
        weight, raw = self.limits.weight, self.limits.raw
        return as_json(
            {
                "timezone": "UTC",
                "serverTime": self.market.vendor_ms(),
                "rateLimits": [
                    weight.describe("REQUEST_WEIGHT"),
                    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
                    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
                    raw.describe("RAW_REQUESTS"),
                ],
                "exchangeFilters": [],
                "symbols": [facts.market(symbol, trading=self.market.trading(symbol)) for symbol in found],
            }
        )

    def _price(self, query: Query) -> Answer:
        return self._each(query, tickers.price)

    def _ticker(self, query: Query) -> Answer:
        kind = query.get("type", "FULL")
        if kind not in ("FULL", "MINI"):
            raise facts.invalid("type")
        return self._each(query, tickers.full if kind == "FULL" else tickers.mini)

    def _depth(self, query: Query) -> Answer:
        symbol = self._symbol(facts.sent(query, "symbol"))
        limit = min(facts.number(query, "limit", 100) or 0, 5000)
        if limit == 0:
            raise facts.invalid("limit")
        return as_json(tickers.depth(self.market, symbol, limit))

    def _each(self, query: Query, shape: Callable[[Market, Symbol], dict[str, Any] | None]) -> Answer:
        """One document for `symbol`, a list for `symbols` or for all that trade."""
        names = _names(query)
        if names is None:
            asked = [symbol for symbol in self._listed() if self.market.trading(symbol)]
        else:
            asked = [self._symbol(name) for name in names]
        documents = [document for symbol in asked if (document := shape(self.market, symbol))]
        return as_json(documents[0] if "symbol" in query and documents else documents)

    def _listed(self) -> list[Symbol]:
        return [symbol for symbol in BINANCE.values() if self.market.known(symbol)]

    def _symbol(self, name: str) -> Symbol:
        if not _SYMBOL.fullmatch(name):
            raise facts.illegal("symbol", "^[A-Z0-9-_.]{1,20}$")
        symbol = BINANCE.get(name)
        if symbol is None or not self.market.known(symbol):
            raise facts.UNKNOWN_SYMBOL
        return symbol


def _names(query: Query) -> list[str] | None:
    """The symbols asked for by `symbol` or by `symbols=["A","B"]`; None when neither is sent."""
    if "symbol" in query and "symbols" in query:
        raise facts.COMBINATION
    if "symbol" in query:
        return [facts.sent(query, "symbol")]
    if "symbols" not in query:
        return None
    try:
        names = orjson.loads(query["symbols"])
    except orjson.JSONDecodeError:
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise facts.illegal("symbols", r'^\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\]$')
    return names


def _ticker_weight(query: Query) -> int:
    many = query["symbols"].count(",") + 1 if "symbols" in query else None
    return facts.ticker_weight(1 if "symbol" in query else many)


def _depth_weight(query: Query) -> int:
    text = query.get("limit", "100")
    return facts.depth_weight(int(text) if facts.NUMBER.fullmatch(text) else 100)
