"""Feeds of the present: the vendor can be asked for now and for no other time.

Time is cut into slots as long as the table's grain, and one answer is all there is of its slot: who asks
again within it is not served again, and a slot in which nobody asked cannot be had any more.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion_assets.intervals import Window
from ingestion_assets.tables import Table


def slots(table: Table) -> dict[str, Any]:
    """For `@feed`: offered is the slot that holds the present, to its end, and nothing before."""
    return {"settle": -table.grain, "horizon": table.grain - timedelta(microseconds=1)}


def taken_at(window: Window, skew: float | None, origin: str) -> datetime:
    """When an answer was given: by our own clock, but of a simulated world by its own."""
    ahead = timedelta(seconds=skew or 0.0) if origin == "simulator" else timedelta()
    return min(max(datetime.now(UTC) + ahead, window.start), window.end - timedelta(microseconds=1))
