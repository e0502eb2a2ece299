"""The Binance USDT-M futures REST vendor: its public market-data paths, answered from the world.

Documentation: developers.binance.com, USDⓈ-M Futures, Market Data. Limits as of 2026: 2,400 weight per
minute; fundingRate 500 and futures/data 1,000 requests in five minutes, counted apart.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ingestion_assets.simulator import binance_facts as facts
from ingestion_assets.simulator.answers import Answer, Market, as_json
from ingestion_assets.simulator.binance_facts import Refusal
from ingestion_assets.simulator.intervals import MINUTE_MS, MINUTES
from ingestion_assets.simulator.limits import Limits
from ingestion_assets.simulator.perpetuals import Perpetuals, Trades
from ingestion_assets.simulator.render import Choice, Piece, decimal, whole, written
from ingestion_assets.simulator.symbols import USDM, Symbol

Query = Mapping[str, str]
Handler = Callable[[Query], Answer]
DAY_MS = 86_400_000
OI_DAYS = 30
PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
FAR_MS = 4_133_404_800_000


class BinanceUsdm:
    """Charges weight, then answers or refuses."""

    prefix = ("/fapi/v1/", "/futures/data/")

    def __init__(self, market: Market, perpetuals: Perpetuals, limits: Mapping[str, Limits]) -> None:
        self.market, self.perpetuals, self.limits = market, perpetuals, limits
        # path: (handler, parameters that it reads, weight, whose limit)
        times = {"startTime", "endTime", "limit"}
        self._paths: dict[str, tuple[Handler, set[str], Callable[[Query], int], str]] = {
            "/fapi/v1/ping": (lambda _: as_json({}), set(), _one, "weight"),
            "/fapi/v1/time": (lambda _: as_json({"serverTime": market.vendor_ms()}), set(), _one, "weight"),
            "/fapi/v1/exchangeInfo": (self._info, set(), _one, "weight"),
            "/fapi/v1/klines": (self._klines, {"symbol", "interval"} | times, _klines_weight, "weight"),
            "/fapi/v1/aggTrades": (self._trades, {"symbol", "fromId"} | times, lambda _: 20, "weight"),
            "/fapi/v1/fundingRate": (self._funding, {"symbol"} | times, _one, "funding"),
            "/futures/data/openInterestHist": (
                self._open_interest,
                {"symbol", "period"} | times,
                _one,
                "statistics",
            ),
        }

    def answer(self, path: str, query: Query) -> tuple[Answer, int]:
        """The answer and the weight that it cost."""
        handler, known, weigh, pool = self._paths.get(path, (None, set(), _one, "weight"))
        weight, limits = weigh(query), self.limits[pool]
        verdict = limits.admit(weight)
        if verdict.status != 200:
            document = {"code": -1003, "msg": verdict.message}
            answer = as_json(document, verdict.status, headers={"Retry-After": str(verdict.retry_after)})
        elif handler is None:
            answer = Answer(404, b"<html><body><h2>404 Not found</h2></body></html>", "text/html")
        else:
            try:
                if read := query.keys() - known:
                    raise facts.unread(len(query) - len(read), len(query))
                answer = handler(query)
            except Refusal as refusal:
                answer = as_json({"code": refusal.code, "msg": refusal.text}, refusal.status)
        if pool == "weight":
            answer.headers |= limits.headers()
        return answer, weight

    def _klines(self, query: Query) -> Answer:
        symbol = self._symbol(query)
        minutes = MINUTES.get(facts.sent(query, "interval"))
        if minutes is None:
            raise facts.UNKNOWN_INTERVAL
        limit = _limit(query, 500, 1_500)
        start, end = facts.number(query, "startTime"), facts.number(query, "endTime")
        page = self.market.history.page(self.market.ask(symbol, minutes), start, end, limit)
        return Answer(200, page, rows=True)

    def _trades(self, query: Query) -> Answer:
        symbol, limit = self._symbol(query), _limit(query, 500, 1_000)
        start, end = facts.number(query, "startTime"), facts.number(query, "endTime")
        number = facts.number(query, "fromId")
        now = self.market.clock.now_ms() + 1
        until = now if end is None else min(end + 1, now)
        if number is not None and (start is not None or end is not None):
            raise facts.COMBINATION
        if start is not None and end is not None and not 0 <= end - start <= 3_600_000:
            raise Refusal(-4045, "More than 1 hours between startTime and endTime.")
        if number is None and start is None:
            found = self.perpetuals.trades(symbol, until - 3_600_000, until)
            return _shown(found.take(slice(max(0, len(found) - limit), None)))
        if number is None:
            assert start is not None
            first = self.perpetuals.next_trade(symbol, start, until)
            if first is None:
                return _shown(self.perpetuals.trades(symbol, 0, 0))
            number = first
        return _shown(self.perpetuals.following(symbol, number, limit, until))

    def _open_interest(self, query: Query) -> Answer:
        symbol, limit = self._symbol(query), _limit(query, 30, 500)
        period = facts.sent(query, "period")
        if period not in PERIODS:
            raise facts.invalid("period")
        now, step = self.market.clock.now_ms(), MINUTES[period] * MINUTE_MS
        start, end = facts.number(query, "startTime"), facts.number(query, "endTime")
        if start is not None and start < now - OI_DAYS * DAY_MS:
            raise Refusal(-1130, "parameter 'startTime' is invalid.")
        until = now if end is None else min(end, now)
        since = start if start is not None else until - limit * step
        found = self.perpetuals.measures(
            symbol, max(since, now - OI_DAYS * DAY_MS), until + 1, MINUTES[period]
        )
        rows = list(zip(found.at_ms.tolist(), found.amount.tolist(), found.value.tolist(), strict=True))
        return as_json(
            [
                {
                    "symbol": symbol.name,
                    "sumOpenInterest": f"{amount:.8f}",
                    "sumOpenInterestValue": f"{value:.8f}",
                    "CMCCirculatingSupply": "19000000.00000000",
                    "timestamp": at,
                }
                for at, amount, value in (
                    rows[:limit] if start is not None and end is None else rows[-limit:]
                )
            ],
            rows=True,
        )

    def _funding(self, query: Query) -> Answer:
        symbol, limit = self._symbol(query), _limit(query, 100, 1_000)
        start, end = facts.number(query, "startTime"), facts.number(query, "endTime")
        now = self.market.clock.now_ms()
        until = now + 1 if end is None else min(end, now) + 1
        since = until - 200 * 8 * 3_600_000 if start is None else start
        found = self.perpetuals.settlements(symbol, since, until)
        rows = list(zip(found.at_ms.tolist(), found.rate.tolist(), found.mark_price.tolist(), strict=True))
        return as_json(
            [
                {
                    "symbol": symbol.name,
                    "fundingTime": at,
                    "fundingRate": f"{rate:.8f}",
                    "markPrice": f"{price:.8f}",
                }
                for at, rate, price in (rows[-limit:] if start is None else rows[:limit])
            ],
            rows=True,
        )

    def _info(self, _: Query) -> Answer:
        return as_json(
            {
                "timezone": "UTC",
                "serverTime": self.market.vendor_ms(),
                "futuresType": "U_MARGINED",
                "rateLimits": [self.limits["weight"].weight.describe("REQUEST_WEIGHT")],
                "exchangeFilters": [],
                "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
                "symbols": [self._entry(symbol) for symbol in USDM.values() if self.market.known(symbol)],
            }
        )

    def _entry(self, symbol: Symbol) -> dict[str, Any]:
        trading = self.market.trading(symbol)
        tick, lot = facts.fixed(1, symbol.price_decimals), facts.fixed(1, symbol.lot_decimals)
        return {
            "symbol": symbol.name,
            "pair": symbol.name,
            "contractType": "PERPETUAL",
            "deliveryDate": FAR_MS if trading or symbol.ended_ms is None else symbol.ended_ms,
            "onboardDate": symbol.listed_ms,
            "status": "TRADING" if trading else "SETTLING",
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": symbol.base,
            "quoteAsset": symbol.quote,
            "marginAsset": symbol.quote,
            "pricePrecision": symbol.price_decimals,
            "quantityPrecision": symbol.lot_decimals,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": [],
            "triggerProtect": "0.0500",
            "liquidationFee": "0.012500",
            "marketTakeBound": "0.05",
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "1000", "stepSize": lot},
                {"filterType": "MARKET_LOT_SIZE", "minQty": lot, "maxQty": "120", "stepSize": lot},
                {"filterType": "MAX_NUM_ORDERS", "limit": 200},
                {"filterType": "MIN_NOTIONAL", "notional": "5"},
            ],
            "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        }

    def _symbol(self, query: Query) -> Symbol:
        symbol = USDM.get(facts.sent(query, "symbol"))
        if symbol is None or not self.market.known(symbol):
            raise facts.UNKNOWN_SYMBOL
        return symbol


def _shown(trades: Trades) -> Answer:
    if not len(trades):
        return Answer(200, b"[]", rows=True)
    symbol = trades.symbol
    row: list[Piece] = [
        b'{"a":',
        whole(trades.number),
        b',"p":"',
        *decimal(trades.price, symbol.price_decimals),
    ]
    row += [b'","q":"', *decimal(trades.quantity, symbol.lot_decimals), b'","f":', whole(trades.first)]
    row += [b',"l":', whole(trades.last), b',"T":', whole(trades.at_ms)]
    row += [b',"m":', Choice(trades.buyer_is_maker, b"true", b"false"), b"},"]
    data, _ = written(len(trades), row)
    return Answer(200, b"[" + data[:-1] + b"]", rows=True)


def _limit(query: Query, default: int, most: int) -> int:
    limit = facts.number(query, "limit", default) or 0
    if limit == 0:
        raise facts.invalid("limit")
    return min(limit, most)


def _one(_: Query) -> int:
    return 1


def _klines_weight(query: Query) -> int:
    text = query.get("limit", "500")
    limit = int(text) if text.isdigit() else 500
    return next((weight for most, weight in ((99, 1), (499, 2), (1_000, 5)) if limit <= most), 10)
