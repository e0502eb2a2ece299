"""Which tables are meant by --timeframe, --table and --domain, and what a name means that was not found."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingestion_assets.cli.errors import BadInput
from ingestion_assets.intervals import canonical_timeframe

if TYPE_CHECKING:
    from ingestion_assets.registry import Series
    from ingestion_assets.tables import Table


@dataclass(frozen=True)
class Choice:
    """The tables that were asked for; with none, those that a series follows. No domain: every one."""

    tables: tuple[Table, ...] = ()
    domains: tuple[str, ...] = ()

    def of(self, series: Series) -> list[Table]:
        from ingestion_assets.tables import FETCHED

        if self.domains and series.domain not in self.domains:
            return []
        wanted = self.tables or [table for table in FETCHED.values() if series.follows(table)]
        return [table for table in wanted if _gives(series, table)]

    def of_named(self, series: Series) -> list[Table]:
        """The same for a series that somebody named, of which there must be something."""
        found = self.of(series)
        if found:
            return found
        from ingestion_assets.tables import FETCHED

        given = ", ".join(table.name for table in FETCHED.values() if _gives(series, table))
        asked = ", ".join([*(table.path for table in self.tables), *self.domains])
        if not asked:
            raise BadInput(
                f"series {series.id!r} has the strategy {series.strategy.value} and follows no table: "
                f"name one with --table ({given})"
            )
        raise BadInput(f"series {series.id!r} of {series.domain} has nothing of {asked}: it has {given}")


def choice(timeframes: Sequence[str] = (), tables: Sequence[str] = (), domains: Sequence[str] = ()) -> Choice:
    """What the options say, or why they cannot be meant."""
    from ingestion_assets.tables import FETCHED

    known = list(dict.fromkeys(table.domain for table in FETCHED.values()))
    for text in domains:
        if text not in known:
            raise BadInput(f"--domain {text!r} is unknown.{_near(text, known)} Use one of {', '.join(known)}")
    meant = [table for text in tables for table in named_table(text)]
    meant += [
        table for name in ingested(timeframes) for table in FETCHED.values() if timeframe_of(table) == name
    ]
    return Choice(tuple({table.path: table for table in meant}.values()), tuple(domains))


def timeframe_of(table: Table) -> str | None:
    """Of candles, shares' bars among them; nothing else has one."""
    kind, _, timeframe = table.name.partition("_")
    return timeframe if kind in ("ohlcv", "bars") else None


def named_table(text: str) -> list[Table]:
    """The tables of a path like derivatives/funding_rates, or of that name in any domain."""
    from ingestion_assets.tables import FETCHED

    name = text.strip().replace(".", "/")
    found = [table for table in FETCHED.values() if name in (table.path, table.name)]
    if not found:
        names = list(dict.fromkeys([*FETCHED, *(table.name for table in FETCHED.values())]))
        raise BadInput(
            f"--table {text!r} is not fetched from anybody.{_near(name, names)} "
            f"Use one of {', '.join(FETCHED)}"
        )
    return found


def ingested(texts: Sequence[str]) -> list[str]:
    """Timeframes that are ingested; those that are derived come from 1m."""
    from ingestion_assets.tables import DERIVED, INGESTED

    found = []
    for text in texts:
        name = canonical_timeframe(text)
        if name in DERIVED:
            raise BadInput(
                f"timeframe {text!r} is not fetched but made from 1m: use one of {', '.join(INGESTED)}"
            )
        if name not in INGESTED:
            raise BadInput(f"timeframe {text!r} is not ingested: use one of {', '.join(INGESTED)}")
        found.append(name)
    return list(dict.fromkeys(found))


def one_table(series: Series, timeframe: str | None, table: str | None) -> Table:
    """The one table of a series that is asked about: candles of 1m where it has such and nobody says else."""
    from ingestion_assets.tables import DERIVED, FETCHED, INGESTED

    if timeframe is not None and table is not None:
        raise BadInput("--timeframe and --table exclude each other: leave one of them out")
    if table is not None:
        return Choice(tuple(named_table(table))).of_named(series)[0]
    name = canonical_timeframe(timeframe or "1m")
    if name not in INGESTED | DERIVED:
        raise BadInput(f"timeframe {timeframe!r} is not kept: use one of {', '.join(INGESTED | DERIVED)}")
    if series.domain == "market":
        return (INGESTED | DERIVED)[name]
    mine = [one for one in FETCHED.values() if _gives(series, one)]
    candles = [one for one in mine if timeframe_of(one) == name]
    followed = [one for one in mine if series.follows(one)]
    if candles:
        return candles[0]
    if timeframe is None and len(followed) == 1:
        return followed[0]
    given = ", ".join(one.name for one in followed or mine)
    raise BadInput(f"--table is not given, and series {series.id!r} has {given}: say which")


def _gives(series: Series, table: Table) -> bool:
    """Whether there is anybody who tells this table of such a series: of an address there are no metrics."""
    from ingestion_assets.sources.feeds import vendors

    if series.domain != table.domain or table.domain == "market":
        return series.domain == table.domain
    kinds = [kind for kind in vendors() if kind.serves == series.source]
    return any(one.table.path == table.path for kind in kinds for one in kind.feeds)


def _near(text: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(text, names, n=3)
    return f" Nearest: {', '.join(near)}." if near else ""
