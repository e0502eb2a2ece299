"""The world: candles as a pure function of (seed, symbol, time), whole numbers throughout.

A price path gives the price at every minute boundary; a minute opens at one boundary and closes at the
next, so open == previous close by construction. Longer candles are aggregates of the minutes. What
does not exist (before listing, after the end, outages) is given as `absent` stretches of minutes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.simulator import noise
from ingestion_assets.simulator.intervals import MINUTE_MS, MINUTES, bucket, bucket_start
from ingestion_assets.simulator.noise import Floats, Ints
from ingestion_assets.simulator.symbols import BINANCE, Symbol

Stretch = tuple[int, int]
"""A half-open stretch of minutes since 1970."""

_BUSY_HOURS = np.array(
    [
        *(0.8, 0.75, 0.7, 0.65, 0.65, 0.7, 0.8, 0.95, 1.1, 1.15, 1.1, 1.1),
        *(1.2, 1.45, 1.6, 1.6, 1.5, 1.35, 1.2, 1.1, 1.05, 0.95, 0.9, 0.85),
    ]
)
"""How busy each UTC hour is."""


@dataclass(frozen=True, slots=True)
class Candles:
    """Columns of candles: `minute` is the open; prices in ticks, volumes in lots, quotes in 1e-8."""

    symbol: Symbol
    minutes: int
    minute: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    quote_volume: Ints
    trades: Ints
    taker_volume: Ints
    taker_quote_volume: Ints

    def __len__(self) -> int:
        return len(self.minute)

    @property
    def open_ms(self) -> Ints:
        return self.minute * MINUTE_MS

    def columns(self) -> tuple[Ints, ...]:
        """Everything after `minute`, in the order of the fields."""
        prices = (self.open, self.high, self.low, self.close)
        return (
            *prices,
            self.volume,
            self.quote_volume,
            self.trades,
            self.taker_volume,
            self.taker_quote_volume,
        )

    def take(self, rows: slice | NDArray[np.bool_]) -> Self:
        return type(self)(self.symbol, self.minutes, self.minute[rows], *(c[rows] for c in self.columns()))

    def plus(self, other: Self) -> Self:
        """These candles, then the others."""
        pairs = zip((self.minute, *self.columns()), (other.minute, *other.columns()), strict=True)
        return type(self)(self.symbol, self.minutes, *(np.concatenate(pair) for pair in pairs))

    def floats(self) -> dict[str, NDArray[np.generic]]:
        """The same as a client would parse them: float64 units, `open_ms`, `trades` as integers."""
        tick, lot = 10**self.symbol.price_decimals, 10**self.symbol.lot_decimals
        return {
            "open_ms": self.open_ms,
            "open": self.open / tick,
            "high": self.high / tick,
            "low": self.low / tick,
            "close": self.close / tick,
            "volume": self.volume / lot,
            "quote_volume": self.quote_volume / 1e8,
            "trades": self.trades,
            "taker_volume": self.taker_volume / lot,
            "taker_quote_volume": self.taker_quote_volume / 1e8,
        }


class World:
    """All candles there ever were and will be. Holds no state but its seed and remembered keys."""

    def __init__(self, seed: int = 7) -> None:
        self.seed = seed
        self._keys = lru_cache(maxsize=None)(self._make_keys)

    def _make_keys(self, symbol: Symbol) -> tuple[tuple[int, ...], int, int]:
        own = (self.seed, symbol.venue, symbol.name)
        return noise.octave_keys(self.seed, symbol.walk), noise.key(*own, "row"), noise.key(*own, "active")

    def candles(
        self, symbol: str | Symbol, interval: str, start_ms: int, end_ms: int, absent: Iterable[Stretch] = ()
    ) -> Candles:
        """Finished candles whose open lies in [start, end), of the future too: the world knows no present."""
        market = BINANCE[symbol] if isinstance(symbol, str) else symbol
        minutes = MINUTES[interval]
        first = bucket(-(-start_ms // MINUTE_MS) + minutes - 1, minutes)
        last = bucket(-(-end_ms // MINUTE_MS) + minutes - 1, minutes)
        return self.buckets(market, minutes, first, max(first, last), (*life(market), *absent))

    def buckets(
        self, symbol: Symbol, minutes: int, first: int, last: int, absent: Iterable[Stretch]
    ) -> Candles:
        """Candles of the buckets [first, last); those without a single existing minute are left out."""
        start, end = bucket_start(first, minutes), bucket_start(last, minutes)
        return aggregate(without(self.minutes(symbol, start, end - start), absent), minutes)

    def minutes(self, symbol: Symbol, first: int, count: int) -> Candles:
        """One-minute candles of `count` consecutive minutes, as if the symbol always existed."""
        price, traded = self._boundaries(symbol, first, count)
        if count <= 0:
            return Candles(symbol, 1, *(np.zeros(0, np.int64) for _ in range(10)))
        random = noise.bits(self._keys(symbol)[1], first, count)
        open_, close = price[:-1], price[1:]
        stray = open_ * 0.0004
        high = np.maximum(open_, close) + _whole(stray * noise.EXPONENTIAL[noise.slot(random, 0)]) * traded
        low = np.minimum(open_, close) - _whole(stray * noise.EXPONENTIAL[noise.slot(random, 10)]) * traded
        low = np.maximum(low, 1)
        busy = noise.BURST[noise.slot(random, 20)]
        busy *= _BUSY_HOURS[(np.arange(first, first + count, dtype=np.int64) // 60) % 24]
        lots_per_quote = 10.0 ** (symbol.price_decimals + symbol.lot_decimals)
        volume = (_whole(busy * (symbol.quote_per_minute * lots_per_quote) / open_) + 1) * traded
        size = 0.5 + noise.UNIFORM[noise.slot(random, 30)]
        trades = np.minimum(volume, (_whole(busy * size * trades_per_minute(symbol)) + 1) * traded)
        if symbol.agg_per_minute:  # each of its trades is told, so there is enough for all of them
            trades = np.full(count, 2 * symbol.agg_per_minute, np.int64)
            volume = np.maximum(volume, 10 * symbol.agg_per_minute)
        taker = _whole(volume * (0.2 + 0.6 * noise.UNIFORM[noise.slot(random, 40)]))
        worth = (open_ + high + low + close) // 4 * symbol.quote_scale
        minute = np.arange(first, first + count, dtype=np.int64)
        rest = (volume, volume * worth, trades, taker, taker * worth)
        return Candles(symbol, 1, minute, open_, high, low, close, *rest)

    def unfinished(self, symbol: Symbol, minutes: int, now_ms: int, absent: Iterable[Stretch]) -> Candles:
        """The candle that holds the present, as far as it has come; empty when nothing exists of it."""
        now = now_ms // MINUTE_MS
        start = bucket_start(bucket(now, minutes), minutes)
        made = self.minutes(symbol, start, now - start + 1)
        made = made.take(slice(0, -1)).plus(self._until(made.take(slice(-1, None)), now_ms % MINUTE_MS))
        return aggregate(without(made, absent), minutes)

    def _until(self, whole: Candles, elapsed_ms: int) -> Candles:
        """One minute after `elapsed_ms`: from the open over both extremes to the close, each at its time."""
        random = int(noise.bits(self._keys(whole.symbol)[1], int(whole.minute[0]), 1)[0]) >> 50
        open_, high, low, close, volume, _, trades, taker, _ = (int(c[0]) for c in whole.columns())
        extremes = (high, low) if random & 1 else (low, high)
        times = (0, 2000 + 100 * (random >> 1 & 255), 30000 + 100 * (random >> 3 & 255), MINUTE_MS)
        path = (open_, *extremes, close)
        last = int(np.interp(elapsed_ms, times, path))
        seen = [price for at, price in zip(times, path, strict=True) if at <= elapsed_ms] + [last]
        volume, trades, taker = (n * elapsed_ms // MINUTE_MS for n in (volume, trades, taker))
        worth = (open_ + max(seen) + min(seen) + last) // 4 * whole.symbol.quote_scale
        row = (open_, max(seen), min(seen), last, volume, volume * worth, trades, taker, taker * worth)
        return Candles(whole.symbol, 1, whole.minute, *(np.array([n], np.int64) for n in row))

    def _boundaries(self, symbol: Symbol, first: int, count: int) -> tuple[Ints, Ints]:
        """The price in ticks at each of the count + 1 boundaries, and whether each minute traded."""
        back = first & 7 if symbol.quiet else 0
        walk, _, active_key = self._keys(symbol)
        x = noise.wander(walk, first - back, count + back + 1)
        level = symbol.price * 10.0**symbol.price_decimals
        price = np.maximum(_whole(level * (2.0 + x) / (2.0 - x) + 0.5), 2)
        if not symbol.quiet:
            return price, np.ones(count, np.int64)
        # A quiet boundary keeps the price of the last active one; every eighth is active, so that
        # nobody has to look further back than that.
        index = np.arange(len(price), dtype=np.int64)
        active = noise.signed(active_key, first - back, len(price)) > -0.4
        active |= ((index + first - back) & 7) == 0
        price = price[np.maximum.accumulate(np.where(active, index, 0))]
        return price[back:], active[back + 1 :].astype(np.int64)


def trades_per_minute(symbol: Symbol) -> float:
    quote = symbol.quote_per_minute * (60000 if symbol.quote in ("BTC", "XXBT") else 1)
    return min(1500.0, quote / 700 + 2)


def life(symbol: Symbol) -> tuple[Stretch, ...]:
    """The absent stretches before listing and after the end."""
    listed = (-(2**40), symbol.listed_ms // MINUTE_MS)
    return (listed,) if symbol.ended_ms is None else (listed, (symbol.ended_ms // MINUTE_MS, 2**40))


def without(candles: Candles, absent: Iterable[Stretch]) -> Candles:
    """The candles outside all absent stretches."""
    keep = np.ones(len(candles), bool)
    for start, end in absent:
        keep &= (candles.minute < start) | (candles.minute >= end)
    return candles if keep.all() else candles.take(keep)


def aggregate(candles: Candles, minutes: int) -> Candles:
    """Longer candles out of one-minute ones: exact, since all columns are whole numbers."""
    if minutes == 1 or len(candles) == 0:
        return Candles(candles.symbol, minutes, candles.minute, *candles.columns())
    offset = bucket_start(0, minutes)
    number = (candles.minute - offset) // minutes
    starts = np.flatnonzero(np.r_[True, number[1:] != number[:-1]])
    ends = np.r_[starts[1:], len(number)] - 1
    open_, high, low, close, *sums = candles.columns()
    return Candles(
        candles.symbol,
        minutes,
        number[starts] * minutes + offset,
        open_[starts],
        np.maximum.reduceat(high, starts),
        np.minimum.reduceat(low, starts),
        close[ends],
        *(np.add.reduceat(column, starts) for column in sums),
    )


def _whole(values: Floats) -> Ints:
    return np.floor(values).astype(np.int64)
