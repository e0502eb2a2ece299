"""Pace: what fits into a window goes, the rest waits; a shut host is left alone; Redis counts for all."""

import asyncio
import multiprocessing
import time

import pytest

from ingestion_assets.sources.errors import Banned
from ingestion_assets.sources.governor import Budget, Governor, LocalCounter, RedisCounter, spent

LONG = Budget(limit=100, seconds=86_400, reserve=0.0, late_by=0.0)
"""A window that does not end during a test (unless it runs at midnight UTC, and then it only spends more)."""


async def admitted(governor, weight):
    """Whether a request of this weight may go at once; the governor says so when it begins to wait."""
    waited = governor.waited
    request = asyncio.create_task(governor.admit(weight))
    while not request.done() and governor.waited == waited:  # noqa: ASYNC110 nothing tells of it
        await asyncio.sleep(0.001)
    if request.done():
        return bool(request.result())
    request.cancel()
    return False


def test_what_does_not_fit_waits():
    async def main():
        governor = Governor("h", LONG)
        first = [await admitted(governor, 40) for _ in range(2)]
        assert first == [True, True] and governor.spent == 80
        assert not await admitted(governor, 21)
        assert await admitted(governor, 20)
        assert governor.spent == 100
        assert governor.waited > 0

    asyncio.run(main())


def test_who_waited_goes_in_a_later_window():
    """Two windows' worth of requests: no window ever holds more than its limit."""
    budget = Budget(limit=3, seconds=1, reserve=0.0, late_by=0.2)

    async def main():
        governor = Governor("h", budget)
        windows = []
        for _ in range(7):
            window = await governor.admit(1)
            windows.append(window)
        return windows

    windows = asyncio.run(main())
    assert all(windows.count(window) <= 3 for window in windows)
    assert windows == sorted(windows) and len(set(windows)) >= 3


def test_a_request_heavier_than_the_budget_goes_alone():
    async def main():
        governor = Governor("h", LONG)
        assert await admitted(governor, 250)
        assert not await admitted(governor, 1)

    asyncio.run(main())


def test_the_reserve_is_held_back():
    assert Budget(1_000, 60).spendable == 990
    assert Budget(1, 60).spendable == 1


def test_the_vendors_own_count_is_believed_when_it_is_higher():
    async def main():
        governor = Governor("h", LONG)
        window = await governor.admit(10)
        await governor.learn_used(window, 95)
        assert not await admitted(governor, 6)
        await governor.learn_used(window, 20)  # an answer that was overtaken
        assert not await admitted(governor, 6)
        await governor.learn_used("h:60:0", 100)  # of a window long past
        assert await admitted(governor, 5)

    asyncio.run(main())


def test_the_window_is_the_vendors():
    """A vendor whose clock is ahead is already in its next window."""

    async def main():
        governor = Governor("h", Budget(100, 60, late_by=0.0))
        ours = await governor.admit(1)
        governor.skew = 60.0
        theirs = await governor.admit(1)
        return ours, theirs

    ours, theirs = asyncio.run(main())
    assert int(theirs.rpartition(":")[2]) - int(ours.rpartition(":")[2]) in (1, 2)


def test_without_a_budget_only_a_shut_host_stops():
    async def main():
        governor = Governor("h")
        assert await governor.admit(10**6) is None
        await governor.shut(0.2)
        started = time.monotonic()
        await governor.admit(1)
        assert time.monotonic() - started > 0.1
        assert governor.waited > 0

    asyncio.run(main())


def test_a_host_shut_for_long_is_told_and_not_waited_for():
    async def main():
        governor = Governor("api.example.com", LONG)
        await governor.shut(3_600)
        with pytest.raises(Banned, match=r"api\.example\.com is not to be asked before .* UTC") as caught:
            await governor.admit(1)
        assert 3_590 < caught.value.retry_after <= 3_600
        await governor.shut(1)  # a shorter word does not open it
        with pytest.raises(Banned):
            await governor.admit(1)

    asyncio.run(main())


def test_a_local_counter_stays_small():
    async def main():
        counter = LocalCounter()
        for number in range(1_000):
            await counter.spend(f"h:1:{number}", 1, 10, 1)
        assert len(counter.used) < 100

    asyncio.run(main())


# Redis


def _spend_all(url: str, tries: int, spent: "multiprocessing.Queue[int]") -> None:
    async def main() -> int:
        counter = RedisCounter(url)
        governor = Governor("h", LONG, counter)
        for _ in range(tries):
            await admitted(governor, 3)
        await counter.close()
        return governor.spent

    spent.put(asyncio.run(main()))


def test_processes_share_one_budget(redis_url):
    """Three processes that want 3 × 20 × 3 of a budget of 100 get 99 together."""
    context = multiprocessing.get_context("spawn")
    spent = context.Queue()
    processes = [context.Process(target=_spend_all, args=(redis_url, 20, spent)) for _ in range(3)]
    for process in processes:
        process.start()
    shares = [spent.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sum(shares) == 99


def test_a_host_shut_by_one_is_shut_for_all(redis_url):
    async def main():
        one, other = RedisCounter(redis_url), RedisCounter(redis_url)
        await Governor("h", LONG, one).shut(3_600)
        with pytest.raises(Banned):
            await Governor("h", LONG, other).admit(1)
        await Governor("h", LONG, other).shut(1)  # a shorter word does not open it
        with pytest.raises(Banned):
            await Governor("h", LONG, one).admit(1)
        await Governor("another", LONG, other).admit(1)
        await one.close()
        await other.close()

    asyncio.run(main())


def test_the_vendors_count_reaches_the_others_and_everything_expires(redis_url):
    import redis

    async def main():
        one, other = RedisCounter(redis_url), RedisCounter(redis_url)
        first, second = Governor("h", LONG, one), Governor("h", LONG, other)
        window = await first.admit(1)
        await first.learn_used(window, 98)
        assert not await admitted(second, 3)
        assert await admitted(second, 2)
        await first.shut(1_000)
        await one.close()
        await other.close()

    asyncio.run(main())
    with redis.Redis.from_url(redis_url) as client:
        keys = client.keys("*")
        assert len(keys) == 3
        assert all(client.ttl(key) > 0 for key in keys)
    assert spent(redis_url, 5) == {f"h:{LONG.seconds}": (100, LONG.spendable)}


def test_without_an_answer_from_redis_a_process_paces_itself_alone(caplog):
    async def main():
        counter = RedisCounter("redis://127.0.0.1:1")
        governor = Governor("h", LONG, counter)
        assert await admitted(governor, 60)
        assert not await admitted(governor, 60)
        await governor.learn_used(await governor.admit(1), 99)
        assert not await admitted(governor, 2)
        await governor.shut(3_600)
        with pytest.raises(Banned):
            await governor.admit(1)
        await counter.close()

    asyncio.run(main())
    assert [record.message for record in caplog.records if "paces itself alone" in record.message] != []
