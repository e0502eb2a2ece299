"""Series and windows as they are typed, turned into what is meant or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ingestion_assets.cli.errors import BadInput
from ingestion_assets.cli.table_choice import timeframe_of
from ingestion_assets.intervals import Window, ceiling, iso, parse_moment
from ingestion_assets.registry import Series, Strategy, check_id, parse_id, series_id
from ingestion_assets.sources.errors import AuthError

if TYPE_CHECKING:
    from ingestion_assets.cli.table_choice import Choice
    from ingestion_assets.tables import Table
    from ingestion_assets.workbench import Workbench


@dataclass(frozen=True)
class Work:
    """One series in one of its tables, over a stretch of time."""

    series: Series
    table: Table
    window: Window

    @property
    def timeframe(self) -> str | None:
        """Of candles; nothing else has one."""
        return timeframe_of(self.table)


def canonical(text: str, bench: Workbench) -> str:
    """The id that is meant; a symbol alone is one of EXCHANGE_NAME's, or else of the one that has it."""
    if bench.registry.get(text.strip()) is not None:
        return text.strip()
    if "." in text:
        return bench.canonical(text) or _market(text)
    having = [one.id for one in bench.registry.series() if one.symbol.lower() == text.strip().lower()]
    try:
        own = series_id(bench.settings.exchange_name, text)
    except ValueError:
        if len(having) == 1:
            return having[0]
        if having:
            raise BadInput(f"{text!r} is the symbol of {', '.join(having)}: name one of them") from None
        raise
    return having[0] if len(having) == 1 and bench.registry.get(own) is None else own


def _market(text: str) -> str:
    """The id of a market; what is none of any vendor's stays as it is, for the registry to miss it."""
    try:
        return series_id(*parse_id(text))
    except ValueError:
        return check_id(text.strip())


def chosen(
    bench: Workbench, names: Sequence[str], choice: Choice, everything: bool = False
) -> list[tuple[Series, list[Table]]]:
    """The series that are named, or the enabled ones, or every one there is, each with its tables."""
    if names:
        ids = dict.fromkeys(canonical(name, bench) for name in names)
        found = [_with_history(bench.registry.require(name).series) for name in ids]
        return [(one, choice.of_named(one)) for one in found]
    every = bench.registry.series()
    wanted = [one for one in every if everything or one.enabled]
    pairs = [(one, choice.of(one)) for one in wanted if one.domain != "market" or one.rest]
    pairs = [(one, tables) for one, tables in pairs if tables]
    if not pairs:
        what = "registered" if everything or not every else "enabled"
        what += " that has such a table" if choice.tables or choice.domains else ""
        raise BadInput(
            f"no series is {what}: add one with `ingest registry add EXCHANGE SYMBOL`, "
            "or the first ones with `ingest registry init`"
        )
    return pairs


def window_bounds(start: str | None, end: str | None, now: datetime) -> tuple[datetime | None, datetime]:
    """--from and --to; the end may lie in the future, the start may not."""
    first = _moment("--from", start)
    last = _moment("--to", end) or now
    if first is not None and first >= now:
        raise BadInput(f"--from {start} lies in the future (it is {_now(now)}): give a time that has passed")
    if first is not None and last <= first:
        raise BadInput(f"--to {end or iso(last)} is not after --from {start}: swap them, or give a later end")
    return first, last


def work(
    bench: Workbench,
    names: Sequence[str],
    choice: Choice,
    start: str | None,
    end: str | None,
    *,
    everything: bool = False,
) -> list[Work]:
    """What is to be done, series by series and table by table; who was not named and cannot be asked, for
    lack of a key, is passed over."""
    now = datetime.now(UTC)
    first, last = window_bounds(start, end, now)
    found = []
    for series, tables in chosen(bench, names, choice, everything):
        begin = first or series.backfill_from or series.listed_at
        if begin is None:
            raise BadInput(f"--from is not given and series {series.id!r} has no backfill_from: give --from")
        if first is None and last <= begin:
            raise BadInput(
                f"--to {end} is not after {iso(begin)}, from where {series.id} is ingested: "
                "give --from as well, or a later end"
            )
        for table in tables:
            # Of the present there is a slot, whose end is still to come.
            until = last if end else ceiling(last, table.grain)
            if names and (lacking := bench.unkeyed(table, series)):
                raise AuthError(lacking)
            if names or bench.askable(table, series):
                found.append(Work(series, table, Window(begin, until)))
    if not found:
        raise BadInput("nobody can be asked for any of these series: `ingest doctor` tells which keys lack")
    return found


def _with_history(series: Series) -> Series:
    if series.domain == "market" and not series.rest:
        raise BadInput(
            f"series {series.id!r} has the strategy {series.strategy.value}, which asks for no history: "
            f"register it with {Strategy.FLATPACK_API.value} to fetch candles"
        )
    return series


def ago(moment: datetime | None) -> str:
    from ingestion_assets.cli.output import duration

    return "–" if moment is None else f"{duration(max(timedelta(), datetime.now(UTC) - moment))} ago"


def _moment(field: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_moment(text)
    except ValueError as error:
        raise BadInput(f"{field}: {error}") from None


def _now(now: datetime) -> str:
    return iso(now.replace(second=0, microsecond=0))
