"""Ingestion on request: which runs of Dagster bring these series up to date, and what those did.

One run takes what is fetched and everything that is made of it, in the order of the graph, so that its end
is the end of all; who asked is answered from the figures that the run recorded. The schedules and sensors
know nothing of it and find, when their turn comes, that little is left to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingestion_assets.dagster_api import DagsterApi
from ingestion_assets.dagster_api.runs import Run, assets, launch_run
from ingestion_assets.intervals import Window, floor, month_of
from ingestion_assets.registry import Series
from ingestion_assets.seeds import fetched_as
from ingestion_assets.serving.problems import Unprocessable
from ingestion_assets.stores.gap_ledger import MISSING
from ingestion_assets.tables import DERIVED, FEATURES, INGESTED, STATISTICS, Table
from ingestion_assets.tables.domain_features import features_of
from ingestion_assets.workbench import Workbench

CAUSE = "ingest/cause"
ASSET_JOB = "__ASSET_JOB"  # Dagster's own, over all assets
LOOK_BACK_MINUTES = 120
MINUTES = timedelta(minutes=1)
_DAY_OR_MONTH = {"month": month_of, "day": lambda moment: f"{moment:%Y-%m-%d}"}


@dataclass(frozen=True)
class Stretch:
    """Series that are neighbours among Dagster's partitions, so that one run can carry them."""

    table: Table
    series: tuple[str, ...]


def table_for(timeframe: str) -> Table:
    """The fetched table that a timeframe comes from; hours and more are made of minutes."""
    fetched = fetched_as(timeframe)
    if fetched not in INGESTED:
        raise Unprocessable(
            f"timeframe {timeframe!r} is not ingested: use one of {', '.join((*INGESTED, *DERIVED))}"
        )
    return INGESTED[fetched]


def newest_bars(table: Table, count: int, now: datetime, settle: timedelta) -> Window:
    """The window of so many of the newest closed bars."""
    end = floor(now - settle, table.grain)
    return Window(end - count * table.grain, end)


def described(bench: Workbench, series: str, now: datetime, timeframes: Sequence[str] = ("1m",)) -> Series:
    """The series as its venue describes it; an exchange or a timeframe that there is not was a mistake."""
    try:
        return bench.describe(series, now, timeframes)
    except ValueError as error:
        raise Unprocessable(str(error)) from None


def registered(bench: Workbench, dagster: DagsterApi, series: str, now: datetime) -> Series:
    """The series as registered; one that is not yet is looked up at its venue, and becomes a partition."""
    entry = bench.registry.get(series)
    if entry is None:
        found = described(bench, series, now)
        bench.registry.add_missing([found])
        bench.expect([found], now)
    else:
        found = entry.series
    if not found.rest:
        raise Unprocessable(
            f"series {series!r} has the strategy {found.strategy.value}, which asks for no history: "
            "give it flatpack_api"
        )
    dagster.add_partitions(found.domain, [found.id])
    return found


def launch(dagster: DagsterApi, stretch: Stretch, window: Window, lookback_minutes: int, cause: str) -> str:
    """A run over the months of the window; its id."""
    keys = tuple(
        f"{_DAY_OR_MONTH[stretch.table.cut](moment)}|{name}"
        for moment, name in ((window.start, stretch.series[0]), (window.end, stretch.series[-1]))
    )
    op = stretch.table.path.replace("/", "__")
    return launch_run(
        dagster,
        ASSET_JOB,
        assets=made_of(stretch.table, assets(dagster)),
        keys=(keys[0], keys[1]),
        config={op: {"config": {"lookback_minutes": lookback_minutes}}},
        tags={CAUSE: cause, "ingest/asked_by": "api"},
    )


def made_of(table: Table, there: Collection[str]) -> list[str]:
    """The table's asset and those that are made of it for the same partitions, as far as Dagster has them."""
    timeframe = table.name.removeprefix("ohlcv_")
    wanted = [table.path]
    if table.domain != "market":
        wanted += [path for one in features_of(table) for path in (one.path, f"online/{one.name}")]
        return [path for path in wanted if path in there]
    if timeframe in FEATURES:
        wanted += [FEATURES[timeframe].path, f"online/{FEATURES[timeframe].name}"]
    if timeframe == "1m":
        wanted += [derived.path for derived in (*DERIVED.values(), *STATISTICS.values())]
    return [path for path in wanted if path in there]


def stretches(dagster: DagsterApi, table: Table, names: Collection[str]) -> list[Stretch]:
    """The series cut where others lie between them, for a run takes whatever does."""
    found: list[Stretch] = []
    before = False
    for name in dagster.partitions(table.path):
        if name in names:
            neighbours = found.pop().series if before else ()
            found.append(Stretch(table, (*neighbours, name)))
        before = name in names
    return found


def following(bench: Workbench, table: Table) -> list[str]:
    """The series that are kept up to date in this table: enabled, wanted in it, with the key it takes."""
    return [series.id for series in bench.followed(table)]


def minutes_back(window: Window, now: datetime) -> int:
    """How far back from now the window begins, whole minutes, a little generous: the run starts later."""
    return -(-(now - window.start) // MINUTES) + 1


# What runs did


def total(runs: Iterable[Run], paths: Collection[str], *figures: str) -> int:
    """The sum of some figures over all partitions of these assets."""
    return sum(
        int(one.figures.get(name) or 0)
        for run in runs
        for one in run.materialized
        if one.asset in paths
        for name in figures
    )


def left_open(run: Run, paths: Collection[str]) -> list[str]:
    """What of the time is still missing of these assets, oldest first, as the run tells it."""
    parts = sorted(
        (one for one in run.materialized if one.asset in paths), key=lambda one: one.partition or ""
    )
    told = [hole for one in parts for hole in str(one.figures.get("gaps") or "").split("; ")]
    return [hole.removesuffix(f" {MISSING}") for hole in told if hole.endswith(f" {MISSING}")]


def series_of(runs: Iterable[Run], paths: Collection[str]) -> set[str]:
    """The series of which some partition was materialised."""
    parts = (one.partition for run in runs for one in run.materialized if one.asset in paths)
    return {part.partition("|")[2] for part in parts if part}


def newest(run: Run, path: str) -> dict[str, object]:
    """The figures of the newest partition of an asset."""
    of_asset = [one for one in run.materialized if one.asset == path]
    return dict(max(of_asset, key=lambda one: one.partition or "").figures) if of_asset else {}
