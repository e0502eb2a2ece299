"""What asking costs: it is reserved before anybody is asked, so that a ceiling is never passed.

A vendor that charges says so with an `Allowance`; the purse that the options bring keeps the account, for
all processes together. Without a purse nothing is counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from ingestion_assets.sources.errors import (
    AuthError,
    BadRequest,
    Banned,
    GeoBlocked,
    NotFound,
    RateLimited,
    Unreachable,
)

T = TypeVar("T")

_UNASKED = (Banned, Unreachable)
_REFUSALS = (AuthError, BadRequest, GeoBlocked, NotFound, RateLimited)


@dataclass(frozen=True)
class Allowance:
    """How much may be spent in each calendar day or month (UTC); no limit: it is only counted."""

    per: Literal["day", "month"]
    unit: str
    limit: int | None = None


class Purse(Protocol):
    """One vendor's account. `reserve` raises QuotaSpent, and tells from which period it took."""

    async def left(self) -> int | None:
        """What may still be spent at this moment; None: there is no limit."""

    async def reserve(self, units: int) -> str: ...

    async def settle(self, period: str, reserved: int, used: int) -> None: ...


async def paid(
    purse: Purse | None,
    most: int,
    ask: Callable[[], Awaitable[T]],
    cost: Callable[[T], int] | None = None,
) -> T:
    """One request, without patience: who asks again pays again, so HttpClient does so through `each`.

    It costs `most` units, refused or not. With a `cost` that is the most, the answer tells what it was, and
    a refusal costs nothing. Whether an answer that was lost or broken was charged nobody knows, so it stays
    counted; where nobody was asked, nothing is.
    """
    if purse is None:
        return await ask()
    period = await purse.reserve(most)
    try:
        answer = await ask()
    except _UNASKED:
        await purse.settle(period, most, 0)
        raise
    except _REFUSALS:
        if cost is not None:
            await purse.settle(period, most, 0)
        raise
    if cost is not None:
        await purse.settle(period, most, cost(answer))
    return answer
