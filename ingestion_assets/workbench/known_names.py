"""Names that stand inside of settings: a wrong one would be a ceiling or a TTL that nobody looks at.

The settings themselves know neither vendors nor domains, so it is here that such names are compared.
"""

from __future__ import annotations

from collections.abc import Iterable

from ingestion_assets.settings import Settings, SettingsError
from ingestion_assets.sources.feeds import vendors
from ingestion_assets.tables import DOMAIN_FEATURES, FEATURES


def check_names(settings: Settings) -> None:
    """Refuses what names no vendor that charges, and no domain that has features online."""
    problems = []
    if settings.vendor_budgets:
        charging = sorted(kind.name for kind in vendors() if kind.allowance is not None)
        problems += _unknown("VENDOR_BUDGETS", settings.vendor_budgets, charging)
    if settings.feature_ttl_overrides:
        online = {table.name.partition("_")[0] for table in (*FEATURES.values(), *DOMAIN_FEATURES.values())}
        problems += _unknown("FEATURE_TTL_OVERRIDES", settings.feature_ttl_overrides, sorted(online))
    if problems:
        raise SettingsError("\n".join(problems))


def _unknown(variable: str, given: Iterable[str], known: list[str]) -> list[str]:
    return [
        f"{variable}: {name!r} is unknown: use {', '.join(known[:-1])} or {known[-1]}"
        for name in given
        if name not in known
    ]
