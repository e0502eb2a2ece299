"""Assets in the Parquet lake.

An asset returns a lazy `Harvest`; it is landed here, slice by slice, as it comes, so memory stays small
whatever the size of the run. What worked is materialised even when something else failed; the step then
fails and names what did not work, with the cause of each.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from ingestion_assets.ingestion import Landed, summary
from ingestion_assets.intervals import period_window, union
from ingestion_assets.io_managers.partition_metadata import add_partition_metadata
from ingestion_assets.partitions import parts_of
from ingestion_assets.tables import ALL, Table
from ingestion_assets.workbench import Workbench

PARTIAL_FAILURE = "ingest/failed_series"
_TOLD = 20
_SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True)
class Harvest:
    """Slices of a table on their way into the lake; iterating lands them."""

    table: Table
    landing: Generator[Landed]


class LakeIOManager(dg.ConfigurableIOManager):
    def handle_output(self, context: dg.OutputContext, obj: Harvest) -> None:
        good: list[Landed] = []
        bad: list[Landed] = []
        progress = Progress(context.log)
        with contextlib.closing(obj.landing) as landing:
            for landed in landing:
                (bad if landed.error else good).append(landed)
                progress.tell(landed)
        progress.close()
        totals = summary([*good, *bad])
        if bad:
            for landed in good:
                context.log_event(
                    dg.AssetMaterialization(
                        context.asset_key, partition=landed.slice.key, metadata=metadata_of(landed)
                    )
                )
            tags = {PARTIAL_FAILURE: str(len(totals["failed"]))}
            context.step_context.instance.add_run_tags(context.step_context.run_id, tags)
            raise failure(totals)
        for landed in good:
            add_partition_metadata(context, landed.slice.key, metadata_of(landed))

    def load_input(self, context: dg.InputContext) -> Any:
        """The rows of the partitions asked for, those that are there, as the type that the asset asks for."""
        import pyarrow as pa

        bench: Workbench = _bench()
        table = ALL["/".join(context.asset_key.path)]
        by_series: dict[str, list[str]] = {}
        for key in context.asset_partition_keys:
            month, series = parts_of(str(key))
            by_series.setdefault(series, []).append(month)
        parts = []
        for series, names in by_series.items():
            for window in union(period_window(month) for month in names):
                rows = bench.lake.read(table, series, window)
                parts.append(rows.append_column("series", pa.array([series] * rows.num_rows, pa.string())))
        rows = pa.concat_tables(parts) if parts else table.empty()
        kind = getattr(context.dagster_type, "typing_type", None)
        name = f"{getattr(kind, '__module__', '')}.{getattr(kind, '__name__', '')}"
        if name.startswith("polars."):
            import polars as pl

            return pl.from_arrow(rows)
        if name.startswith("pandas."):
            return rows.to_pandas()
        return rows


def _bench() -> Workbench:
    from ingestion_assets.resources import workbench

    return workbench()


class Progress:
    """What a run's page shows while slices land.

    Each failure at once; of what goes well a line now and then, since every line is a row in Dagster's
    event log and costs more than landing an hour of candles does.
    """

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self._log, self._told_at = log, time.monotonic()
        self._landed = self._new = self._requests = 0

    def tell(self, landed: Landed) -> None:
        if landed.error is not None:
            self._log.error(f"{landed.slice.key}: {type(landed.error).__name__}: {landed.error}")
            return
        self._landed += 1
        self._new += landed.new
        self._requests += landed.requests
        if time.monotonic() - self._told_at > _SECONDS_BETWEEN_LINES:
            self._told_at = time.monotonic()
            self._say(f"; the last was {landed.slice.key}")

    def close(self) -> None:
        self._say("")

    def _say(self, more: str) -> None:
        self._log.info(
            f"{self._landed:,} partitions landed, {self._new:,} new rows, {self._requests:,} requests{more}"
        )


def metadata_of(landed: Landed) -> dict[str, Any]:
    """A partition's figures as the UI shows them; small, for there are many partitions."""
    figures = {name: value for name, value in landed.figures().items() if value not in (None, "")}
    return figures | {
        "dagster/partition_row_count": dg.MetadataValue.int(landed.rows),
        "query": dg.MetadataValue.md(f"```sql\n{landed.query}\n```"),
    }


def failure(totals: dict[str, Any]) -> dg.Failure:
    """Names what did not work, with the cause of each; nothing here can be healed by a retry at once."""
    failed: dict[str, str] = totals["failed"]
    lines = [f"- {series}: {cause}" for series, cause in list(failed.items())[:_TOLD]]
    if len(failed) > _TOLD:
        lines.append(f"- and {len(failed) - _TOLD} more")
    done = totals["partitions"] - totals["failed_partitions"]
    return dg.Failure(
        f"{len(failed)} series failed, {done} of {totals['partitions']} partitions landed:\n"
        + "\n".join(lines),
        metadata={"failed_series": dg.MetadataValue.json(dict(list(failed.items())[:_TOLD]))},
        allow_retries=False,
    )
