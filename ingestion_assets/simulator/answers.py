"""What passes between the vendors and the server: an answer to be sent, and the state they share."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from ingestion_assets.simulator.clock import Clock
from ingestion_assets.simulator.faults import Faults
from ingestion_assets.simulator.history import History, Question
from ingestion_assets.simulator.intervals import MINUTE_MS
from ingestion_assets.simulator.symbols import Symbol
from ingestion_assets.simulator.world import Candles, World, life

JSON = "application/json;charset=UTF-8"
HTML = "text/html"


@dataclass(slots=True)
class Answer:
    """Status, headers and body; `rows` marks a page of candles, for the faults that meddle with them."""

    status: int = 200
    body: bytes = b"{}"
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    rows: bool = False


def as_json(document: Any, status: int = 200, **kwargs: Any) -> Answer:
    return Answer(status, orjson.dumps(document), **kwargs)


class Day(NamedTuple):
    """The last 24 hours of a market."""

    opened_ms: int
    candles: Candles


class Market:
    """The world as it is at this moment, faults included: what the vendors read."""

    def __init__(self, world: World, clock: Clock, faults: Faults) -> None:
        self.world, self.clock, self.faults = world, clock, faults
        self.history = History(world)

    def vendor_ms(self) -> int:
        """The time that the vendor believes it is."""
        return self.clock.now_ms() + self.faults.skew_ms()

    def known(self, symbol: Symbol) -> bool:
        """Listed by now, and not made to vanish."""
        return symbol.listed_ms <= self.clock.now_ms() and not self.faults.vanished(symbol)

    def trading(self, symbol: Symbol) -> bool:
        now = self.clock.now_ms()
        return not (symbol.ended_ms is not None and symbol.ended_ms <= now) and not self.faults.delisted(
            symbol, now
        )

    def ask(self, symbol: Symbol, minutes: int) -> Question:
        absent = (*life(symbol), *self.faults.absent(symbol))
        return Question(symbol, minutes, self.clock.now_ms(), absent)

    def day(self, symbol: Symbol) -> Day:
        """One-minute candles of the last 24 hours, the unfinished one included; may be empty."""
        ask = self.ask(symbol, 1)
        found = self.history.latest(ask, 1440)
        opened_ms = ask.now_ms - 1440 * MINUTE_MS
        return Day(opened_ms, found.take(found.open_ms > opened_ms))
