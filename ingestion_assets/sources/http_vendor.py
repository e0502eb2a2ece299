"""A vendor that is asked over HTTP: its doors, opened and closed with it. Most vendors are one of these."""

from __future__ import annotations

import contextlib
from typing import Any, Self

from ingestion_assets.sources.feeds import Vendor
from ingestion_assets.sources.governor import Budget, Governor, RedisCounter
from ingestion_assets.sources.http import HttpClient, host_of
from ingestion_assets.sources.market import SourceOptions


class HttpVendor(Vendor):
    """Subclasses make their doors by `_door` before they are opened; the first one's pace is the vendor's."""

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        self._counter = RedisCounter(options.redis_url) if options.redis_url else None
        self._doors: list[HttpClient] = []
        self._opened = contextlib.AsyncExitStack()

    def _door(self, base: str, pool: str, budget: Budget | None, **more: Any) -> HttpClient:
        """The way to one of the vendor's pools of requests; see HttpClient for what else can be said."""
        options = self.options
        usual = {
            "timeout": options.timeout,
            "attempts": options.attempts,
            "concurrency": options.concurrency,
        }
        client = HttpClient(base, Governor(host_of(base) + pool, budget, self._counter), **(usual | more))
        self._doors.append(client)
        return client

    def without_keys(self, text: str) -> str:
        for client in self._doors:
            text = client.without_keys(text)
        return text

    @property
    def governor(self) -> Governor:
        return self._doors[0].governor

    async def __aenter__(self) -> Self:
        if self._counter is not None:
            self._opened.push_async_callback(self._counter.close)
        for client in self._doors:
            await self._opened.enter_async_context(client)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._opened.aclose()
