"""A backfill by Dagster: launched through its API, followed until it ends.

Dagster records the partitions of a run when the run ends, so the bar looks at the files in the lake.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingestion_assets.cli import output
from ingestion_assets.cli.errors import Failed
from ingestion_assets.cli.planning import Planned
from ingestion_assets.cli.progress import bar, closing
from ingestion_assets.dagster_api import BackfillState, DagsterApi
from ingestion_assets.ingestion import Options
from ingestion_assets.stores.lake_file import CorruptFile
from ingestion_assets.tables import ALL
from ingestion_assets.workbench import Workbench

POLL_SECONDS = 1.0


@dataclass
class _Partition:
    """One month or day of one series on its way into the lake."""

    table: str
    series: str
    month: str
    before: int
    expected: int
    new: int = 0

    @property
    def complete(self) -> bool:
        return self.new >= self.expected


def backfill_by_dagster(
    bench: Workbench,
    api: DagsterApi,
    planned: Sequence[Planned],
    options: Options,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    started = datetime.now(UTC)
    for domain in sorted({one.work.table.domain for one in planned}):
        mine = {one.work.series.id for one in planned if one.work.table.domain == domain}
        api.add_partitions(domain, sorted(mine))
    partitions = _partitions(bench, planned)
    backfills = _launch(api, planned, options)
    if not as_json:
        for path, name in backfills.items():
            output.say(f"{path}: Dagster backfill {name}, {api.page(name)}")
    if not follow:
        if as_json:
            output.show_json({"status": "launched", "backfills": backfills})
        else:
            output.say(f"Not followed. `ingest backfill --cancel {next(iter(backfills.values()))}` stops it.")
        return
    try:
        states = _follow(bench, api, backfills, partitions, options, as_json)
    except KeyboardInterrupt:
        names = "; ".join(f"`ingest backfill --cancel {name}`" for name in backfills.values())
        output.say(f"\nNo longer followed; the backfill goes on. To stop it: {names}", style="yellow")
        raise
    _close(bench, api, backfills, states, partitions, started, as_json)


def _launch(api: DagsterApi, planned: Sequence[Planned], options: Options) -> dict[str, str]:
    config = {n: True for n in ("full_refresh", "dry_run", "verify") if getattr(options, n)}
    keys: dict[str, list[str]] = {}
    for one in planned:
        keys.setdefault(one.work.table.path, []).extend(one.keys)
    tags = {"ingest/asked_by": "cli"}
    return {
        path: api.launch(path, wanted, title="ingest backfill", config=config, tags=tags)
        for path, wanted in keys.items()
        if wanted
    }


def _partitions(bench: Workbench, planned: Sequence[Planned]) -> list[_Partition]:
    found = []
    for one in planned:
        for plan in one.needed:
            path, month = one.work.table.path, plan.slice.period
            before = _rows(bench, path, one.work.series.id, month)
            found.append(_Partition(path, one.work.series.id, month, before, plan.bars(one.work.table)))
    return found


def _follow(
    bench: Workbench,
    api: DagsterApi,
    backfills: dict[str, str],
    partitions: list[_Partition],
    options: Options,
    quiet: bool,
) -> dict[str, BackfillState]:
    """Looks at the lake for rows as they land; where nobody knows how many, at Dagster's counts."""
    by_rows = not (options.full_refresh or options.verify or options.dry_run)
    by_rows = by_rows and all(ALL[p.table].grid for p in partitions)  # of events nobody knows how many
    total = sum(p.expected for p in partitions) if by_rows else len(partitions)
    with bar("Backfilling", total, quiet=quiet) as shown:
        while True:
            states = {path: api.state(name) for path, name in backfills.items()}
            ended = all(state.done for state in states.values())
            if by_rows or ended:
                _look(bench, partitions, everything=ended)
            done = sum(state.materialized for state in states.values())
            failed = sum(state.failed for state in states.values())
            landed = max(done, sum(p.complete for p in partitions)) if by_rows else done
            rows = sum(p.new for p in partitions)
            text = f"{landed} of {output.plural(len(partitions), 'partition')}"
            text += f", {output.number(rows)} rows" if by_rows else ""
            text += f", {failed} failed" if failed else ""
            waiting = not rows and not any(state.runs for state in states.values())
            shown.set(rows if by_rows else done, text + (", waiting for the daemon" if waiting else ""))
            if ended:
                return states
            time.sleep(POLL_SECONDS)


def _look(bench: Workbench, partitions: list[_Partition], *, everything: bool) -> None:
    for one in partitions:
        if everything or not one.complete:
            one.new = max(0, _rows(bench, one.table, one.series, one.month) - one.before)


def _rows(bench: Workbench, path: str, series: str, month: str) -> int:
    try:
        footer = bench.lake.footer(ALL[path], series, month)
    except CorruptFile:
        return 0
    return footer.rows if footer else 0


def _close(
    bench: Workbench,
    api: DagsterApi,
    backfills: dict[str, str],
    states: dict[str, BackfillState],
    partitions: list[_Partition],
    started: datetime,
    as_json: bool,
) -> None:
    names = sorted({one.series for one in partitions})
    bad = [path for path, state in states.items() if not state.succeeded]
    causes: dict[str, Any] = {}
    if bad:
        messages = {name: bench.registry.require(name).error_message for name in names}
        causes = {name: message for name, message in messages.items() if message}
        if not causes:
            causes = {path: states[path].error or states[path].status.lower() for path in bad}
    figures = closing(
        started,
        {
            "backfills": backfills,
            "partitions": sum(state.targeted for state in states.values()),
            "failed_partitions": sum(state.failed for state in states.values()),
            "runs": sum(len(state.runs) for state in states.values()),
            "new_rows": sum(one.new for one in partitions),
            "failed": causes,
        },
    )
    if as_json:
        output.show_json(figures)
    elif not bad:
        done = output.plural(figures["partitions"], "partition")
        runs = output.plural(figures["runs"], "run")
        rows, seconds = output.number(figures["new_rows"]), output.duration(figures["seconds"])
        output.say(f"{done} done by {runs}, {rows} new rows, {seconds}.", style="green")
    if bad:
        lines = [f"  {name}: {cause}" for name, cause in causes.items()]
        pages = ", ".join(api.page(backfills[path]) for path in bad)
        word = "was cancelled" if all(states[path].status == "CANCELED" for path in bad) else "failed in part"
        raise Failed("\n".join([f"the backfill {word}; what landed stays. See {pages}", *lines]))
