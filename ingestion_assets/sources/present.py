"""Feeds of the present: the vendor can be asked for now and for no other time.

Time is cut into slots as long as the table's grain, and one answer is all there is of its slot: who asks
again within it is not served again, and a slot in which nobody asked cannot be had any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion_assets.intervals import Window
from ingestion_assets.tables import Table


def slots(table: Table) -> dict[str, Any]:
    """For `@feed`: offered is the slot that holds the present, to its end, and nothing before."""
    return {"settle": -table.grain, "horizon": table.grain - timedelta(microseconds=1)}


@dataclass(frozen=True)
class Taken:
    """When an answer was given: `at` lies in its slot whenever it came, `known` is the moment itself."""

    at: datetime
    known: datetime


def taken_at(window: Window, skew: float | None, origin: str) -> Taken:
    """For an answer that has just come: by our own clock, but of a simulated world by its own."""
    ahead = timedelta(seconds=skew or 0.0) if origin == "simulator" else timedelta()
    moment = datetime.now(UTC) + ahead
    at = min(max(moment, window.start), window.end - timedelta(microseconds=1))
    return Taken(at, max(moment, at))
