"""Rows of the providers' tables from what CoinGecko sends, and errors from what it says. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from ingestion_assets.intervals import micros
from ingestion_assets.sources.errors import (
    AuthError,
    MalformedAnswer,
    RateLimited,
    SourceError,
    VendorDown,
    excerpt,
)
from ingestion_assets.sources.http import expect_json, retry_after
from ingestion_assets.tables import Table
from ingestion_assets.tables.arrays import repeated
from ingestion_assets.tables.contract import TIME
from ingestion_assets.tables.snapshots import MARKET_SNAPSHOTS, OHLC_4H, PRICE_HISTORY

_MICROSECOND = timedelta(microseconds=1)
_NOT_AS_PROMISED = (
    *(KeyError, IndexError, TypeError, ValueError),
    *(AttributeError, OverflowError, pa.ArrowInvalid),
)
_KEY_CODES = range(10_002, 10_013)  # missing, not of this plan, not for this host, not so far back
_MARKET = {
    "price": "current_price",
    "market_cap": "market_cap",
    "fully_diluted_valuation": "fully_diluted_valuation",
    "volume_24h": "total_volume",
    "high_24h": "high_24h",
    "low_24h": "low_24h",
    "change_24h": "price_change_24h",
    "change_percent_24h": "price_change_percentage_24h",
    "circulating_supply": "circulating_supply",
    "total_supply": "total_supply",
    "max_supply": "max_supply",
    "ath": "ath",
    "atl": "atl",
}
_TIMES = {"updated_at": "last_updated", "ath_at": "ath_date", "atl_at": "atl_date"}


def answer_of(body: bytes, opening: bytes) -> Any:
    expect_json(body, opening)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer(f"the answer is cut-off or broken JSON ({error}): {excerpt(body)}") from None


def normalise_market(
    entry: Mapping[str, Any], taken: datetime, origin: str, known: datetime | None = None
) -> pa.Table:
    """One row from an entry of coins/markets; `known` when it was taken, unless said otherwise."""
    with _expected("coins/markets", entry):
        columns: dict[str, Any] = {name: [_number(entry.get(sent))] for name, sent in _MARKET.items()}
        columns["market_cap_rank"] = [entry.get("market_cap_rank")]
        columns |= {name: [_moment(entry.get(sent))] for name, sent in _TIMES.items()}
        return _snapshot(columns, taken, known or taken, origin)


def normalise_chart(document: Mapping[str, Any], settle: timedelta, origin: str) -> pa.Table:
    """Rows from market_chart: three lists of [ms, value], not always in order and not always equally long."""
    with _expected("market_chart", document):
        prices, caps, volumes = (
            {int(stamp): _number(value) for stamp, value in document.get(name) or ()}
            for name in ("prices", "market_caps", "total_volumes")
        )
        if "prices" not in document:
            raise KeyError("prices")
        stamps = sorted(stamp for stamp, price in prices.items() if price is not None)
        times = np.array(stamps, np.int64) * 1_000
        columns = {
            "time": times,
            "price": [prices[stamp] for stamp in stamps],
            "market_cap": [caps.get(stamp) for stamp in stamps],
            "volume_24h": [volumes.get(stamp) for stamp in stamps],
        }
        return _table_of(PRICE_HISTORY, columns, times + settle // _MICROSECOND, origin)


def normalise_ohlc(rows: Sequence[Sequence[float]], settle: timedelta, origin: str) -> pa.Table:
    """Rows from ohlc, whose stamps tell when a candle ends."""
    with _expected("ohlc", rows):
        ends = np.array([int(row[0]) for row in rows], np.int64) * 1_000
        columns: dict[str, Any] = {
            name: [float(row[place]) for row in rows]
            for place, name in enumerate(("open", "high", "low", "close"), start=1)
        }
        columns |= {"time": ends - OHLC_4H.grain // _MICROSECOND, "close_time": ends - 1_000}
        return _table_of(OHLC_4H, columns, ends + settle // _MICROSECOND, origin)


def problem_of(status: int, headers: Mapping[str, str], body: bytes) -> SourceError | None:
    """An error in the provider's words, which stand in `error`, or in `status`, or in both of them nested."""
    if status == 403 and body.startswith(b"error code:"):  # its CDN's firewall, not itself
        return VendorDown(f"HTTP 403: {excerpt(body)}", retry_after(headers))
    if body.lstrip()[:1] != b"{":
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    error: Any = document.get("error")
    state: Any = document.get("status")
    if isinstance(error, dict):
        error, state = "", error.get("status", error)
    if "error_code" in document:
        state = document
    code, text = 0, str(error or "")
    if isinstance(state, dict):
        told = str(state.get("error_code") or "")
        code, text = int(told) if told.isdigit() else 0, str(state.get("error_message") or text)
    if status < 300 and not code and not error:
        return None
    said = f"HTTP {status}: {text or excerpt(body)}"
    if status == 429 or code == 429:
        return RateLimited(said, retry_after(headers) or 60.0)
    if status in (401, 403) or code in _KEY_CODES:
        return AuthError(said)
    return MalformedAnswer(said) if status < 300 else None


def _number(value: Any) -> float | None:
    """Whole numbers may have more digits than a float has: the supply of a coin, its worth in small money."""
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise TypeError(f"{value!r} is no number")
    return None if value is None else float(value)


def _snapshot(columns: Mapping[str, Any], taken: datetime, known: datetime, origin: str) -> pa.Table:
    at, heard = (np.array([micros(moment)], np.int64) for moment in (taken, known))
    return _table_of(MARKET_SNAPSHOTS, {"time": at} | dict(columns), heard, origin)


def _moment(text: str | None) -> int | None:
    return micros(datetime.fromisoformat(text).astimezone(UTC)) if text else None


def _table_of(table: Table, columns: Mapping[str, Any], known: np.ndarray, origin: str) -> pa.Table:
    kinds = {column.name: column.type for column in table.columns}
    given: dict[str, Any] = {}
    for name, values in columns.items():
        told = pa.int64() if kinds[name] == TIME else kinds[name]
        given[name] = pa.array(values, told).cast(kinds[name])
    given |= {"known_at": pa.array(known, pa.int64()).cast(TIME), "source": repeated(origin, len(known))}
    return table.conform(pa.table(given))


@contextlib.contextmanager
def _expected(what: str, sent: Any) -> Iterator[None]:
    """What is missing or no number is named, with what was sent."""
    try:
        yield
    except _NOT_AS_PROMISED as error:
        lacking = f"has no {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
        raise MalformedAnswer(f"an answer of {what} {lacking}: {str(sent)[:160]}") from None
