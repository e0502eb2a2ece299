"""A store on a real Redis, a plain client beside it, and rows of features."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
import redis

from ingestion_assets.embedded import Redis
from ingestion_assets.stores.online import OnlineStore, Place

TTL = 3_600
BTC = ("market", "BTC-USDT", "1m")


def minutes(count: int, *, ago: int = 0) -> np.ndarray:
    """The opens of the last so many closed minutes, oldest first, `ago` minutes back from now."""
    newest = int(time.time()) // 60 * 60 - 60 - 60 * ago
    return newest - 60 * np.arange(count)[::-1]


def rows(times: np.ndarray, *, known_after: float = 65, **columns: object) -> dict[str, object]:
    """Two features by row, known a moment after each bar's end."""
    given = {"ret_1": times / 1e9, "is_gap": times % 120 == 0} | columns
    return given | {"known_at": (times + known_after).astype(float)}


def opened(url: str, timeout: float = 5.0, ttl: int = TTL) -> OnlineStore:
    return OnlineStore(url, ttl=lambda domain: ttl, timeout=timeout)


def everything(client: redis.Redis) -> dict[bytes, object]:
    """All that a Redis holds."""
    keys = list(client.scan_iter(count=1_000))
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.zrange(key, 0, -1, withscores=True) if key.endswith(b"_idx") else pipe.get(key)
    return dict(zip(keys, pipe.execute(), strict=True))


def index_and_rows_agree(client: redis.Redis) -> dict[int, bytes]:
    """Every row is in the index, every entry has its row, everything has an end; the rows by time."""
    place = Place(*BTC)
    held = everything(client)
    index = {int(member) for member, _ in held.pop(place.index.encode(), [])}
    found = {int(key.rsplit(b":", 1)[1]): value for key, value in held.items()}
    assert set(found) == index
    pipe = client.pipeline(transaction=False)
    for key in (*held, place.index):
        pipe.expiretime(key)
    assert all(ends > 0 for ends in pipe.execute()) or not held
    return found


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """What any other program would use."""
    with redis.Redis.from_url(redis_url) as plain:
        yield plain


@pytest.fixture
def store(redis_url: str) -> Iterator[OnlineStore]:
    made = OnlineStore(redis_url, ttl=lambda domain: TTL)
    yield made
    made.close()


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """A server that a test may ill-treat."""
    with Redis() as server:
        yield server
