"""A chain of answers that breaks off, and going on with it as an engine does: with what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ingestion_assets.intervals import Window, subtract, union
from ingestion_assets.registry import Series
from ingestion_assets.sources.errors import SourceError
from ingestion_assets.sources.feeds import Absent, Page, Vendor
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.tables import Table
from ingestion_assets_tests.sources.replay import Replay, Reply

Pages = list[Page | Absent]


def breaking(answers: Mapping[str, Any], path: str, at: int) -> dict[str, Any]:
    """The same answers, but the line breaks with every one below the path from the `at`-th on."""
    given = 0

    def wrapped(told: Any) -> Any:
        def answer(query: dict[str, str]) -> Any:
            nonlocal given
            given += 1
            if given >= at:
                return Reply(503, b"later", content_type="text/plain")
            return told(query) if callable(told) else told

        return answer

    return {place: wrapped(told) if place.startswith(path) else told for place, told in answers.items()}


def gone_on(
    vendor: type[Vendor],
    table: Table,
    answers: Mapping[str, Any],
    part: Window,
    series: Series,
    *,
    path: str,
    at: int,
    **options: Any,
) -> tuple[Pages, Pages, int]:
    """What came before the break, what came of asking for the rest, and how many requests that took."""

    async def asked(url: str, wanted: Window, pages: Pages) -> None:
        async with vendor(SourceOptions(**({"base_url": url, "attempts": 1} | options))) as opened:
            (feed,) = (one for one in vendor.feeds if one.table is table)
            async for page in feed.fetch(opened, series, wanted):
                pages.append(page)

    before: Pages = []
    with Replay(breaking(answers, path, at)) as replay:
        try:
            asyncio.run(asked(replay.url, part, before))
        except SourceError:
            pass
        else:
            raise AssertionError("the chain did not break off")
    after: Pages = []
    with Replay(answers) as replay:
        for rest in subtract([part], union(page.window for page in before)):
            asyncio.run(asked(replay.url, rest, after))
        return before, after, sum(one.path.startswith(path) for one in replay.asked)
