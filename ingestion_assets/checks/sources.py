"""Asset checks: an archive and an API that give the same table say the same.

A sample, another one each day: an hour of a few series is fetched from both and compared row by row,
in the columns that both tell.
"""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow as pa
from pydantic import Field

from ingestion_assets.intervals import Window, floor, iso
from ingestion_assets.registry import Series
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.sources.errors import SourceError
from ingestion_assets.sources.feeds import Feed, Page, Vendor, feeds_of
from ingestion_assets.tables import FED, Table
from ingestion_assets.workbench import Workbench

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LISTED = 20
# Of what comes seldom an hour holds nothing.
_LENGTHS = {"derivatives/funding_rates": 10 * DAY}


class SampleConfig(dg.Config):
    series: int = Field(2, gt=0, description="Compare so many series, others each day.")
    days: int = Field(20, gt=0, description="Choose the sample from so many of the last days.")


def sample(
    bench: Workbench, table: Table, series: Series, now: datetime, days: int, choose: random.Random
) -> tuple[Window, list[tuple[type[Vendor], Feed]]] | None:
    """A stretch that both give, and who they are; None where only one does, or not at the same time."""
    feeds = [pair for pair in feeds_of(table, series, bench.vendors) if pair[1].phase in ("bulk", "rest")]
    if {feed.phase for _, feed in feeds} != {"bulk", "rest"}:
        return None
    length = _LENGTHS.get(table.path, HOUR)
    offered = [feed.offered(now) for _, feed in feeds]
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    first = max(now - days * DAY, series.listed_at or now - days * DAY, *(w.start for w in offered))
    last = min(*(w.end for w in offered), series.delisted_at or now)
    if length > DAY:  # by whole months: in the one before this
        last, first = month, month - 2 * length
    steps = int((last - first - length) // length)
    if steps < 0:
        return None
    start = floor(first, HOUR) + HOUR + choose.randint(0, max(0, steps - 1)) * length
    return Window(start, start + length), feeds


async def answers(
    bench: Workbench, pairs: Sequence[tuple[type[Vendor], Feed]], series: Series, window: Window
) -> list[pa.Table]:
    """The rows that each gives of the window."""
    found = []
    for kind, feed in pairs:
        async with bench.vendor(kind) as vendor:
            pages = [page async for page in feed.fetch(vendor, series, window)]
        rows = [page.rows for page in pages if isinstance(page, Page)]
        found.append(feed.table.distinct(pa.concat_tables([feed.table.empty(), *rows])))
    return found


def differences(table: Table, one: pa.Table, other: pa.Table) -> dict[str, str]:
    """What is only in one of them, or says something else there; a null says nothing."""
    theirs = {row[table.key]: row for row in other.to_pylist()}
    ours = {row[table.key]: row for row in one.to_pylist()}
    found = {}
    for key, row in (ours | theirs).items():
        name = f"{iso(row[table.clock])} {key}" if table.key != table.clock else iso(key)
        if key not in theirs or key not in ours:
            found[name] = "only in the API" if key in theirs else "only in the archive"
            continue
        pairs = {c: (ours[key][c], theirs[key][c]) for c in table.payload}
        unlike = [f"{c}: {a}, {b}" for c, (a, b) in pairs.items() if None not in (a, b) and a != b]
        if unlike:
            found[name] = "; ".join(unlike)
    return found


def _agreement_check(table: Table) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table.path.split("/"),
        name="sources_agree",
        description="A sample from the archive and from the API is the same, row by row.",
    )
    def sources_agree(config: SampleConfig, workbench: WorkbenchResource) -> dg.AssetCheckResult:
        bench, now = workbench.open(), datetime.now(UTC)
        day = random.Random(f"{table.path} {now:%Y-%m-%d}")  # noqa: S311 a sample, not a secret
        every = bench.followed(table)
        compared = 0
        looked_at: list[str] = []
        different: dict[str, str] = {}
        unreachable: dict[str, str] = {}
        for series in day.sample(every, min(config.series, len(every))):
            chosen = sample(bench, table, series, now, config.days, day)
            if chosen is None:
                continue
            window, pairs = chosen
            looked_at.append(f"{series.id} {window}")
            try:
                one, other = asyncio.run(answers(bench, pairs, series, window))
            except SourceError as error:
                unreachable[series.id] = f"{type(error).__name__}: {error}"
                continue
            compared += max(one.num_rows, other.num_rows)
            found = differences(table, one, other)
            different |= {f"{series.id} {name}": what for name, what in found.items()}
        nothing = bool(looked_at) and not compared
        return dg.AssetCheckResult(
            passed=not different and not unreachable and not nothing,
            severity=dg.AssetCheckSeverity.WARN,
            description=_described(len(every), looked_at, compared, len(different), len(unreachable)),
            metadata={
                "compared": compared,
                "looked_at": dg.MetadataValue.json(looked_at),
                "different": dg.MetadataValue.json(dict(list(different.items())[:LISTED])),
                "unreachable": dg.MetadataValue.json(unreachable),
            },
        )

    return sources_agree


def _described(followed: int, looked_at: list[str], compared: int, different: int, unreachable: int) -> str:
    if different or unreachable:
        return f"{different} of {compared} rows differ, {unreachable} series could not be compared"
    if compared:
        return f"{compared} rows are the same"
    if looked_at:
        return f"0 rows compared: neither gave any of {'; '.join(looked_at)}"
    return f"0 rows compared: of {followed} series none has a time that archive and API both give"


AGREEMENT_CHECKS = [_agreement_check(table) for table in FED.values() if table.domain == "derivatives"]
