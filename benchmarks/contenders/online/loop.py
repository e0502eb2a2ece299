"""What is written first: one call after the other, on few rows, because it takes so long."""

from __future__ import annotations

from typing import Any

import orjson

from benchmarks.contenders.online import INDEX, LIFE, PREFIX, run
from benchmarks.contenders.online.pipeline import Pipeline


class Loop(Pipeline):
    def write(self) -> None:
        for moment, value in self.rows():
            self.client.set(f"{PREFIX}{moment}", value, exat=moment + LIFE)
            self.client.zadd(INDEX, {str(moment): moment})

    def several(self, moments: list[int]) -> Any:
        return [orjson.loads(self.client.get(f"{PREFIX}{moment}")) for moment in moments]


if __name__ == "__main__":
    run(Loop)
