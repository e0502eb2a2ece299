"""Not a contender: registers the series and their partitions in an installation, before a run is timed.

The series are listed for the window only, so that whole months are asked for no more than it holds.
"""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from benchmarks.contenders import job
from ingestion_assets.registry import Series, series_id
from ingestion_assets.workbench import Workbench


def main() -> None:
    work = job()
    first, end = (datetime.fromtimestamp(ms / 1_000, UTC) for ms in (work.start_ms, work.end_ms))
    bench = Workbench()
    bench.catalog.create()
    series = [
        Series(
            series_id("binance", s),
            "market",
            "binance",
            s,
            listed_at=first,
            delisted_at=end,
            backfill_from=first,
        )
        for s in work.symbols
    ]
    bench.registry.add_missing(series)
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("market", [one.id for one in series])


if __name__ == "__main__":
    main()
