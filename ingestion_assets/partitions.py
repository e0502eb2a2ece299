"""Month × series, or day × series: how assets are cut, and how sets of keys become ranges for runs.

A run carries a rectangle: some months or days in a row times some series in a row, by position. Which series
lie between two others is a matter of the order in which they were added, so ranges are made only of
stretches without a series that is not meant.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import dagster as dg

from ingestion_assets.intervals import Window, period_window, periods
from ingestion_assets.tables import Table

FIRST_MONTH = "2013-01"
FIRST_DAY = "2019-09-01"  # no table that is cut by days has anything before
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def month_by_series(domain: str) -> dg.MultiPartitionsDefinition:
    """The open month is a valid key from its first day on; series are a dynamic set named like the domain."""
    return dg.MultiPartitionsDefinition(
        {
            "month": dg.MonthlyPartitionsDefinition(start_date=FIRST_MONTH, fmt="%Y-%m", end_offset=1),
            "series": dg.DynamicPartitionsDefinition(name=domain),
        }
    )


def day_by_series(domain: str) -> dg.MultiPartitionsDefinition:
    """The same by days, for tables of which a month would be too much for one file."""
    return dg.MultiPartitionsDefinition(
        {
            "day": dg.DailyPartitionsDefinition(start_date=FIRST_DAY, fmt="%Y-%m-%d", end_offset=1),
            "series": dg.DynamicPartitionsDefinition(name=domain),
        }
    )


MARKET = month_by_series("market")


@functools.cache
def _cut(domain: str, cut: str) -> dg.MultiPartitionsDefinition:
    return day_by_series(domain) if cut == "day" else month_by_series(domain)


def partitions_of(table: Table) -> dg.MultiPartitionsDefinition:
    """How a table's asset is cut; tables of one domain share their series."""
    return MARKET if table.domain == "market" else _cut(table.domain, table.cut)


def key_of(period: str, series: str) -> str:
    return f"{period}|{series}"


def parts_of(key: str) -> tuple[str, str]:
    """The month or day, and the series."""
    period, _, series = key.partition("|")
    return period, series


def keys_of_run(context: dg.AssetExecutionContext) -> list[str]:
    """The partition keys of a run; a range that is upside down has none, and must not pass for done."""
    keys = [str(key) for key in context.partition_keys]
    if not keys:
        first, last = (context.run.tags.get(tag, "?") for tag in (RANGE_START, RANGE_END))
        raise dg.Failure(
            f"the partition range {first} … {last} is empty: its first month and series must not stand "
            "behind its last ones in the asset's list of partitions",
            allow_retries=False,
        )
    return keys


def stretches(order: Sequence[str], wanted: Collection[str]) -> list[tuple[str, str]]:
    """First and last of each run of neighbours in `order` that are all wanted."""
    found: list[tuple[str, str]] = []
    previous_wanted = False
    for name in order:
        if name in wanted:
            found.append((found.pop()[0], name) if previous_wanted else (name, name))
        previous_wanted = name in wanted
    return found


def rectangles(keys: Iterable[str], order: Sequence[str]) -> list[tuple[str, str]]:
    """Ranges, as first and last key, that together cover exactly these keys and each of them once."""
    by_period: dict[str, set[str]] = defaultdict(set)
    for key in keys:
        period, series = parts_of(key)
        by_period[period].add(series)
    open_ranges: dict[tuple[str, str], list[str]] = {}
    done: list[tuple[str, str]] = []

    def close(stretch: tuple[str, str]) -> None:
        held = open_ranges.pop(stretch)
        done.append((key_of(held[0], stretch[0]), key_of(held[-1], stretch[1])))

    for period in sorted(by_period):
        current = stretches(order, by_period[period])
        for stretch in list(open_ranges):
            if stretch not in current or not _follows(period, open_ranges[stretch][-1]):
                close(stretch)
        for stretch in current:
            open_ranges.setdefault(stretch, []).append(period)
    for stretch in list(open_ranges):
        close(stretch)
    return sorted(done)


def _follows(period: str, before: str) -> bool:
    return period_window(period).start == period_window(before).end


def run_requests(
    job: str, keys: Iterable[str], order: Sequence[str], *, run_key: str | None = None, **more: object
) -> list[dg.RunRequest]:
    """One request for each rectangle; `more` goes into every one (tags, run_config)."""
    tags = dict(more.pop("tags", {}))  # type: ignore[call-overload]
    return [
        dg.RunRequest(
            job_name=job,
            run_key=None if run_key is None else f"{run_key}:{first}:{last}",
            tags=tags | {RANGE_START: first, RANGE_END: last},
            **more,  # type: ignore[arg-type]
        )
        for first, last in rectangles(keys, order)
    ]


def keys_in(window: Window, series: Iterable[str], cut: str = "month") -> list[str]:
    names = list(series)
    return [key_of(period, name) for period in periods(window, cut) for name in names]
