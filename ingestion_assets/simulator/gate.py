"""The way of a request through the simulator: control or vendor, faults, journal, and out on the wire."""

import asyncio
import math
from collections.abc import Mapping
from email.utils import formatdate
from typing import Protocol, runtime_checkable

from aiohttp import web

from ingestion_assets.simulator import misbehave
from ingestion_assets.simulator.answers import Answer, Market, as_json
from ingestion_assets.simulator.binance import Binance
from ingestion_assets.simulator.binance_usdm import BinanceUsdm
from ingestion_assets.simulator.binance_vision import BinanceVision
from ingestion_assets.simulator.clock import wall_ms
from ingestion_assets.simulator.coingecko import CoinGecko, Mock
from ingestion_assets.simulator.control import PREFIX, Control
from ingestion_assets.simulator.covalent import Covalent
from ingestion_assets.simulator.faults import BEFORE, ROWS, WIRE, Fault
from ingestion_assets.simulator.feeds import Feeds
from ingestion_assets.simulator.glassnode import Glassnode
from ingestion_assets.simulator.journal import Entry, Journal
from ingestion_assets.simulator.kraken import Kraken
from ingestion_assets.simulator.limits import Limits, Quota
from ingestion_assets.simulator.newsapi import NewsApi
from ingestion_assets.simulator.perpetuals import Perpetuals
from ingestion_assets.simulator.polygon import Polygon
from ingestion_assets.simulator.polygon_files import PolygonFiles
from ingestion_assets.simulator.press import Press
from ingestion_assets.simulator.reddit import Reddit
from ingestion_assets.simulator.shares import Shares
from ingestion_assets.simulator.x import X


class Vendor(Protocol):
    """Answers every path that begins with its prefix, or with one of them."""

    @property
    def prefix(self) -> str | tuple[str, ...]: ...

    def answer(self, path: str, query: Mapping[str, str]) -> tuple[Answer, int]: ...


@runtime_checkable
class Wary(Protocol):
    """A vendor that looks at who asks before it answers."""

    def meet(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer | None:
        """An answer to whom it will not serve."""


@runtime_checkable
class Limited(Protocol):
    """A vendor whose plans let through so much only, and that says so in its own words."""

    name: str

    def too_many(self, seconds: int) -> Answer: ...


GONE = Answer(499, b"")
"""What the journal says of a client that hung up before it was answered."""


class Gate:
    """An aiohttp handler for every method and path."""

    def __init__(
        self,
        market: Market,
        limits: Limits,
        usdm_limits: Mapping[str, Limits],
        journal: Journal,
        latency_ms: float = 0,
        quotas: Mapping[str, Quota] = {},
    ) -> None:
        self.quotas = quotas
        self.market, self.journal, self.latency_ms = market, journal, latency_ms
        self.control = Control(market, journal, limits)
        perpetuals, shares = Perpetuals(market), Shares(market)
        self.vendors: tuple[Vendor, ...] = (
            CoinGecko(market),  # before Binance, which answers the rest of /api/v3/
            Mock(market),
            Binance(market, limits),
            BinanceUsdm(market, perpetuals, usdm_limits),
            BinanceVision(market, perpetuals),
            Kraken(market),
            NewsApi(market, Press(market.world)),
            Feeds(market, Press(market.world)),
            Polygon(market, shares),
            PolygonFiles(market, shares),
            Glassnode(market),
            Covalent(market),
            X(market),
            Reddit(market),
        )

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(PREFIX):
            body = await request.read()
            return self._send(self.control.answer(request.method, request.path, request.query, body))
        return await self._serve(request)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path, query = request.path, dict(request.query)
        symbol = query.get("symbol") or query.get("pair")
        if self.latency_ms:
            await asyncio.sleep(self.latency_ms / 1000)
        answer, weight = self._answer(request.method, path, query, request.headers)
        struck: list[Fault] = []
        if answer.status not in (429, 418):
            struck = self.market.faults.striking(BEFORE, path, symbol)
            try:
                answer = await self._instead(answer, struck, path)
            except asyncio.CancelledError:  # the client gave up waiting
                self._note(path, query, GONE, weight, struck)
                raise
        if answer.rows and _has_rows(answer):
            for fault in self.market.faults.striking(ROWS, path, symbol):
                struck.append(fault)
                answer = misbehave.spoil(answer, fault)
        broken = self.market.faults.striking(WIRE, path, symbol)
        self._note(path, query, answer, weight, struck + broken)
        if broken:
            answer.headers["Date"] = self._date()
            return await misbehave.send_broken(request, answer, broken[0])
        return self._send(answer)

    def _note(
        self, path: str, query: dict[str, str], answer: Answer, weight: int, struck: list[Fault]
    ) -> None:
        symbol = query.get("symbol") or query.get("pair")
        names = ",".join(fault.kind for fault in struck) or None
        size = len(answer.body)
        self.journal.add(Entry(wall_ms(), path, query, symbol, answer.status, weight, size, names))

    def _answer(
        self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str]
    ) -> tuple[Answer, int]:
        for vendor in self.vendors:
            if path.startswith(vendor.prefix):
                if method not in ("GET", "HEAD") and path not in getattr(vendor, "forms", ()):
                    return as_json({"error": f"{method} is not simulated"}, 405), 0
                if isinstance(vendor, Wary) and (refusal := vendor.meet(query, headers)) is not None:
                    return refusal, 0
                if isinstance(vendor, Limited) and vendor.name in self.quotas:
                    wait = self.quotas[vendor.name].wait()
                    if wait:
                        return vendor.too_many(wait), 0
                return vendor.answer(path, query)
        return as_json({"error": f"no vendor at {path}"}, 404), 0

    async def _instead(self, answer: Answer, struck: list[Fault], path: str) -> Answer:
        for fault in struck:
            if fault.kind == "latency":
                await asyncio.sleep(fault["ms"] / 1000)
            elif fault.kind == "hang":
                await asyncio.sleep(fault["seconds"])
            else:
                spent = {k: v for k, v in answer.headers.items() if k.startswith("x-mbx-")}
                answer = self._replacement(fault, path)
                answer.headers |= spent
        return answer

    def _replacement(self, fault: Fault, path: str) -> Answer:
        """Who has words of its own for too many requests says these."""
        asked = next((vendor for vendor in self.vendors if path.startswith(vendor.prefix)), None)
        if fault.kind == "rate_limited" and isinstance(asked, Limited) and fault["retry_after"] is not None:
            return asked.too_many(math.ceil(fault["retry_after"]))
        return misbehave.replacement(fault, path)

    def _send(self, answer: Answer) -> web.Response:
        headers = {**answer.headers, "Content-Type": answer.content_type, "Date": self._date()}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    def _date(self) -> str:
        return formatdate(self.market.vendor_ms() / 1000, usegmt=True)


def _has_rows(answer: Answer) -> bool:
    return answer.body != b"[]" and b':[],"last"' not in answer.body
