"""Series, timeframes and windows as they are typed, turned into what is meant or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ingestion_assets.cli.errors import BadInput
from ingestion_assets.intervals import Window, canonical_timeframe, iso, parse_moment
from ingestion_assets.registry import Series, Strategy, parse_id, series_id

if TYPE_CHECKING:
    from ingestion_assets.tables import Table
    from ingestion_assets.workbench import Workbench


@dataclass(frozen=True)
class Work:
    """One series in one of its timeframes, over a stretch of time."""

    series: Series
    timeframe: str
    table: Table
    window: Window


def canonical(text: str, bench: Workbench) -> str:
    """The id that is meant; a symbol alone is one of EXCHANGE_NAME's."""
    if bench.registry.get(text.strip()) is not None:
        return text.strip()
    if "." not in text:
        return series_id(bench.settings.exchange_name, text)
    exchange, symbol = parse_id(text)
    return series_id(exchange, symbol)


def named(bench: Workbench, names: Sequence[str], everything: bool = False) -> list[Series]:
    """The series that are named, or the enabled ones, or every one there is."""
    if names:
        ids = dict.fromkeys(canonical(name, bench) for name in names)
        return [_with_history(bench.registry.require(name).series) for name in ids]
    found = [one for one in bench.registry.series("market", enabled_only=not everything) if one.rest]
    if not found:
        what = "registered" if everything or not bench.registry.series("market") else "enabled"
        raise BadInput(
            f"no series is {what}: add one with `ingest registry add EXCHANGE SYMBOL`, "
            "or the first ones with `ingest registry init`"
        )
    return found


def timeframes(texts: Sequence[str]) -> list[str]:
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
    frames: Sequence[str],
    start: str | None,
    end: str | None,
    *,
    everything: bool = False,
) -> list[Work]:
    """What is to be done, series by series and timeframe by timeframe."""
    from ingestion_assets.tables import INGESTED

    now = datetime.now(UTC)
    wanted = timeframes(frames)
    first, last = window_bounds(start, end, now)
    found = []
    for series in named(bench, names, everything):
        begin = first or series.backfill_from or series.listed_at
        if begin is None:
            raise BadInput(f"--from is not given and series {series.id!r} has no backfill_from: give --from")
        if first is None and last <= begin:
            raise BadInput(
                f"--to {end} is not after {iso(begin)}, from where {series.id} is ingested: "
                "give --from as well, or a later end"
            )
        window = Window(begin, last)
        found += [Work(series, name, INGESTED[name], window) for name in wanted or series.timeframes]
    return found


def _with_history(series: Series) -> Series:
    if series.domain != "market":
        raise BadInput(
            f"series {series.id!r} belongs to {series.domain}: materialise its assets in Dagster's UI; of "
            "Binance's perpetuals, use `ingest backfill-binance`"
        )
    if not series.rest:
        raise BadInput(
            f"series {series.id!r} has the strategy {series.strategy.value}, which asks for no history: "
            f"register it with {Strategy.FLATPACK_API.value} to fetch candles"
        )
    return series


def tables_of(series: Series, wanted: Sequence[str]) -> list[tuple[str, Table]]:
    from ingestion_assets.tables import INGESTED

    return [(name, INGESTED[name]) for name in wanted or series.timeframes]


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
