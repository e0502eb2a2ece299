"""Shares: which there are, and their minute bars within the hours of the exchange, out of the world.

A bar is there only when somebody traded. Prices are as they were traded; those of before a split are the
world's times the split's ratio, so that adjusted ones are the world's again.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import numpy as np

from ingestion_assets.simulator import noise
from ingestion_assets.simulator.answers import Market
from ingestion_assets.simulator.exchange import Hours, days_between, hours, minute_of
from ingestion_assets.simulator.intervals import MINUTE_MS
from ingestion_assets.simulator.noise import Ints
from ingestion_assets.simulator.symbols import Symbol
from ingestion_assets.simulator.world import Candles, without

# ticker price dollars-per-minute listed delisted name
_SHARES = """
AAPL  180 9000000 1980-12-12 -          Apple Inc.
AMZN  150 6000000 1997-05-15 -          Amazon.com Inc
BRK.B 400  900000 1996-05-09 -          Berkshire Hathaway Inc. Class B
GOOGL 160 4000000 2004-08-19 -          Alphabet Inc. Class A
MSFT  400 7000000 1986-03-13 -          Microsoft Corp
NA     10     600 2022-07-12 -          Nano Labs Ltd
NVDA  100 9000000 1999-01-22 -          Nvidia Corp
SPY   500 9000000 1993-01-29 -          SPDR S&P 500 ETF Trust
TWTR   45 1500000 2013-11-07 2022-10-28 Twitter, Inc.
ZZZ     5     300 2019-05-01 -          Quiet Mattresses Inc.
"""
# ticker: first day at the new price, new shares for an old one
_SPLITS = {
    "AAPL": (("2005-02-28", 2), ("2014-06-09", 7), ("2020-08-31", 4)),
    "AMZN": (("2022-06-06", 20),),
    "GOOGL": (("2022-07-18", 20),),
    "NVDA": (("2021-07-20", 4), ("2024-06-10", 10)),
}


@dataclass(frozen=True, slots=True)
class Split:
    day: date
    ratio: int


@dataclass(frozen=True, slots=True)
class Share:
    symbol: Symbol
    title: str
    listed: date
    delisted: date | None
    splits: tuple[Split, ...]


def _share(line: str) -> Share:
    ticker, price, dollars, listed, ended, title = line.split(maxsplit=5)
    first, last = date.fromisoformat(listed), None if ended == "-" else date.fromisoformat(ended)
    symbol = Symbol(
        venue="polygon",
        name=ticker,
        base=ticker,
        quote="USD",
        price=float(price),
        price_decimals=2,
        lot_decimals=0,
        quote_per_minute=float(dollars),
        listed_ms=_ms(first),
        ended_ms=_ms(last) if last else None,
        walk=ticker,
    )
    splits = tuple(Split(date.fromisoformat(day), ratio) for day, ratio in _SPLITS.get(ticker, ()))
    return Share(symbol, title, first, last, splits)


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000


SHARES = {share.symbol.name: share for share in map(_share, _SHARES.strip().splitlines())}


class Shares:
    """What was traded, when."""

    def __init__(self, market: Market) -> None:
        self.market = market

    def minutes(self, share: Share, start_ms: int, end_ms: int, *, adjusted: bool = False) -> Candles:
        """Finished minute bars that open in [start, end)."""
        end_ms = min(end_ms, self.market.clock.now_ms() // MINUTE_MS * MINUTE_MS)
        start_ms = max(start_ms, share.symbol.listed_ms)
        first, last = -(-start_ms // MINUTE_MS), max(-(-start_ms // MINUTE_MS), -(-end_ms // MINUTE_MS))
        open_then = [h for day in days_between(start_ms, end_ms) if (h := hours(day))] if last > first else []
        made = self.market.world.minutes(share.symbol, first, last - first)
        keep = np.zeros(len(made), bool)
        for one in open_then:
            keep[max(0, one.early - first) : max(0, one.late - first)] = True
        made = made.take(keep & (made.volume > 0))
        made = without(made, self.market.ask(share.symbol, 1).absent)
        made = made.take(self._busy(share, made.minute, open_then))
        return made if adjusted else _as_traded(share, made)

    def _busy(self, share: Share, minutes: Ints, open_then: list[Hours]) -> np.ndarray:
        """Before and after hours most minutes pass without a trade."""
        regular = np.zeros(len(minutes), bool)
        for one in open_then:
            regular |= (minutes >= one.opens) & (minutes < one.closes)
        if not len(minutes):
            return regular
        first = int(minutes[0])
        random = noise.signed(
            noise.key(self.market.world.seed, share.symbol.name, "late"), first, int(minutes[-1]) - first + 1
        )
        return regular | (random[minutes - first] > 0.4)


def _as_traded(share: Share, bars: Candles) -> Candles:
    """Prices times, and volumes divided by, the ratio of every split that was still to come."""
    ratio = np.ones(len(bars), np.int64)
    for split in share.splits:
        ratio[bars.minute < minute_of(split.day)] *= split.ratio
    return replace(
        bars,
        open=bars.open * ratio,
        high=bars.high * ratio,
        low=bars.low * ratio,
        close=bars.close * ratio,
        volume=np.maximum(1, bars.volume // ratio),
    )
