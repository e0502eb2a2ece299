"""What a vendor can answer about the past and the present: pages cut from cached blocks of the world.

A block is some thousand minutes of one symbol at one interval, computed and rendered once. Blocks know
no present: a page is cut at now, and the unfinished candle is appended, when it is asked for.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from ingestion_assets.simulator.intervals import MINUTE_MS, bucket, bucket_start
from ingestion_assets.simulator.render import Rows, rows
from ingestion_assets.simulator.symbols import Symbol
from ingestion_assets.simulator.world import Candles, Stretch, World

_BLOCK_ROWS = 2048
_BLOCK_MINUTES = 46_080
_BLOCKS = 160
"""How many blocks are remembered: at most about 80 MB."""


@dataclass
class Block:
    """Consecutive candles and, once asked for, their bytes."""

    candles: Candles

    @cached_property
    def rows(self) -> Rows:
        return rows(self.candles)

    def span(self, lo_ms: int, hi_ms: int) -> tuple[int, int]:
        """The rows whose open lies in [lo, hi)."""
        first, last = self.candles.open_ms.searchsorted((lo_ms, hi_ms))
        return int(first), max(int(first), int(last))


@dataclass(frozen=True)
class Question:
    """One market at one interval as of a moment, with what does not exist of it."""

    symbol: Symbol
    minutes: int
    now_ms: int
    absent: tuple[Stretch, ...] = field(default=())

    @property
    def unfinished_ms(self) -> int:
        """When the candle opened that is not over yet."""
        number = bucket(self.now_ms // MINUTE_MS, self.minutes)
        return bucket_start(number, self.minutes) * MINUTE_MS


class History:
    """Pages of candles of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._blocks: OrderedDict[tuple[object, ...], Block] = OrderedDict()

    def page(self, ask: Question, start_ms: int | None, end_ms: int | None, limit: int) -> bytes:
        """At most `limit` rows as JSON: the first ones from `start_ms` on, or else the latest ones.

        Both ends are inclusive and speak of open times, as Binance's do.
        """
        stop_ms = ask.unfinished_ms if end_ms is None else min(end_ms + 1, ask.unfinished_ms)
        open_ = (start_ms or 0) <= ask.unfinished_ms and (end_ms is None or ask.unfinished_ms <= end_ms)
        pieces: list[bytes] = []
        if start_ms is not None:
            for block in self._forward(ask, start_ms, stop_ms):
                lo, hi = block.span(start_ms, stop_ms)
                pieces.append(block.rows.cut(lo, min(hi, lo + limit)))
                limit -= min(hi - lo, limit)
                if not limit:
                    break
            pieces += [self._unfinished(ask)] if limit and open_ else []
        else:
            pieces += [self._unfinished(ask)] if open_ else []
            limit -= any(pieces)
            for block in self._backward(ask, stop_ms) if limit else ():
                lo, hi = block.span(0, stop_ms)
                pieces.append(block.rows.cut(max(lo, hi - limit), hi))
                limit -= min(hi - lo, limit)
                if not limit:
                    break
            pieces.reverse()
        return b"[" + b",".join(filter(None, pieces)) + b"]"

    def latest(self, ask: Question, count: int) -> Candles:
        """The last `count` closed candles, then the unfinished one if there is any."""
        found = self.world.unfinished(ask.symbol, ask.minutes, ask.now_ms, ask.absent)
        for block in self._backward(ask, ask.unfinished_ms):
            lo, hi = block.span(0, ask.unfinished_ms)
            lo = max(lo, hi - count)
            found, count = block.candles.take(slice(lo, hi)).plus(found), count - (hi - lo)
            if not count:
                break
        return found

    def _unfinished(self, ask: Question) -> bytes:
        candle = self.world.unfinished(ask.symbol, ask.minutes, ask.now_ms, ask.absent)
        return rows(candle).cut(0, len(candle))

    def _forward(self, ask: Question, start_ms: int, stop_ms: int) -> Iterator[Block]:
        start_ms = max(start_ms, ask.symbol.listed_ms - ask.minutes * MINUTE_MS)
        return self._each(ask, range(_number(ask, start_ms), _number(ask, stop_ms - 1) + 1))

    def _backward(self, ask: Question, stop_ms: int) -> Iterator[Block]:
        first = _number(ask, ask.symbol.listed_ms)
        return self._each(ask, range(_number(ask, stop_ms - 1), first - 1, -1))

    def _each(self, ask: Question, numbers: Iterable[int]) -> Iterator[Block]:
        for number in numbers:
            if block := self._block(ask, number):
                yield block

    def _block(self, ask: Question, number: int) -> Block | None:
        size = _size(ask.minutes)
        first = number * size
        start, end = bucket_start(first, ask.minutes), bucket_start(first + size, ask.minutes)
        holes = tuple((max(lo, start), min(hi, end)) for lo, hi in ask.absent if lo < end and hi > start)
        if (start, end) in holes:
            return None
        key = (ask.symbol.venue, ask.symbol.name, ask.minutes, number, holes)
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        block = Block(self.world.buckets(ask.symbol, ask.minutes, first, first + size, holes))
        self._blocks[key] = block
        if len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)
        return block


def _size(minutes: int) -> int:
    """Candles per block."""
    return max(1, min(_BLOCK_ROWS, _BLOCK_MINUTES // minutes))


def _number(ask: Question, at_ms: int) -> int:
    """The block that holds this moment."""
    return bucket(at_ms // MINUTE_MS, ask.minutes) // _size(ask.minutes)
