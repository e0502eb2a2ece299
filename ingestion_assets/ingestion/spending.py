"""A vendor's account in the catalog, as its source file uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from ingestion_assets.sources.errors import QuotaSpent
from ingestion_assets.sources.spending import Allowance
from ingestion_assets.stores.budgets import Budgets, period_of


class CatalogPurse:
    """Reserves beside the event loop: another process may hold the catalog for a moment."""

    def __init__(
        self,
        budgets: Budgets,
        name: str,
        allowance: Allowance,
        remedy: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.budgets, self.name, self.allowance, self.remedy, self._now = (
            budgets,
            name,
            allowance,
            remedy,
            now,
        )

    async def left(self) -> int | None:
        if self.allowance.limit is None:
            return None
        spent = await asyncio.to_thread(self.budgets.spent, self.name, self._period())
        return max(0, self.allowance.limit - spent)

    async def reserve(self, units: int) -> str:
        period, limit = self._period(), self.allowance.limit
        if not await asyncio.to_thread(self.budgets.reserve, self.name, period, units, limit):
            spent = await asyncio.to_thread(self.budgets.spent, self.name, period)
            raise QuotaSpent(
                f"{self.name}: {spent} of {limit} {self.allowance.unit} are spent in {period} (UTC), "
                f"{units} more needed; wait for the next {self.allowance.per}, or {self.remedy}"
            )
        return period

    async def settle(self, period: str, reserved: int, used: int) -> None:
        await asyncio.to_thread(self.budgets.settle, self.name, period, reserved, used)

    def _period(self) -> str:
        return period_of(self._now(), self.allowance.per)
