"""Budgets in the catalog: how much of what vendors charge for was spent, by day or month.

Every process reserves here before it asks, in a transaction that is the only one to write, so that no
number of processes spends more than the limit together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from ingestion_assets.stores.catalog import BUDGETS, Catalog


@dataclass(frozen=True)
class Budget:
    """What was spent of one name in one period."""

    name: str
    period: str  # 2026-11-21 or 2026-11
    spent: int
    most: int | None  # the limit in force when it was last spent from

    @property
    def left(self) -> int | None:
        return None if self.most is None else max(0, self.most - self.spent)


@dataclass(frozen=True)
class Account:
    """What a vendor's present period looks like, for people."""

    vendor: str
    period: str
    spent: int
    limit: int | None
    unit: str

    @property
    def left(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.spent)

    @property
    def exhausted(self) -> bool:
        return self.limit is not None and self.spent >= self.limit

    @property
    def text(self) -> str:
        of = (
            f"{self.spent} {self.unit}" if self.limit is None else f"{self.spent} of {self.limit} {self.unit}"
        )
        return f"{of} spent in {self.period} (UTC)"


def period_of(moment: datetime, per: str) -> str:
    """The UTC day or month that a moment lies in."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%d")
    return text if per == "day" else text[:7]


def period_end(period: str) -> datetime:
    """When the UTC day or month of `period_of` is over."""
    start = datetime.strptime(period, "%Y-%m-%d" if len(period) > 7 else "%Y-%m").replace(tzinfo=UTC)
    after = start + timedelta(days=1 if len(period) > 7 else 31)
    return after if len(period) > 7 else after.replace(day=1)


class Budgets:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def reserve(self, name: str, period: str, units: int, most: int | None) -> bool:
        """Take the units if they fit; False, and nothing taken, when they do not."""
        if units < 0:
            raise ValueError(f"budget {name!r}: {units} units cannot be reserved, use 0 or more")
        with self._catalog.begin() as connection:
            spent = self._spent(connection, name, period)
            fits = most is None or (spent or 0) + units <= most
            if fits:
                self._write(connection, name, period, spent, (spent or 0) + units, most)
            return fits

    def settle(self, name: str, period: str, reserved: int, used: int) -> None:
        """Set what was reserved right by what it really was."""
        if reserved == used:
            return
        with self._catalog.begin() as connection:
            spent = self._spent(connection, name, period) or 0
            place = (BUDGETS.c.name == name) & (BUDGETS.c.period == period)
            now = max(0, spent + used - reserved)
            connection.execute(
                sa.update(BUDGETS).where(place).values(spent=now, updated_at=datetime.now(UTC))
            )

    def spent(self, name: str, period: str) -> int:
        with self._catalog.read() as connection:
            return self._spent(connection, name, period) or 0

    def listed(self, since: str = "") -> list[Budget]:
        """Newest period first; `since` is the first period that is shown."""
        query = sa.select(BUDGETS).where(BUDGETS.c.period >= since)
        with self._catalog.read() as connection:
            rows = connection.execute(query.order_by(BUDGETS.c.period.desc(), BUDGETS.c.name)).all()
        return [Budget(row.name, row.period, row.spent, row.most) for row in rows]

    @staticmethod
    def _spent(connection: sa.Connection, name: str, period: str) -> int | None:
        query = sa.select(BUDGETS.c.spent).where(BUDGETS.c.name == name, BUDGETS.c.period == period)
        found: int | None = connection.execute(query).scalar()
        return found

    @staticmethod
    def _write(
        connection: sa.Connection, name: str, period: str, before: int | None, spent: int, most: int | None
    ) -> None:
        values = {"spent": spent, "most": most, "updated_at": datetime.now(UTC)}
        if before is None:
            connection.execute(sa.insert(BUDGETS).values(name=name, period=period, **values))
            return
        place = (BUDGETS.c.name == name) & (BUDGETS.c.period == period)
        connection.execute(sa.update(BUDGETS).where(place).values(**values))
