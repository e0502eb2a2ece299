"""`ingest doctor`: what is wrong with this installation, and how to mend it."""

from __future__ import annotations

import dataclasses

import typer

from ingestion_assets.cli.arguments import AsJson

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(as_json: AsJson = False) -> None:
    """Check settings, stores, exchanges, clocks, versions and series. Exit code 1 when something fails."""
    from ingestion_assets.cli import output
    from ingestion_assets.cli.examinations import FAIL, WARN, examine

    found = []
    for finding in examine():
        found.append(finding)
        if not as_json:
            line = output.out()
            line.print(f"{finding.status:<5}", style=_STYLES[finding.status], end="")
            line.print(f" {finding.name}: {finding.text}", markup=False)
            if finding.remedy:
                line.print(f"      → {finding.remedy}", markup=False)
    bad = sum(finding.status == FAIL for finding in found)
    if as_json:
        output.show_json({"ok": not bad, "findings": [dataclasses.asdict(finding) for finding in found]})
    else:
        doubtful = sum(finding.status == WARN for finding in found)
        output.say(f"{output.plural(len(found), 'check')}, {bad} failed, {doubtful} with a warning.")
    if bad:
        raise typer.Exit(1)
