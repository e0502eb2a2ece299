"""This project's source, plan, ledger and lake in a plain program, without Dagster."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from benchmarks.contenders import job
from ingestion_assets.ingestion import slices_of
from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series, series_id
from ingestion_assets.settings import load_settings
from ingestion_assets.tables.market import OHLCV_1M
from ingestion_assets.workbench import Workbench


def main() -> None:
    work = job()
    window = Window(*(datetime.fromtimestamp(ms / 1_000, UTC) for ms in (work.start_ms, work.end_ms)))
    settings = load_settings(
        _env_file=None,
        profile="live",
        binance_url=work.url,
        data_lake_path=f"{work.folder}/lake",
        ingest_state_dir=f"{work.folder}/state",
    )
    bench = Workbench(settings)
    bench.catalog.create()
    series = [Series(series_id("binance", s), "market", "binance", s) for s in work.symbols]
    bench.registry.add_missing(series)
    requests = 0
    for landed in bench.ingest(OHLCV_1M, slices_of(series, window), run="benchmark"):
        if landed.error is not None:
            raise landed.error
        requests += landed.requests
    print(json.dumps({"requests": requests}))


if __name__ == "__main__":
    main()
