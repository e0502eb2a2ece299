"""What became of each series that several runs were to take: the assets that were made, why others were not.

A run fails as a whole when one of its series does; what it made of the others is there all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from ingestion_assets.dagster_api.runs import Run
from ingestion_assets.registry import Series
from ingestion_assets.serving.ingestion import Stretch, total
from ingestion_assets.serving.models import SeriesOutcome

_LONGEST = 500  # characters of a cause
_REST = "the rest of the run"  # what it would have made after what was made


@dataclass(frozen=True)
class Ended:
    """A run that has ended, its page, and the series that it was to take."""

    run: Run
    page: str
    stretch: Stretch


class NobodyIngested(HTTPException):
    """Every series failed, or none of the symbols is one; the text names the first, `series` tells of all."""

    def __init__(self, what: str, series: Sequence[SeriesOutcome]) -> None:
        first, more = next((one for one in series if one.run_urls), series[0]), len(series) - 1
        others = f"; and {more} more series" if more else ""
        status = 502 if first.run_urls else 404
        super().__init__(
            status, f"{what} failed: {first.series or first.symbol}: {first.error_message}{others}"
        )
        self.run_url = first.run_urls[0] if first.run_urls else None
        self.series = [one.model_dump() for one in series]


def outcomes(ended: Iterable[Ended], known: Mapping[str, Series]) -> list[SeriesOutcome]:
    """By series, in their order."""
    parts: dict[str, list[SeriesOutcome]] = {}
    for one in ended:
        for name in one.stretch.series:
            if name in known:  # or it was taken out meanwhile
                parts.setdefault(name, []).append(_of_run(one, known[name]))
    return [_together(parts[name]) for name in sorted(parts)]


def _of_run(ended: Ended, series: Series) -> SeriesOutcome:
    run, table = ended.run, ended.stretch.table
    own = [one for one in run.materialized if (one.partition or "").partition("|")[2] == series.id]
    made = dict.fromkeys(one.asset for one in own)
    failed = {} if run.succeeded else _failures(run, series.id)
    broken_off = not any(one.step for one in run.failures)
    if not run.succeeded and not failed and (broken_off or table.path not in made):
        cause = run.failure[:_LONGEST] or f"the run was {run.status.lower()}"
        failed[_REST if table.path in made else table.path] = cause
    mine = Run(run.id, run.status, materialized=own)
    return SeriesOutcome(
        series=series.id,
        symbol=series.symbol,
        strategy=series.strategy.value,
        status="error" if failed else "success",
        records=total([mine], [table.path], "new_rows", "changed_rows"),
        succeeded=[path for path in made if path not in failed],
        failed=failed,
        error_message="; ".join(f"{path}: {cause}" for path, cause in failed.items()) or None,
        run_urls=[ended.page],
    )


def _failures(run: Run, series: str) -> dict[str, str]:
    """The steps that failed for a series; a step that names none failed for all."""
    return {
        one.step.replace("__", "/"): (one.series.get(series) or one.text)[:_LONGEST]
        for one in run.failures
        if one.step and (series in one.series or not one.series)
    }


def _together(parts: Sequence[SeriesOutcome]) -> SeriesOutcome:
    failed = {path: cause for one in parts for path, cause in one.failed.items()}
    errors = [one.error_message for one in parts if one.error_message]
    return parts[0].model_copy(
        update={
            "status": "error" if failed else "success",
            "records": sum(one.records for one in parts),
            "succeeded": list(dict.fromkeys(path for one in parts for path in one.succeeded)),
            "failed": failed,
            "error_message": "; ".join(errors) or None,
            "run_urls": list(dict.fromkeys(page for one in parts for page in one.run_urls)),
        }
    )
