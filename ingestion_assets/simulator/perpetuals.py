"""What perpetuals have beyond candles: trades one by one, open interest, funding.

All of it is a pure function of (seed, symbol, time), like the candles, and agrees with them: the trades of
a minute open, reach, close and sum up to its candle, and are as many as it says. Aggregated trades are
numbered from the listing on, without gaps; time that does not exist has no numbers.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.simulator import noise
from ingestion_assets.simulator.answers import Market
from ingestion_assets.simulator.intervals import MINUTE_MS
from ingestion_assets.simulator.noise import Floats, Ints
from ingestion_assets.simulator.symbols import Symbol
from ingestion_assets.simulator.world import Stretch, without

SLOT_MINUTES = 5
FUNDING_MINUTES = 480
_BLOCK_MINUTES = 60
_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class Trades:
    """Columns of aggregated trades: prices in ticks, quantities in lots."""

    symbol: Symbol
    number: Ints
    at_ms: Ints
    price: Ints
    quantity: Ints
    buyer_is_maker: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.number)

    @property
    def first(self) -> Ints:
        """By turns one trade and three are in an aggregated one."""
        return self.number // 2 * 4 + self.number % 2

    @property
    def last(self) -> Ints:
        return self.first + self.number % 2 * 2

    def take(self, rows: slice | NDArray[np.bool_]) -> "Trades":
        columns = (self.number, self.at_ms, self.price, self.quantity, self.buyer_is_maker)
        return Trades(self.symbol, *(column[rows] for column in columns))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Measures:
    """Open interest and its kin at multiples of five minutes; `value` in the quote currency."""

    at_ms: Ints
    amount: Floats
    value: Floats
    ratios: tuple[Floats, Floats, Floats, Floats]


@dataclass(frozen=True, slots=True)
class Settlements:
    """Funding: `at_ms` is some milliseconds after the full hours."""

    at_ms: Ints
    rate: Floats
    mark_price: Floats


class Perpetuals:
    """The world's perpetuals as they are at this moment, faults included."""

    def __init__(self, market: Market) -> None:
        self.market, self.world = market, market.world
        self._blocks: OrderedDict[tuple[object, ...], Trades] = OrderedDict()

    def trades(self, symbol: Symbol, start_ms: int, end_ms: int) -> Trades:
        """Trades with start <= time < end, of the future too."""
        start_ms = max(start_ms, symbol.listed_ms)
        parts = []
        last = -(-end_ms // (MINUTE_MS * _BLOCK_MINUTES))
        for block in range(start_ms // (MINUTE_MS * _BLOCK_MINUTES), last):
            found = self._block(symbol, block)
            lo, hi = np.searchsorted(found.at_ms, (start_ms, end_ms))
            if hi > lo:
                parts.append(found.take(slice(int(lo), int(hi))))
        return _joined(symbol, parts)

    def following(self, symbol: Symbol, number: int, count: int, until_ms: int) -> Trades:
        """At most so many trades from a number on, before a moment."""
        minute = self._minute_of(symbol, number // symbol.agg_per_minute)
        parts: list[Trades] = []
        found, block = 0, minute // _BLOCK_MINUTES
        while found < count and block * _BLOCK_MINUTES * MINUTE_MS < until_ms:
            trades = self._block(symbol, block)
            lo = int(np.searchsorted(trades.number, number))
            hi = min(int(np.searchsorted(trades.at_ms, until_ms)), lo + count - found)
            if hi > lo:
                parts.append(trades.take(slice(lo, hi)))
                found += hi - lo
            block += 1
        return _joined(symbol, parts)

    def next_trade(self, symbol: Symbol, start_ms: int, until_ms: int) -> int | None:
        """The number of the first trade at or after a moment."""
        number = self._rank(symbol, max(start_ms, symbol.listed_ms) // MINUTE_MS) * symbol.agg_per_minute
        found = self.following(symbol, number, 2 * symbol.agg_per_minute, until_ms)
        later = found.number[found.at_ms >= start_ms]
        return int(later[0]) if len(later) else None

    def measures(self, symbol: Symbol, start_ms: int, end_ms: int, minutes: int = SLOT_MINUTES) -> Measures:
        """At the multiples of so many minutes with start <= time < end."""
        step = minutes * MINUTE_MS
        at_ms = np.arange(-(-start_ms // step) * step, end_ms, step, dtype=np.int64)
        at_ms = at_ms[self._exists(symbol, at_ms // MINUTE_MS)]
        slots = at_ms // (SLOT_MINUTES * MINUTE_MS)
        amount = (
            symbol.quote_per_minute * 8_000 / symbol.price * (1 + 0.25 * self._wander(symbol, "oi", slots))
        )
        amount = np.round(amount, symbol.lot_decimals)
        names = ("top accounts", "top positions", "accounts", "takers")
        ratios = tuple(np.round(1.2 + 0.5 * self._wander(symbol, name, slots), 8) for name in names)
        value = np.round(amount * self.prices(symbol, at_ms // MINUTE_MS), 8)
        return Measures(at_ms, amount, value, ratios)  # type: ignore[arg-type]

    def settlements(self, symbol: Symbol, start_ms: int, end_ms: int) -> Settlements:
        """Those stamped with start <= time < end."""
        step = FUNDING_MINUTES * MINUTE_MS
        full = np.arange(start_ms // step * step, end_ms, step, dtype=np.int64)
        full = full[self._exists(symbol, full // MINUTE_MS)]
        jitter = np.array(
            [noise.key(self.world.seed, symbol.name, "jitter", int(ms)) % 18 for ms in full], np.int64
        )
        at_ms = full + jitter
        rate = np.round(0.0001 + 0.0003 * self._wander(symbol, "funding", full // step), 8)
        price = self.prices(symbol, full // MINUTE_MS)
        inside = (at_ms >= start_ms) & (at_ms < end_ms)
        return Settlements(at_ms[inside], rate[inside], price[inside])

    def prices(self, symbol: Symbol, minutes: Ints) -> Floats:
        """The price at the beginning of each of these minutes, which do not lie far apart."""
        if not len(minutes):
            return np.zeros(0)
        first = int(minutes[0])
        opens = self.world.minutes(symbol, first, int(minutes[-1]) - first + 1).open
        return opens[minutes - first] / 10.0**symbol.price_decimals

    def _wander(self, symbol: Symbol, what: str, slots: Ints) -> Floats:
        if not len(slots):
            return np.zeros(0)
        keys = noise.octave_keys(self.world.seed, symbol.venue, symbol.name, what)
        first = int(slots[0])
        return noise.wander(keys, first, int(slots[-1]) - first + 1)[slots - first]

    def _block(self, symbol: Symbol, block: int) -> Trades:
        absent = self._absent(symbol)
        key = (symbol.name, block, absent)
        if key not in self._blocks:
            self._blocks[key] = self._made(symbol, block * _BLOCK_MINUTES, absent)
            if len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return self._blocks[key]

    def _made(self, symbol: Symbol, first: int, absent: tuple[Stretch, ...]) -> Trades:
        """The trades of a block of minutes, each minute's out of its candle."""
        candles = without(self.world.minutes(symbol, first, _BLOCK_MINUTES), absent)
        n, k = len(candles), symbol.agg_per_minute
        half = k // 2
        rank = np.array([self._rank(symbol, int(minute)) for minute in candles.minute[:1]], np.int64)
        leaps = (
            np.cumsum(np.diff(candles.minute, prepend=candles.minute[:1]) > 0) if n else np.zeros(0, np.int64)
        )
        number = ((rank + leaps)[:, None] * k + np.arange(k)).reshape(-1) if n else np.zeros(0, np.int64)
        random = noise.bits(noise.key(self.world.seed, symbol.name, "trades"), first * k, _BLOCK_MINUTES * k)
        random = random.reshape(-1, k)[candles.minute - first]
        slot = noise.slot
        bought = _parted(candles.taker_volume, slot(random[:, :half], 0))
        sold = _parted(candles.volume - candles.taker_volume, slot(random[:, half:], 0))
        buy_first = (slot(random[:, :half], 10) & 1).astype(bool)
        quantity = np.empty((n, k), np.int64)
        quantity[:, 0::2], quantity[:, 1::2] = (
            np.where(buy_first, bought, sold),
            np.where(buy_first, sold, bought),
        )
        taker_sold = np.empty((n, k), bool)
        taker_sold[:, 0::2], taker_sold[:, 1::2] = ~buy_first, buy_first
        low, high = candles.low[:, None], candles.high[:, None]
        price = low + (high - low) * slot(random, 20) // 1024
        rows = np.arange(n)
        if n:
            price[rows, 1 + slot(random[:, 0], 30) % (half - 1)] = candles.high
            price[rows, half + slot(random[:, 0], 40) % (half - 1)] = candles.low
            price[:, 0], price[:, -1] = candles.open, candles.close
        step = MINUTE_MS // k
        offset = np.arange(k) * step + slot(random, 30) * step // 1024
        at_ms = (candles.open_ms[:, None] + offset).reshape(-1)
        return Trades(symbol, number, at_ms, price.reshape(-1), quantity.reshape(-1), taker_sold.reshape(-1))

    def _absent(self, symbol: Symbol) -> tuple[Stretch, ...]:
        return self.market.ask(symbol, 1).absent

    def _exists(self, symbol: Symbol, minutes: Ints) -> NDArray[np.bool_]:
        exists = np.ones(len(minutes), bool)
        for start, end in self._absent(symbol):
            exists &= (minutes < start) | (minutes >= end)
        return exists

    def _rank(self, symbol: Symbol, minute: int) -> int:
        """How many minutes that exist lie between the listing and this one."""
        listed = symbol.listed_ms // MINUTE_MS
        return minute - listed - sum(end - start for start, end in self._holes(symbol, listed, minute))

    def _minute_of(self, symbol: Symbol, rank: int) -> int:
        listed = symbol.listed_ms // MINUTE_MS
        minute = listed + rank
        for start, end in self._holes(symbol, listed, 2**39):
            if start <= minute:
                minute += end - start
        return minute

    def _holes(self, symbol: Symbol, first: int, end: int) -> list[Stretch]:
        """The disjoint stretches between two minutes that do not exist."""
        cut = sorted(
            (max(lo, first), min(hi, end)) for lo, hi in self._absent(symbol) if lo < end and hi > first
        )
        holes: list[Stretch] = []
        for lo, hi in cut:
            if holes and lo <= holes[-1][1]:
                holes[-1] = (holes[-1][0], max(holes[-1][1], hi))
            else:
                holes.append((lo, hi))
        return holes


def _parted(totals: Ints, weights: NDArray[np.intp]) -> Ints:
    """Each total as so many positive parts, by weight."""
    parts = weights.shape[1]
    reached = np.cumsum(weights + 512, axis=1)
    shares = (totals - parts)[:, None] * reached // reached[:, -1:]
    return 1 + np.diff(shares, axis=1, prepend=0)


def _joined(symbol: Symbol, parts: Iterable[Trades]) -> Trades:
    held = list(parts)
    if len(held) == 1:
        return held[0]
    none = (np.zeros(0, np.int64),) * 4
    if not held:
        return Trades(symbol, *none, np.zeros(0, bool))
    names = ("number", "at_ms", "price", "quantity", "buyer_is_maker")
    return Trades(symbol, *(np.concatenate([getattr(t, name) for t in held]) for name in names))
