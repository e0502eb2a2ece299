"""A line that breaks: a write that ends anywhere lands in whole transactions, an answer is whole or none."""

from __future__ import annotations

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.stores.online import OnlineError
from ingestion_assets.stores.online.store import BATCH
from ingestion_assets_tests.servers import FaultyProxy
from ingestion_assets_tests.stores.online.conftest import BTC, index_and_rows_agree, minutes, opened, rows
from ingestion_assets_tests.stores.online.cutting_proxy import CuttingProxy


@settings(max_examples=40)
@given(share=st.floats(0, 1), before=st.booleans())
def test_a_write_cut_anywhere_lands_in_whole_transactions_and_is_repaired_by_the_next(
    redis_server, redis_url, share, before
):
    """3,000 rows are several transactions; `before` says that older numbers are already there."""
    store, ttl = opened(redis_url, ttl=10 * 86_400), 10 * 86_400
    times = minutes(3_000)
    first, second = rows(times, who=["a"] * 3_000), rows(times, who=["b"] * 3_000, known_after=90)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        if before:
            store.write(*BTC, times, first)
        length = 700_000
        with CuttingProxy(redis_server.port, cut_after=int(share * length)) as proxy:
            through = opened(proxy.url, ttl=ttl)
            try:
                through.write(*BTC, times, second)
                assert proxy.cuts == 0
            except OnlineError as error:
                assert "writing 3000 rows of market BTC-USDT 1m" in str(error) or proxy.cuts > 0
            through.close()
            proxy.settle()
            newest = [row["who"] for row in store.points(*BTC, times.tolist()) if row]
        found = index_and_rows_agree(client)
        whole = newest.count("b")
        assert whole % BATCH == 0, "a transaction is there whole or not at all"
        assert newest == ["b"] * whole + ["a"] * ((3_000 - whole) if before else 0)
        assert len(found) == len(newest)
        assert store.write(*BTC, times, second) == 3_000
        assert len(index_and_rows_agree(client)) == 3_000
        assert [row["who"] for row in store.points(*BTC, times.tolist())] == ["b"] * 3_000
    store.close()


def test_one_reset_is_healed_without_a_word(redis_server, redis_url):
    times = minutes(50)
    for cut_after in (500, 3_000, 9_000):
        with CuttingProxy(redis_server.port, cut_after=cut_after, times=1) as proxy:
            store = opened(proxy.url)
            assert store.write(*BTC, times, rows(times)) == 50
            assert len(store.range(*BTC, 0, int(times[-1]))) == 50
            store.close()


@pytest.mark.parametrize("with_reset", [False, True])
def test_an_answer_cut_short_is_an_error_and_never_half_a_range(redis_server, redis_url, with_reset):
    times = minutes(60)
    opened(redis_url).write(*BTC, times, rows(times))
    with FaultyProxy(redis_server.port) as proxy:
        proxy.cut_with_reset = with_reset
        store = opened(f"redis://{proxy.address}/0")
        whole = store.range(*BTC, 0, int(times[-1]))
        assert len(whole) == 60
        for cut_after in range(1, 9_000, 450):
            proxy.cut_after = cut_after
            try:
                assert store.range(*BTC, 0, int(times[-1])) == whole
            except OnlineError as error:
                assert "reading market BTC-USDT 1m" in str(error)
        proxy.heal()
        assert store.range(*BTC, 0, int(times[-1])) == whole
        store.close()


def test_connections_that_broke_while_idle_are_replaced(redis_server, redis_url):
    times = minutes(3)
    with FaultyProxy(redis_server.port) as proxy:
        store = opened(f"redis://{proxy.address}/0")
        store.write(*BTC, times, rows(times))
        for _ in range(3):
            proxy.reset_all()
            assert len(store.range(*BTC, 0, int(times[-1]))) == 3
            proxy.reset_all()
            assert store.write(*BTC, times, rows(times)) == 3
        store.close()
