"""Ranges: exactly the keys that are meant, each once, as Dagster itself resolves them."""

from datetime import timedelta
from itertools import pairwise

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.partitions.partition_key_range import PartitionKeyRange
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.intervals import Window, period_window
from ingestion_assets.partitions import (
    MARKET,
    RANGE_END,
    RANGE_START,
    key_of,
    keys_in,
    partitions_of,
    parts_of,
    rectangles,
    run_requests,
    stretches,
)
from ingestion_assets.tables import DERIVATIVES, INGESTED
from ingestion_assets_tests.market_world import utc

SERIES = [f"binance.{base}-USDT" for base in ("BTC", "ADA", "ETH", "SOL", "XRP", "BNB")]
MONTHS = ["2023-11", "2023-12", "2024-01", "2024-02", "2024-04"]


@pytest.fixture(scope="module")
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        made.add_dynamic_partitions("market", SERIES)
        yield made


def resolved(instance: dg.DagsterInstance, first: str, last: str) -> list[str]:
    """The keys of a range as a run of it would find them."""
    with partition_loading_context(dynamic_partitions_store=instance):
        return [str(key) for key in MARKET.get_partition_keys_in_range(PartitionKeyRange(first, last))]


@settings(max_examples=60)
@given(st.sets(st.tuples(st.sampled_from(MONTHS), st.sampled_from(SERIES))))
def test_rectangles_cover_exactly_the_keys_and_each_once(instance, cells):
    keys = [key_of(month, name) for month, name in cells]
    found = [key for first, last in rectangles(keys, SERIES) for key in resolved(instance, first, last)]
    assert sorted(found) == sorted(keys)


@settings(max_examples=60)
@given(st.permutations(SERIES), st.sets(st.sampled_from(SERIES)))
def test_stretches_are_runs_of_neighbours_that_are_wanted(order, wanted):
    found = stretches(order, wanted)
    inside = [order[order.index(first) : order.index(last) + 1] for first, last in found]
    assert [name for part in inside for name in part] == [name for name in order if name in wanted]
    for (_, last), (first, _) in pairwise(found):
        assert order.index(first) > order.index(last) + 1, "two stretches that touch are one"


def test_a_series_that_is_no_partition_is_left_out():
    assert rectangles(["2024-01|binance.GONE-USDT"], SERIES) == []


def test_a_series_in_between_splits_the_range_and_a_month_in_between_too():
    names = SERIES[0], SERIES[1], SERIES[3]
    keys = [key_of(month, name) for month in ("2024-01", "2024-02", "2024-04") for name in names]
    assert rectangles(keys, SERIES) == [
        (f"2024-01|{SERIES[0]}", f"2024-02|{SERIES[1]}"),
        (f"2024-01|{SERIES[3]}", f"2024-02|{SERIES[3]}"),
        (f"2024-04|{SERIES[0]}", f"2024-04|{SERIES[1]}"),
        (f"2024-04|{SERIES[3]}", f"2024-04|{SERIES[3]}"),
    ]


def test_requests_carry_the_range_the_tags_and_a_run_key_of_their_own():
    keys = [key_of("2024-01", SERIES[0]), key_of("2024-01", SERIES[2])]
    first, second = run_requests("ingest_market", keys, SERIES, run_key="tick", tags={"ingest/cause": "hot"})
    assert first.tags[RANGE_START] == first.tags[RANGE_END] == keys[0]
    assert second.tags[RANGE_START] == keys[1]
    assert first.tags["ingest/cause"] == second.tags["ingest/cause"] == "hot"
    assert first.run_key != second.run_key
    assert run_requests("ingest_market", keys, SERIES)[0].run_key is None


def test_the_open_month_is_a_partition_from_its_first_moment():
    months = MARKET.get_partitions_def_for_dimension("month")
    for now in (utc(2026, 3, 1), utc(2026, 3, 31, 23, 59)):
        with partition_loading_context(effective_dt=now):
            assert months.get_last_partition_key() == "2026-03"


def test_keys_of_a_window_over_a_year_s_end():
    window = Window(utc(2024, 12, 31, 23), utc(2025, 1, 1, 1))
    assert keys_in(window, ["a.b"]) == ["2024-12|a.b", "2025-01|a.b"]
    assert keys_in(Window(window.end - timedelta(hours=1), window.end), ["a.b"]) == ["2025-01|a.b"]
    assert parts_of("2024-12|a.b") == ("2024-12", "a.b")


def test_days_are_cut_and_joined_like_months():
    days = keys_in(Window(utc(2024, 2, 28, 12), utc(2024, 3, 1, 1)), ["a.b"], "day")
    assert days == ["2024-02-28|a.b", "2024-02-29|a.b", "2024-03-01|a.b"]
    assert rectangles([*days, "2024-03-03|a.b"], ["a.b"]) == [
        ("2024-02-28|a.b", "2024-03-01|a.b"),
        ("2024-03-03|a.b", "2024-03-03|a.b"),
    ]
    assert period_window("2024-02-29") == Window(utc(2024, 2, 29), utc(2024, 3, 1))
    assert period_window("2024-12") == Window(utc(2024, 12, 1), utc(2025, 1, 1))


def test_tables_of_a_domain_share_their_series_whatever_their_cut():
    for table in DERIVATIVES.values():
        definition = partitions_of(table)
        names = {d.name: d.partitions_def for d in definition.partitions_defs}
        assert names["series"].name == "derivatives"
        assert set(names) == {table.cut, "series"}
    assert partitions_of(INGESTED["1m"]) is MARKET
    with partition_loading_context(effective_dt=utc(2026, 3, 1)):
        days = partitions_of(DERIVATIVES["agg_trades_um"]).get_partitions_def_for_dimension("day")
        assert days.get_last_partition_key() == "2026-03-01"
