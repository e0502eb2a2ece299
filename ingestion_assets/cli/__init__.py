"""`ingest …`: where everything meets for a shell. Nobody imports it.

application    the commands and the global options; nothing else is loaded until one of them runs
environment    the one place that touches os.environ: the project's `.env` and Dagster's home
errors         which error becomes which line and exit code
output         tables, figures and times as people and programs read them
selection      series, timeframes and windows as they are typed
one file for each command, and beside it what only that command needs
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    import sys

    from ingestion_assets.cli.application import run

    sys.exit(run(arguments))
