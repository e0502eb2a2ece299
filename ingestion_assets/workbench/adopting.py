"""Series that become ours: looked up, registered, what the lake should hold of them noted; and forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from ingestion_assets.registry import Series, check_id
from ingestion_assets.sources.errors import SourceError
from ingestion_assets.tables import FETCHED
from ingestion_assets.workbench.naming import named

if TYPE_CHECKING:
    from ingestion_assets.workbench.bench import Workbench


def adopt(
    bench: Workbench, ids: Iterable[str], now: datetime, domain: str | None
) -> tuple[dict[str, Series], dict[str, Exception]]:
    """Series by id, and those that are refused with why; one that is not registered yet is registered."""
    known = {series.id: series for series in bench.registry.series()}
    found: dict[str, Series] = {}
    refused: dict[str, Exception] = {}
    for name in ids:
        try:
            if name not in known:
                known[name] = _registered(bench, name, now, domain)
            found[name] = _of_domain(known[name], domain)
        except (SourceError, ValueError) as error:
            refused[name] = error
    return found, refused


def forget(bench: Workbench, series: Series, drop: Callable[[], None]) -> None:
    """Take a series out; `drop` deletes its partition.

    Before the registry's row, because a partition whose series is unknown is registered, as if typed in; and
    once more after it, because until then the registry's sensor may have made the partition again.
    """
    drop()
    bench.registry.remove(series.id)
    drop()


def _registered(bench: Workbench, name: str, now: datetime, domain: str | None) -> Series:
    canonical = named(check_id(name), bench.vendors).id
    if canonical != name:
        raise ValueError(f"series id {name!r} is an alias: name the partition {canonical}")
    bench.registry.add_missing([_of_domain(bench.describe(name, now), domain)])
    series = bench.registry.require(name).series
    expect(bench, [series], now)
    return series


def _of_domain(series: Series, domain: str | None) -> Series:
    if domain is not None and series.domain != domain:
        raise ValueError(f"series {series.id!r} belongs to {series.domain}, not to {domain}: use its assets")
    return series


def expect(bench: Workbench, newcomers: Iterable[Series], now: datetime) -> None:
    """Note in the ledger what the lake should hold of new series and nobody has fetched yet."""
    for series in newcomers:
        for table in FETCHED.values():
            if series.follows(table):
                bench.audit(table, series, now)
