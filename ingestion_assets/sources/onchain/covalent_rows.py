"""Rows of balances and transactions from what GoldRush (Covalent) sends. Pure."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from ingestion_assets.sources.errors import (
    AuthError,
    BadRequest,
    MalformedAnswer,
    NotFound,
    QuotaSpent,
    RateLimited,
    SourceError,
    VendorDown,
    excerpt,
)
from ingestion_assets.sources.http import expect_json, retry_after
from ingestion_assets.tables.onchain import BALANCES, TRANSACTIONS

Document = Mapping[str, Any]
SETTLE = timedelta(minutes=15)
AT_ONCE = 100
_DIGITS = re.compile(r"[0-9]{1,78}")
_FRACTION = re.compile(r"\.(\d+)")


def data_of(body: bytes) -> Document:
    """The data of an answer; its numbers are read by Python, which rounds none however long."""
    expect_json(body, b"{")
    try:
        document = json.loads(body)
    except ValueError as error:
        raise MalformedAnswer(f"the answer is cut-off or broken JSON ({error}): {excerpt(body)}") from None
    problem = problem_of(200, {}, document)
    if problem is not None:
        raise problem
    data = document.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("items"), list):
        raise MalformedAnswer(f"the answer has no data with items: {excerpt(body)}")
    return data


def problem_of(status: int, headers: Mapping[str, str], document: Any) -> SourceError | None:
    """What `error` says; its code is a text in some answers and a number in others."""
    if not isinstance(document, dict) or not document.get("error"):
        return None
    told = str(document.get("error_code") or "")
    code = int(told) if told.isdigit() else status
    text = f"HTTP {status}, code {told or '?'}: {str(document.get('error_message') or 'no message')[:300]}"
    if code == 402:
        return QuotaSpent(f"{text} (the credits of COVALENT_API_KEY are spent)")
    if code == 429:
        return RateLimited(text, retry_after(headers))
    if code in (401, 403):
        return AuthError(text)
    if code == 404:
        return NotFound(text)
    if code >= 500 or code == 408 or code == 200:
        return VendorDown(text)
    return BadRequest(text)


def normalise_balances(data: Document, day: datetime, read_at: datetime, origin: str) -> pa.Table:
    """What an address holds, as rows of a day. Pure."""
    rows, read = [], {"source": origin, "known_at": read_at}
    for item in data["items"]:
        with _expected("a balance", item):
            rows.append(_balance(item) | {"time": day, "measured_at": moment_of(data["updated_at"]), **read})
    with _expected("the balances", rows):
        return BALANCES.in_order(pa.Table.from_pylist(rows, schema=BALANCES.schema))


def _balance(item: Document) -> dict[str, Any]:
    balance, decimals = _whole(item["balance"]), item.get("contract_decimals")
    return {
        "contract": address_of(item["contract_address"]),
        "symbol": item.get("contract_ticker_symbol"),
        "name": item.get("contract_name"),
        "decimals": decimals,
        "balance": balance,
        "amount": _amount(balance, decimals),
        "quote_rate": _number(item.get("quote_rate")),
        "quote": _number(item.get("quote")),
    }


def normalise_transactions(data: Document, origin: str) -> pa.Table:
    """Transactions, newest first in the answer, oldest first here. Pure."""
    rows: list[dict[str, Any]] = []
    for item in data["items"]:
        with _expected("a transaction", item):
            rows.append(_transaction(item, origin))
    times = [row["time"] for row in rows]
    if times != sorted(times, reverse=True):
        raise MalformedAnswer("the transactions of an answer are not in falling order of time")
    with _expected("the transactions", rows):
        return TRANSACTIONS.distinct(pa.Table.from_pylist(rows, schema=TRANSACTIONS.schema))


def _transaction(item: Document, origin: str) -> dict[str, Any]:
    signed = moment_of(item["block_signed_at"])
    return {
        "hash": _told(item, "tx_hash"),
        "time": signed,
        "block": int(item["block_height"]),
        "offset": item.get("tx_offset"),
        "successful": item.get("successful"),
        "from_address": _told(item, "from_address"),
        "to_address": item.get("to_address"),
        "value": _whole(item["value"]),
        "value_quote": _number(item.get("value_quote")),
        "fees_paid": _whole(item.get("fees_paid")),
        "gas_offered": item.get("gas_offered"),
        "gas_spent": item.get("gas_spent"),
        "gas_price": _whole(item.get("gas_price")),
        "gas_quote": _number(item.get("gas_quote")),
        "gas_quote_rate": _number(item.get("gas_quote_rate")),
        "source": origin,
        "known_at": signed + SETTLE,
    }


def _told(item: Document, name: str) -> str:
    text = item[name]
    if not isinstance(text, str) or not text:
        raise ValueError(f"{name} is {text!r}")
    return text


def _amount(balance: str | None, decimals: int | None) -> float | None:
    """In whole coins. Decimals fit into a byte; a coin that tells of more is not reckoned for years."""
    if balance is None or decimals is None or not 0 <= decimals <= 255:
        return None
    return int(balance) / 10**decimals


def _number(told: Any) -> float | None:
    """A price; whole ones may have more digits than a float has."""
    return None if told is None else float(told)


def _whole(told: Any) -> str | None:
    """A whole number as text, exactly; one that came as a float has been rounded and is refused."""
    if told is None:
        return None
    text = str(told)
    if isinstance(told, float | bool) or not _DIGITS.fullmatch(text):
        raise ValueError(f"{told!r} is no exact whole number")
    return text


def moment_of(text: str) -> datetime:
    """ISO time in UTC; of nine digits behind the second six are kept."""
    moment = datetime.fromisoformat(_FRACTION.sub(lambda m: f".{m[1][:6]:0<6}", text))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def address_of(told: Any) -> str:
    """Capitals are a checksum behind 0x, and on chains with other addresses they count."""
    if not isinstance(told, str) or not told:
        raise ValueError(f"{told!r} is no address")
    return told.lower() if told[:2].lower() == "0x" else told


def older_path(data: Document, root: str) -> str | None:
    """The page before, on the host that we ask: the key goes nowhere else. None: this is the oldest."""
    links, number = data.get("links"), data.get("current_page")
    if isinstance(links, dict) and "prev" in links:
        with _expected("the link to older ones", links):
            return str(urlsplit(links["prev"]).path) if links["prev"] else None
    if isinstance(number, int):
        return f"{root}/page/{number - 1}/" if number > 0 else None
    if len(data["items"]) >= AT_ONCE:
        raise MalformedAnswer(f"a full page of {root} tells neither its number nor where older ones are")
    return None


@contextlib.contextmanager
def _expected(what: str, sent: Any) -> Iterator[None]:
    """What is missing or of another kind is named, with what was sent."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise MalformedAnswer(f"{what} cannot be read ({error!r}): {str(sent)[:160]}") from None
