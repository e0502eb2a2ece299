"""Month × series: how assets are cut, and how sets of keys become ranges that a run can carry.

A run carries a rectangle: some months in a row times some series in a row, by position. Which series
lie between two others is a matter of the order in which they were added, so ranges are made only of
stretches without a series that is not meant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import dagster as dg

from ingestion_assets.intervals import Window, month_of, months

FIRST_MONTH = "2013-01"
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


MARKET = month_by_series("market")


def key_of(month: str, series: str) -> str:
    return f"{month}|{series}"


def parts_of(key: str) -> tuple[str, str]:
    month, _, series = key.partition("|")
    return month, series


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
    by_month: dict[str, set[str]] = defaultdict(set)
    for key in keys:
        month, series = parts_of(key)
        by_month[month].add(series)
    open_ranges: dict[tuple[str, str], list[str]] = {}
    done: list[tuple[str, str]] = []

    def close(stretch: tuple[str, str]) -> None:
        held = open_ranges.pop(stretch)
        done.append((key_of(held[0], stretch[0]), key_of(held[-1], stretch[1])))

    for month in sorted(by_month):
        current = stretches(order, by_month[month])
        for stretch in list(open_ranges):
            if stretch not in current or not _follows(month, open_ranges[stretch][-1]):
                close(stretch)
        for stretch in current:
            open_ranges.setdefault(stretch, []).append(month)
    for stretch in list(open_ranges):
        close(stretch)
    return sorted(done)


def _follows(month: str, before: str) -> bool:
    (year, number), (earlier, last) = (map(int, m.split("-")) for m in (month, before))
    return (year * 12 + number) - (earlier * 12 + last) == 1


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


def keys_in(window: Window, series: Iterable[str]) -> list[str]:
    names = list(series)
    return [key_of(month, name) for month in months(window) for name in names]


def open_month(now: datetime) -> str:
    return month_of(now)
