"""The gap ledger: every hole in the lake with its reason, the evidence, and how long that is believed.

    missing         nobody has asked the venue yet, or asking failed: to be fetched
    no_trades       the venue affirms that it has no bar there
    venue_outage    the same, and other series of the venue have the same hole
    not_listed      the instrument did not trade then
    unrecoverable   the venue no longer serves that time
    healed          it was one of the above and is filled now (`was` tells which)
    not_wanted      it was one of the above, and the registry asks for that time no more

Open entries of one table and series never overlap. A verdict expires, and is then asked about again;
nothing is masked for ever.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from ingestion_assets.intervals import Window, intersect, micros, subtract, union
from ingestion_assets.stores.catalog import GAPS, Catalog

MISSING, NO_TRADES, VENUE_OUTAGE = "missing", "no_trades", "venue_outage"
NOT_LISTED, UNRECOVERABLE, HEALED = "not_listed", "unrecoverable", "healed"
NOT_WANTED = "not_wanted"
VERDICTS = (NO_TRADES, VENUE_OUTAGE, NOT_LISTED, UNRECOVERABLE)

# How long a verdict is believed. What is young may still be filled in by the venue.
_BELIEVED = timedelta(days=30)
_YOUNG = timedelta(days=1)
_YOUNG_BELIEVED = timedelta(hours=1)
_UNRECOVERABLE_BELIEVED = timedelta(days=90)
_CORROBORATION = 2  # so many other series of a venue with the same hole make it an outage

_FIRST_PAUSE = timedelta(minutes=5)
_LONGEST_PAUSE = timedelta(days=1)


@dataclass(frozen=True)
class Hole:
    """A stretch without bars and why, as whoever looked found it."""

    window: Window
    reason: str = MISSING
    evidence: str = ""


@dataclass(frozen=True)
class Gap:
    """An entry of the ledger."""

    id: int
    table: str
    series: str
    window: Window
    reason: str
    was: str | None
    evidence: str
    attempts: int
    found_at: datetime
    checked_at: datetime
    next_try_at: datetime | None
    expires_at: datetime | None
    closed_at: datetime | None
    run: str | None


class GapLedger:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def record(
        self,
        table: str,
        series: str,
        examined: Window,
        found: Iterable[Hole],
        *,
        run: str | None = None,
        now: datetime | None = None,
    ) -> None:
        """Say what holes the examined window has. Entries in it that are no hole any more are healed.

        A `missing` hole found where a verdict still holds leaves the verdict in place: the one who
        finds it only looked at the lake, the verdict came from the venue.
        """
        now = now or datetime.now(UTC)
        found = [h for h in found if h.window.start < h.window.end]
        with self.catalog.begin() as db:
            before = sorted(_open(db, table, series, examined), key=lambda g: g.window)
            stays = {g.id for g in before if _believed(g, now)}
            verdicts = [h for h in found if h.reason in VERDICTS]
            told = union(h.window for h in verdicts)
            believed = subtract([g.window for g in before if g.id in stays], told)
            settled = union([*believed, *told])
            holes = verdicts + [
                Hole(window, MISSING, hole.evidence)
                for hole in found
                if hole.reason == MISSING
                for window in subtract([hole.window], _near(settled, hole.window))
            ]
            kept = intersect(believed, [h.window for h in found])
            still_open = union([*(h.window for h in holes), *kept])
            exact = {g.window: g for g in before}
            confirmed = exact.keys() & {h.window for h in holes}
            gone: list[dict[str, Any]] = []
            come: list[dict[str, Any]] = []
            for gap in before:
                if gap.window not in confirmed:
                    near = _near(still_open, gap.window), _near(told, gap.window)
                    instead = _settled(gap, examined, *near, gap.id in stays, run, now)
                    if instead is not None:
                        gone.append({"gap": gap.id})
                        come += instead
            spans = [g.window for g in before]
            again = []
            for hole in holes:
                if hole.window in confirmed:
                    again.append(_confirmed(exact[hole.window], hole, run, now))
                else:
                    first, end = _span(spans, hole.window)
                    come.append(_new(table, series, hole, before[first:end], run, now))
            _write(db, gone, again, come)

    def believed_empty(self, table: str, series: str, now: datetime) -> list[Window]:
        """Where the venue has said that there is nothing, and that is still believed."""
        with self.catalog.read() as db:
            return union(g.window for g in _open(db, table, series) if _believed(g, now))

    def open(self, table: str | None = None, series: str | None = None) -> list[Gap]:
        with self.catalog.read() as db:
            return _open(db, table, series)

    def story(self, table: str, series: str, window: Window) -> list[Gap]:
        """Everything ever recorded about a stretch of a series, oldest first."""
        query = (
            sa.select(GAPS)
            .where(GAPS.c.table_path == table, GAPS.c.series == series)
            .where(GAPS.c.start < window.end, GAPS.c.end > window.start)
            .order_by(GAPS.c.found_at, GAPS.c.id)
        )
        with self.catalog.read() as db:
            return [_gap(row) for row in db.execute(query).mappings()]

    def due(self, now: datetime, max_attempts: int) -> list[Gap]:
        """What should be fetched now: missing and not lately tried too often, or a verdict gone stale."""
        waited = sa.or_(GAPS.c.next_try_at.is_(None), GAPS.c.next_try_at <= now)
        missing = sa.and_(GAPS.c.reason == MISSING, GAPS.c.attempts < max_attempts, waited)
        stale = sa.and_(GAPS.c.reason.in_(VERDICTS), GAPS.c.expires_at <= now)
        with self.catalog.read() as db:
            return _open(db, only=sa.or_(missing, stale))

    def tried(self, gaps: Iterable[Gap], now: datetime) -> None:
        """These are being fetched; if that comes to nothing, wait longer each time before the next try."""
        with self.catalog.begin() as db:
            for gap in gaps:
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(gap.attempts, 16))
                values: dict[str, Any] = {"attempts": gap.attempts + 1, "next_try_at": now + pause}
                if gap.reason in VERDICTS:
                    values |= {"reason": MISSING, "expires_at": None}
                db.execute(GAPS.update().where(GAPS.c.id == gap.id).values(**values))

    def corroborate(self, table: str, venue: str, windows: Iterable[Window]) -> list[Window]:
        """Make it an outage where enough series of a venue have a hole at the same time; where that is."""
        windows = list(windows)
        if not windows:
            return []
        query = sa.select(GAPS.c.id, GAPS.c.series, GAPS.c.start, GAPS.c.end, GAPS.c.reason).where(
            GAPS.c.table_path == table,
            GAPS.c.series.startswith(f"{venue}.", autoescape=True),
            GAPS.c.reason.in_((NO_TRADES, VENUE_OUTAGE)),
            GAPS.c.closed_at.is_(None),
            GAPS.c.start < max(w.end for w in windows),
            GAPS.c.end > min(w.start for w in windows),
        )
        outages = []
        with self.catalog.begin() as db:
            rows = db.execute(query).all()
            starts = np.array([micros(row.start) for row in rows], dtype=np.int64)
            ends = np.array([micros(row.end) for row in rows], dtype=np.int64)
            counts: dict[int, int] = {}
            for window in windows:
                alike = np.flatnonzero(
                    (starts <= micros(window.start)) & (ends >= micros(window.end))
                ).tolist()
                names = {rows[n].series for n in alike}
                if len(names) > _CORROBORATION:
                    outages.append(window)
                    counts |= {n: len(names) for n in alike if rows[n].reason == NO_TRADES}
            if counts:
                evidence = GAPS.c.evidence + sa.bindparam("more", type_=sa.Text)
                db.execute(
                    GAPS.update()
                    .where(GAPS.c.id == sa.bindparam("gap"))
                    .values(reason=VENUE_OUTAGE, evidence=evidence),
                    [
                        {"gap": rows[n].id, "more": f"; {count} series of {venue} have this hole"}
                        for n, count in counts.items()
                    ],
                )
        return outages


def withdraw(db: sa.Connection, series: str, windows: list[Window], evidence: str, now: datetime) -> None:
    """Close what is open in these windows, in every table: nobody wants that time any more. That the
    instrument did not trade then stays said."""
    gone: list[dict[str, Any]] = []
    come: list[dict[str, Any]] = []
    for gap in _open(db, series=series, only=GAPS.c.reason != NOT_LISTED):
        inside = intersect([gap.window], windows)
        if inside:
            values = _values(gap)
            closed = values | {"was": gap.reason, "reason": NOT_WANTED, "evidence": evidence}
            closed |= {"checked_at": now, "closed_at": now, "next_try_at": None, "expires_at": None}
            gone.append({"gap": gap.id})
            come += [closed | {"start": w.start, "end": w.end} for w in inside]
            come += [values | {"start": w.start, "end": w.end} for w in subtract([gap.window], windows)]
    _write(db, gone, [], come)


def _write(
    db: sa.Connection,
    gone: list[dict[str, Any]],
    again: list[dict[str, Any]],
    come: list[dict[str, Any]],
) -> None:
    one = GAPS.c.id == sa.bindparam("gap")
    for statement, rows in (
        (GAPS.delete().where(one), gone),
        (GAPS.update().where(one), again),
        (GAPS.insert(), come),
    ):
        if rows:
            db.execute(statement, rows)


def _span(windows: list[Window], window: Window) -> tuple[int, int]:
    """Which of these sorted, disjoint windows overlap one: from, to."""
    first = bisect_right(windows, window.start, key=lambda w: w.end)
    return first, max(first, bisect_left(windows, window.end, key=lambda w: w.start))


def _near(windows: list[Window], window: Window) -> list[Window]:
    first, end = _span(windows, window)
    return windows[first:end]


def _believed(gap: Gap, now: datetime) -> bool:
    return gap.reason in VERDICTS and gap.expires_at is not None and gap.expires_at > now


def _settled(
    gap: Gap,
    examined: Window,
    still_open: list[Window],
    told: list[Window],
    believed: bool,
    run: str | None,
    now: datetime,
) -> list[dict[str, Any]] | None:
    """What takes the place of an open entry: what is left of it and what is healed; None: it stays."""
    rest = subtract([gap.window], [examined])
    if believed:
        rest = union([*rest, *subtract(intersect([gap.window], still_open), told)])
    if rest == [gap.window]:
        return None
    values = _values(gap)
    healed = values | {"was": gap.reason, "reason": HEALED, "checked_at": now, "closed_at": now}
    healed |= {"run": run, "next_try_at": None}
    looked_at = intersect([gap.window], [examined])
    filled = subtract(looked_at, still_open)
    if gap.reason == MISSING and subtract(looked_at, subtract(still_open, told)):
        # A long gap is worked on piece by piece: as long as that leads on, no try was vain.
        values |= {"attempts": 0, "next_try_at": None}
    return [healed | {"start": w.start, "end": w.end} for w in filled] + [
        values | {"start": w.start, "end": w.end} for w in rest
    ]


def _confirmed(gap: Gap, hole: Hole, run: str | None, now: datetime) -> dict[str, Any]:
    """The entry for just this hole, as it is known now; a verdict ends the count of vain attempts."""
    missing = hole.reason == MISSING
    known = missing and not hole.evidence and gap.reason == MISSING
    return {
        "gap": gap.id,
        "reason": hole.reason,
        "evidence": hole.evidence or gap.evidence,
        "attempts": gap.attempts if missing else 0,
        "checked_at": gap.checked_at if known else now,
        "next_try_at": gap.next_try_at if missing else None,
        "expires_at": _expiry(hole, now),
        "run": gap.run if known else run,
    }


def _new(
    table: str, series: str, hole: Hole, kin: list[Gap], run: str | None, now: datetime
) -> dict[str, Any]:
    """A hole that overlaps known ones carries on their history."""
    missing = hole.reason == MISSING
    waiting = [g.next_try_at for g in kin if g.next_try_at is not None]
    return {
        "table_path": table,
        "series": series,
        "start": hole.window.start,
        "end": hole.window.end,
        "reason": hole.reason,
        "was": None,
        "evidence": hole.evidence or next((g.evidence for g in kin), ""),
        "attempts": max((g.attempts for g in kin), default=0) if missing else 0,
        "found_at": min((g.found_at for g in kin), default=now),
        "checked_at": now,
        "next_try_at": max(waiting, default=None) if missing else None,
        "expires_at": _expiry(hole, now),
        "closed_at": None,
        "run": run,
    }


def _open(
    db: sa.Connection,
    table: str | None = None,
    series: str | None = None,
    within: Window | None = None,
    only: sa.ColumnElement[bool] | None = None,
) -> list[Gap]:
    query = sa.select(GAPS).where(GAPS.c.closed_at.is_(None)).order_by(GAPS.c.series, GAPS.c.start)
    if table is not None:
        query = query.where(GAPS.c.table_path == table)
    if series is not None:
        query = query.where(GAPS.c.series == series)
    if only is not None:
        query = query.where(only)
    if within is not None:
        query = query.where(GAPS.c.start < within.end, GAPS.c.end > within.start)
    return [_gap(row) for row in db.execute(query).mappings()]


def _gap(row: sa.RowMapping) -> Gap:
    given = {name: row[name] for name in Gap.__dataclass_fields__ if name not in ("table", "window")}
    return Gap(table=row["table_path"], window=Window(row["start"], row["end"]), **given)


def _values(gap: Gap) -> dict[str, Any]:
    names = [n for n in Gap.__dataclass_fields__ if n not in ("id", "table", "window")]
    return {name: getattr(gap, name) for name in names} | {"table_path": gap.table}


def _expiry(hole: Hole, now: datetime) -> datetime | None:
    if hole.reason == MISSING:
        return None
    if hole.reason == UNRECOVERABLE:
        return now + _UNRECOVERABLE_BELIEVED
    return now + (_YOUNG_BELIEVED if now - hole.window.end < _YOUNG else _BELIEVED)
