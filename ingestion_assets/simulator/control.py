"""The control plane under /_simulator/: faults, requests, clock, over HTTP. What the CLI and people use.

GET    /_simulator/            what this is: url paths, seed, clock, limits
GET    /_simulator/faults      all in force     POST  one object or a list     DELETE  all, or ?id=3
GET    /_simulator/requests    counts and the last ones (?recent=100)          DELETE  start counting anew
PUT    /_simulator/clock       {"at": "2024-05-01T12:00", "running": false} | {"advance_ms": 60000} | {}
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from ingestion_assets.simulator.answers import Answer, Market, as_json
from ingestion_assets.simulator.faults import KINDS, Fault
from ingestion_assets.simulator.journal import Journal
from ingestion_assets.simulator.limits import Limits

PREFIX = "/_simulator/"
Query = Mapping[str, str]


class Control:
    """Answers to the people who run the simulator; never journaled, never faulty."""

    def __init__(self, market: Market, journal: Journal, limits: Limits) -> None:
        self.market, self.journal, self.limits = market, journal, limits
        self._verbs: dict[tuple[str, str], Callable[[Query, Any], Any]] = {
            ("GET", ""): self._about,
            ("GET", "faults"): lambda *_: [fault.as_dict() for fault in market.faults],
            ("POST", "faults"): self._add,
            ("DELETE", "faults"): self._remove,
            ("GET", "requests"): lambda query, _: journal.as_dict(int(query.get("recent", 100))),
            ("DELETE", "requests"): self._forget,
            ("GET", "clock"): lambda *_: market.clock.as_dict(),
            ("PUT", "clock"): self._set_clock,
        }

    def answer(self, method: str, path: str, query: Query, body: bytes) -> Answer:
        verb = self._verbs.get((method, path.removeprefix(PREFIX)))
        if verb is None:
            return as_json({"error": f"no {method} {path}"}, 404)
        try:
            return as_json(verb(query, orjson.loads(body) if body else None))
        except (ValueError, TypeError) as error:
            return as_json({"error": str(error)}, 400)

    def _about(self, *_: Any) -> dict[str, Any]:
        weight = self.limits.weight
        return {
            "vendors": {
                "binance": "/api/v3/",
                "binance_usdm": "/fapi/v1/",
                "binance_vision": "/data/futures/um/",
                "kraken": "/0/public/",
                "polygon": "/v2/aggs/",
                "polygon_files": "/flatfiles/",
                "coingecko": "/api/v3/coins/",
                "mock": "/mock/v3/",
            },
            "seed": self.market.world.seed,
            "clock": self.market.clock.as_dict(),
            "weight": {"limit": weight.limit, "seconds": weight.seconds, "used": weight.used},
            "fault_kinds": {
                kind: {
                    "where": place,
                    "parameters": [f"{n} (required)" if v is ... else n for n, v in p.items()],
                }
                for kind, (place, p) in KINDS.items()
            },
        }

    def _add(self, _: Query, document: Any) -> list[dict[str, Any]]:
        documents = document if isinstance(document, list) else [document]
        if not documents or not all(isinstance(d, dict) and "kind" in d for d in documents):
            raise ValueError("a fault is an object with at least a kind")
        faults = [Fault.from_dict(d) for d in documents]
        self.market.faults.add(*faults)
        return [fault.as_dict() for fault in faults]

    def _remove(self, query: Query, _: Any) -> list[dict[str, Any]]:
        if "id" not in query:
            self.market.faults.clear()
        elif not self.market.faults.remove(int(query["id"])):
            raise ValueError(f"no fault with id {query['id']}")
        return [fault.as_dict() for fault in self.market.faults]

    def _forget(self, *_: Any) -> dict[str, Any]:
        self.journal.clear()
        return self.journal.as_dict()

    def _set_clock(self, _: Query, document: Any) -> dict[str, Any]:
        document = document or {}
        clock = self.market.clock
        if unknown := document.keys() - {"at", "running", "advance_ms"}:
            raise ValueError(f"the clock knows at, running and advance_ms, not {', '.join(sorted(unknown))}")
        if "advance_ms" in document:
            clock.advance(int(document["advance_ms"]))
        elif "at" in document:
            clock.set(document["at"], running=bool(document.get("running", False)))
        else:
            clock.reset()
        return clock.as_dict()
