"""Scripted misbehaviour: what goes wrong, for whom, when and how often. What it does to an answer: misbehave.

A fault is counted per request that it matches: it lets `after` of them pass, then strikes every
`every`-th one, `times` times (once if not said, latency for ever; None: for ever). Faults of the world
and of the archive (outage, delisted, archive_missing, …) hold as long as they are in the book; take them
out and the world is whole again, and the archive's files are restated.
"""

import itertools
import threading
from collections.abc import Iterator
from types import EllipsisType
from typing import Any

from ingestion_assets.simulator.clock import to_ms
from ingestion_assets.simulator.intervals import MINUTE_MS
from ingestion_assets.simulator.symbols import Symbol
from ingestion_assets.simulator.world import Stretch

BEFORE, ROWS, WIRE, WORLD = "instead of an answer", "in the rows", "on the wire", "in the world"
ARCHIVE = "in the archive"

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    # kind: (where it strikes, parameters and their defaults; ... marks a required one)
    "latency": (BEFORE, {"ms": 100}),
    "hang": (BEFORE, {"seconds": 3600}),
    "rate_limited": (BEFORE, {"retry_after": 1}),
    "banned": (BEFORE, {"seconds": 120}),
    "geo_blocked": (BEFORE, {}),
    "server_error": (BEFORE, {"status": 503}),
    "forbidden_html": (BEFORE, {}),
    "html": (BEFORE, {}),
    "error_in_200": (BEFORE, {"body": None}),
    "empty_page": (ROWS, {}),
    "truncated_page": (ROWS, {"rows": 10}),
    "duplicate_rows": (ROWS, {"rows": 10}),
    "shuffled_rows": (ROWS, {}),
    "unfinished_extra": (ROWS, {}),
    "wrong_values": (ROWS, {"row": 0}),
    "truncated_json": (WIRE, {"keep": 0.5}),
    "reset": (WIRE, {"keep": 0.5}),
    "outage": (WORLD, {"start": ..., "end": ...}),
    "delisted": (WORLD, {"at": ...}),
    "silent": (WORLD, {"at": ...}),
    "vanished": (WORLD, {}),
    "clock_skew": (WORLD, {"ms": ...}),
    "archive_missing": (ARCHIVE, {"start": ..., "end": ...}),
    "archive_lacks": (ARCHIVE, {"start": ..., "end": ...}),
    "archive_checksum": (ARCHIVE, {}),
    "archive_micros": (ARCHIVE, {}),
}

_FOREVER = 2**40
_TIMES = {"start", "end", "at"}


class Fault:
    """`Fault("server_error", path="/api/v3/klines", symbol="BTCUSDT", times=3, after=5, status=502)`."""

    def __init__(
        self,
        kind: str,
        *,
        path: str | None = None,
        symbol: str | None = None,
        times: int | EllipsisType | None = ...,
        after: int = 0,
        every: int = 1,
        **parameters: Any,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}; there are: {', '.join(KINDS)}")
        self.place, allowed = KINDS[kind]
        if unknown := parameters.keys() - allowed.keys():
            raise ValueError(f"{kind} has no parameter {', '.join(sorted(unknown))}; it has: {list(allowed)}")
        merged = allowed | parameters
        if missing := [name for name, value in merged.items() if value is ...]:
            raise ValueError(f"{kind} needs {', '.join(missing)}")
        if times is ...:
            times = None if kind == "latency" else 1
        if after < 0 or every < 1 or (times is not None and times < 1):
            raise ValueError(f"{kind}: after >= 0, every >= 1 and times >= 1 (or null for ever)")
        self.id = 0
        self.kind, self.path, self.symbol = kind, path, symbol
        self.times, self.after, self.every = times, after, every
        self.parameters = {n: to_ms(v) if n in _TIMES else v for n, v in merged.items()}
        self.seen = self.fired = 0

    def __repr__(self) -> str:
        return f"Fault({', '.join(f'{k}={v!r}' for k, v in self.as_dict().items())})"

    def __getitem__(self, parameter: str) -> Any:
        return self.parameters[parameter]

    def concerns(self, symbol: Symbol) -> bool:
        return self.symbol is None or self.symbol in (symbol.name, symbol.altname)

    def strikes(self, path: str, symbol: str | None) -> bool:
        """Count a request; does the fault strike it?"""
        if (self.path and not path.startswith(self.path)) or (self.symbol and self.symbol != symbol):
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        self.seen += 1
        if self.seen <= self.after or (self.seen - self.after - 1) % self.every:
            return False
        self.fired += 1
        return True

    def as_dict(self) -> dict[str, Any]:
        """As the control plane shows and takes it."""
        match = {"path": self.path, "symbol": self.symbol}
        counts = {"times": self.times, "after": self.after, "every": self.every}
        return {"id": self.id, "kind": self.kind, **match, **counts, **self.parameters, "fired": self.fired}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Fault":
        return cls(**{k: v for k, v in document.items() if k not in ("id", "fired")})


class Faults:
    """The book of faults in force. Safe to change from another thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._ids = itertools.count(1)
        self._faults: list[Fault] = []

    def add(self, *faults: Fault) -> Fault:
        """Put faults in force; returns the last."""
        with self._lock:
            for fault in faults:
                fault.id = next(self._ids)
                self._faults.append(fault)
            return faults[-1]

    def remove(self, fault: Fault | int) -> bool:
        """Take one out, by itself or by its id; was it there?"""
        wanted = fault if isinstance(fault, int) else fault.id
        with self._lock:
            before = len(self._faults)
            self._faults = [f for f in self._faults if f.id != wanted]
            return len(self._faults) < before

    def clear(self) -> None:
        with self._lock:
            self._faults = []

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter(list(self._faults))

    def striking(self, place: str, path: str, symbol: str | None) -> list[Fault]:
        """The faults of this place that strike this request, in the order in which they were added.

        Only one that replaces or breaks the answer may strike; the others keep their turn.
        """
        struck: list[Fault] = []
        with self._lock:
            for fault in self._faults:
                alone = place != ROWS and fault.kind != "latency"
                taken = alone and any(f.kind != "latency" for f in struck)
                if fault.place == place and not taken and fault.strikes(path, symbol):
                    struck.append(fault)
        return struck

    def absent(self, symbol: Symbol) -> tuple[Stretch, ...]:
        """The stretches of minutes that faults take out of a symbol's life."""
        out: list[Stretch] = []
        for fault in self._of_world(symbol):
            if fault.kind == "outage":
                out.append((fault["start"] // MINUTE_MS, -(-fault["end"] // MINUTE_MS)))
            elif fault.kind in ("delisted", "silent"):
                out.append((fault["at"] // MINUTE_MS, _FOREVER))
        return tuple(out)

    def delisted(self, symbol: Symbol, now_ms: int) -> bool:
        return any(f.kind == "delisted" and f["at"] <= now_ms for f in self._of_world(symbol))

    def vanished(self, symbol: Symbol) -> bool:
        return any(f.kind == "vanished" for f in self._of_world(symbol))

    def skew_ms(self) -> int:
        """How wrong the vendor's own clock is."""
        return sum(f["ms"] for f in self if f.kind == "clock_skew")

    def _of_world(self, symbol: Symbol) -> list[Fault]:
        return [f for f in self if f.place == WORLD and f.concerns(symbol)]
