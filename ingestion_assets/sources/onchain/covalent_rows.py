"""Rows of balances and transactions from what GoldRush (Covalent) sends. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

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
from ingestion_assets.sources.http import expect_json
from ingestion_assets.tables.onchain import BALANCES, TRANSACTIONS

Document = Mapping[str, Any]
SETTLE = timedelta(minutes=15)
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
    after = headers.get("Retry-After", "")
    if code == 402:
        return QuotaSpent(f"{text} (the credits of COVALENT_API_KEY are spent)")
    if code == 429:
        return RateLimited(text, float(after) if after.isdigit() else None)
    if code in (401, 403):
        return AuthError(text)
    if code == 404:
        return NotFound(text)
    if code >= 500 or code == 408 or code == 200:
        return VendorDown(text)
    return BadRequest(text)


def normalise_balances(data: Document, day: datetime, read_at: datetime, origin: str) -> pa.Table:
    """What an address holds, as rows of a day. Pure."""
    rows = []
    for item in data["items"]:
        try:
            balance = _whole(item["balance"])
            decimals = item.get("contract_decimals")
            rows.append(
                {
                    "time": day,
                    "contract": str(item["contract_address"]).lower(),
                    "measured_at": moment_of(data["updated_at"]),
                    "symbol": item.get("contract_ticker_symbol"),
                    "name": item.get("contract_name"),
                    "decimals": decimals,
                    "balance": balance,
                    "amount": None if decimals is None or balance is None else int(balance) / 10**decimals,
                    "quote_rate": item.get("quote_rate"),
                    "quote": item.get("quote"),
                    "source": origin,
                    "known_at": read_at,
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedAnswer(f"a balance cannot be read ({error!r}): {str(item)[:160]}") from None
    return BALANCES.in_order(pa.Table.from_pylist(rows, schema=BALANCES.schema))


def normalise_transactions(data: Document, origin: str) -> pa.Table:
    """Transactions, newest first in the answer, oldest first here. Pure."""
    rows: list[dict[str, Any]] = []
    for item in data["items"]:
        try:
            rows.append(_transaction(item, origin))
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedAnswer(f"a transaction cannot be read ({error!r}): {str(item)[:160]}") from None
    times = [row["time"] for row in rows]
    if times != sorted(times, reverse=True):
        raise MalformedAnswer("the transactions of an answer are not in falling order of time")
    return TRANSACTIONS.distinct(pa.Table.from_pylist(rows, schema=TRANSACTIONS.schema))


def _transaction(item: Document, origin: str) -> dict[str, Any]:
    signed = moment_of(item["block_signed_at"])
    return {
        "hash": str(item["tx_hash"]),
        "time": signed,
        "block": int(item["block_height"]),
        "offset": item.get("tx_offset"),
        "successful": item.get("successful"),
        "from_address": str(item["from_address"]),
        "to_address": item.get("to_address"),
        "value": _whole(item["value"]),
        "value_quote": item.get("value_quote"),
        "fees_paid": _whole(item.get("fees_paid")),
        "gas_offered": item.get("gas_offered"),
        "gas_spent": item.get("gas_spent"),
        "gas_price": _whole(item.get("gas_price")),
        "gas_quote": item.get("gas_quote"),
        "gas_quote_rate": item.get("gas_quote_rate"),
        "source": origin,
        "known_at": signed + SETTLE,
    }


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
    return datetime.fromisoformat(_FRACTION.sub(lambda m: f".{m[1][:6]:0<6}", text)).astimezone(UTC)


def older_path(data: Document) -> str | None:
    """The link to older transactions, where links are told."""
    links: Document = data.get("links") or {}
    return links.get("prev")


def items_of(data: Document) -> Sequence[Document]:
    items: Sequence[Document] = data["items"]
    return items
