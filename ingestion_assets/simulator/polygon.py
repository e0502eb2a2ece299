"""The REST vendor of US shares, Polygon (Massive): aggregates, snapshots, splits, tickers, market status.

Documentation: massive.com/docs/rest/stocks. Bars are adjusted for splits unless told not to; a page has at
most `limit` of them and `next_url` leads on; `results` is left out when there is none. Any key is taken but
one that begins with `wrong`. Minutes that an `archive_lacks` for /v2/aggs/ names are left out of minute bars,
not of days.
"""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np

from ingestion_assets.simulator import noise
from ingestion_assets.simulator.answers import Answer, Market, as_json
from ingestion_assets.simulator.exchange import NEW_YORK, day_of, days_between, hours, minute_of
from ingestion_assets.simulator.intervals import MINUTE_MS
from ingestion_assets.simulator.shares import SHARES, Share, Shares
from ingestion_assets.simulator.world import Candles, without

Query = Mapping[str, str]
_RANGE = re.compile(r"/v2/aggs/ticker/([^/]+)/range/(\d+)/(\w+)/([^/]+)/([^/]+)")
_SNAPSHOTS = "/v2/snapshot/locale/us/markets/stocks/tickers"
_MOST, _USUAL = 50_000, 5_000
_FORGOTTEN, _SHOWN_AGAIN = time(3, 30), time(4)  # no snapshots in between
_DAY_MS = 86_400_000


class Refusal(Exception):
    def __init__(self, status: int, word: str, text: str) -> None:
        super().__init__(text)
        self.status, self.word, self.text = status, word, text


class Polygon:
    """Answers under /v1/, /v2/ and /v3/; nothing weighs anything, as on a paid plan; see quotas."""

    name = "polygon"
    prefix = ("/v1/marketstatus/", "/v2/aggs/", "/v2/snapshot/locale/us/", "/v3/reference/")

    def __init__(self, market: Market, shares: Shares) -> None:
        self.market, self.shares = market, shares
        self._host = "api.massive.com"

    def meet(self, query: Query, headers: Mapping[str, str]) -> Answer | None:
        """Who asks, and by what name we are called; an answer when it is not to be answered."""
        self._host = headers.get("Host", self._host)
        key = headers.get("Authorization", "").removeprefix("Bearer ") or query.get("apiKey", "")
        if not key:
            return _refused(401, "ERROR", "API Key was not provided", self._request(query))
        if key.startswith("wrong"):
            return _refused(401, "ERROR", "Unknown API Key", self._request(query))
        return None

    def too_many(self, seconds: int) -> Answer:
        text = "You've exceeded the maximum requests per minute, please wait or upgrade your subscription."
        return _refused(429, "ERROR", text, self._request({}))

    def answer(self, path: str, query: Query) -> tuple[Answer, int]:
        try:
            return self._handler(path)(path, self._told(query)), 0
        except Refusal as refusal:
            return _refused(refusal.status, refusal.word, refusal.text, self._request(query)), 0

    def _handler(self, path: str) -> Callable[[str, Query], Answer]:
        if _RANGE.fullmatch(path):
            return self._aggregates
        if path == "/v1/marketstatus/now":
            return self._status
        if path.startswith(_SNAPSHOTS):
            return self._snapshots
        if path == "/v3/reference/splits":
            return self._splits
        if path.startswith("/v3/reference/tickers"):
            return self._tickers
        raise Refusal(404, "NOT_FOUND", "404 page not found")

    def _told(self, query: Query) -> Query:
        """What a cursor stands for takes the place of what was sent."""
        if "cursor" not in query:
            return query
        return dict(parse_qsl(base64.urlsafe_b64decode(query["cursor"] + "==").decode("ascii", "replace")))

    def _aggregates(self, path: str, query: Query) -> Answer:
        match = _RANGE.fullmatch(path)
        assert match is not None
        ticker, multiplier, span, since, until = match.groups()
        limit = min(_MOST, int(query.get("limit", _USUAL)))
        adjusted = query.get("adjusted", "true") != "false"
        start, end = _moment(since), _moment(until, last=True) + 1
        if span not in ("minute", "day") or multiplier != "1":
            raise Refusal(400, "ERROR", f"The simulator has no range of {multiplier} {span}")
        share = SHARES.get(ticker)
        document: dict[str, Any] = {"ticker": ticker, "adjusted": adjusted, "status": "OK"}
        document["request_id"] = self._request(query)
        found: list[dict[str, Any]] = []
        if share is not None:
            find = self._days if span == "day" else self._minutes
            found = find(share, start, end, adjusted)
        if query.get("sort") == "desc":
            found.reverse()
        page = found[:limit]
        if len(found) > limit:
            told = {"adjusted": str(adjusted).lower(), "sort": "asc", "limit": str(limit)}
            cursor = base64.urlsafe_b64encode(urlencode(told).encode()).decode().rstrip("=")
            following = page[-1]["t"] + 1
            rest = f"/v2/aggs/ticker/{ticker}/range/{multiplier}/{span}/{following}/{end - 1}"
            document["next_url"] = f"http://{self._host}{rest}?cursor={cursor}"
        document |= {"queryCount": len(page), "resultsCount": len(page), "count": len(page)}
        return as_json(document | ({"results": page} if page else {}), rows=True)

    def _minutes(self, share: Share, start: int, end: int, adjusted: bool) -> list[dict[str, Any]]:
        lacks = [
            (fault["start"] // MINUTE_MS, -(-fault["end"] // MINUTE_MS))
            for fault in self.market.faults
            if fault.kind == "archive_lacks" and (fault.path or "").startswith("/v2/aggs/")
        ]
        return _written(without(self.shares.minutes(share, start, end, adjusted=adjusted), lacks))

    def _days(self, share: Share, start: int, end: int, adjusted: bool) -> list[dict[str, Any]]:
        found = []
        for day in days_between(start, end):
            opens = minute_of(day) * MINUTE_MS
            bar = self._day(share, day, adjusted) if start <= opens < end else None
            if bar is not None:
                found.append(bar | {"t": opens})
        return found

    def _day(self, share: Share, day: date, adjusted: bool = False) -> dict[str, Any] | None:
        """The day's bar as far as it has come."""
        open_then = hours(day)
        if open_then is None:
            return None
        bars = self.shares.minutes(
            share, open_then.early * MINUTE_MS, open_then.late * MINUTE_MS, adjusted=adjusted
        )
        if not len(bars):
            return None
        worth = (bars.high + bars.low) / 200.0
        return {
            "o": int(bars.open[0]) / 100,
            "h": int(bars.high.max()) / 100,
            "l": int(bars.low.min()) / 100,
            "c": int(bars.close[-1]) / 100,
            "v": int(bars.volume.sum()),
            "vw": round(float((worth * bars.volume).sum() / bars.volume.sum()), 4),
            "n": int(bars.trades.sum()),
        }

    def _snapshots(self, path: str, query: Query) -> Answer:
        one = path.removeprefix(_SNAPSHOTS).strip("/")
        names = (
            [one] if one else [name for name in query.get("tickers", "").split(",") if name] or list(SHARES)
        )
        at = datetime.fromtimestamp(self.market.clock.now_ms() / 1000, NEW_YORK).time()
        names = [] if _FORGOTTEN <= at < _SHOWN_AGAIN else names
        shown = [self._shown(SHARES[name]) for name in names if name in SHARES]
        if one and not shown:
            raise Refusal(404, "NotFound", "Ticker not found.")
        head = {"status": "OK", "request_id": self._request(query)}
        return as_json(head | ({"ticker": shown[0]} if one else {"count": len(shown), "tickers": shown}))

    def _shown(self, share: Share) -> dict[str, Any]:
        now = self.market.clock.now_ms()
        bars = self.shares.minutes(share, now - 5 * _DAY_MS, now)
        traded = [day for day in reversed(days_between(now - 7 * _DAY_MS, now)) if hours(day)]
        today, before = (self._day(share, day) or {} for day in traded[:2])
        nothing = dict.fromkeys(("o", "h", "l", "c", "v", "vw"), 0)
        entry: dict[str, Any] = {
            "ticker": share.symbol.name,
            "day": nothing | today,
            "prevDay": nothing | before,
        }
        for part in (entry["day"], entry["prevDay"]):
            part.pop("n", None)
        entry["min"] = nothing | {"av": 0, "n": 0, "t": 0}
        entry |= {"todaysChange": 0, "todaysChangePerc": 0, "updated": 0}
        if len(bars):
            newest = _written(bars.take(slice(-1, None)))[0]
            at_ns = min(now, int(bars.open_ms[-1]) + 59_123) * 1_000_000 + 456_789
            price = newest["c"]
            entry["min"] = newest | {"av": entry["day"]["v"]}
            entry["lastTrade"] = {"c": [14, 41], "i": "4046", "p": price, "s": 236, "t": at_ns, "x": 10}
            quoted = {"P": round(price + 0.01, 2), "S": 4, "p": round(price - 0.01, 2), "s": 8}
            entry["lastQuote"] = quoted | {"t": at_ns}
            entry["updated"] = at_ns
            if before:
                change = round(price - before["c"], 2)
                entry |= {"todaysChange": change, "todaysChangePerc": round(100 * change / before["c"], 4)}
        return entry

    def _splits(self, _: str, query: Query) -> Answer:
        today = day_of(self.market.clock.now_ms())
        found = [
            {
                "id": f"E{noise.key(share.symbol.name, split.day):016x}",
                "ticker": share.symbol.name,
                "execution_date": split.day.isoformat(),
                "split_from": 1,
                "split_to": split.ratio,
            }
            for share in SHARES.values()
            for split in share.splits
            if split.day <= today and query.get("ticker") in (None, share.symbol.name)
        ]
        found.sort(key=lambda one: str(one["execution_date"]), reverse=query.get("order") != "asc")
        limit = int(query.get("limit", 10))
        skipped = int(query.get("after", 0))
        document: dict[str, Any] = {"status": "OK", "request_id": self._request(query)}
        document["results"] = found[skipped : skipped + limit]
        if len(found) > skipped + limit:
            told = dict(query) | {"after": str(skipped + limit)}
            cursor = base64.urlsafe_b64encode(urlencode(told).encode()).decode().rstrip("=")
            document["next_url"] = f"http://{self._host}/v3/reference/splits?cursor={cursor}"
        return as_json(document)

    def _tickers(self, path: str, query: Query) -> Answer:
        today = day_of(self.market.clock.now_ms())
        ticker = path.removeprefix("/v3/reference/tickers").strip("/")
        document: dict[str, Any] = {"status": "OK", "request_id": self._request(query)}
        if ticker:
            share = SHARES.get(ticker)
            if share is None or share.listed > today:
                raise Refusal(404, "NOT_FOUND", "Ticker not found.")
            return as_json(document | {"results": _described(share, today)})
        wanted = query.get("search", "").upper()
        found = [s for n, s in SHARES.items() if wanted[:2] in n or wanted in s.title.upper()]
        limit = int(query.get("limit", 100))
        return as_json(document | {"results": [_described(share, today) for share in found[:limit]]})

    def _status(self, _: str, query: Query) -> Answer:
        now = self.market.vendor_ms()
        open_then = hours(day_of(now))
        minute, word = now // MINUTE_MS, "closed"
        if open_then is not None and open_then.early <= minute < open_then.late:
            word = "open" if open_then.opens <= minute < open_then.closes else "extended-hours"
        told = datetime.fromtimestamp(now // 1_000, NEW_YORK).isoformat()
        exchanges = dict.fromkeys(("nasdaq", "nyse", "otc"), word)
        return as_json({"market": word, "serverTime": told, "exchanges": exchanges})

    def _request(self, query: Query) -> str:
        return f"{noise.key(self.market.clock.now_ms(), *sorted(query.items())):032x}"


def _written(bars: Candles) -> list[dict[str, Any]]:
    middle = np.round((bars.high + bars.low) / 200.0, 4)
    columns = (bars.open_ms, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.trades, middle)
    return [
        {"v": v, "vw": vw, "o": o / 100, "c": c / 100, "h": h / 100, "l": low / 100, "t": t, "n": n}
        for t, o, h, low, c, v, n, vw in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _described(share: Share, today: date) -> dict[str, Any]:
    ended = share.delisted is not None and share.delisted <= today
    entry: dict[str, Any] = {
        "ticker": share.symbol.name,
        "name": share.title,
        "market": "stocks",
        "locale": "us",
        "primary_exchange": "XNAS",
        "type": "CS",
        "active": not ended,
        "currency_name": "usd",
        "list_date": share.listed.isoformat(),
    }
    if ended and share.delisted is not None:
        entry["delisted_utc"] = f"{share.delisted.isoformat()}T04:00:00Z"
    return entry


def _refused(status: int, word: str, text: str, request: str) -> Answer:
    name = "message" if word.startswith(("NOT", "Not")) else "error"
    return as_json({"status": word, "request_id": request, name: text}, status)


def _moment(text: str, *, last: bool = False) -> int:
    """Milliseconds, or a day of New York: its first moment, or its last."""
    if re.fullmatch(r"-?\d{6,}", text):
        return int(text)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Refusal(400, "ERROR", "Could not parse the time parameter: 'from' or 'to'.") from None
    opens = minute_of(day) * MINUTE_MS
    return opens + _DAY_MS - 1 if last else opens
