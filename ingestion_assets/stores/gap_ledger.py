"""The gap ledger: every hole in the lake with its reason, the evidence, and how long that is believed.

    missing         nobody has asked the venue yet, or asking failed: to be fetched
    no_trades       the venue affirms that it has no bar there
    venue_outage    the same, and other series of the venue have the same hole
    not_listed      the instrument did not trade then
    unrecoverable   the venue no longer serves that time
    healed          it was one of the above and is filled now (`was` tells which)

Open entries of one table and series never overlap. A verdict expires, and is then asked about again;
nothing is masked for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ingestion_assets.intervals import Window, intersect, subtract, union
from ingestion_assets.stores.catalog import GAPS, Catalog

MISSING, NO_TRADES, VENUE_OUTAGE = "missing", "no_trades", "venue_outage"
NOT_LISTED, UNRECOVERABLE, HEALED = "not_listed", "unrecoverable", "healed"
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
            open_before = _open(db, table, series, examined)
            stays = [g for g in open_before if g.reason in VERDICTS and g.expires_at and g.expires_at > now]
            verdicts = [h for h in found if h.reason in VERDICTS]
            believed = subtract([g.window for g in stays], [h.window for h in verdicts])
            holes = verdicts + [
                Hole(window, MISSING, hole.evidence)
                for hole in found
                if hole.reason == MISSING
                for window in subtract([hole.window], [*believed, *(v.window for v in verdicts)])
            ]
            kept_holes = intersect(believed, [h.window for h in found])
            still_open = union([*(h.window for h in holes), *kept_holes])
            for gap in open_before:
                self._settle(db, gap, examined, holes, still_open, gap in stays, run, now)
            for hole in holes:
                exact = [g for g in open_before if g.window == hole.window]
                if exact:
                    self._confirm(db, exact[0], hole, run, now)
                else:
                    self._open_new(db, table, series, hole, open_before, run, now)

    def _settle(
        self,
        db: sa.Connection,
        gap: Gap,
        examined: Window,
        holes: list[Hole],
        still_open: list[Window],
        believed: bool,
        run: str | None,
        now: datetime,
    ) -> None:
        """Bring one open entry in line with what was found: keep, shrink, split, close."""
        if any(hole.window == gap.window for hole in holes):
            return
        taken = (
            [h.window for h in holes] if not believed else [h.window for h in holes if h.reason in VERDICTS]
        )
        rest = subtract([gap.window], [examined])
        if believed:
            rest = union([*rest, *subtract(intersect([gap.window], still_open), taken)])
        filled = subtract(intersect([gap.window], [examined]), still_open)
        if rest == [gap.window]:
            return
        for window in filled:
            values = _values(gap) | {"start": window.start, "end": window.end, "was": gap.reason}
            values |= {"reason": HEALED, "checked_at": now, "closed_at": now, "run": run, "next_try_at": None}
            db.execute(GAPS.insert().values(**values))
        for window in rest:
            db.execute(GAPS.insert().values(**_values(gap) | {"start": window.start, "end": window.end}))
        db.execute(GAPS.delete().where(GAPS.c.id == gap.id))

    def _confirm(self, db: sa.Connection, gap: Gap, hole: Hole, run: str | None, now: datetime) -> None:
        if hole.reason == MISSING and not hole.evidence and gap.reason == MISSING:
            return
        values = {
            "reason": hole.reason,
            "evidence": hole.evidence or gap.evidence,
            "checked_at": now,
            "expires_at": _expiry(hole, now),
            "run": run,
        }
        if hole.reason != MISSING:
            values["next_try_at"] = None
        db.execute(GAPS.update().where(GAPS.c.id == gap.id).values(**values))

    def _open_new(
        self,
        db: sa.Connection,
        table: str,
        series: str,
        hole: Hole,
        before: list[Gap],
        run: str | None,
        now: datetime,
    ) -> None:
        """A hole that overlaps known ones carries on their history."""
        kin = [g for g in before if g.window.start < hole.window.end and hole.window.start < g.window.end]
        waiting = [g.next_try_at for g in kin if g.next_try_at is not None]
        db.execute(
            GAPS.insert().values(
                table_path=table,
                series=series,
                start=hole.window.start,
                end=hole.window.end,
                reason=hole.reason,
                evidence=hole.evidence or next((g.evidence for g in kin), ""),
                attempts=max((g.attempts for g in kin), default=0),
                found_at=min((g.found_at for g in kin), default=now),
                checked_at=now,
                next_try_at=max(waiting, default=None) if hole.reason == MISSING else None,
                expires_at=_expiry(hole, now),
                run=run,
            )
        )

    def believed_empty(self, table: str, series: str, now: datetime) -> list[Window]:
        """Where the venue has said that there is nothing, and that is still believed."""
        with self.catalog.read() as db:
            return union(
                g.window
                for g in _open(db, table, series)
                if g.reason in VERDICTS and g.expires_at is not None and g.expires_at > now
            )

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
        return [
            g
            for g in self.open()
            if (
                g.reason == MISSING
                and g.attempts < max_attempts
                and (g.next_try_at is None or g.next_try_at <= now)
            )
            or (g.reason in VERDICTS and g.expires_at is not None and g.expires_at <= now)
        ]

    def tried(self, gaps: Iterable[Gap], now: datetime) -> None:
        """These are being fetched; if that comes to nothing, wait longer each time before the next try."""
        with self.catalog.begin() as db:
            for gap in gaps:
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**gap.attempts)
                values: dict[str, Any] = {"attempts": gap.attempts + 1, "next_try_at": now + pause}
                if gap.reason in VERDICTS:
                    values |= {"reason": MISSING, "expires_at": None}
                db.execute(GAPS.update().where(GAPS.c.id == gap.id).values(**values))

    def corroborate(self, table: str, venue: str, window: Window) -> bool:
        """Make it an outage where enough series of a venue have holes at the same time."""
        alike = sa.and_(
            GAPS.c.table_path == table,
            GAPS.c.series.startswith(f"{venue}.", autoescape=True),
            GAPS.c.reason.in_((NO_TRADES, VENUE_OUTAGE)),
            GAPS.c.closed_at.is_(None),
            GAPS.c.start <= window.start,
            GAPS.c.end >= window.end,
        )
        with self.catalog.begin() as db:
            names = {row.series for row in db.execute(sa.select(GAPS.c.series).where(alike))}
            if len(names) <= _CORROBORATION:
                return False
            evidence = f"{len(names)} series of {venue} have this hole"
            db.execute(
                GAPS.update()
                .where(alike, GAPS.c.reason == NO_TRADES)
                .values(reason=VENUE_OUTAGE, evidence=GAPS.c.evidence + "; " + evidence)
            )
        return True


def _open(
    db: sa.Connection, table: str | None = None, series: str | None = None, within: Window | None = None
) -> list[Gap]:
    query = sa.select(GAPS).where(GAPS.c.closed_at.is_(None)).order_by(GAPS.c.series, GAPS.c.start)
    if table is not None:
        query = query.where(GAPS.c.table_path == table)
    if series is not None:
        query = query.where(GAPS.c.series == series)
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
