"""What an address did and held, day by day, as readings of metrics of which onchain.py makes features. Pure.

A day counts when everything that happened in it is held: what was not fetched is not taken for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from ingestion_assets.intervals import Window, ceiling, floor, union
from ingestion_assets.tables.contract import NAME, TIME
from ingestion_assets.tables.onchain import DAY

SENT = ("time", "from_address", "to_address", "successful", "value", "fees_paid", "known_at")
HELD = ("time", "quote", "known_at")
_UNITS = 10**18
_SETTLED = timedelta(minutes=15)  # after a day's end its last blocks are, as those of transactions
_READINGS = pa.schema(
    [
        ("time", TIME),
        ("component", NAME),
        ("value", pa.float64()),
        ("revision", pa.int32()),
        ("known_at", TIME),
    ]
)
Reading = dict[str, Any]


def address_readings(
    address: str, transactions: pa.Table, known: Iterable[Window], balances: pa.Table
) -> pa.Table:
    """Readings by day and component; all transactions of the `known` windows are given."""
    found = [*_of_transactions(address, transactions, known), *_of_balances(balances)]
    columns = {name: [row.get(name, 0) for row in found] for name in _READINGS.names}
    return pa.table(columns, _READINGS)


def _of_transactions(address: str, rows: pa.Table, known: Iterable[Window]) -> Iterator[Reading]:
    in_coins = address.startswith("0x")
    by_day: dict[datetime, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.to_pylist():
        by_day[floor(row["time"], DAY)].append(row)
    for day in _whole_days(known):
        told = by_day[day]
        values = {"transactions": float(len(told))} | (_flows(address, told) if in_coins else {})
        at = max([day + DAY + _SETTLED, *(row["known_at"] for row in told)])
        yield from (_reading(day, name, value, at) for name, value in values.items())


def _flows(address: str, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Sums are exact until they become floats."""
    sent = [row for row in rows if row["from_address"].lower() == address]
    received = [row for row in rows if (row["to_address"] or "").lower() == address]
    sums = {
        "sent": sum(int(row["value"]) for row in sent if row["successful"] is not False),
        "received": sum(int(row["value"]) for row in received if row["successful"] is not False),
        "fees": sum(int(row["fees_paid"] or 0) for row in sent),
    }
    return {name: units / _UNITS for name, units in sums.items()}


def _of_balances(rows: pa.Table) -> Iterator[Reading]:
    """What has no price adds nothing; a day on which nothing has one tells nothing."""
    priced: dict[datetime, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.to_pylist():
        if row["quote"] is not None:
            priced[row["time"]].append(row)
    for day, told in priced.items():
        at = max(row["known_at"] for row in told)
        yield _reading(day, "balance_usd", sum(row["quote"] for row in told), at)


def _reading(day: datetime, component: str, value: float, known_at: datetime) -> Reading:
    return {"time": day, "component": component, "value": value, "known_at": known_at}


def _whole_days(known: Iterable[Window]) -> Iterator[datetime]:
    for window in union(known):
        day = ceiling(window.start, DAY)
        while day + DAY <= window.end:
            yield day
            day += DAY
