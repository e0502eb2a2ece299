"""Work on slices: fetched from whoever gives them, landed, and told in the registry meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from ingestion_assets import ingestion
from ingestion_assets.ingestion import Fetched, Landed, Options, Plan, Slice, fetch, land, unlanded
from ingestion_assets.ingestion.candles import CandleDesk
from ingestion_assets.ingestion.feeds import FeedDesk
from ingestion_assets.ingestion.fetch import Desk
from ingestion_assets.ingestion.progress import Progress
from ingestion_assets.ingestion.shelf import Shelf
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.registry import Series
from ingestion_assets.stores.catalog import CatalogError
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.tables import INGESTED, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from ingestion_assets.workbench.bench import Workbench


def ingest(
    bench: Workbench,
    table: Table,
    slices: Iterable[Slice],
    run: str,
    options: Options,
    refused: Iterable[tuple[str, Exception]],
    unasked: Iterable[tuple[Slice, str]],
) -> Generator[Landed]:
    pieces = list(slices)
    for key, error in refused:
        yield unlanded(table, Fetched.refused(table, key, error), error)
    for piece, why in unasked:
        yield _unasked(bench, table, piece, why)
    progress = Progress(None if options.dry_run else bench.registry, pieces, run)
    progress.begin()
    try:
        with contextlib.closing(_fetch_and_land(bench, table, pieces, run, options)) as stream:
            for landed in stream:
                progress.landed(landed)
                yield landed
    except BaseException as error:
        progress.interrupted(error)
        raise


def _unasked(bench: Workbench, table: Table, piece: Slice, why: str) -> Landed:
    """What is held stays; nothing is settled, so what is missing is fetched once somebody can be asked."""
    nothing = Fetched(piece, Plan(piece, [], []), table.empty())
    try:
        held = Shelf(table, piece, bench.lake, run="", code_version=bench.code_version).held()
    except StoreError as error:  # told of this slice; the others are still to come
        return unlanded(table, nothing, error)
    return dataclasses.replace(Landed.of(table, nothing, held), status="no_data", reason=why)


def _fetch_and_land(
    bench: Workbench, table: Table, slices: Sequence[Slice], run: str, options: Options
) -> Generator[Landed]:
    # Made here, by one thread: the landing threads share them.
    lake, ledger = bench.lake, bench.ledger

    def open_desk(source: str) -> Desk:
        if table in INGESTED.values():
            return CandleDesk(table, lake, ledger, bench.source(source), options)
        return FeedDesk(table, lake, ledger, bench.able(table, source), bench.vendor, options)

    landing = partial(_land, bench, table, run, options)
    return fetch(table, slices, open_desk, landing, bench.settings.http_concurrency)


def _land(bench: Workbench, table: Table, run: str, options: Options, fetched: Fetched) -> Landed:
    version = bench.code_version
    try:
        landed = land(
            table, fetched, bench.lake, bench.ledger, run=run, code_version=version, options=options
        )
        if fetched.delisted_at is not None and not options.dry_run:
            _note_delisting(bench, fetched.slice.series.id, fetched.delisted_at)
        return landed
    except (StoreError, CatalogError) as error:
        return unlanded(table, fetched, fetched.error or error)


def _note_delisting(bench: Workbench, series: str, moment: datetime) -> None:
    entry = bench.registry.get(series)
    if entry is not None and entry.series.delisted_at != moment:
        bench.registry.update(dataclasses.replace(entry.series, delisted_at=moment))


def land_computed(
    bench: Workbench,
    table: Table,
    key: str,
    compute: Callable[[], pa.Table],
    run: str,
    window: Window | None,
) -> Landed:
    month, _, name = key.partition("|")
    series = Series(name, "market", name.partition(".")[0], name)
    piece = Slice(series, month, window or month_window(month))
    return ingestion.land_computed(
        table, piece, compute, bench.lake, run=run, code_version=bench.code_version
    )
