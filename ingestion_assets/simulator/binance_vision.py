"""Binance's public archive of USDT-M futures: zips of CSV with a CHECKSUM beside each, out of the world.

What the files hold is what the REST vendor answers. A day's file appears six hours after its end, a
month's a day and a half after its end; before 2022 candles and trades come without a header. Faults of
the archive: files that are not there, rows that a file lacks until it is restated, wrong checksums.
"""

import hashlib
import io
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np

from ingestion_assets.simulator.answers import Answer, Market
from ingestion_assets.simulator.faults import ARCHIVE, Fault
from ingestion_assets.simulator.intervals import MINUTES
from ingestion_assets.simulator.noise import Ints
from ingestion_assets.simulator.perpetuals import SLOT_MINUTES, Perpetuals
from ingestion_assets.simulator.render import Choice, Piece, decimal, whole, written
from ingestion_assets.simulator.symbols import USDM, Symbol

_NAME = re.compile(
    r"/data/futures/um/(?P<rhythm>daily|monthly)/(?P<kind>klines|aggTrades|metrics|fundingRate)/(?P<symbol>\w+)/"
    r"(?:(?P<interval>\w+)/)?(?P=symbol)-(?P<what>\w+)-(?P<when>\d{4}-\d{2}(?:-\d{2})?)\.zip(?P<sum>\.CHECKSUM)?"
)
_KLINES = (
    b"open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    b"taker_buy_volume,taker_buy_quote_volume,ignore\n"
)
_TRADES = b"agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
_METRICS = (
    b"create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    b"sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
)
_FUNDING = b"calc_time,funding_interval_hours,last_funding_rate\n"
_HEADERS_SINCE_MS = 1_640_995_200_000  # 2022
_APPEARS = {"daily": timedelta(hours=6), "monthly": timedelta(hours=36)}
_KINDS = {
    "klines": ("daily", "monthly"),
    "aggTrades": ("daily", "monthly"),
    "metrics": ("daily",),
    "fundingRate": ("monthly",),
}
_REMEMBERED = 8
Span = tuple[int, int]


class BinanceVision:
    """Answers under /data/futures/um/; nothing weighs anything."""

    prefix = "/data/futures/um/"

    def __init__(self, market: Market, perpetuals: Perpetuals) -> None:
        self.market, self.perpetuals = market, perpetuals
        self._zips: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._kinds: dict[str, Callable[[Symbol, Span, int], tuple[bytes, bytes]]] = {
            "klines": self._klines,
            "aggTrades": self._trades,
            "metrics": self._metrics,
            "fundingRate": self._funding,
        }

    def answer(self, path: str, query: Mapping[str, str]) -> tuple[Answer, int]:
        name = _NAME.fullmatch(path)
        if name is None or name["rhythm"] not in _KINDS[name["kind"]]:
            return _gone(), 0
        symbol = USDM.get(name["symbol"])
        expected = name["interval"] if name["kind"] == "klines" else name["kind"]
        try:
            span = _span(name["when"], name["rhythm"])
        except ValueError:
            return _gone(), 0
        now = self.market.clock.now_ms() - _APPEARS[name["rhythm"]] // timedelta(milliseconds=1)
        if symbol is None or name["what"] != expected or span[1] > now or span[1] <= symbol.listed_ms:
            return _gone(), 0
        if name["kind"] == "klines" and name["interval"] not in MINUTES:
            return _gone(), 0
        faults = [f for f in self.market.faults if f.place == ARCHIVE and _concerned(f, path, symbol)]
        if any(f.kind == "archive_missing" and f["start"] < span[1] and f["end"] > span[0] for f in faults):
            return _gone(), 0
        content = self._zip(path.removesuffix(".CHECKSUM"), name, symbol, span, faults)
        if content is None:
            return _gone(), 0
        etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        if name["sum"] is None:
            return Answer(200, content, "application/zip", {"ETag": etag}), 0
        digest = hashlib.sha256(content).hexdigest()
        if any(f.kind == "archive_checksum" for f in faults):
            digest = hashlib.sha256(digest.encode()).hexdigest()
        line = f"{digest}  {path.rpartition('/')[2].removesuffix('.CHECKSUM')}\n"
        return Answer(200, line.encode(), "text/plain", {"ETag": etag}), 0

    def _zip(
        self, path: str, name: re.Match[str], symbol: Symbol, span: Span, faults: list[Fault]
    ) -> bytes | None:
        """The file, or None when there is not a single row for it."""
        lacking = tuple((f["start"], f["end"]) for f in faults if f.kind == "archive_lacks")
        micros = any(f.kind == "archive_micros" for f in faults)
        key = (path, lacking, micros, self.market.ask(symbol, 1).absent)
        if key not in self._zips:
            scale = 1_000 if micros else 1
            pieces = [self._kinds[name["kind"]](symbol, part, scale) for part in _without(span, lacking)]
            rows = b"".join(rows for _, rows in pieces)
            if not rows:
                return None
            bare = name["kind"] in ("klines", "aggTrades") and span[0] < _HEADERS_SINCE_MS
            inside = path.rpartition("/")[2].replace(".zip", ".csv")
            self._zips[key] = _packed(inside, rows if bare else pieces[0][0] + rows)
            if len(self._zips) > _REMEMBERED:
                self._zips.popitem(last=False)
        self._zips.move_to_end(key)
        return self._zips[key]

    def _klines(self, symbol: Symbol, span: Span, scale: int) -> tuple[bytes, bytes]:
        absent = self.market.ask(symbol, 1).absent
        found = self.market.world.candles(symbol, "1m", *span, absent)
        if not len(found):
            return _KLINES, b""
        price, lot = symbol.price_decimals, symbol.lot_decimals
        row: list[Piece] = [_times(found.open_ms, scale), b","]
        for column in (found.open, found.high, found.low, found.close):
            row += [*_number(column, price), b","]
        row += [*_number(found.volume, lot), b",", _times(found.open_ms + 59_999, scale), b","]
        row += [*decimal(found.quote_volume, 8), b",", whole(found.trades), b","]
        row += [*_number(found.taker_volume, lot), b",", *decimal(found.taker_quote_volume, 8), b",0\n"]
        return _KLINES, written(len(found), row)[0]

    def _trades(self, symbol: Symbol, span: Span, scale: int) -> tuple[bytes, bytes]:
        found = self.perpetuals.trades(symbol, *span)
        if not len(found):
            return _TRADES, b""
        row: list[Piece] = [whole(found.number), b",", *_number(found.price, symbol.price_decimals), b","]
        row += [
            *_number(found.quantity, symbol.lot_decimals),
            b",",
            whole(found.first),
            b",",
            whole(found.last),
        ]
        row += [
            b",",
            _times(found.at_ms, scale),
            b",",
            Choice(found.buyer_is_maker, b"true", b"false"),
            b"\n",
        ]
        return _TRADES, written(len(found), row)[0]

    def _metrics(self, symbol: Symbol, span: Span, scale: int) -> tuple[bytes, bytes]:
        """A day from its first five minutes to the midnight that ends it."""
        slot = SLOT_MINUTES * 60_000
        found = self.perpetuals.measures(symbol, span[0] + slot, span[1] + slot)
        rows = [
            f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S},{symbol.name},"
            + ",".join(f"{number:.8f}" for number in numbers)
            for at, *numbers in zip(
                found.at_ms.tolist(),
                found.amount.tolist(),
                found.value.tolist(),
                *(ratio.tolist() for ratio in found.ratios),
                strict=True,
            )
        ]
        return _METRICS, "".join(f"{row}\n" for row in rows).encode()

    def _funding(self, symbol: Symbol, span: Span, scale: int) -> tuple[bytes, bytes]:
        found = self.perpetuals.settlements(symbol, *span)
        pairs = zip((found.at_ms * scale).tolist(), found.rate.tolist(), strict=True)
        return _FUNDING, "".join(f"{at},8,{rate:.8f}\n" for at, rate in pairs).encode()


def _span(when: str, rhythm: str) -> Span:
    """From when until when a file reaches, as ms."""
    start = datetime.strptime(when, "%Y-%m-%d" if rhythm == "daily" else "%Y-%m").replace(tzinfo=UTC)
    end = start + timedelta(days=1) if rhythm == "daily" else (start + timedelta(days=31)).replace(day=1)
    return int(start.timestamp() * 1000), int(end.timestamp() * 1000)


def _without(span: Span, lacking: tuple[Span, ...]) -> list[Span]:
    parts, start = [], span[0]
    for lo, hi in sorted(lacking):
        parts.append((start, min(lo, span[1])))
        start = max(start, hi)
    return [(lo, hi) for lo, hi in [*parts, (start, span[1])] if lo < hi]


def _concerned(fault: Fault, path: str, symbol: Symbol) -> bool:
    return fault.concerns(symbol) and (fault.path is None or path.startswith(fault.path))


def _times(at_ms: Ints, scale: int) -> Piece:
    return whole(at_ms * np.int64(scale))


def _number(values: Ints, decimals: int) -> list[Piece]:
    return decimal(values, decimals, places=max(1, decimals))


def _packed(name: str, text: bytes) -> bytes:
    """The same bytes for the same text."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED, 1)
    return packed.getvalue()


def _gone() -> Answer:
    text = b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code><Message>No such key</Message></Error>'
    return Answer(404, text, "application/xml")
