"""`ingest gaps`: what the lake lacks, and why."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from ingestion_assets.cli.arguments import AsJson, Domains, Everything, SeriesNames, Tables, Timeframes

if TYPE_CHECKING:
    from ingestion_assets.ingestion.audit import Audit
    from ingestion_assets.stores.gap_ledger import Gap
    from ingestion_assets.tables import Table

_STYLES = {"missing": "red", "no_trades": "dim", "venue_outage": "yellow", "unrecoverable": "yellow"}


def gaps(
    series: SeriesNames = None,
    timeframe: Timeframes = None,
    table: Tables = None,
    domain: Domains = None,
    everything: Everything = False,
    as_json: AsJson = False,
) -> None:
    """Look through the lake now and list its holes with their reasons. Exit code 1 when something lacks."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.selection import chosen
    from ingestion_assets.cli.table_choice import choice
    from ingestion_assets.intervals import bars

    bench = environment.bench()
    meant = choice(timeframe or (), table or (), domain or ())
    now = datetime.now(UTC)
    audits: list[tuple[Table, Audit]] = []
    found: list[tuple[Gap, int]] = []
    for one, tables in chosen(bench, series or (), meant, everything):
        for kept in tables:
            audits.append((kept, bench.audit(kept, one, now)))
            found += [(gap, bars([gap.window], kept.grain)) for gap in bench.ledger.open(kept.path, one.id)]
    lacking = sum(one.absent + one.pending for _, one in audits)
    if as_json:
        output.show_json(
            {
                "series": [_audit_dict(kept, one) for kept, one in audits],
                "gaps": [_gap_dict(gap, count) for gap, count in found],
                "missing_bars": lacking,
            }
        )
    else:
        _show(audits, found, lacking)
    if lacking:
        raise typer.Exit(1)


def _show(audits: list[tuple[Table, Audit]], found: list[tuple[Gap, int]], lacking: int) -> None:
    from ingestion_assets.cli import output

    names = ["series", "table", "from", "to", "expected", "missing", "explained", "coverage"]
    rows = (
        (
            one.series.id,
            table.path,
            one.window.start.date(),
            one.window.end,
            one.expected,
            one.absent + one.pending,
            one.affirmed,
            _percent(one.coverage),
        )
        for table, one in audits
    )
    output.table("Completeness", names, rows, right=names[4:])
    if found:
        names = ["series", "table", "from", "length", "bars", "reason", "attempts", "next", "evidence"]
        output.table(
            "Gaps",
            names,
            (
                (
                    gap.series,
                    gap.table,
                    gap.window.start,
                    gap.window.length,
                    count,
                    gap.reason,
                    gap.attempts,
                    next_step(gap),
                    gap.evidence,
                )
                for gap, count in found
            ),
            right=("length", "bars", "attempts"),
            wrap=("evidence",),
            styles=_STYLES,
        )
    if lacking:
        if all(table.grid for table, _ in audits):
            what = output.plural(lacking, "bar is", "bars are")
        else:  # of events it is time that lacks: stretches of it that nobody fetched
            what = output.plural(lacking, "bar or stretch of time is", "bars or stretches of time are")
        output.say(
            f"{what} missing. A running stack heals this by itself; "
            "`ingest backfill --here` does it at once.",
            style="red",
        )
    else:
        output.say("Nothing is missing: every hole has a reason.", style="green")


def next_step(gap: Gap) -> str:
    """When a gap is looked at again."""
    from ingestion_assets.intervals import iso

    if gap.closed_at is not None:
        return f"closed {iso(gap.closed_at.replace(microsecond=0))}"
    if gap.expires_at is not None:
        return f"asked again after {iso(gap.expires_at.replace(microsecond=0))}"
    if gap.next_try_at is not None:
        return f"tried again after {iso(gap.next_try_at.replace(microsecond=0))}"
    return "to be fetched"


def _percent(share: float) -> str:
    """Never 100 % when something is missing."""
    return "100 %" if share >= 1 else f"{min(99.99, share * 100):.2f} %"


def _audit_dict(table: Table, one: Audit) -> dict[str, Any]:
    from ingestion_assets.cli.output import duration
    from ingestion_assets.cli.table_choice import timeframe_of

    return {
        "series": one.series.id,
        "table": table.path,
        "timeframe": timeframe_of(table),
        "unit": "bars" if table.grid else f"{duration(table.grain)} of events",
        "from": one.window.start,
        "to": one.window.end,
        "expected": one.expected,
        "missing": one.absent + one.pending,
        "never_fetched": one.pending,
        "affirmed_empty": one.affirmed,
        "coverage": round(one.coverage, 6),
        "corrupt_files": one.corrupt,
    }


def _gap_dict(gap: Gap, count: int) -> dict[str, Any]:
    facts = {f.name: getattr(gap, f.name) for f in dataclasses.fields(gap) if f.name != "window"}
    return facts | {"from": gap.window.start, "to": gap.window.end, "bars": count}
