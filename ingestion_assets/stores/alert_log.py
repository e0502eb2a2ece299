"""What was told: the state of every alert, so that each is told once when it begins and once when it ends.

Telling happens between two writes, so after a crash in between it is told again: at least once, and
as a rule exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ingestion_assets.stores.catalog import ALERTS, Catalog

SEVERITIES = ("info", "warning", "error", "critical")
DIGEST_ABOVE = 5


@dataclass(frozen=True)
class Alert:
    """Something that is wrong now."""

    key: str
    severity: str
    message: str
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Notice:
    """What goes to the webhook."""

    event: str  # firing, recovered
    key: str
    severity: str
    message: str
    context: Mapping[str, Any]
    since: datetime
    at: datetime

    def body(self) -> dict[str, Any]:
        return {
            "event": self.event,
            "key": self.key,
            "severity": self.severity,
            "message": self.message,
            "context": dict(self.context),
            "since": self.since.isoformat(),
            "time": self.at.isoformat(),
        }


class AlertLog:
    def __init__(
        self, catalog: Catalog, *, min_severity: str = "warning", cooldown: timedelta = timedelta(0)
    ) -> None:
        self.catalog = catalog
        self.min_severity = SEVERITIES.index(min_severity)
        self.cooldown = cooldown

    def firing(self) -> list[str]:
        with self.catalog.read() as db:
            return [row.key for row in db.execute(sa.select(ALERTS.c.key).where(ALERTS.c.firing))]

    def update(
        self,
        wrong: list[Alert],
        watched: Callable[[str], bool],
        tell: Callable[[Notice], None],
        now: datetime | None = None,
    ) -> list[Notice]:
        """Bring the log in line with what is wrong now and tell what is new and what is over.

        `watched` says of a key whether its absence from `wrong` means that it is well again; a key that
        could not be looked at stays as it is. When `tell` raises, what was told stays told.
        """
        now = now or datetime.now(UTC)
        with self.catalog.read() as db:
            known = {row["key"]: row for row in db.execute(sa.select(ALERTS)).mappings()}
        current = {a.key: a for a in wrong if SEVERITIES.index(a.severity) >= self.min_severity}
        begun, over = [], []
        for alert in current.values():
            row = known.get(alert.key)
            if row is not None and row["firing"] and row["told"]:
                continue
            if row is not None and not row["firing"] and now - row["told_at"] < self.cooldown:
                continue  # it was told to be over a moment ago: wait whether it stays wrong
            since = row["since"] if row is not None and row["firing"] else now
            begun.append(
                Notice("firing", alert.key, alert.severity, alert.message, alert.context, since, now)
            )
            self._keep(begun[-1], firing=True, told=False)
        for key, row in known.items():
            if key in current or not row["firing"] or not watched(key):
                continue
            told = row["told"]
            text = "over" if told else f"over, and could not be told when it began ({row['since']:%H:%M} UTC)"
            over.append(
                Notice(
                    "recovered",
                    key,
                    row["severity"],
                    f"{text}: {row['message']}",
                    row["context"],
                    row["since"],
                    now,
                )
            )
        for notices, firing in ((begun, True), (over, False)):
            for batch in [notices] if len(notices) > DIGEST_ABOVE else [[n] for n in notices]:
                tell(batch[0] if len(batch) == 1 else digest(batch))
                for notice in batch:
                    self._keep(notice, firing=firing, told=True)
        return [*begun, *over]

    def _keep(self, notice: Notice, *, firing: bool, told: bool) -> None:
        values = {
            "severity": notice.severity,
            "message": notice.message,
            "context": dict(notice.context),
            "firing": firing,
            "told": told,
            "since": notice.since,
            "told_at": notice.at if told else None,
        }
        with self.catalog.begin() as db:
            changed = db.execute(ALERTS.update().where(ALERTS.c.key == notice.key).values(**values))
            if changed.rowcount == 0:
                db.execute(ALERTS.insert().values(key=notice.key, **values))


def digest(notices: list[Notice]) -> Notice:
    """Many at once as one message."""
    first = notices[0]
    lines = [n.message for n in notices]
    return Notice(
        event=first.event,
        key=f"digest:{first.key}",
        severity=max((n.severity for n in notices), key=SEVERITIES.index),
        message=f"{len(notices)} alerts: " + "; ".join(lines[:DIGEST_ABOVE]) + " …",
        context={"keys": [n.key for n in notices], "messages": lines},
        since=min(n.since for n in notices),
        at=first.at,
    )
