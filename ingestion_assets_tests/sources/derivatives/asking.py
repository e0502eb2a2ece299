"""Asking a feed as an engine does, and files as the archive has them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from ingestion_assets.intervals import Window, parse_moment
from ingestion_assets.registry import Series, Strategy
from ingestion_assets.sources.feeds import Absent, Page, Vendor
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.tables import Table
from ingestion_assets_tests.sources.replay import Asked, Replay, Reply

BTC = Series("binance.BTC-USDT-PERP", "derivatives", "binance", "BTC/USDT:USDT", strategy=Strategy.FLATPACK)


def window(start: str, end: str) -> Window:
    return Window(parse_moment(start), parse_moment(end))


def at(text: str) -> datetime:
    return parse_moment(text).astimezone(UTC)


def ask(
    vendor: type[Vendor],
    table: Table,
    answers: Mapping[str, Any],
    part: Window,
    series: Series = BTC,
    **options: Any,
) -> tuple[list[Page | Absent], list[Asked]]:
    """What a vendor's feed of a table yields for a window, and what was asked for it."""

    async def main(url: str) -> list[Page | Absent]:
        async with vendor(SourceOptions(**({"base_url": url, "attempts": 1} | options))) as opened:
            (feed,) = (one for one in vendor.feeds if one.table is table)
            return [page async for page in feed.fetch(opened, series, part)]

    with Replay(answers) as replay:
        return asyncio.run(main(replay.url)), replay.asked


def rows_of(table: Table, pages: list[Page | Absent]) -> pa.Table:
    """All rows, which keep the table's promises."""
    rows = pa.concat_tables([p.rows for p in pages if isinstance(p, Page)] or [table.schema.empty_table()])
    _, broken = table.examine(rows)
    assert broken.num_rows == 0, broken.slice(0, 1).to_pylist()
    return rows


def covered(pages: list[Page | Absent]) -> list[Window]:
    return [page.window for page in pages if isinstance(page, Page)]


def zipped(name: str, text: str, *, header: str = "", path: str = "") -> dict[str, Any]:
    """A CSV as the archive has it, with its CHECKSUM, as answers to be replayed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{name}.csv", (header + "\n" if header else "") + text)
    return filed(f"{path}/{name}.zip", packed.getvalue())


def filed(path: str, content: bytes, digest: str | None = None) -> dict[str, Any]:
    digest = digest or hashlib.sha256(content).hexdigest()
    line = f"{digest}  {path.rpartition('/')[2]}\n".encode()
    return {
        path: Reply(body=content, content_type="application/zip"),
        f"{path}.CHECKSUM": Reply(body=line, content_type="text/plain"),
    }
