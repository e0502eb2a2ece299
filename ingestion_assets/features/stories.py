"""Which items tell a story that another one told before: in the same series or in another. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa


def told_before(name: str, items: pa.Table, told: Mapping[str, pa.Table]) -> pa.Array:
    """For each item of the series the one in which its story was known first; null where that is itself.

    Known at the same moment in two series, a story is that of the one whose name comes first.
    """
    first: dict[str, tuple[object, str, str]] = {}
    for series, rows in told.items():
        for item, story, known in _each(rows):
            if story is not None:
                first[story] = min(first.get(story, (known, series, item)), (known, series, item))
    found = []
    for item, story, known in _each(items):
        _, series, before = (
            first.get(story, (known, name, item)) if story is not None else (known, name, item)
        )
        found.append(None if (series, before) == (name, item) else series)
    return pa.array(found, pa.string())


def _each(rows: pa.Table) -> list[tuple[str, str | None, object]]:
    columns = (rows.column(name).to_pylist() for name in ("id", "story", "known_at"))
    return list(zip(*columns, strict=True))
