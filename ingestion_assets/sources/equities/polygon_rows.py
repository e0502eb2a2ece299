"""Rows of the equities' tables from what Polygon sends, and errors from what it says. Pure."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from ingestion_assets.intervals import micros
from ingestion_assets.sources.equities.sessions import NEW_YORK, day_of
from ingestion_assets.sources.errors import (
    AuthError,
    MalformedAnswer,
    NotFound,
    RateLimited,
    SourceError,
    excerpt,
)
from ingestion_assets.sources.http import expect_json, retry_after
from ingestion_assets.sources.market import Market
from ingestion_assets.tables import Table
from ingestion_assets.tables.arrays import repeated
from ingestion_assets.tables.contract import TIME
from ingestion_assets.tables.equities import EQUITY_1M, EQUITY_SNAPSHOTS, SPLITS

_MICROSECOND = timedelta(microseconds=1)
_MINUTE_US = 60_000_000
_LONGEST_REFUSAL = 4_096
_NO_KEY = ("unknown api key", "api key was not provided", "not entitled", "not authorized")
_KEY_REFUSED = ("NOT_AUTHORIZED", "NOT_ENTITLED", "AUTH_ERROR")
_TOO_MANY = "exceeded the maximum requests"
_BAR = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vw": "vwap"}

Document = Mapping[str, Any]


def document_of(body: bytes) -> Document:
    """The object that every answer is; one that was cut off, or is no JSON, is asked for again."""
    expect_json(body, b"{")
    try:
        document: Document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer(f"the answer is cut-off or broken JSON ({error}): {excerpt(body)}") from None
    return document


def results_of(document: Document) -> Sequence[Mapping[str, Any]]:
    """The list of results, which is left out when there is none; as long as the vendor says it is."""
    if "status" not in document and "results" not in document:
        raise MalformedAnswer(f"the answer has neither status nor results: {str(dict(document))[:160]}")
    results = document.get("results")
    if results is None:
        results = []
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        raise MalformedAnswer(f"results is no list of objects: {str(results)[:160]}")
    said = document.get("resultsCount")
    if said is not None and said != len(results):
        raise MalformedAnswer(f"the answer says it has {said} results and has {len(results)}")
    return results


def normalise_bars(document: Document, settle: timedelta, origin: str) -> pa.Table:
    """Minute bars from an answer of aggregates."""
    entries = results_of(document)
    if entries and document.get("adjusted"):
        raise MalformedAnswer("the bars are adjusted for splits, though unadjusted ones were asked for")
    with _expected("aggregates", entries):
        columns: dict[str, Any] = {name: _floats(entries, short) for short, name in _BAR.items()}
        times = in_micros(np.array([int(e["t"]) for e in entries], np.int64))
        columns["transactions"] = [_whole(e, "n") for e in entries]
        for name in ("open", "high", "low", "close", "volume"):
            if None in columns[name]:
                raise MalformedAnswer(f"a bar has no {name}; the first is {str(entries[0])[:160]}")
        return bars_of(times, columns, settle, origin)


def bars_of(times: np.ndarray, columns: Mapping[str, Any], settle: timedelta, origin: str) -> pa.Table:
    """Bars that open at these microseconds."""
    ends = {"time": times, "close_time": times + _MINUTE_US - 1_000}
    return _table_of(EQUITY_1M, ends | dict(columns), times + _MINUTE_US + settle // _MICROSECOND, origin)


def normalise_splits(entries: Sequence[Mapping[str, Any]], origin: str) -> pa.Table:
    """Splits, oldest first. That there will be one is told before, but nobody says since when."""
    with _expected("splits", entries):
        entries = sorted(entries, key=lambda e: str(e["execution_date"]))
        days = [date.fromisoformat(e["execution_date"]) for e in entries]
        columns = {
            "execution_date": days,
            "split_from": [float(e["split_from"]) for e in entries],
            "split_to": [float(e["split_to"]) for e in entries],
            "id": [str(e["id"]) if e.get("id") else None for e in entries],
        }
        times = np.array([micros(day_of(day).start) for day in days], np.int64)
        return _table_of(SPLITS, {"time": times} | columns, times, origin)


def normalise_snapshot(
    entry: Mapping[str, Any], taken: datetime, origin: str, known: datetime | None = None
) -> pa.Table:
    """One row from what a snapshot says of a ticker."""
    if not isinstance(entry, Mapping) or "ticker" not in entry:
        raise MalformedAnswer(f"the snapshot names no ticker: {str(entry)[:160]}")
    with _expected("snapshot", [entry]):
        parts = {name: entry.get(name) or {} for name in ("day", "prevDay", "min", "lastTrade", "lastQuote")}
        trade, quote = parts["lastTrade"], parts["lastQuote"]
        row: dict[str, Any] = {
            "updated_at": _moment(entry.get("updated")),
            "last_trade_price": _number(trade, "p"),
            "last_trade_size": _number(trade, "s"),
            "last_trade_at": _moment(trade.get("t")),
            "bid": _number(quote, "p"),
            "ask": _number(quote, "P"),
            "bid_size": _number(quote, "s"),
            "ask_size": _number(quote, "S"),
            "quote_at": _moment(quote.get("t")),
            "minute_time": _moment(parts["min"].get("t")),
            "minute_transactions": _whole(parts["min"], "n"),
            "change": _number(entry, "todaysChange"),
            "change_percent": _number(entry, "todaysChangePerc"),
        }
        for part, column in (("day", "day"), ("prevDay", "previous"), ("min", "minute")):
            row |= {f"{column}_{name}": _number(parts[part], short) for short, name in _BAR.items()}
        closes = (row["last_trade_price"], row["minute_close"], row["day_close"], row["previous_close"])
        row["price"] = next((price for price in closes if price), None)
        at, heard = (np.array([micros(moment)], np.int64) for moment in (taken, known or taken))
        columns = {"time": at} | {name: [value] for name, value in row.items()}
        return _table_of(EQUITY_SNAPSHOTS, columns, heard, origin)


def described(document: Document, symbol: str) -> Market:
    """A ticker as the vendor describes it."""
    told = document.get("results")
    if not isinstance(told, dict):
        raise MalformedAnswer(f"the description of {symbol!r} says nothing: {str(dict(document))[:160]}")
    with _expected("tickers", [told]):
        return Market(
            symbol=str(told.get("ticker", symbol)),
            listed_at=_day_or_moment(told.get("list_date")),
            delisted_at=_day_or_moment(told.get("delisted_utc")),
            trading=bool(told.get("active", True)),
            timeframes=frozenset({"1m"}),
        )


def days_traded(document: Document) -> set[date]:
    """The days of which an answer of daily bars has one; each is stamped with midnight in New York."""
    entries = results_of(document)
    with _expected("daily aggregates", entries):
        stamps = [in_micros(np.array([int(e["t"])], np.int64))[0] for e in entries if e.get("v")]
    return {datetime.fromtimestamp(int(us) / 1e6, NEW_YORK).date() for us in stamps}


def problem_of(status: int, headers: Mapping[str, str], body: bytes) -> SourceError | None:
    """An error in the vendor's words, which stand in `error` or in `message`."""
    if status < 300 and len(body) > _LONGEST_REFUSAL:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict):
        return None
    word = str(document.get("status", "")).upper()
    text = str(document.get("error") or document.get("message") or "")
    if status < 300 and "ERROR" not in word and not word.startswith("NOT"):
        return None
    said = f"HTTP {status}: {text or excerpt(body)}"
    if status == 429 or _TOO_MANY in text.lower():
        return RateLimited(said, retry_after(headers) or 61 - time.time() % 60)
    if status in (401, 403) or word in _KEY_REFUSED or any(w in text.lower() for w in _NO_KEY):
        return AuthError(said)
    if status == 404 or word in ("NOT_FOUND", "NOTFOUND"):
        return NotFound(said)
    return MalformedAnswer(said) if status < 300 else None


def in_micros(times: np.ndarray) -> np.ndarray:
    """Nanoseconds, microseconds, milliseconds or seconds, told by their magnitude, as microseconds."""
    times = np.where(times > 10**17, times // 1_000, times)
    times = np.where(times < 10**11, times * 1_000_000, times)
    return np.where(times < 10**14, times * 1_000, times)


def _floats(entries: Sequence[Mapping[str, Any]], name: str) -> list[float | None]:
    return [None if e.get(name) is None else float(e[name]) for e in entries]


def _number(part: Mapping[str, Any], name: str) -> float | None:
    return None if part.get(name) is None else float(part[name])


def _whole(part: Mapping[str, Any], name: str) -> int | None:
    return None if part.get(name) is None else int(part[name])


def _moment(stamp: Any) -> int | None:
    """Microseconds; 0 is how the vendor says that there is none."""
    return int(in_micros(np.array([int(stamp)], np.int64))[0]) if stamp else None


def _day_or_moment(text: str | None) -> datetime | None:
    """A day without an hour is one of New York."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else day_of(moment.date()).start


def _table_of(table: Table, columns: Mapping[str, Any], known: np.ndarray, origin: str) -> pa.Table:
    kinds = {column.name: column.type for column in table.columns}
    given = {
        name: pa.array(values, pa.int64()).cast(TIME)
        if kinds[name] == TIME
        else pa.array(values, kinds[name])
        for name, values in columns.items()
    }
    given |= {"known_at": pa.array(known, pa.int64()).cast(TIME), "source": repeated(origin, len(known))}
    return table.conform(pa.table(given))


@contextlib.contextmanager
def _expected(what: str, entries: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """What is missing or no number is named, with the entry that shows it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        lacking = f"has no {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
        shown = str(entries[0])[:160] if entries else "none"
        raise MalformedAnswer(f"an entry of {what} {lacking}; the first is {shown}") from None
