"""`ingest sql`: DuckDB over the lake, the registry and the gap ledger."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli.arguments import AsJson

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from ingestion_assets.settings import Settings

_SHOWN_ROWS = 200
_TABLES = (
    "select table_schema as schema, table_name as name from information_schema.tables "
    "where not starts_with(table_name, '_') order by all;"
)
_HELP = "A statement ends with a semicolon. .tables lists the tables, .quit or Ctrl-D ends."


def sql(
    query: Annotated[
        str | None, typer.Argument(metavar="[QUERY]", help="Without it: a prompt, or what stdin says.")
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
) -> None:
    """Ask the lake: market.ohlcv_1m, market.ohlcv_1h, …, and the tables registry and gaps."""
    from ingestion_assets.cli import environment
    from ingestion_assets.cli.errors import BadInput
    from ingestion_assets.cli.lake_views import connect

    if as_json and as_csv:
        raise BadInput("--json and --csv exclude each other: choose one of them")
    connection = connect(environment.bench())
    if query is None and sys.stdin is not None and sys.stdin.isatty():
        _prompt(connection, environment.settings())
        return
    text = query if query is not None else sys.stdin.read() if sys.stdin is not None else ""
    if not text.strip():
        raise BadInput('QUERY is empty: write one like "select count(*) from market.ohlcv_1m"')
    rows = run(connection, text)
    if rows is None:
        return
    if as_json:
        _json(rows)
    elif as_csv:
        _csv(rows)
    else:
        show(rows)


def run(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table | None:
    """The rows of the last statement; None when it has none."""
    import duckdb

    from ingestion_assets.cli.errors import BadInput, Failed

    try:
        result = connection.sql(query)
        return None if result is None else result.to_arrow_table()
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise Failed(f"the query could not be run: {error}") from None
    except duckdb.Error as error:
        raise BadInput(f"QUERY is not understood: {error}") from None


def show(rows: pa.Table) -> None:
    """The first rows as a table; floats as they are."""
    from ingestion_assets.cli import output

    numbers = [f.name for f in rows.schema if _is_number(f.type)]
    shown = rows.slice(0, _SHOWN_ROWS)
    cells = zip(*(column.to_pylist() for column in shown.columns), strict=True)
    output.table(None, rows.column_names, cells, right=numbers)
    more = rows.num_rows - shown.num_rows
    told = output.plural(rows.num_rows, "row")
    output.say(
        f"{told}, {output.number(more)} of them not shown: --csv gives all." if more else told, style="dim"
    )


def _prompt(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    from ingestion_assets.cli import output
    from ingestion_assets.cli.errors import BadInput, Failed

    output.say(f"DuckDB over {settings.data_lake_path}. {_HELP}")
    with _history(settings):
        statement = ""
        while True:
            try:
                line = input("…> " if statement else "sql> ")
            except EOFError:
                sys.stderr.write("\n")
                return
            except KeyboardInterrupt:
                sys.stderr.write("\n")
                statement = ""
                continue
            command = line.strip().lower()
            if not statement and command in (".quit", ".exit", "quit", "exit"):
                return
            if not statement and command == ".tables":
                line = _TABLES
            elif not statement and command.startswith("."):
                output.say(_HELP)
                continue
            statement = f"{statement}\n{line}".strip()
            if not statement.endswith(";"):
                continue
            try:
                rows = run(connection, statement)
                if rows is not None:
                    show(rows)
            except (BadInput, Failed) as error:
                output.say(str(error), style="red")
            statement = ""


@contextlib.contextmanager
def _history(settings: Settings) -> Any:
    """Lines typed earlier come back with the arrow keys, as far as Python was built with readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    path = settings.ingest_state_dir.expanduser() / "sql_history"
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_history_length(1000)
        with contextlib.suppress(OSError):
            readline.write_history_file(path)


def _json(rows: pa.Table) -> None:
    from ingestion_assets.cli import output

    output.show_json(rows.to_pylist())


def _csv(rows: pa.Table) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows.column_names)
    for batch in rows.to_batches():
        writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
