"""Series and strategies: what is ingested, how, since when. Names and rules; stores/ keeps them.

A series id is at once a partition key, a folder name and a part of Redis keys, so it is checked here,
once, and every entrance accepts what people type (`BTC/USDT`, `BTCUSDT`, `BTC-USDT`) through
`series_id` and shows the canonical id back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingestion_assets.tables import Table

_SAFE_ID = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")
_LONGEST_ID = 128
# Longest first, so that BTCUSDT is BTC/USDT and not BTCU/SDT.
_QUOTES = (
    "FDUSD",
    "USDT",
    "USDC",
    "BUSD",
    "TUSD",
    "USD",
    "EUR",
    "GBP",
    "JPY",
    "TRY",
    "BRL",
    "BTC",
    "ETH",
    "BNB",
)


class Strategy(StrEnum):
    """A named set of phases; which of them a source can do is the source's to say."""

    FLATPACK = "flatpack"
    FLATPACK_API = "flatpack_api"
    SNAPSHOT = "snapshot"
    STREAM = "stream"
    SNAPSHOT_STREAM = "snapshot_stream"
    FLATPACK_SNAPSHOT_STREAM = "flatpack_snapshot_stream"

    @property
    def phases(self) -> frozenset[str]:
        return frozenset(
            {
                Strategy.FLATPACK: ("bulk", "rest"),
                Strategy.FLATPACK_API: ("rest",),
                Strategy.SNAPSHOT: ("snapshot",),
                Strategy.STREAM: ("stream",),
                Strategy.SNAPSHOT_STREAM: ("snapshot", "stream"),
                Strategy.FLATPACK_SNAPSHOT_STREAM: ("bulk", "rest", "snapshot", "stream"),
            }[self]
        )

    @classmethod
    def parse(cls, text: str) -> Strategy:
        try:
            return cls(text.strip().lower())
        except ValueError:
            raise ValueError(f"strategy {text!r} is unknown: use one of {', '.join(cls)}") from None


class Status(StrEnum):
    IDLE = "idle"
    RUNNING = "running"
    ERROR = "error"
    DISABLED = "disabled"


@dataclass(frozen=True)
class Series:
    id: str
    domain: str
    source: str
    symbol: str
    strategy: Strategy = Strategy.FLATPACK_API
    timeframes: tuple[str, ...] = ("1m",)
    enabled: bool = True
    listed_at: datetime | None = None
    delisted_at: datetime | None = None
    backfill_from: datetime | None = None
    description: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def rest(self) -> bool:
        """Whether history by request is among this series' phases."""
        return "rest" in self.strategy.phases

    def follows(self, table: Table) -> bool:
        """Whether the table is to be kept complete for this series: candles by their timeframes, of other
        domains what comes in the strategy's phases, and if `metadata["tables"]` names some, those only."""
        if self.domain != table.domain:
            return False
        if table.domain == "market":
            return self.rest and table.name.removeprefix("ohlcv_") in self.timeframes
        wanted = not self.strategy.phases.isdisjoint(table.ways)
        return wanted and table.name in self.metadata.get("tables", (table.name,))


def check_id(text: str) -> str:
    if len(text) > _LONGEST_ID:
        raise ValueError(
            f"series id {text[:40]!r}… has {len(text)} characters: at most {_LONGEST_ID} are allowed"
        )
    if not _SAFE_ID.fullmatch(text):
        raise ValueError(
            f"series id {text!r} is not safe as partition key, folder and Redis key: "
            "use letters, digits, _ and - in parts joined by dots, like binance.BTC-USDT"
        )
    return text


def series_id(exchange: str, symbol: str) -> str:
    """`binance`, `BTC/USDT` → `binance.BTC-USDT`; a perpetual `BTC/USDT:USDT` → `binance.BTC-USDT-PERP`."""
    return check_id(f"{exchange.strip().lower()}.{_dashed(symbol)}")


def parse_id(text: str) -> tuple[str, str]:
    """The exchange and the symbol in ccxt's spelling that a canonical id or an alias of it stands for."""
    exchange, dot, rest = text.strip().partition(".")
    if not dot:
        raise ValueError(f"series id {text!r} names no exchange: write it like binance.BTC-USDT")
    canonical = series_id(exchange, rest)
    exchange, _, rest = canonical.partition(".")
    base, dash, quote = rest.removesuffix("-PERP").rpartition("-")
    if not dash:
        raise ValueError(f"series id {text!r} names no quote currency: write it like {exchange}.BTC-USDT")
    return exchange, f"{base}/{quote}:{quote}" if rest.endswith("-PERP") else f"{base}/{quote}"


def _dashed(symbol: str) -> str:
    text = symbol.strip().upper()
    pair, colon, settle = text.partition(":")
    dashed = pair.replace("/", "-").replace("_", "-")
    if "-" not in dashed:
        quote = next((q for q in _QUOTES if dashed.endswith(q) and len(dashed) > len(q)), None)
        if quote is None:
            raise ValueError(
                f"symbol {symbol!r} cannot be taken apart into base and quote: write it like BTC/USDT"
            )
        dashed = f"{dashed.removesuffix(quote)}-{quote}"
    if colon and settle != dashed.rpartition("-")[2]:
        raise ValueError(
            f"symbol {symbol!r} settles in {settle or 'nothing'}: only spot pairs and perpetuals that settle "
            "in their quote currency, like BTC/USDT:USDT, have an id"
        )
    return f"{dashed}-PERP" if colon else dashed
