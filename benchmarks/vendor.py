"""A Binance-compatible vendor that costs almost nothing, so that its clients are what is measured.

The rows are the simulator's deterministic world, rendered before the first answer; an answer is one cut
out of them and one write. Started as a process of its own (`python -m benchmarks.vendor`); the class
`Vendor` starts it, waits until everything is rendered, and talks to it: latency, weight limit, clock.
Not here: faults and everything else that a realistic vendor needs (`ingestion_assets.simulator`).
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import datetime
from email.utils import formatdate
from typing import Any, Self
from urllib.parse import parse_qsl

import numpy as np

MINUTE_MS = 60_000
_UNLIMITED = 100_000_000
# So many markets did the real vendor list when its answer was recorded. A client that asks for all of
# them pays for that, one that asks for a symbol does not; `markets=` makes the list another length.
LISTED_MARKETS = 1_695
_CHUNK_MINUTES = 43_200
_WEIGHTS = {b"/api/v3/klines": 2, b"/api/v3/exchangeInfo": 20}
_UNITS = (("DAY", "d", 86_400), ("HOUR", "h", 3_600), ("MINUTE", "m", 60), ("SECOND", "s", 1))

Query = dict[str, str]


class Market:
    """One symbol's candles as bytes, and where each row begins."""

    def __init__(self, world: Any, name: str, start_ms: int, end_ms: int) -> None:
        from ingestion_assets.simulator import render

        parts, sizes = [], [np.zeros(1, np.int64)]
        for first in range(start_ms, end_ms, _CHUNK_MINUTES * MINUTE_MS):
            chunk = world.candles(name, "1m", first, min(end_ms, first + _CHUNK_MINUTES * MINUTE_MS))
            rendered = render.rows(chunk)
            parts.append(rendered.data)
            sizes.append(np.diff(rendered.offsets))
        self.start_ms, self.count = start_ms, sum(len(s) for s in sizes) - 1
        self.rows = memoryview(b"".join(parts))
        self.offsets = np.cumsum(np.concatenate(sizes)).tolist()
        if self.count != (end_ms - start_ms) // MINUTE_MS:
            raise ValueError(f"{name} does not trade during the whole window: take another symbol")

    def page(self, start_ms: int | None, end_ms: int | None, limit: int, now_ms: int) -> memoryview:
        """At most `limit` rows without the brackets: the first from `start_ms` on, or the latest."""
        end_ms = now_ms if end_ms is None else min(end_ms, now_ms)
        last = max(0, min(self.count, (end_ms - self.start_ms) // MINUTE_MS + 1))
        if start_ms is None:
            first = max(0, last - limit)
        else:
            first = max(0, -((self.start_ms - start_ms) // MINUTE_MS))
            last = min(last, first + limit)
        if first >= last:
            return memoryview(b"")
        return self.rows[self.offsets[first] : self.offsets[last] - 1]


class Service:
    """Counts weight in fixed windows of the clock, and answers."""

    def __init__(self, names: list[str], start_ms: int, end_ms: int) -> None:
        from ingestion_assets.simulator import World, binance_facts
        from ingestion_assets.simulator.symbols import BINANCE

        world = World()
        self.markets = {name: Market(world, name, start_ms, end_ms) for name in names}
        self.facts = {name: binance_facts.market(BINANCE[name], trading=True) for name in names}
        self._list = functools.cache(self._all_markets)
        self.set({})

    def set(self, query: Query) -> None:
        """Latency, limit and clock from now on; counts begin anew."""
        self.latency = float(query.get("latency_ms", 0)) / 1_000
        self.limit = int(query.get("limit", _UNLIMITED))
        self.seconds = int(query.get("seconds", 60))
        self.stopped_ms = int(query.get("now_ms", 0))
        self.listed = self._list(int(query.get("markets", LISTED_MARKETS)))
        unit, letter, size = next(u for u in _UNITS if self.seconds % u[2] == 0)
        self.window_facts = {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": unit,
            "intervalNum": self.seconds // size,
            "limit": self.limit,
        }
        self.header = f"x-mbx-used-weight-{self.seconds // size}{letter}".encode()
        self.used: dict[int, int] = {}
        self.requests = self.rejected = 0
        self.stamp, self.date = 0, b""

    def _all_markets(self, count: int) -> bytes:
        """Ours, and made-up ones that look like them, as JSON without the brackets."""
        given = list(self.facts.values())
        for number in range(len(given), count):
            like, base = given[number % len(self.facts)], f"MADEUP{number}"
            name = base + like["quoteAsset"]
            given.append(like | {"symbol": name, "baseAsset": base})
        return b",".join(json.dumps(facts).encode() for facts in given)

    def now_ms(self) -> int:
        return self.stopped_ms or int(time.time() * 1_000)

    def answer(self, target: bytes) -> bytes:
        """The bytes of a whole HTTP answer."""
        path, _, rest = target.partition(b"?")
        query = dict(parse_qsl(rest.decode()))
        if path.startswith(b"/_vendor/"):
            return self._control(path, query)
        now = self.now_ms()
        window = now // (self.seconds * 1_000)
        used = self.used.get(window, 0) + _WEIGHTS.get(path, 1)
        self.used[window] = used
        self.requests += 1
        if used > self.limit:
            self.rejected += 1
            wait = self.seconds - now // 1_000 % self.seconds
            error = b'{"code":-1003,"msg":"Too much request weight used."}'
            return self._framed(b"429 Too Many Requests", used, (error,), b"Retry-After: %d\r\n" % wait)
        if path == b"/api/v3/klines":
            return self._klines(query, used, now)
        return self._framed(b"200 OK", used, (self._document(path, query, now),))

    def _klines(self, query: Query, used: int, now: int) -> bytes:
        market = self.markets.get(query.get("symbol", ""))
        if market is None or query.get("interval") != "1m":
            code, text = (-1121, b"Invalid symbol.") if market is None else (-1120, b"Invalid interval.")
            return self._framed(b"400 Bad Request", used, (b'{"code":%d,"msg":"%b"}' % (code, text),))
        start, end = (int(query[k]) if k in query else None for k in ("startTime", "endTime"))
        limit = min(1_000, int(query.get("limit", 500)))
        return self._framed(b"200 OK", used, (b"[", market.page(start, end, limit, now), b"]"))

    def _document(self, path: bytes, query: Query, now: int) -> bytes:
        if path == b"/api/v3/time":
            return b'{"serverTime":%d}' % now
        if path == b"/api/v3/exchangeInfo":
            one = self.facts.get(query.get("symbol", ""))
            symbols = json.dumps(one).encode() if one else self.listed
            limits = json.dumps(self.window_facts).encode()
            return (
                b'{"timezone":"UTC","serverTime":%d,"rateLimits":[%b],"exchangeFilters":[],"symbols":[%b]}'
            ) % (now, limits, symbols)
        return b"{}"

    def _control(self, path: bytes, query: Query) -> bytes:
        if path == b"/_vendor/set":
            self.set(query)
        times = os.times()
        state = {
            "requests": self.requests,
            "rejected": self.rejected,
            "used": self.used,
            "cpu": times.user + times.system,
        }
        return self._framed(b"200 OK", 0, (json.dumps(state).encode(),))

    def _framed(
        self, status: bytes, used: int, body: tuple[bytes | memoryview, ...], more: bytes = b""
    ) -> bytes:
        second = int(time.time())
        if second != self.stamp:
            stamp = formatdate(self.now_ms() / 1_000, usegmt=True)
            self.stamp, self.date = second, stamp.encode()
        head = (
            b"HTTP/1.1 %b\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: %d\r\n"
            b"Date: %b\r\nx-mbx-used-weight: %d\r\n%b: %d\r\n%b\r\n"
        ) % (status, sum(map(len, body)), self.date, used, self.header, used, more)
        return b"".join((head, *body))


class Connection(asyncio.Protocol):
    """Requests of one client, one after the other."""

    def __init__(self, service: Service) -> None:
        self.service, self.given = service, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        line = transport.get_extra_info("socket")
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

    def data_received(self, data: bytes) -> None:
        self.given += data
        while b"\r\n\r\n" in self.given:
            request, _, self.given = self.given.partition(b"\r\n\r\n")
            target = request.split(b" ", 2)[1]
            if self.service.latency:
                asyncio.get_running_loop().call_later(self.service.latency, self._send, target)
            else:
                self._send(target)

    def _send(self, target: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.service.answer(target))


class Vendor:
    """The vendor's process for as long as the `with` block lasts; it may take a while to render."""

    def __init__(self, symbols: list[str], start: datetime, end: datetime) -> None:
        window = [str(int(moment.timestamp() * 1_000)) for moment in (start, end)]
        self._command = [sys.executable, "-m", "benchmarks.vendor", *window, *symbols]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"the vendor ended with code {self._process.wait()} before it answered")
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def set(self, **how: int) -> None:
        """latency_ms, limit and seconds of the weight window, markets listed, now_ms of a stopped clock."""
        self._ask("set?" + "&".join(f"{name}={value}" for name, value in how.items()))

    def state(self) -> dict[str, Any]:
        """Requests, rejections, weight by window, CPU seconds."""
        return self._ask("state")

    def _ask(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/_vendor/{what}", timeout=60) as answer:
            return dict(json.load(answer))


async def _serve(service: Service) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", 0, backlog=128)
    print(server.sockets[0].getsockname()[1], flush=True)
    done = asyncio.Event()
    loop.add_reader(0, done.set)  # our parent closes the pipe, or is gone
    await done.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("start_ms", type=int)
    parser.add_argument("end_ms", type=int)
    parser.add_argument("symbols", nargs="+")
    given = parser.parse_args()
    service = Service(given.symbols, given.start_ms, given.end_ms)
    asyncio.run(_serve(service))


if __name__ == "__main__":
    main()
