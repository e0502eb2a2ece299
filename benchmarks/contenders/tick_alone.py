"""A hot tick without Dagster: the open month of every registered series, by our own code alone.

Prints the CPU seconds that the work took after everything was imported, and the rows that it found.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from ingestion_assets.ingestion import Slice
from ingestion_assets.intervals import month_of, month_window
from ingestion_assets.tables.market import OHLCV_1M
from ingestion_assets.workbench import Workbench


def main() -> None:
    bench = Workbench()
    month = month_of(datetime.now(UTC))
    slices = [Slice(series, month, month_window(month)) for series in bench.registry.series()]
    started = time.process_time()
    rows = new = 0
    for landed in bench.ingest(OHLCV_1M, slices, run="benchmark"):
        if landed.error is not None:
            raise landed.error
        rows, new = rows + landed.rows, new + landed.new
    print(json.dumps({"work": time.process_time() - started, "rows": rows, "new": new}))


if __name__ == "__main__":
    main()
