"""The commands, their global options, and how an invocation ends. Each command loads what it needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ingestion_assets import logs
from ingestion_assets.cli import (
    api,
    backfill,
    backfill_binance,
    demo,
    doctor,
    errors,
    explain,
    gaps,
    jsonl_export,
    online,
    plan,
    registry,
    rss,
    setup,
    simulate,
    smoke,
    snapshot,
    sql,
    up,
)

_LEVELS = ("debug", "info", "warning", "error")
_state: dict[str, str] = {"log_level": "critical"}

app = typer.Typer(
    name="ingest",
    help="Market data, complete and fresh: what is ingested, how complete it is, and the stack that does it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("setup")(setup.setup)
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("api")(api.api)
app.command("smoke")(smoke.smoke)
app.add_typer(registry.app, name="registry")
app.command("plan")(plan.plan)
app.command("backfill")(backfill.backfill)
app.command("backfill-binance")(backfill_binance.backfill_binance)
app.command("rss")(rss.rss)
app.add_typer(jsonl_export.app, name="export")
app.command("gaps")(gaps.gaps)
app.command("explain")(explain.explain)
app.command("sql")(sql.sql)
app.command("test-snapshot")(snapshot.test_snapshot)
app.command("doctor")(doctor.doctor)
app.add_typer(online.cache, name="cache")
app.command("sweep")(online.sweep)
app.command("simulate")(simulate.simulate)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"ingestion-assets {metadata.version('ingestion-assets')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    log_level: Annotated[
        str | None,
        typer.Option(help=f"JSON log lines on stderr: {', '.join(_LEVELS)}. debug shows tracebacks too."),
    ] = None,
) -> None:
    level = (log_level or "critical").lower()
    if log_level is not None and level not in _LEVELS:
        raise errors.BadInput(f"--log-level {log_level!r} is unknown: use one of {', '.join(_LEVELS)}")
    _state["log_level"] = level
    # Without the option quiet: a command tells in its own words what went wrong.
    logs.configure(level.upper())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    _state["log_level"] = "critical"
    try:
        done: Any = app(None if arguments is None else list(arguments), standalone_mode=False)
    except KeyboardInterrupt:
        return _end("interrupted", errors.INTERRUPTED)
    except SystemExit as end:
        # Typer's end when a pipe breaks: who read our output, `head` for one, has seen enough.
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 open until the interpreter ends
        return 0
    except Exception as error:  # noqa: BLE001 told in one line, or with its traceback when nobody foresaw it
        return _refused(error)
    if done == errors.INTERRUPTED:  # typer makes an exit code of Ctrl-C
        return _end("interrupted", errors.INTERRUPTED)
    return done if isinstance(done, int) else 0


def _refused(error: Exception) -> int:
    shown = getattr(error, "show", None)
    if shown is not None:  # typer's own complaint about options and arguments
        shown()
        return int(getattr(error, "exit_code", errors.BAD_INPUT))
    if isinstance(error, typer.Abort):
        return _end("interrupted", errors.INTERRUPTED)
    code = errors.code_of(error)
    if code is None or _state["log_level"] == "debug":
        import traceback

        traceback.print_exception(error)
        return code or errors.FAILED
    return _end(errors.text_of(error), code)


def _end(text: str, code: int) -> int:
    from ingestion_assets.cli import output

    for number, line in enumerate(text.splitlines()):
        output.say(line if number else f"ingest: {line}", style="red")
    return code
