"""Series as people write them down, on the command line or in a YAML file, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestion_assets.cli.errors import BadInput
from ingestion_assets.intervals import floor, iso, parse_moment
from ingestion_assets.registry import Series, Strategy
from ingestion_assets.sources.errors import NotFound

if TYPE_CHECKING:
    from ingestion_assets.workbench import Workbench

FIELDS = ("exchange", "symbol", "since", "strategy", "timeframes", "description", "enabled", "metadata")


@dataclass(frozen=True)
class Given:
    """What somebody says about a series, each value checked by itself."""

    id: str
    since: datetime | None
    strategy: Strategy | None  # None: what is usual for such a series
    timeframes: tuple[str, ...]
    description: str
    enabled: bool
    metadata: dict[str, Any]

    @classmethod
    def checked(cls, fields: Mapping[str, Any]) -> Given:
        from ingestion_assets.cli.table_choice import ingested
        from ingestion_assets.sources.feeds import vendors
        from ingestion_assets.workbench.naming import named

        if unknown := [name for name in fields if name not in FIELDS]:
            raise BadInput(f"{unknown[0]}: unknown field; there are {', '.join(FIELDS)}")
        for name in ("exchange", "symbol"):
            if not isinstance(fields.get(name), str) or not fields[name].strip():
                raise BadInput(
                    f"{name}: {fields.get(name)!r} is no name: write exchange: kraken, symbol: ETH/USD"
                )
        frames = fields.get("timeframes") or ["1m"]
        frames = frames.split(",") if isinstance(frames, str) else frames
        if not isinstance(frames, list) or not all(isinstance(one, str) for one in frames):
            raise BadInput(f"timeframes: {frames!r} is no list: write it like [1m, 5m]")
        for name, kind in (("description", str), ("enabled", bool), ("metadata", dict)):
            if fields.get(name) is not None and not isinstance(fields[name], kind):
                raise BadInput(f"{name}: {fields[name]!r} is no {kind.__name__}")
        enabled = fields.get("enabled")
        return cls(
            id=named(f"{fields['exchange'].strip()}.{fields['symbol'].strip()}", vendors()).id,
            since=_since(fields.get("since")),
            strategy=Strategy.parse(str(fields["strategy"])) if fields.get("strategy") else None,
            timeframes=tuple(ingested(frames)),
            description=fields.get("description") or "",
            enabled=True if enabled is None else enabled,
            metadata=fields.get("metadata") or {},
        )


def described(bench: Workbench, given: Given, now: datetime) -> Series:
    """The series as the venue describes it and as it was asked for; one that is registered is refused."""
    from ingestion_assets.stores.registry_table import RegistryError

    if bench.registry.get(given.id) is not None:
        raise RegistryError(
            f"series {given.id!r} is registered already: `ingest registry show {given.id}` shows it, "
            f"`ingest registry enable {given.id}` switches it on"
        )
    if given.since is not None and given.since >= now:
        raise BadInput(f"since: {iso(given.since)} lies in the future: give a time that has passed")
    series = bench.describe(given.id, now, given.timeframes)
    begin = series.backfill_from
    if given.since is not None:
        begin = max(filter(None, (given.since, series.listed_at)))
    return replace(
        series,
        strategy=given.strategy or series.strategy,
        description=given.description,
        enabled=given.enabled,
        metadata=series.metadata | given.metadata,
        backfill_from=begin and floor(begin, timedelta(minutes=1)),
    )


def read(path: Path, bench: Workbench, now: datetime) -> list[Series]:
    """Every series of a file, looked up at its venue; the first thing that is wrong refuses them all."""
    import yaml

    try:
        entries = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(entries, list) or not entries:
        raise BadInput(
            f"{path}: holds no list of series: write entries like - {{exchange: kraken, symbol: ETH/USD}}"
        )
    checked: dict[str, tuple[int, Given]] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            if not isinstance(entry, dict):
                raise BadInput(f"{entry!r} is no mapping: write {{exchange: kraken, symbol: ETH/USD}}")
            given = Given.checked({str(name): value for name, value in entry.items()})
            if given.id in checked:
                raise BadInput(
                    f"symbol: {given.id} is entry {checked[given.id][0]} already: keep one of them"
                )
        except ValueError as error:
            raise BadInput(f"{path}: entry {number}: {error}") from None
        checked[given.id] = number, given
    found = []
    for number, given in checked.values():
        try:
            found.append(described(bench, given, now))
        except (ValueError, NotFound) as error:
            raise BadInput(f"{path}: entry {number}: {error}") from None
    return found


def _since(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        return parse_moment(value.isoformat() if hasattr(value, "isoformat") else value)
    except ValueError as error:
        raise BadInput(f"since: {error}") from None
