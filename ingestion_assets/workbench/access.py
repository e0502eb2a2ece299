"""Who can be asked: which vendor has its key, which of them gives a table, which is only simulated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ingestion_assets.settings import Settings
from ingestion_assets.sources.errors import AuthError
from ingestion_assets.sources.feeds import Vendor
from ingestion_assets.tables import Table

if TYPE_CHECKING:
    from pydantic import SecretStr


def simulated(settings: Settings, name: str) -> bool:
    """Whether the built-in simulator stands in for an exchange or vendor."""
    address = f"http://127.0.0.1:{settings.simulator_port}"
    meant = settings.profile == "simulator" or name == "mock"
    return meant and settings.vendor_urls.get(name) == address


def keyed(settings: Settings, kind: type[Vendor]) -> bool:
    """Whether there is all that it takes to ask a vendor."""
    told = all(getattr(settings, name) is not None for name in (kind.needs, kind.secret) if name)
    return told or simulated(settings, kind.name)


def key(settings: Settings, kind: type[Vendor], field: str | None) -> SecretStr | None:
    """What the settings hold; the simulated vendor takes any key."""
    from pydantic import SecretStr

    given: SecretStr | None = getattr(settings, field) if field else None
    if given is not None or field is None:
        return given
    if simulated(settings, kind.name):
        return SecretStr("simulated")
    raise AuthError(f"{kind.name} needs a key: set {field.upper()}")


def unkeyed(settings: Settings, kinds: Iterable[type[Vendor]]) -> str | None:
    """Which key is missing, where none of these vendors has what it takes; of none at all there is none."""
    lacking = []
    for kind in kinds:
        if keyed(settings, kind):
            return None
        names = " and ".join(name.upper() for name in (kind.needs, kind.secret) if name)
        lacking.append(f"{kind.name} needs a key: set {names}")
    return "; or ".join(lacking) or None


def able(settings: Settings, kinds: Sequence[type[Vendor]], table: Table, source: str) -> list[type[Vendor]]:
    """Who of a source gives a table and can be asked; without any key all of them, to say so."""
    gives = [
        kind
        for kind in kinds
        if kind.serves == source and any(one.table.path == table.path for one in kind.feeds)
    ]
    return [kind for kind in gives if keyed(settings, kind)] or gives
