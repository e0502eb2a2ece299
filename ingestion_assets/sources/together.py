"""Asking about many things in one request: what is asked for at nearly the same time goes together.

For vendors that count requests and take lists. Knows no vendor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Together(Generic[T]):
    """`ask` answers about a list of names; a name that is not in its answer is unknown to the vendor."""

    def __init__(
        self,
        ask: Callable[[list[str]], Awaitable[Mapping[str, T]]],
        most: int,
        gathering: float = 0.02,
    ) -> None:
        self._ask, self._most, self._gathering = ask, most, gathering
        self._names: set[str] = set()
        self._answer: asyncio.Task[Mapping[str, T]] | None = None

    async def get(self, name: str) -> T | None:
        if self._answer is None or len(self._names) >= self._most:
            self._names = set()
            self._answer = asyncio.create_task(self._gathered(self._names))
        self._names.add(name)
        return (await asyncio.shield(self._answer)).get(name)

    async def _gathered(self, names: set[str]) -> Mapping[str, T]:
        await asyncio.sleep(self._gathering)
        if self._names is names:  # whoever comes now comes too late for this one
            self._answer = None
        return await self._ask(sorted(names))
