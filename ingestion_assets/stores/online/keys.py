"""Where things are in Redis: a stored format, and so a public contract.

    features:{domain}:{id}:{qualifier}:{epoch seconds}   one row as a JSON object
    features:{domain}:{id}:{qualifier}:_idx              sorted set: score = epoch seconds, member = its text

The qualifier is the timeframe (`1m`), or the metric of data without one (`active_addresses`). `/` becomes
`-`. The id is the series id; for the exchange that is meant when none is named (EXCHANGE_NAME) it is the
symbol alone: `BTC-USDT`, not `binance.BTC-USDT`. See docs/decisions/0010-online-store.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

from ingestion_assets.intervals import TIMEFRAMES

ROOT = "features"
INDEX = "_idx"
_PART = re.compile(r"[^\s:*?\[\]\\\x00-\x1f]+")


def online_id(series: str, default_exchange: str) -> str:
    """`binance.BTC-USDT` → `BTC-USDT` where binance is the default; every other venue keeps its name."""
    exchange, _, symbol = series.partition(".")
    return symbol if symbol and exchange == default_exchange.strip().lower() else series


def grain_of(qualifier: str) -> int:
    """Seconds that a row stands for: the timeframe's length, nothing for a metric."""
    length = TIMEFRAMES.get(qualifier)
    return int(length.total_seconds()) if length else 0


@dataclass(frozen=True)
class Place:
    """The keys of one series' rows."""

    domain: str
    name: str
    qualifier: str

    def __post_init__(self) -> None:
        for field in ("domain", "name", "qualifier"):
            value = str(getattr(self, field)).replace("/", "-")
            if not _PART.fullmatch(value):
                raise ValueError(
                    f"{field} {value!r} cannot be part of a Redis key: write it without colons, spaces, "
                    "and the signs * ? [ ] \\"
                )
            object.__setattr__(self, field, value)

    @cached_property
    def prefix(self) -> str:
        return f"{ROOT}:{self.domain}:{self.name}:{self.qualifier}:"

    @cached_property
    def packed_prefix(self) -> bytes:
        return self.prefix.encode()

    @cached_property
    def reading(self) -> str:
        """What an error says was being done."""
        return f"reading {self}"

    @cached_property
    def index(self) -> str:
        return self.prefix + INDEX

    def key(self, time: int) -> str:
        return f"{self.prefix}{int(time)}"

    def __str__(self) -> str:
        return f"{self.domain} {self.name} {self.qualifier}"

    @classmethod
    def of_index(cls, key: str) -> Place | None:
        """The place whose index this key is."""
        parts = key.split(":")
        if len(parts) != 5 or parts[0] != ROOT or parts[4] != INDEX:
            return None
        return cls(*parts[1:4])


@lru_cache(4_096)
def placed(domain: str, name: str, qualifier: str) -> Place:
    """The same, remembered: checking three names takes as long as a tenth of a read."""
    return Place(domain, name, qualifier)
