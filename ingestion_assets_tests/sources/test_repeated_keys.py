"""A key that a vendor repeats where it should not: it stands in no error's text, whatever the answer is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series
from ingestion_assets.sources.errors import SourceError
from ingestion_assets.sources.feeds import Feed, Vendor, vendors
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets_tests.sources.replay import Replay, Reply

OPEN = Window(datetime(2024, 8, 1, 14, tzinfo=UTC), datetime(2024, 8, 1, 17, tzinfo=UTC))  # exchanges are
KEY = "s3cret-0123456789"
NAMES = {
    "coingecko": "bitcoin-usd",
    "covalent": "eth-mainnet.0xd8da6bf26964af9d7eed9e03e53415d37aa96045",
    "glassnode": "BTC.addresses.active_count",
    "newsapi": "business",
    "polygon": "AAPL",
    "reddit": "bitcoin",
    "x": "bitcoin",
}
FEEDS = {
    f"{kind.name}-{one.table.name}": (kind, one)
    for kind in vendors()
    if kind.name in NAMES
    for one in kind.feeds
}
BODIES: list[Any] = [
    {"error": True, "error_code": 401, "error_message": f"no such key: {KEY}"},
    {"error": f"no such key: {KEY}"},
    {"title": "Unauthorized", "detail": KEY, "errors": [{"title": "Unauthorized", "message": KEY}]},
    {"data": [{"key": KEY}]},
    [KEY],
]


class Anywhere(dict[str, Any]):
    """The same answer, whatever is asked for."""

    def get(self, path: str, default: Any = None) -> Any:
        return self["/"]


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("name", FEEDS)
def test_a_repeated_key_stands_in_no_error(name: str, status: int) -> None:
    kind, feed = FEEDS[name]
    refused = 0
    for body in BODIES:
        with Replay() as replay:
            replay.answers = Anywhere({"/": Reply(status, body)})
            try:
                asyncio.run(asked(kind, feed, replay.url, OPEN))
            except SourceError as error:
                assert KEY not in str(error)
                refused += 1
    assert refused


async def asked(kind: type[Vendor], feed: Feed, url: str, window: Window) -> None:
    told = kind.named(NAMES[kind.name])
    assert told is not None
    series = Series(told[0], kind.domain, kind.serves, told[1])
    async with kind(SourceOptions(base_url=url, api_key=KEY, api_secret=KEY, attempts=1)) as vendor:
        async for _ in feed.fetch(vendor, series, window):
            pass
