"""What may be spent with vendors that charge, and what was: limits of the settings, sums of the catalog."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ingestion_assets.ingestion.spending import CatalogPurse
from ingestion_assets.sources.feeds import Vendor
from ingestion_assets.stores.budgets import Account, period_of

if TYPE_CHECKING:
    from ingestion_assets.workbench.bench import Workbench


def purse(bench: Workbench, kind: type[Vendor]) -> CatalogPurse | None:
    """The account of a vendor that charges, which all processes share."""
    if kind.allowance is None:
        return None
    limit = bench.settings.budget(kind.name, kind.allowance.limit)
    remedy = "raise X_SPEND_PER_DAY_USD" if kind.name == "x" else f"raise {kind.name} in VENDOR_BUDGETS"
    return CatalogPurse(bench.budgets, kind.name, dataclasses.replace(kind.allowance, limit=limit), remedy)


def accounts(bench: Workbench, now: datetime | None = None) -> list[Account]:
    """What was spent with each vendor that charges and can be asked, in the period of now or that moment."""
    found = []
    for kind in bench.vendors:
        if kind.allowance is None or not bench.keyed(kind):
            continue
        period = period_of(now or datetime.now(UTC), kind.allowance.per)
        limit = bench.settings.budget(kind.name, kind.allowance.limit)
        spent = bench.budgets.spent(kind.name, period)
        found.append(Account(kind.name, period, spent, limit, kind.allowance.unit))
    return found
