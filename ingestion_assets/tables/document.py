"""docs/catalog.md, made from the tables: `python -m ingestion_assets.tables.document > docs/catalog.md`.

A test compares the page with what this makes, so it is never out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ingestion_assets.tables import ALL, Table

_HEAD = """# Catalog

Every table of the lake: what a row is, where it lies, its columns, and what is always true of it.
This page is made from `ingestion_assets/tables/` (`make docs`); do not edit it.

- `time` is UTC event time with microseconds; for bars it is when the bar **opens**.
- Files are Parquet, one for each series and month, sorted by time:
  `<lake>/<table>/series=<id>/month=<YYYY-MM>/part-0.parquet`; of tables that say so, one for each day:
  `day=<YYYY-MM-DD>`. The series and the month or day are in the path only.
- A table with a grid has a row at every step of it; where one is absent, the gap ledger says why. Rows of
  a table of events come when they come; its files note for which time everything has been fetched.
- A null means that the vendor does not say, or that what it would be made of is not held; nothing is filled
  in or made up.
- A row that breaks a promise is not in the table: it is in `<lake>/_quarantine/`, with the reason.
- Earlier values of rows that a vendor restated are in `<lake>/_revisions/`.
- What is missing, and why, is in the gap ledger: `ingest gaps`, `ingest explain`.
"""


def page() -> str:
    return "\n".join([_HEAD, *_index(), *(line for table in ALL.values() for line in _section(table))])


def _index() -> Iterator[str]:
    yield "| table | what | from | cadence | history | key needed |"
    yield "|---|---|---|---|---|---|"
    for table in ALL.values():
        anchor = table.path.replace("/", "")
        cells = (table.text, table.origin, table.cadence, table.history, table.needs)
        yield f"| [`{table.path}`](#{anchor}) | {' | '.join(cells)} |"
    yield ""


def _section(table: Table) -> Iterator[str]:
    yield f"## {table.path}"
    yield ""
    key = f"`{table.key}` and `{table.among}`" if table.among else f"`{table.key}`"
    shape = f"on a grid of {table.grain}" if table.grid else "events"
    yield (
        f"{table.text} Schema version {table.version}, key {key} within a series, {shape}, "
        f"a file for each {table.cut}."
    )
    yield ""
    yield "| column | type | null | meaning |"
    yield "|---|---|---|---|"
    for column in table.columns:
        yield f"| `{column.name}` | {column.kind} | {'no' if column.required else 'yes'} | {column.text} |"
    yield ""
    yield "Promises: " + "; ".join(promise.text for promise in table.promises) + "."
    yield ""


if __name__ == "__main__":
    sys.stdout.write(page())
