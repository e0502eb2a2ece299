"""Ours: the online store, guard against older values included."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from benchmarks.contenders.online import LIFE, RANGE, Work, run
from ingestion_assets.stores.online import OnlineStore
from ingestion_assets.tables.contract import TIME

PLACE = ("market", "BTC-USDT", "1m")


class Ours:
    def __init__(self, url: str, work: Work) -> None:
        self.store = OnlineStore(url, ttl=lambda domain: LIFE - 60)
        self.times = work.times
        known = pa.array(work.known_at * 1_000_000).cast(TIME)
        self.rows = pa.table({name: pa.array(v) for name, v in work.columns.items()} | {"known_at": known})
        self.store.ping()

    def write(self) -> None:
        written = self.store.write(*PLACE, self.times, self.rows)
        if written != len(self.times):
            raise RuntimeError(f"{written} of {len(self.times)} rows written")

    def point(self, moment: int) -> Any:
        return self.store.points(*PLACE, [moment])

    def several(self, moments: list[int]) -> Any:
        return self.store.points(*PLACE, moments)

    def stretch(self, start: int, end: int) -> Any:
        return [row for _, row in self.store.range(*PLACE, start, end, limit=RANGE)]

    def close_of(self, answer: Any, position: int) -> float:
        return answer[position]["close"]  # type: ignore[no-any-return]


if __name__ == "__main__":
    run(Ours)
