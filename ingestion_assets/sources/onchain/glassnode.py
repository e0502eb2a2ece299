"""Daily metrics of chains by Glassnode.

Vendor    Glassnode, https://docs.glassnode.com/basic-api/endpoints
Host      api.glassnode.com
Key       needed; sent as a header
Price     credits: 1 for a request about BTC, 2 for one about another coin, however long the stretch of time
Limits    600 requests a minute; x-rate-limit-reset is the number of SECONDS LEFT
Answers   [{"t": epoch seconds, "v": number or null}], or "o": {name: number} where a metric has parts; with
          i=24h `t` is the beginning of the day; `s` is inclusive, `u` is not
Settled   about 10 minutes after the day's end, entity metrics up to 2 hours later
Revises   any value at any time, except those of the category `pit` (point in time)
History   as far back as the plan goes
Errors    plain text, 401 and 403 for a wrong key or a plan that has not got it
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from ingestion_assets.intervals import Window, iso, moment_of, month_of, month_window
from ingestion_assets.registry import Series, check_id
from ingestion_assets.sources.clock import read_at, told_now
from ingestion_assets.sources.errors import RateLimited, SourceError, excerpt
from ingestion_assets.sources.feeds import Absent, Page, feed
from ingestion_assets.sources.governor import Budget
from ingestion_assets.sources.http import retry_after
from ingestion_assets.sources.http_vendor import HttpVendor
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.sources.onchain.glassnode_metrics import Reading, normalise_metric, readings_of, revised
from ingestion_assets.sources.spending import Allowance, paid
from ingestion_assets.tables.onchain import ALIASES, DAY, METRICS

PUBLIC_URL = "https://api.glassnode.com"
LIMIT = Budget(limit=600, seconds=60)
SETTLE = timedelta(minutes=15)
_ID = re.compile(r"([A-Za-z0-9_-]+)[.:/]([a-z0-9_]+)[./]([a-z0-9_]+)")
_SHORT = re.compile(r"([A-Za-z0-9_-]+)[.:/]([a-z_]+)")


class Glassnode(HttpVendor):
    name, domain, serves = "glassnode", "onchain", "glassnode"
    needs = "glassnode_api_key"
    allowance = Allowance("month", "credits")

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        self._client = self._door(
            options.base_url or PUBLIC_URL,
            "/glassnode",
            LIMIT,
            classify=_problem_of,
            headers={"X-Api-Key": options.api_key} if options.api_key else {},
        )

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        """`BTC.addresses.active_count`; the vendor's own spelling with slashes does as well."""
        found, short = _ID.fullmatch(text), _SHORT.fullmatch(text)
        if found is None and short is not None and short[2] in ALIASES:
            found = _ID.fullmatch(f"{short[1]}.{ALIASES[short[2]]}")
        if found is None:
            raise ValueError(
                f"metric {text!r}: write coin, category and metric like BTC.addresses.active_count, or "
                f"{', '.join(f'BTC.{name}' for name in ALIASES)}"
            )
        coin, category, metric = found[1].upper(), found[2], found[3]
        return check_id(f"{cls.serves}.{coin}.{category}.{metric}"), f"{coin}:{category}/{metric}"

    async def now(self) -> datetime:
        """Asking how much was used costs nothing, and its Date tells the time."""
        await self._client.get("/v1/user/api_usage", parse=lambda body: None)
        return told_now(self._client)

    @feed(METRICS, phase="rest", page_rows=5_000, page_cost=2, settle=SETTLE)
    async def metrics(self, series: Series, window: Window) -> AsyncIterator[Page | Absent]:
        """One answer for all; what the month held before the window is asked along, for it may be revised.

        A day that is not told has no value where other days follow it; at the end it may still come.
        """
        wide = Window(month_window(month_of(window.start)).start, window.end)
        found = await self._ask(series, wide)
        if not any(reading.time >= window.start for reading in found):
            found = await self._ask(series, wide)
        rows = await asyncio.to_thread(self._rows, series, wide, found)
        after = max((moment_of(t) + DAY for t in METRICS.times(rows)), default=window.start)
        reached = min(max(after, window.start), window.end)
        if reached > window.start or rows.num_rows:
            yield Page(rows, Window(window.start, reached))
        if reached < window.end:
            evidence = f"glassnode told nothing of {series.symbol} from {iso(reached)} on"
            yield Absent(Window(reached, window.end), evidence, 0)

    async def _ask(self, series: Series, window: Window) -> list[Reading]:
        coin, _, metric = series.symbol.partition(":")
        params: dict[str, Any] = {"a": coin, "i": "24h", "f": "json", "timestamp_format": "unix"}
        params |= {"s": int(window.start.timestamp()), "u": int(window.end.timestamp())}
        credits = 1 if coin == "BTC" else 2
        return await self._client.get(
            f"/v1/metrics/{metric}",
            params,
            parse=readings_of,
            each=lambda ask: paid(self.options.purse, credits, ask),
        )

    def _rows(self, series: Series, window: Window, found: list[Reading]) -> pa.Table:
        inside = [r for r in found if window.start <= r.time < window.end]
        told = read_at(self._client, self.options.origin)
        final = SETTLE if series.symbol.partition(":")[2].startswith("pit/") else None
        rows = normalise_metric(inside, told, self.options.origin, final)
        held = self.options.held
        return rows if held is None else revised(rows, held.read(METRICS, series.id, window))


def _problem_of(status: int, headers: Mapping[str, str], body: bytes) -> SourceError | None:
    reset = headers.get("x-rate-limit-reset", "")
    if status == 429:
        wait = float(reset) if reset.isdigit() else retry_after(headers)
        return RateLimited(f"HTTP 429: {excerpt(body) or 'no text'}", wait)
    return None
