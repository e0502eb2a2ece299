"""The registry kept: series by id, what state each is in, and who is working on it."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ingestion_assets.intervals import Window, iso, union
from ingestion_assets.registry import Series, Status, Strategy, check_id
from ingestion_assets.stores.catalog import SERIES, Catalog
from ingestion_assets.stores.gap_ledger import withdraw

_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class RegistryError(ValueError):
    """The registry refuses; the text names the series and what to do."""


@dataclass(frozen=True)
class Entry:
    """A series and how its ingestion stands."""

    series: Series
    status: Status
    error_message: str | None
    last_backfill: datetime | None
    last_snapshot: datetime | None
    last_stream: datetime | None
    status_owner: str | None
    created_at: datetime
    updated_at: datetime


class Registry:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def add(self, series: Series) -> None:
        """Register a new series; refuses one that is there already."""
        if not self.add_missing([series]):
            raise RegistryError(
                f"series {series.id!r} is registered already: `ingest registry show {series.id}` shows it, "
                f"`ingest registry enable {series.id}` switches it on"
            )

    def add_missing(self, many: Iterable[Series]) -> list[str]:
        """Register those that are not there yet; the ids of the new ones."""
        added = []
        now = datetime.now(UTC)
        with self.catalog.begin() as db:
            for series in many:
                check_id(series.id)
                there = db.execute(sa.select(SERIES.c.id).where(SERIES.c.id == series.id)).first()
                if there is None:
                    db.execute(SERIES.insert().values(**_row(series), created_at=now, updated_at=now))
                    added.append(series.id)
        return added

    def update(self, series: Series) -> None:
        """Replace what is said about a series; its state stays. Gaps of a time that no longer belongs to it
        are closed."""
        before, now = self.require(series.id).series, datetime.now(UTC)
        with self.catalog.begin() as db:
            values = _row(series) | {"updated_at": now}
            db.execute(SERIES.update().where(SERIES.c.id == series.id).values(**values))
            if unwanted := _left(before, series):
                withdraw(db, series.id, unwanted, f"the registry has it {_span_text(series)}", now)

    def entries(self, domain: str | None = None, *, enabled_only: bool = False) -> list[Entry]:
        query = sa.select(SERIES).order_by(SERIES.c.id)
        if domain is not None:
            query = query.where(SERIES.c.domain == domain)
        if enabled_only:
            query = query.where(SERIES.c.enabled)
        with self.catalog.read() as db:
            return [_entry(row) for row in db.execute(query).mappings()]

    def series(self, domain: str | None = None, *, enabled_only: bool = False) -> list[Series]:
        return [entry.series for entry in self.entries(domain, enabled_only=enabled_only)]

    def get(self, series_id: str) -> Entry | None:
        with self.catalog.read() as db:
            row = db.execute(sa.select(SERIES).where(SERIES.c.id == series_id)).mappings().first()
        return None if row is None else _entry(row)

    def require(self, series_id: str) -> Entry:
        entry = self.get(series_id)
        if entry is None:
            import difflib

            near = difflib.get_close_matches(series_id, [e.series.id for e in self.entries()], n=3)
            hint = f" Nearest: {', '.join(near)}." if near else ""
            raise RegistryError(
                f"series {series_id!r} is not registered.{hint} `ingest registry add EXCHANGE SYMBOL` adds it"
            )
        return entry

    def enable(self, series_id: str, enabled: bool = True) -> None:
        self._change(series_id, enabled=enabled)

    def remove(self, series_id: str) -> None:
        """Forget a series; what the lake holds of it stays."""
        self.require(series_id)
        with self.catalog.begin() as db:
            db.execute(SERIES.delete().where(SERIES.c.id == series_id))

    def start(self, ids: Iterable[str], owner: str) -> None:
        """Say that `owner`, a run id or `process_owner()`, works on these series now."""
        self._set(list(ids), status=Status.RUNNING, status_owner=owner)

    def finish(self, series_id: str, error: str | None = None) -> None:
        if error is not None:
            self._set([series_id], status=Status.ERROR, status_owner=None, error_message=error[:2000])
        else:
            done = {"error_message": None, "last_backfill": datetime.now(UTC)}
            self._set([series_id], status=Status.IDLE, status_owner=None, **done)

    def clear_error(self, series_id: str) -> None:
        """Forget how the last run ended; a run that is at work stays so."""
        self.require(series_id)
        with self.catalog.begin() as db:
            db.execute(
                SERIES.update()
                .where(SERIES.c.id == series_id, SERIES.c.status == Status.ERROR)
                .values(status=Status.IDLE, error_message=None, updated_at=datetime.now(UTC))
            )

    def release_lost(self, is_alive: Callable[[str], bool]) -> list[str]:
        """Series whose owner is gone were interrupted: say so, instead of leaving them running for ever."""
        lost = []
        for entry in self.entries():
            owner = entry.status_owner
            if owner is not None and not is_alive(owner):
                with self.catalog.begin() as db:
                    db.execute(
                        SERIES.update()
                        .where(SERIES.c.id == entry.series.id, SERIES.c.status_owner == owner)
                        .values(
                            status=Status.ERROR,
                            status_owner=None,
                            error_message=f"interrupted: {owner} ended without a word; the next run resumes",
                        )
                    )
                lost.append(entry.series.id)
        return lost

    def _set(self, ids: list[str], **values: Any) -> None:
        with self.catalog.begin() as db:
            db.execute(
                SERIES.update().where(SERIES.c.id.in_(ids)).values(**values, updated_at=datetime.now(UTC))
            )

    def _change(self, series_id: str, **values: Any) -> None:
        self.require(series_id)
        self._set([series_id], **values)


def _left(before: Series, after: Series) -> list[Window]:
    """The time at both ends that belonged to a series and does no more."""
    first, end = _bounds(before)
    new_first, new_end = _bounds(after)
    left = [Window(max(new_end, first), end)] if new_end < end else []
    if first != _EARLIEST and first < new_first:
        left.append(Window(first, min(new_first, end)))
    return union(left)


def _bounds(series: Series) -> tuple[datetime, datetime]:
    first = max(filter(None, (series.backfill_from, series.listed_at)), default=_EARLIEST)
    return first, series.delisted_at or _LATEST


def _span_text(series: Series) -> str:
    first, end = _bounds(series)
    until = "on" if end == _LATEST else f"to {iso(end)}"
    return until if first == _EARLIEST else f"from {iso(first)} {until}"


def process_owner() -> str:
    """This process, told from a later one that gets the same number."""
    return f"pid:{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def process_alive(owner: str) -> bool:
    """Whether a `process_owner()` still lives; one on another machine, or a run, is taken to."""
    if not owner.startswith("pid:"):
        return True
    _, host, pid, started = owner.split(":")
    return host != socket.gethostname() or _started(int(pid)) == started


def _started(pid: int) -> str:
    """When a process began, in ticks, from /proc; elsewhere only whether it is there."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "gone" if facts[0] in "ZX" else facts[19]  # dead, though nobody has taken notice yet
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return "gone"
        except PermissionError:
            return "there"
        return "there"


def _row(series: Series) -> dict[str, Any]:
    row = dataclasses.asdict(series)
    return row | {"strategy": series.strategy.value, "timeframes": list(series.timeframes)}


def _entry(row: sa.RowMapping) -> Entry:
    names = [field.name for field in dataclasses.fields(Series)]
    given = {name: row[name] for name in names}
    given |= {"strategy": Strategy(row["strategy"]), "timeframes": tuple(row["timeframes"])}
    status = Status(row["status"]) if row["enabled"] else Status.DISABLED
    rest = {f.name: row[f.name] for f in dataclasses.fields(Entry) if f.name not in ("series", "status")}
    return Entry(series=Series(**given), status=status, **rest)
