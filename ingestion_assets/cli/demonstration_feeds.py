"""The demo's steps for what feeds give, domain by domain: a little of each, and what must be true of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ingestion_assets.cli import output
from ingestion_assets.intervals import Window, bars, floor

if TYPE_CHECKING:
    from ingestion_assets.workbench import Workbench

Say = Callable[[str], None]
Expect = Callable[[bool, str], None]

PERPETUAL = "binance.LINK-USDT-PERP"
_DAYS = timedelta(days=2)


def perpetuals(bench: Workbench, say: Say, expect: Expect) -> None:
    """Two days up to now: what the archive has from there, the rest from the API."""
    from ingestion_assets.ingestion import slices_of, summary
    from ingestion_assets.tables.derivatives import DERIVATIVES

    now = floor(datetime.now(UTC), timedelta(days=1)) + timedelta(hours=1)
    window = Window(now - _DAYS, now)
    found, refused = bench.adopt([PERPETUAL], now)
    expect(not refused, f"{PERPETUAL} could not be registered: {refused}")
    for table in DERIVATIVES.values():
        pieces = list(slices_of([found[PERPETUAL]], window, table.cut))
        figures = summary(list(bench.ingest(table, pieces, run="demo")))
        expect(not figures["failed"], f"{table.path}: {figures['failed']}")
        say(
            f"{output.number(figures['new_rows'])} rows of {table.path}, "
            f"{output.plural(figures['requests'], 'request')}"
        )
        if table.grid:
            wanted = bars([window], table.grain)
            expect(figures["new_rows"] == wanted, f"{wanted} were expected")
        left = bench.ledger.open(table.path, PERPETUAL)
        inside = [gap for gap in left if gap.window.start < window.end and gap.window.end > window.start]
        expect(not inside, f"{table.path}: {inside[:1]} is open still")
