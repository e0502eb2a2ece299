"""`ingest demo`: the whole way once, in a world of its own that is gone afterwards."""

from __future__ import annotations


def demo() -> None:
    """Plan, backfill, break, find, heal and query candles of a simulated exchange, then clean up."""
    import tempfile
    from pathlib import Path

    from ingestion_assets.cli import output
    from ingestion_assets.cli.demonstration import Demonstration
    from ingestion_assets.simulator import Simulator

    with tempfile.TemporaryDirectory(prefix="ingest-demo-") as folder, Simulator() as simulator:
        Demonstration(Path(folder), simulator).run()
    over = "The demo is over; its files are gone. `make run` starts the real thing."
    output.out().print(f"\n{over}", style="bold green")
