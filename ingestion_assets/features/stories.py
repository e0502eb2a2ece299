"""Which items tell a story that another one told before: in the same series or in another. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

Known = tuple[object, str, str]  # when, in which series, as which item


def first_told(told: Mapping[str, pa.Table]) -> dict[str, Known]:
    """Where each story was known first, by the items of every series."""
    first: dict[str, Known] = {}
    for series, rows in told.items():
        for item, story, known in _each(rows):
            if story is not None:
                first[story] = min(first.get(story, (known, series, item)), (known, series, item))
    return first


def told_before(name: str, items: pa.Table, first: Mapping[str, Known]) -> pa.Array:
    """For each item of the series the one in which its story was known first; null where that is itself.

    Known at the same moment in two series, a story is that of the one whose name comes first.
    """
    found = []
    for item, story, known in _each(items):
        own: Known = (known, name, item)
        _, series, before = first.get(story, own) if story is not None else own
        found.append(None if (series, before) == (name, item) else series)
    return pa.array(found, pa.string())


def _each(rows: pa.Table) -> list[tuple[str, str | None, object]]:
    columns = (rows.column(name).to_pylist() for name in ("id", "story", "known_at"))
    return list(zip(*columns, strict=True))
