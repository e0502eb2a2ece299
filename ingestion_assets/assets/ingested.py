"""What vendors give: one asset for each table that is fetched, all made alike."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from ingestion_assets.ingestion import Landed, Options, Slice, summary
from ingestion_assets.intervals import Window, parse_moment, period_window
from ingestion_assets.io_managers.lake import Harvest, Progress, failure, metadata_of
from ingestion_assets.partitions import keys_of_run, partitions_of, parts_of
from ingestion_assets.registry import Series, Strategy
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.tables import FETCHED, INGESTED, Table
from ingestion_assets.workbench import Workbench


class IngestConfig(dg.Config):
    full_refresh: bool = Field(False, description="Fetch everything again and replace what is held.")
    dry_run: bool = Field(False, description="Fetch and check, write nothing; the figures say what would be.")
    verify: bool = Field(False, description="Fetch a sample of what is held again and compare.")
    lookback_minutes: int | None = Field(
        None, gt=0, description="Only the last so many minutes of the partitions."
    )
    until: str | None = Field(None, description="Nothing of this time or later, like 2024-08-01T12:00Z.")
    max_rows: int | None = Field(
        None,
        gt=0,
        description="Only so many of the newest rows of each series, not of candles; what is older stays "
        "missing, and the next run fetches it.",
    )


def slices_for(
    bench: Workbench,
    keys: list[str],
    lookback_minutes: int | None,
    now: datetime,
    domain: str = "market",
    until: datetime | None = None,
) -> tuple[list[Slice], list[tuple[str, Exception]]]:
    """The keys' slices, newest first, and the keys whose series cannot be ingested, with why."""
    series, refused = bench.adopt(dict.fromkeys(parts_of(key)[1] for key in keys), now, domain)
    reach = now - timedelta(minutes=lookback_minutes) if lookback_minutes else None
    slices, bad = [], []
    for key in sorted(keys, key=lambda k: parts_of(k)[0], reverse=True):
        period, name = parts_of(key)
        if name in refused:
            bad.append((key, refused[name]))
        elif series[name].domain == "market" and not series[name].rest:
            bad.append((key, ValueError(_no_history(series[name]))))
        else:
            # A period beyond the reach is looked at and not fetched, so its figures are still true.
            whole = period_window(period)
            end = max(whole.start, min(whole.end, until or whole.end))
            start = min(max(whole.start, reach or whole.start), end)
            slices.append(Slice(series[name], period, Window(start, end)))
    return slices, bad


def _no_history(series: Series) -> str:
    return (
        f"series {series.id!r} has the strategy {series.strategy.value}, which asks for no history: "
        f"register it with {Strategy.FLATPACK_API.value} to fetch candles"
    )


def options_of(config: IngestConfig, table: Table) -> Options:
    if config.max_rows is not None and table in INGESTED.values():
        raise ValueError(f"max_rows is not for candles, and {table.path} has such: give lookback_minutes")
    return Options(
        full_refresh=config.full_refresh,
        dry_run=config.dry_run,
        verify=config.verify,
        most=config.max_rows,
    )


def fetched_asset(table: Table) -> dg.AssetsDefinition:
    @dg.asset(
        key=table.path.split("/"),
        partitions_def=partitions_of(table),
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="lake",
        output_required=False,
        description=table.text if table.needs == "none" else f"{table.text} Needs {table.needs}.",
    )
    def fetched(
        context: dg.AssetExecutionContext, config: IngestConfig, workbench: WorkbenchResource
    ) -> Iterator[dg.Output[Harvest]]:
        keys, bench, now = keys_of_run(context), workbench.open(), datetime.now(UTC)
        options, until = options_of(config, table), parse_moment(config.until) if config.until else None
        slices, refused = slices_for(bench, keys, config.lookback_minutes, now, table.domain, until)
        # A key that nobody set is no failure of the run; one that is wrong is.
        lacking = {piece.series.id: bench.unkeyed(table, piece.series) for piece in slices}
        landing = bench.ingest(
            table,
            [piece for piece in slices if lacking[piece.series.id] is None],
            run=f"run:{context.run.run_id}",
            options=options,
            refused=refused,
            unasked=[(piece, why) for piece in slices if (why := lacking[piece.series.id])],
        )
        if config.dry_run:
            _show(context, landing)
            return
        yield dg.Output(Harvest(table, landing))

    return fetched


def _show(context: dg.AssetExecutionContext, landing: Iterator[Landed]) -> None:
    """What a real run would do, as observations: nothing counts as materialised."""
    every, progress = [], Progress(context.log)
    for landed in landing:
        every.append(landed)
        progress.tell(landed)
        context.log_event(
            dg.AssetObservation(context.asset_key, partition=landed.slice.key, metadata=metadata_of(landed))
        )
    progress.close()
    totals = summary(every)
    if totals["failed"]:
        raise failure(totals)


ASSETS = [fetched_asset(table) for table in FETCHED.values()]
