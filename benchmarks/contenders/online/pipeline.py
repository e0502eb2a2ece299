"""What a careful user of redis-py writes: pipelines of 1,000 rows, orjson, MGET."""

from __future__ import annotations

from typing import Any

import orjson
import redis

from benchmarks.contenders.online import BATCH, INDEX, LIFE, PREFIX, Work, run


class Pipeline:
    def __init__(self, url: str, work: Work) -> None:
        self.client = redis.Redis.from_url(url)
        self.client.ping()
        self.times = work.times.tolist()
        self.names = (*work.columns, "known_at")
        self.columns = [*work.columns.values(), work.known_at]

    def rows(self) -> list[tuple[int, bytes]]:
        values = zip(*(column.tolist() for column in self.columns), strict=True)
        encoded = (orjson.dumps(dict(zip(self.names, row, strict=True))) for row in values)
        return list(zip(self.times, encoded, strict=True))

    def write(self) -> None:
        rows = self.rows()
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            pipe = self.client.pipeline(transaction=False)
            for moment, value in part:
                pipe.set(f"{PREFIX}{moment}", value, exat=moment + LIFE)
            pipe.zadd(INDEX, {str(moment): moment for moment, _ in part})
            pipe.expireat(INDEX, part[-1][0] + LIFE)
            pipe.execute()

    def point(self, moment: int) -> Any:
        return [orjson.loads(self.client.get(f"{PREFIX}{moment}"))]

    def several(self, moments: list[int]) -> Any:
        return [orjson.loads(v) for v in self.client.mget([f"{PREFIX}{moment}" for moment in moments])]

    def stretch(self, start: int, end: int) -> Any:
        members = self.client.zrangebyscore(INDEX, start, end)
        return self.several([int(member) for member in members])

    def close_of(self, answer: Any, position: int) -> float:
        return answer[position]["close"]  # type: ignore[no-any-return]


if __name__ == "__main__":
    run(Pipeline)
