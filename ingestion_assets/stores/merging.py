"""Rows of a month or day that are held and rows that are given, as one: how the lake is written.

Union by key, newer wins. A row whose values are the same as those held keeps its source and known_at; one
that replaces other values could be known only from now on. Pure: nothing is read or written here.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import Window, micros, moment_of, period_window
from ingestion_assets.tables import Table
from ingestion_assets.tables.arrays import column, kept, taken, truths


def check_given(table: Table, series: str, month: str, rows: pa.Table) -> None:
    """Raise when these cannot be rows of one month or day."""
    keys, times = table.keys(rows), table.times(rows)
    repeated = not (keys[1:] > keys[:-1]).all() and len(np.unique(keys)) < len(keys)
    if repeated or table.in_order(rows) is not rows:
        raise ValueError(
            f"{table.path}: rows to merge must be in rising order of {table.key} without repeats"
        )
    whole = period_window(month)
    if len(times) and not micros(whole.start) <= times[0] <= times[-1] < micros(whole.end):
        raise ValueError(
            f"{table.path}: rows of {series} from {moment_of(times[0])} to {moment_of(times[-1])} "
            f"do not all belong to the {table.cut} {month}"
        )


def merged_rows(
    table: Table, held: pa.Table | None, given: pa.Table, replace: list[Window], now: datetime
) -> tuple[pa.Table, pa.Table, dict[str, int | None]]:
    """Held and given rows as one, the held rows that lost their place, and counts of what was done."""
    given_times = table.times(given)
    appended = {"new": given.num_rows, "changed": 0, "dropped": 0, "touched": _first(given_times)}
    if held is None or held.num_rows == 0:
        return given, given.slice(0, 0), appended
    given_keys, held_keys, held_times = table.keys(given), table.keys(held), table.times(held)
    rising = table.key == table.clock
    untouched = all(micros(window.start) > held_times[-1] for window in replace)
    if rising and len(given_keys) and given_keys[0] > held_keys[-1] and untouched:
        return pa.concat_tables([held, given]), held.slice(0, 0), appended

    place, known = _places(held_keys, given_keys)
    if not table.computed:
        given = _completed(table, held, given, place, known)
    same = np.zeros(len(given_keys), dtype=bool)
    same[known] = _equal(table, taken(held, place[known]), kept(given, known))
    changed = known & ~same

    gone = np.zeros(len(held_keys), dtype=bool)
    for window in replace:
        first, end = np.searchsorted(held_times, [micros(window.start), micros(window.end)])
        gone[first:end] = True
    gone[place[known]] = False
    lost = gone.copy()
    lost[place[changed]] = True

    pieces = [kept(held, ~lost), kept(given, ~known), _known_at(kept(given, changed), now)]
    counts = {
        "new": int((~known).sum()),
        "changed": int(changed.sum()),
        "dropped": int(gone.sum()),
        "touched": _first(np.concatenate([given_times[~same], held_times[gone]])),
    }
    return table.in_order(pa.concat_tables(pieces)), kept(held, lost), counts


def _places(held: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where among the held keys each given one is, and whether it is there at all."""
    order = None if (held[1:] > held[:-1]).all() else np.argsort(held, kind="stable")
    rising = held if order is None else held[order]
    place = np.searchsorted(rising, given)
    inside = np.minimum(place, len(held) - 1)
    known = (place < len(held)) & (rising[inside] == given)
    return (place if order is None else order[inside]), known


def _completed(
    table: Table, held: pa.Table, given: pa.Table, place: np.ndarray, known: np.ndarray
) -> pa.Table:
    """A null says nothing, so it does not take the place of a value that another feed gave."""
    import pyarrow.compute as pc  # a twentieth of a second; rows that only come behind those held need none

    for number, field in enumerate(given.schema):
        ours, theirs = held.column(number), given.column(number)
        if not field.nullable or not theirs.null_count or ours.null_count == held.num_rows:
            continue
        there = ours.take(column(place, pa.int64(), known))
        given = given.set_column(number, field, pc.coalesce(theirs, there))
    return given


def _first(times: np.ndarray) -> int | None:
    return int(times.min()) if len(times) else None


def _equal(table: Table, held: pa.Table, given: pa.Table) -> np.ndarray:
    """Which rows say the same, compared column by column; two nulls are the same, and two NaN."""
    import pyarrow.compute as pc

    same = np.ones(held.num_rows, dtype=bool)
    for name in table.payload:
        left, right = held.column(name), given.column(name)
        if left.null_count == right.null_count == held.num_rows:
            continue
        alike = pc.equal(left, right)
        if pa.types.is_floating(left.type):
            alike = pc.or_kleene(alike, pc.and_kleene(pc.is_nan(left), pc.is_nan(right)))
        if alike.null_count:
            alike = pc.coalesce(alike, pc.and_(left.is_null(), right.is_null()))
        same &= truths(alike)
    return same


def _known_at(rows: pa.Table, now: datetime) -> pa.Table:
    """A value that replaces another could be known only from now on."""
    if rows.num_rows == 0 or "known_at" not in rows.column_names:
        return rows
    index = rows.schema.get_field_index("known_at")
    field = rows.schema.field(index)
    return rows.set_column(index, field, column(np.full(rows.num_rows, micros(now)), field.type))
