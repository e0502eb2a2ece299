"""Polygon's flat files, as S3 gives them: packed CSV of all shares for each trading day, out of the world.

A day's file is there from 11:00 in New York the next day. Faults of the archive: files that are not there,
minutes that a file lacks.
"""

import gzip
import re
from collections.abc import Mapping
from datetime import date, time, timedelta
from urllib.parse import unquote

from ingestion_assets.simulator.answers import Answer, Market
from ingestion_assets.simulator.exchange import hours, minute_of
from ingestion_assets.simulator.faults import ARCHIVE
from ingestion_assets.simulator.intervals import MINUTE_MS
from ingestion_assets.simulator.shares import SHARES, Shares
from ingestion_assets.simulator.world import Stretch, without

_NAME = re.compile(r"/flatfiles/us_stocks_sip/minute_aggs_v1/\d{4}/\d{2}/(\d{4}-\d{2}-\d{2})\.csv\.gz")
_HEADER = "ticker,volume,open,close,high,low,window_start,transactions\n"


class PolygonFiles:
    """Answers GetObject under /flatfiles/; whoever signs with an id that begins with `wrong` is refused."""

    prefix = "/flatfiles/"

    def __init__(self, market: Market, shares: Shares) -> None:
        self.market, self.shares = market, shares

    def meet(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer | None:
        signed = headers.get("Authorization", "")
        if "Credential=" not in signed:
            return _error(403, "AccessDenied", "Access Denied")
        if "Credential=wrong" in signed:
            return _error(403, "InvalidAccessKeyId", "The Access Key Id you provided does not exist.")
        return None

    def answer(self, path: str, query: Mapping[str, str]) -> tuple[Answer, int]:
        name = _NAME.fullmatch(unquote(path))
        day = date.fromisoformat(name[1]) if name else None
        open_then = hours(day) if day else None
        if day is None or open_then is None:
            return _error(404, "NoSuchKey", "The specified key does not exist."), 0
        appears = minute_of(day + timedelta(days=1), time(11)) * MINUTE_MS
        faults = [f for f in self.market.faults if f.place == ARCHIVE and path.startswith(f.path or "/")]
        start, end = open_then.early * MINUTE_MS, open_then.late * MINUTE_MS
        struck = {
            kind: [f for f in faults if f.kind == kind and f["start"] < end and start < f["end"]]
            for kind in ("archive_missing", "archive_lacks")
        }
        if self.market.clock.now_ms() < appears or struck["archive_missing"]:
            return _error(404, "NoSuchKey", "The specified key does not exist."), 0
        lacks = [(f["start"] // MINUTE_MS, -(-f["end"] // MINUTE_MS)) for f in struck["archive_lacks"]]
        body = gzip.compress(self._text(start, end, lacks).encode(), 1, mtime=0)
        return Answer(200, body, "application/gzip", {"ETag": f'"{len(body):x}"'}), 0

    def _text(self, start: int, end: int, lacks: list[Stretch]) -> str:
        parts = [_HEADER]
        for ticker in sorted(SHARES):
            bars = without(self.shares.minutes(SHARES[ticker], start, end), lacks)
            columns = (bars.open_ms, bars.open, bars.close, bars.high, bars.low, bars.volume, bars.trades)
            parts += [
                f"{ticker},{v},{o / 100},{c / 100},{h / 100},{low / 100},{t}000000,{n}\n"
                for t, o, c, h, low, v, n in zip(*(column.tolist() for column in columns), strict=True)
            ]
        return "".join(parts)


def _error(status: int, code: str, text: str) -> Answer:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{text}</Message></Error>'
    )
    return Answer(status, body.encode(), "application/xml")
