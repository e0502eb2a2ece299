"""What to fetch: wanted time, minus what the lake holds, minus what the venue says is not there.

Reads the lake and the ledger, asks no vendor, writes nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ingestion_assets.intervals import (
    Window,
    bars,
    ceiling,
    floor,
    intersect,
    iso,
    period_window,
    periods,
    subtract,
    total,
    union,
)
from ingestion_assets.registry import Series
from ingestion_assets.stores.gap_ledger import NOT_LISTED, UNRECOVERABLE, GapLedger, Hole
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.lake_file import CorruptFile
from ingestion_assets.tables import Table

if TYPE_CHECKING:
    from ingestion_assets.sources.market import CandleSource


@dataclass(frozen=True)
class Options:
    """How a run treats what is held already."""

    full_refresh: bool = False  # fetch everything again and replace it
    dry_run: bool = False  # fetch and check, write nothing
    verify: bool = False  # fetch a sample of what is held again and compare
    most: int | None = None  # so many of the newest rows of each series; the rest stays missing

    def __post_init__(self) -> None:
        if self.full_refresh and self.verify:
            raise ValueError(
                "full_refresh and verify exclude each other: verify compares a sample with what is held"
            )


@dataclass(frozen=True)
class Slice:
    """One month or day of one series, or a part of it."""

    series: Series
    period: str  # 2024-08 or 2024-08-01
    window: Window

    @property
    def key(self) -> str:
        """As Dagster names the partition."""
        return f"{self.period}|{self.series.id}"


@dataclass(frozen=True)
class Offer:
    """What whoever is asked has of a table at this moment."""

    name: str
    until: datetime  # later time is not final yet
    since: datetime | None  # earlier time is served to nobody
    page_rows: int


@dataclass(frozen=True)
class Plan:
    """What one slice still needs."""

    slice: Slice
    wanted: list[Window]
    missing: list[Window]
    foregone: list[Hole] = field(default_factory=list)
    corrupt: str | None = None
    kept: list[Window] = field(default_factory=list)  # held, and not missing for whatever reason

    def asked(self, table: Table, page_rows: int) -> list[Window]:
        """What a venue with pages of so many rows is asked for."""
        return in_pages(self.missing, table.grain * page_rows)

    def unheld(self, holes: list[Hole]) -> list[Hole]:
        """These holes without what is held: a row that its vendor gives no more is no hole."""
        held = intersect((h.window for h in holes), self.kept)
        return [Hole(w, h.reason, h.evidence) for h in holes for w in subtract([h.window], held)]

    def bars(self, table: Table) -> int:
        return bars(self.missing, table.grain)

    def pages(self, table: Table, page_rows: int) -> int:
        """In how many requests, where the venue holds something at all times."""
        return sum(math.ceil(bars([w], table.grain) / page_rows) for w in self.asked(table, page_rows))


def slices_of(series: Sequence[Series], window: Window, cut: str = "month") -> Iterator[Slice]:
    """Month by month or day by day, newest first: what people look at first is there first."""
    for period in reversed(list(periods(window, cut))):
        whole = period_window(period)
        part = Window(max(whole.start, window.start), min(whole.end, window.end))
        for one in series:
            yield Slice(one, period, part)


def in_pages(windows: Iterable[Window], page: timedelta) -> list[Window]:
    """The windows, those that one page holds as one, with all that lies between them."""
    asked: list[Window] = []
    for window in union(windows):
        if asked and window.end - asked[-1].start <= page:
            asked[-1] = Window(asked[-1].start, window.end)
        else:
            asked.append(window)
    return asked


def closed_until(table: Table, now: datetime, settle: timedelta) -> datetime:
    """Bars that open before this moment are closed and settled."""
    return floor(now - settle, table.grain)


def offer_of(table: Table, source: CandleSource, now: datetime) -> Offer:
    """What a venue has of its candles."""
    until = closed_until(table, now, source.settle)
    return Offer(source.name, until, source.horizon(table, now), source.page_rows)


def plan_slice(
    table: Table,
    piece: Slice,
    lake: Lake,
    ledger: GapLedger,
    offer: Offer,
    now: datetime,
    options: Options,
) -> Plan:
    series = piece.series
    wanted = [Window(piece.window.start, min(piece.window.end, offer.until))]
    foregone = []
    alive = Window(series.listed_at or piece.window.start, series.delisted_at or piece.window.end)
    if series.listed_at is not None:
        alive = Window(ceiling(series.listed_at, table.grain), alive.end)
    for window in subtract(wanted, [alive]):
        since, until = series.listed_at, series.delisted_at
        evidence = f"listed {iso(since) if since else '?'} to {iso(until) if until else 'now'}"
        foregone.append(Hole(window, NOT_LISTED, evidence))
    wanted = intersect(wanted, [alive])
    horizon = offer.since
    if horizon is not None:
        served = Window(ceiling(horizon, table.grain), max(piece.window.end, now))
        beyond = subtract(wanted, [served])
    else:
        beyond = []

    corrupt = None
    held_holes: list[Window] = wanted
    if wanted:
        span = Window(wanted[0].start, wanted[-1].end)
        try:
            held_holes = intersect(lake.holes(table, series.id, span), wanted)
        except CorruptFile as error:
            corrupt = error.path
    missing = held_holes
    if options.verify:
        missing = _sample(subtract(wanted, held_holes), table, offer.page_rows, f"{piece.key} {now:%Y-%m-%d}")
    elif options.full_refresh:
        missing = wanted
    elif corrupt is None:
        missing = subtract(missing, ledger.believed_empty(table.path, series.id, now))
    if beyond:
        evidence = f"{offer.name} serves nothing before {iso(horizon)}" if horizon else ""
        foregone += [Hole(w, UNRECOVERABLE, evidence) for w in intersect(beyond, held_holes)]
        missing = subtract(missing, beyond)
    kept = subtract(wanted, [*missing, *held_holes])
    return Plan(piece, wanted, missing, foregone, corrupt, kept)


def _sample(held: list[Window], table: Table, page_rows: int, seed: str) -> list[Window]:
    """One page's worth of what is held, another one each day for each slice but the same when repeated."""
    windows = [w for w in union(held) if bars([w], table.grain)]
    if not windows:
        return []
    length = table.grain * page_rows
    room = max(timedelta(), total(windows) - length)
    offset = random.Random(seed).random() * room  # noqa: S311 a sample, not a secret
    for window in windows:
        if offset < window.length:
            start = floor(window.start + offset, table.grain)
            start = max(start, window.start)
            return [Window(start, min(start + length, window.end))]
        offset -= window.length
    return [windows[-1]]
