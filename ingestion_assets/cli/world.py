"""Which world the lake's candles come from. Simulated and real ones must never lie in one lake.

What is held is not fetched again, so a lake that the simulator filled would show invented prices as real
ones once PROFILE says live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingestion_assets.workbench import Workbench

_SIMULATOR = "simulator"


def mixed_worlds(bench: Workbench) -> str | None:
    """What is wrong when a series in the lake comes from the other world than it would be fetched from."""
    from ingestion_assets.stores.lake_file import CorruptFile
    from ingestion_assets.tables import INGESTED

    settings = bench.settings
    simulator = f"http://127.0.0.1:{settings.simulator_port}"
    for table in INGESTED.values():
        for series, months in bench.lake.inventory(table).items():
            venue = series.partition(".")[0]
            simulated = settings.profile == _SIMULATOR and settings.vendor_urls.get(venue) == simulator
            try:
                origins = _origins(bench, table.path, series, months[-1])
            except CorruptFile:  # healing is for others
                continue
            if origins and (_SIMULATOR in origins) != simulated:
                held, other = ("simulated", "real") if _SIMULATOR in origins else ("real", "simulated")
                state = settings.ingest_state_dir.expanduser()
                return (
                    f"DATA_LAKE_PATH={settings.data_lake_path!r} holds {held} candles of {series}, and with "
                    f"PROFILE={settings.profile} {other} ones would be added. Set DATA_LAKE_PATH and "
                    "INGEST_STATE_DIR to other folders, like "
                    f"DATA_LAKE_PATH={settings.data_lake_path}-{other} INGEST_STATE_DIR={state}-{other}, "
                    "or move these away"
                )
    return None


def _origins(bench: Workbench, path: str, series: str, month: str) -> set[str]:
    """How the first rows of a month came to be."""
    from ingestion_assets.intervals import Window, month_window
    from ingestion_assets.tables import ALL

    table = ALL[path]
    footer = bench.lake.footer(table, series, month)
    if footer is None or footer.first is None:
        return set()
    window = Window(footer.first, min(footer.first + 10 * table.grain, month_window(month).end))
    rows = bench.lake.read(table, series, window, ["time", "source"])
    return {str(value) for value in rows.column("source").to_pylist()}
