"""What time it is: by a vendor, and for what has just been read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ingestion_assets.sources.http import HttpClient


def told_now(client: HttpClient) -> datetime:
    """The present by the Date of the vendor's last answer; by our own clock when it had none."""
    return datetime.now(UTC) + timedelta(seconds=client.date_skew or 0.0)


def read_at(client: HttpClient, origin: str) -> datetime:
    """When an answer was read: by our own clock, but of a simulated world by its own."""
    return told_now(client) if origin == "simulator" else datetime.now(UTC)
