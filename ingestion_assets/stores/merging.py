"""Rows of one month that are held and rows that are given, as one: the rule by which the lake is written.

Union by key, newer wins. A row whose values are the same as those held keeps its source and known_at; one
that replaces other values could be known only from now on. Pure: nothing is read or written here.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import Window, micros
from ingestion_assets.tables import Table


def merged_rows(
    table: Table, held: pa.Table | None, given: pa.Table, replace: list[Window], now: datetime
) -> tuple[pa.Table, pa.Table, dict[str, int | None]]:
    """Held and given rows as one, the held rows that lost their place, and counts of what was done."""
    given_keys = table.keys(given)
    appended = {"new": given.num_rows, "changed": 0, "dropped": 0, "touched": _first(given_keys)}
    if held is None or held.num_rows == 0:
        return given, given.slice(0, 0), appended
    held_keys = table.keys(held)
    if len(given_keys) and given_keys[0] > held_keys[-1] and not replace:
        return pa.concat_tables([held, given]), held.slice(0, 0), appended

    place = np.searchsorted(held_keys, given_keys)
    known = (place < len(held_keys)) & (held_keys[np.minimum(place, len(held_keys) - 1)] == given_keys)
    same = np.zeros(len(given_keys), dtype=bool)
    same[known] = _equal(table, held.take(pa.array(place[known])), given.filter(pa.array(known)))
    changed = known & ~same

    gone = np.zeros(len(held_keys), dtype=bool)
    for window in replace:
        gone[
            np.searchsorted(held_keys, micros(window.start)) : np.searchsorted(held_keys, micros(window.end))
        ] = True
    gone[place[known]] = False
    lost = gone.copy()
    lost[place[changed]] = True

    revised = _known_at(given.filter(pa.array(changed)), now)
    pieces = [held.filter(pa.array(~lost)), given.filter(pa.array(~known)), revised]
    merged = pa.concat_tables(pieces)
    order = np.argsort(table.keys(merged), kind="stable")
    merged = merged.take(pa.array(order))
    counts = {
        "new": int((~known).sum()),
        "changed": int(changed.sum()),
        "dropped": int(gone.sum()),
        "touched": _first(np.concatenate([given_keys[~same], held_keys[gone]])),
    }
    return merged, held.filter(pa.array(lost)), counts


def _first(keys: np.ndarray) -> int | None:
    return int(keys.min()) if len(keys) else None


def _equal(table: Table, held: pa.Table, given: pa.Table) -> np.ndarray:
    """Which rows say the same, compared column by column; two nulls are the same."""
    same = np.ones(held.num_rows, dtype=bool)
    for name in table.payload:
        left, right = held.column(name), given.column(name)
        if left.null_count == right.null_count == held.num_rows:
            continue
        if left.null_count == right.null_count == 0:
            same &= left.to_numpy() == right.to_numpy()
        else:
            pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
            same &= np.fromiter((a == b for a, b in pairs), bool, held.num_rows)
    return same


def _known_at(rows: pa.Table, now: datetime) -> pa.Table:
    """A value that replaces another could be known only from now on."""
    if rows.num_rows == 0 or "known_at" not in rows.column_names:
        return rows
    index = rows.schema.get_field_index("known_at")
    stamps = pa.array([now] * rows.num_rows, rows.schema.field(index).type)
    return rows.set_column(index, rows.schema.field(index), stamps)
