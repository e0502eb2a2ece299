"""Rows of the derivatives tables from what Binance sends, by its API or in its archive. Pure."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import moment_of
from ingestion_assets.sources.errors import MalformedAnswer
from ingestion_assets.sources.market import Market
from ingestion_assets.tables import Table
from ingestion_assets.tables.arrays import column, repeated
from ingestion_assets.tables.contract import TIME
from ingestion_assets.tables.derivatives import AGG_TRADES_UM, FUNDING_RATES, OPEN_INTEREST_5M

_MICROSECOND = timedelta(microseconds=1)
_MINUTE_US = 60_000_000
_NEVER = 2100
_DECIMALS = 12


def normalise_trades(entries: Sequence[Mapping[str, Any]], settle: timedelta, origin: str) -> pa.Table:
    """Rows from aggTrades. Pure."""
    with _expected("aggTrades", entries):
        times = in_micros(np.array([int(e["T"]) for e in entries], np.int64))
        columns = {
            "id": [int(e["a"]) for e in entries],
            "price": [float(e["p"]) for e in entries],
            "quantity": [float(e["q"]) for e in entries],
            "first_trade_id": [int(e["f"]) for e in entries],
            "last_trade_id": [int(e["l"]) for e in entries],
            "buyer_is_maker": [bool(e["m"]) for e in entries],
        }
        return table_of(AGG_TRADES_UM, {"time": times, **columns}, times + settle // _MICROSECOND, origin)


def normalise_open_interest(entries: Sequence[Mapping[str, Any]], origin: str) -> pa.Table:
    """Rows from openInterestHist, oldest first, as the venue gives them or the other way round. Pure."""
    with _expected("openInterestHist", entries):
        times = in_micros(np.array([int(e["timestamp"]) for e in entries], np.int64))
        if (np.diff(times) < 0).all():
            times, entries = times[::-1], entries[::-1]
        columns = {
            "open_interest": [float(e["sumOpenInterest"]) for e in entries],
            "open_interest_value": [float(e["sumOpenInterestValue"]) for e in entries],
        }
    known = times + OPEN_INTEREST_5M.grain // _MICROSECOND
    return table_of(OPEN_INTEREST_5M, {"time": times, **columns}, known, origin)


def normalise_funding(entries: Sequence[Mapping[str, Any]], settle: timedelta, origin: str) -> pa.Table:
    """Rows from fundingRate. Pure."""
    with _expected("fundingRate", entries):
        stamps = in_micros(np.array([int(e["fundingTime"]) for e in entries], np.int64))
        told = [(stamp, e.get("rateType")) for stamp, e in zip(stamps.tolist(), entries, strict=True)]
        if len(set(told)) < len(told):
            raise MalformedAnswer("an answer of fundingRate repeats a settlement")
        marks = [float(e.get("markPrice") or 0) or None for e in entries]
        first, rates = settled_together(stamps, [float(e["fundingRate"]) for e in entries])
        columns = {"rate": rates, "mark_price": [marks[place] for place in first]}
        stamps = stamps[first]
        return table_of(
            FUNDING_RATES,
            {"time": full_minutes(stamps), "settled_at": stamps, **columns},
            stamps + settle // _MICROSECOND,
            origin,
        )


def settled_together(
    stamps: np.ndarray, rates: Sequence[float | None]
) -> tuple[np.ndarray, list[float | None]]:
    """The place of the first settlement of each minute, and the sum of all of that minute.

    What a share's dividend is worth is settled some milliseconds after the funding. A rate that is told
    twice is counted once.
    """
    minutes: dict[int, dict[float | None, int]] = {}
    for place, minute in enumerate(full_minutes(stamps).tolist()):
        minutes.setdefault(minute, {}).setdefault(rates[place], place)
    first = np.array([min(places.values()) for places in minutes.values()], np.int64)
    return first, [_sum(list(places)) for places in minutes.values()]


def described(entry: Mapping[str, Any], symbol: str) -> Market:
    """A perpetual as exchangeInfo has it; of what has no end yet it says 2100, and in old answers nothing."""
    with _expected("exchangeInfo", [entry]):
        trading, ends = entry.get("status") == "TRADING", _date(entry.get("deliveryDate"))
        return Market(
            symbol=symbol,
            listed_at=_date(entry.get("onboardDate")),
            delisted_at=None if trading or ends is None or ends.year >= _NEVER else ends,
            trading=trading,
            timeframes=frozenset({"1m"}),
        )


def perpetual(entry: Mapping[str, Any]) -> bool:
    """Called PERPETUAL, TRADIFI_PERPETUAL or PERPETUAL_DELIVERING, and nothing at all before it is traded."""
    kind = str(entry.get("contractType", ""))
    return "QUARTER" not in kind and "MONTH" not in kind


def in_micros(times: np.ndarray) -> np.ndarray:
    """Milliseconds, or microseconds as the archive may give them one day, told by their magnitude."""
    return np.where(times > 10**14, times, times * 1_000)


def full_minutes(stamps: np.ndarray) -> np.ndarray:
    """The nearest full minutes."""
    return (stamps + _MINUTE_US // 2) // _MINUTE_US * _MINUTE_US


def _sum(rates: Sequence[float | None]) -> float | None:
    given = [rate for rate in rates if rate is not None]
    return round(math.fsum(given), _DECIMALS) if len(given) > 1 else next(iter(given), None)


def _date(ms: Any) -> datetime | None:
    return moment_of(int(ms) * 1_000) if ms else None


def table_of(table: Table, columns: Mapping[str, Any], known: np.ndarray, origin: str) -> pa.Table:
    """Columns of numbers, times as microseconds, as the table has them."""
    given = {name: _column(values, table.schema.field(name).type) for name, values in columns.items()}
    given |= {"known_at": column(known, TIME), "source": repeated(origin, len(known))}
    return table.conform(pa.table(given))


def _column(values: Any, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """What Arrow or NumPy hold already is taken as it is: days have hundreds of thousands of rows."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values if values.type == kind else values.cast(kind)
    if isinstance(values, np.ndarray):
        return column(values, kind)
    return pa.array(values, kind)


@contextlib.contextmanager
def _expected(what: str, entries: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """What is missing or no number is named, with the entry that shows it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        lacking = f"has no {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
        raise MalformedAnswer(f"an entry of {what} {lacking}; the first is {str(entries[0])[:160]}") from None
