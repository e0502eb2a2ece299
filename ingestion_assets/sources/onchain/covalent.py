"""What addresses hold and do, on any chain that GoldRush (formerly Covalent) reads.

Vendor    GoldRush, https://goldrush.dev/docs/api-reference
Host      api.covalenthq.com; chains by name (eth-mainnet) or number (1)
Key       needed; sent as a header
Price     credits by the request; 402 when they are spent, so requests are counted by the month
Limits    4 requests a second on the cheap plans, 50 on others
Balances  all coins of an address at the present moment; numbers of up to 78 digits as text; a price that
          nobody knows is null; times have nine digits behind the second
Transact. newest first in a page; pages of 100 are numbered from the oldest one on, without a number the
          youngest page is given; `links.prev` leads to the older one
History   transactions: all; balances: the present
Settled   blocks may be replaced for some minutes
Errors    {"error": true, "error_code": "401" or 401, "error_message": …}, with HTTP 200 as well
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

import pyarrow as pa

from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series, check_id
from ingestion_assets.sources.backwards import backwards
from ingestion_assets.sources.clock import read_at, told_now
from ingestion_assets.sources.errors import MalformedAnswer, QuotaSpent, SourceError, excerpt
from ingestion_assets.sources.feeds import Absent, Page, feed
from ingestion_assets.sources.governor import Budget
from ingestion_assets.sources.http_vendor import HttpVendor
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.sources.onchain.covalent_rows import (
    AT_ONCE,
    SETTLE,
    Document,
    data_of,
    normalise_balances,
    normalise_transactions,
    older_path,
    problem_of,
)
from ingestion_assets.sources.present import slots
from ingestion_assets.sources.spending import Allowance, paid
from ingestion_assets.tables.onchain import BALANCES, TRANSACTIONS

PUBLIC_URL = "https://api.covalenthq.com"
LIMIT = Budget(limit=4, seconds=1, late_by=0.05)
_BARE = {"no-logs": "true"}  # the events of a transaction are a hundred times as long as itself
_ID = re.compile(r"([A-Za-z0-9-]+)[.:/]([A-Za-z0-9_-]+)")


class Covalent(HttpVendor):
    name, domain, serves = "covalent", "onchain", "covalent"
    needs = "covalent_api_key"
    allowance = Allowance("month", "requests")

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        self._client = self._door(
            options.base_url or PUBLIC_URL,
            "/covalent",
            LIMIT,
            classify=_classify,
            headers={"Authorization": f"Bearer {options.api_key}"} if options.api_key else {},
        )
        self._walks: dict[str, _Walk] = {}

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        """Chain and address: `eth-mainnet.0xd8da…`, or `1.0xd8da…`."""
        found = _ID.fullmatch(text)
        if found is None:
            raise ValueError(f"address {text!r}: write chain and address like eth-mainnet.0xd8da6bf2…")
        chain, address = found[1].lower(), found[2]
        if address[:2].lower() == "0x":  # capitals are a checksum there; on other chains they count
            address = address.lower()
        return check_id(f"{cls.serves}.{chain}.{address}"), f"{chain}:{address}"

    async def now(self) -> datetime:
        """Every answer is charged, so our own clock tells it; a simulated world has its own, and no price."""
        if self.options.origin != "simulator":
            return datetime.now(UTC)
        await self._client.get("/v1/chains/", parse=data_of)
        return told_now(self._client)

    @feed(BALANCES, phase="rest", page_rows=1, **slots(BALANCES))
    async def balances(self, series: Series, window: Window) -> AsyncIterator[Page]:
        data = await self._get(f"/v1/{_place(series)}/balances_v2/")
        read = read_at(self._client, self.options.origin)
        yield Page(normalise_balances(data, window.start, read, self.options.origin), window)

    @feed(TRANSACTIONS, phase="rest", page_rows=AT_ONCE, settle=SETTLE)
    async def transactions(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        walk = self._walks.setdefault(series.id, _Walk(self, f"/v1/{_place(series)}/transactions_v3"))
        if walk.begun is not None and walk.begun < window.end + SETTLE:
            walk = self._walks[series.id] = _Walk(self, walk.path)
        async for page in backwards(walk.answers(), TRANSACTIONS, window):
            yield page

    async def page(self, path: str) -> Document:
        return await self._get(path, _BARE)

    def rows(self, data: Document) -> pa.Table:
        return normalise_transactions(data, self.options.origin)

    async def _get(self, path: str, params: Mapping[str, str] | None = None) -> Document:
        return await self._client.get(
            path, params, parse=data_of, each=lambda ask: paid(self.options.purse, 1, ask)
        )

    def told_now(self) -> datetime:
        return told_now(self._client)


class _Walk:
    """The way from an address's newest transaction to its oldest, gone once for all months of a run."""

    def __init__(self, covalent: Covalent, path: str) -> None:
        self._covalent, self.path = covalent, path
        self.begun: datetime | None = None
        self._read: list[pa.Table] = []
        self._next: str | None = f"{path}/"
        self._asked = set[str]()
        self._going = asyncio.Lock()

    async def answers(self) -> AsyncIterator[pa.Table]:
        place = 0
        while True:
            async with self._going:
                if place == len(self._read):
                    if self._next is None:
                        return
                    await self._on()
            yield self._read[place]
            place += 1

    async def _on(self) -> None:
        assert self._next is not None
        self._asked.add(self._next)
        data = await self._covalent.page(self._next)
        self.begun = self.begun or self._covalent.told_now()
        self._read.append(self._covalent.rows(data))
        self._next = older_path(data, self.path)
        if self._next in self._asked:
            raise MalformedAnswer(f"{self._next} leads in a circle")


def _place(series: Series) -> str:
    chain, _, address = series.symbol.partition(":")
    return f"{quote(chain)}/address/{quote(address)}"


def _classify(status: int, headers: Mapping[str, str], body: bytes) -> SourceError | None:
    if status < 400:
        return None
    try:
        problem = problem_of(status, headers, json.loads(body))
    except ValueError:
        problem = None
    spent = QuotaSpent(f"HTTP 402: {excerpt(body) or 'no text'}") if status == 402 else None
    return problem or spent
