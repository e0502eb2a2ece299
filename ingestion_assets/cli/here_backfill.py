"""A backfill in this process: the same fetching and landing as in Dagster's runs, without Dagster."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime

from ingestion_assets.cli import output
from ingestion_assets.cli.errors import Failed
from ingestion_assets.cli.planning import Planned
from ingestion_assets.cli.progress import bar, closing
from ingestion_assets.ingestion import Landed, Options, Slice, summary
from ingestion_assets.stores.registry_table import process_owner
from ingestion_assets.tables import ALL
from ingestion_assets.workbench import Workbench


def backfill_here(bench: Workbench, planned: Sequence[Planned], options: Options, *, as_json: bool) -> None:
    started = datetime.now(UTC)
    slices: dict[str, list[Slice]] = {}
    for one in planned:
        slices.setdefault(one.work.table.path, []).extend(plan.slice for plan in one.needed)
    count = sum(map(len, slices.values()))
    by_rows = all(one.work.table.grid for one in planned)  # of events nobody knows how many there are
    total = sum(one.bars for one in planned) if by_rows else count
    landed: list[Landed] = []
    fetched = 0
    with bar("Fetching", total, quiet=as_json) as shown:
        for path, pieces in slices.items():
            newest_first = sorted(pieces, key=lambda piece: piece.period, reverse=True)
            work = bench.ingest(ALL[path], newest_first, run=process_owner(), options=options)
            with contextlib.closing(work):
                for one_landed in work:
                    landed.append(one_landed)
                    fetched += one_landed.fetched
                    failed = sum(one.error is not None for one in landed)
                    text = (
                        f"{len(landed)} of {output.plural(count, 'partition')}, {output.number(fetched)} rows"
                    )
                    shown.set(
                        fetched if by_rows else len(landed), text + (f", {failed} failed" if failed else "")
                    )
    figures = closing(started, summary(landed))
    if as_json:
        output.show_json(figures)
    else:
        _tell(figures, options)
    failed_series: dict[str, str] = figures["failed"]
    if failed_series:
        causes = "\n".join(f"  {name}: {cause}" for name, cause in failed_series.items())
        resume = "What landed stays; the same command fetches the rest."
        raise Failed(f"{output.plural(len(failed_series), 'series', 'series')} failed. {resume}\n{causes}")


def _tell(figures: dict[str, object], options: Options) -> None:
    verb = "would be new" if options.dry_run else "new"
    parts = [
        f"{output.number(float(str(figures['new_rows'])))} rows {verb}",
        f"{output.number(float(str(figures['changed_rows'])))} changed",
        f"{output.plural(int(str(figures['requests'])), 'request')}",
        f"{output.duration(float(str(figures['seconds'])))}",
        f"{output.number(float(str(figures['rows_per_second'])))} rows/s",
    ]
    output.say(", ".join(parts) + ".", style=None if figures["failed"] else "green")
