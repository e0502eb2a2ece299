"""One program each, all with the same arguments: VENDOR_URL FOLDER START END SYMBOL…

Each fetches the 1m candles of [START, END) (ms since 1970) of every symbol (like BTC/USDT) and leaves
Parquet files, one per series and month, below the folder. The last line it prints is a JSON object.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

MINUTE_MS = 60_000


class Job(NamedTuple):
    url: str
    folder: str
    start_ms: int
    end_ms: int
    symbols: list[str]

    def months(self) -> Iterator[tuple[str, int, int]]:
        """The calendar months of the window: name, first and end in ms."""
        at = self.start_ms
        while at < self.end_ms:
            moment = datetime.fromtimestamp(at / 1_000, UTC)
            year, month = (moment.year, moment.month + 1) if moment.month < 12 else (moment.year + 1, 1)
            end = int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1_000)
            yield f"{moment:%Y-%m}", at, min(end, self.end_ms)
            at = end


def job() -> Job:
    url, folder, start, end, *symbols = sys.argv[1:]
    return Job(url, folder, int(start), int(end), symbols)
