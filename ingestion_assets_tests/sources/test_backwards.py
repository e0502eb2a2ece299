"""Answers that come newest first: whatever their sizes, a page says all there is of its window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.intervals import Window
from ingestion_assets.sources.backwards import backwards
from ingestion_assets.sources.feeds import Page
from ingestion_assets.tables.social import POSTS

START = datetime(2024, 8, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WINDOW = Window(START + 10 * SECOND, START + 40 * SECOND)


def posts(seconds: list[int]) -> pa.Table:
    """One post for each, the oldest first; several may be of one moment."""
    rows = [
        {"id": str(number), "time": START + at * SECOND, "kind": "post", "text": "t", "source": "rest"}
        | {"known_at": START}
        for number, at in enumerate(seconds)
    ]
    columns = {f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in POSTS.schema}
    return pa.table(columns, POSTS.schema)


@given(
    st.lists(st.integers(0, 39), max_size=40).map(sorted),
    st.lists(st.integers(1, 9), min_size=45, max_size=45),
    st.integers(1, 45) | st.none(),
)
def test_what_a_page_covers_it_has_and_only_so_many_rows_are_given(
    seconds: list[int], sizes: list[int], most: int | None
) -> None:
    every = posts(seconds)

    async def answers() -> AsyncIterator[pa.Table]:
        end = len(seconds)
        for size in sizes:
            yield every.slice(max(0, end - size), min(size, end))
            end -= size
            if end <= 0:
                return

    async def taken() -> list[Page]:
        pages = [page async for page in backwards(answers(), POSTS, WINDOW, most=most)]
        assert all(isinstance(page, Page) for page in pages)
        return pages

    pages = asyncio.run(taken())
    rows = [row for page in pages for row in page.rows.to_pylist()]
    inside = [row for row in every.to_pylist() if WINDOW.start <= row["time"] < WINDOW.end]
    wanted = inside if most is None else inside[-most:]
    assert sorted(row["id"] for row in rows) == sorted(row["id"] for row in wanted)
    given_ids = {row["id"] for row in rows}
    for row in inside:
        if any(page.window.start <= row["time"] < page.window.end for page in pages):
            assert row["id"] in given_ids
    if len(wanted) == len(inside) and (most is None or len(inside) < most):
        assert pages[-1].window.start == WINDOW.start, "there is nothing more to ask for"
