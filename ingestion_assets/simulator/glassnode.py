"""The metrics vendor Glassnode: daily values of a few coins, told ten minutes after the day.

A value is a little off when first told and set right two days later, as the vendor does; metrics of the
category `pit` are never revised. Any key is taken but one that begins with `wrong`.
"""

from collections.abc import Mapping
from typing import Any

from ingestion_assets.simulator import noise
from ingestion_assets.simulator.answers import Answer, Market, as_json

Query = Mapping[str, str]
COINS = ("BTC", "ETH", "SOL", "LINK")
METRICS = {
    "addresses/active_count": 900_000.0,
    "market/price_usd_close": 50_000.0,
    "transactions/count": 400_000.0,
    "pit/active_count": 900_000.0,
}
PARTS = ("indicators/hash_ribbon",)
FIRST_DAY = 17_532  # 2018-01-01
DAY_MS, TOLD_MS, REVISED_MS = 86_400_000, 600_000, 2 * 86_400_000


class Glassnode:
    prefix = ("/v1/metrics/", "/v1/user/api_usage")

    def __init__(self, market: Market) -> None:
        self.market = market

    def meet(self, query: Query, headers: Mapping[str, str]) -> Answer | None:
        key = headers.get("X-Api-Key") or query.get("api_key", "")
        return _text(401, "invalid API key") if not key or key.startswith("wrong") else None

    def answer(self, path: str, query: Query) -> tuple[Answer, int]:
        if path == "/v1/user/api_usage":
            return as_json({"api_usage": {"creditsUsed": 0}}, headers=_limits()), 0
        metric, coin = path.removeprefix("/v1/metrics/"), query.get("a", "")
        if metric not in METRICS and metric not in PARTS:
            return _text(404, "metric not found"), 0
        if coin not in COINS or query.get("i", "24h") != "24h":
            return _text(400, "asset or resolution not supported"), 0
        try:
            points = self._points(coin, metric, int(query.get("s", 0)), int(query.get("u", 10**11)))
        except ValueError:
            return _text(400, "s and u are seconds since 1970"), 0
        return as_json(points, headers=_limits(), rows=True), 0

    def _points(self, coin: str, metric: str, since: int, until: int) -> list[dict[str, Any]]:
        now = self.market.clock.now_ms()
        first = max(FIRST_DAY, -(-since // 86_400))
        last = min(-(-until // 86_400), (now - TOLD_MS) // DAY_MS)
        parts = ("ma30", "ma60") if metric in PARTS else ()
        found = []
        for day in range(first, last):
            raw = now < (day + 1) * DAY_MS + REVISED_MS and not metric.startswith("pit/")
            if parts:
                told = {part: self._value(coin, f"{metric}.{part}", day, raw) for part in parts}
                found.append({"t": day * 86_400, "o": told})
            else:
                found.append({"t": day * 86_400, "v": self._value(coin, metric, day, raw)})
        return found

    def _value(self, coin: str, metric: str, day: int, raw: bool) -> float:
        base = METRICS.get(metric, 100.0)
        key = noise.key("glassnode", self.market.world.seed, coin, metric)
        value = base * (1.0 + 0.2 * float(noise.signed(key, day, 1)[0]))
        return round(value * (0.999 if raw else 1.0), 8)


def _limits() -> dict[str, str]:
    return {"x-rate-limit-limit": "600", "x-rate-limit-remaining": "599", "x-rate-limit-reset": "60"}


def _text(status: int, words: str) -> Answer:
    return Answer(status, words.encode(), "text/plain")
