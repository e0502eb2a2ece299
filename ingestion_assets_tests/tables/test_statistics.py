"""Several rows at a time: told apart by a name, in an order that is always the same."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.tables.contract import TIME
from ingestion_assets.tables.statistics import COMPARISON
from ingestion_assets_tests.market_world import utc

START = utc(2024, 3, 1)


def rows(pairs: list[tuple[int, str]]) -> pa.Table:
    times = pa.array([START + timedelta(hours=hour) for hour, _ in pairs], TIME)
    facts = {"price_ratio": np.ones(len(pairs)), "source": ["derived"] * len(pairs)}
    others = pa.array([other for _, other in pairs])
    return COMPARISON.conform(pa.table({"time": times, "other": others, "known_at": times} | facts))


pairs = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from([f"binance.{n}-USDT" for n in "ABCDEFGH"])), max_size=30
)


@given(pairs, pairs)
def test_a_row_has_the_same_key_in_whichever_table_it_stands(
    left: list[tuple[int, str]], right: list[tuple[int, str]]
) -> None:
    both = pa.concat_tables([rows(left), rows(right)])
    keys = COMPARISON.keys(both)
    assert keys.tolist() == [*COMPARISON.keys(rows(left)), *COMPARISON.keys(rows(right))]
    assert len(set(keys.tolist())) == len({*left, *right})


@given(pairs)
def test_keys_lie_inside_their_hour(given_pairs: list[tuple[int, str]]) -> None:
    table = rows(given_pairs)
    hour = COMPARISON.grain // timedelta(microseconds=1)
    assert ((COMPARISON.keys(table) - COMPARISON.times(table)) // hour == 0).all()


@given(pairs)
def test_order_is_by_time_and_repeats_are_told(given_pairs: list[tuple[int, str]]) -> None:
    ordered = COMPARISON.in_order(rows(given_pairs))
    assert (np.diff(COMPARISON.keys(ordered)) >= 0).all()
    good, broken = COMPARISON.examine(ordered)
    assert good.num_rows == len(set(given_pairs))
    assert set(broken.column("broken_promise").to_pylist()) <= {"time is unique for each other"}
