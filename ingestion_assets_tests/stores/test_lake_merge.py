"""Landing rows: what merging does to a month, on a folder and on S3 alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.intervals import month_window
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.objects import LocalObjects
from ingestion_assets.tables.market import OHLCV_1M as TABLE
from ingestion_assets_tests.stores.conftest import MakeLake
from ingestion_assets_tests.tables.candles import MONTH, NOTES, at, candles, span

SERIES = "binance.BTC-USDT"
WHOLE = month_window(MONTH)
LATER = datetime(2024, 5, 1, tzinfo=UTC)

landings = st.dictionaries(st.integers(0, 9), st.sampled_from([100.0, 101.0]), max_size=6)
windows = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), max_size=2)


def land(lake: Lake, prices: dict[int, float], **options: Any) -> Any:
    return lake.merge(TABLE, SERIES, MONTH, candles(sorted(prices), prices), notes=NOTES, **options)


def held(lake: Lake) -> pa.Table:
    return lake.read(TABLE, SERIES, WHOLE)


def prices_held(lake: Lake) -> dict[int, float]:
    rows = held(lake).select(["time", "close"]).to_pylist()
    minutes = [int((row["time"] - at(0)).total_seconds() // 60) for row in rows]
    assert minutes == sorted(set(minutes)), "sorted by time, each time once"
    return dict(zip(minutes, (row["close"] for row in rows), strict=True))


def content(lake: Lake) -> bytes | None:
    return lake.objects.read(lake.path(TABLE, SERIES, MONTH))


def test_merging_is_a_union_by_time_in_which_the_newer_wins(make_lake: MakeLake) -> None:
    examples = 60 if isinstance(make_lake().objects, LocalObjects) else 8

    @settings(max_examples=examples)
    @given(st.lists(st.tuples(landings, windows), min_size=1, max_size=4))
    def like_the_model(steps: Any) -> None:
        assert_merges_like_a_dictionary(make_lake(), steps)

    like_the_model()


def assert_merges_like_a_dictionary(lake: Lake, steps: Any) -> None:
    model: dict[int, float] = {}
    revised: list[tuple[int, float]] = []
    for prices, spans in steps:
        replaced = {m for first, end in spans for m in range(first, end)}
        gone = {m for m in model if m in replaced and m not in prices}
        new = prices.keys() - model.keys()
        changed = {m for m in prices.keys() & model.keys() if prices[m] != model[m]}
        revised += [(m, model[m]) for m in sorted(gone | changed)]
        before, old = content(lake), len(model)
        merge = land(lake, prices, replace=[span(*s) for s in spans], known_now=LATER)
        model = {m: p for m, p in model.items() if m not in gone} | prices
        assert (merge.rows, merge.new, merge.changed, merge.dropped) == (
            *(len(model), len(new), len(changed)),
            len(gone),
        )
        assert merge.rows >= old - len(gone), "never fewer rows unless a window was replaced"
        assert prices_held(lake) == model
        if model:
            assert (merge.first, merge.last) == (at(min(model)), at(max(model)))
        if not (new or changed or gone):
            assert content(lake) == before
    aside = lake.aside("_revisions", TABLE, SERIES, MONTH)
    kept = [] if aside is None else aside.select(["time", "close"]).to_pylist()
    assert {(row["time"], row["close"]) for row in kept} == {(at(m), price) for m, price in revised}


def test_landing_the_same_answer_twice_does_not_touch_the_file(lake: Lake) -> None:
    prices = dict.fromkeys(range(100), 100.0)
    first = land(lake, prices)
    objects = lake.objects
    before = objects.fs.get_file_info(objects.full(lake.path(TABLE, SERIES, MONTH)))
    again = lake.merge(
        TABLE, SERIES, MONTH, candles(range(100), source="bulk"), notes={"run": "another"}, known_now=LATER
    )
    after = objects.fs.get_file_info(objects.full(lake.path(TABLE, SERIES, MONTH)))
    assert (again.new, again.changed, again.dropped, again.rows) == (0, 0, 0, 100)
    assert (after.mtime_ns, after.size) == (before.mtime_ns, before.size)
    assert again.size == first.size == after.size
    assert set(held(lake).column("source").to_pylist()) == {"rest"}
    assert lake.aside("_revisions", TABLE, SERIES, MONTH) is None


def test_one_content_is_one_file_whatever_the_way_it_came_about(make_lake: MakeLake) -> None:
    count = 9 * 1440  # more than one row group
    at_once, in_parts = make_lake(), make_lake()
    land(at_once, dict.fromkeys(range(count), 100.0))
    for first, end in ((1440, 2000), (0, 1440), (2000, count)):
        land(in_parts, dict.fromkeys(range(first, end), 100.0))
    assert content(at_once) == content(in_parts)


def test_a_revised_row_is_known_from_now_and_the_row_before_it_is_kept(lake: Lake) -> None:
    land(lake, {0: 100.0, 1: 100.0})
    known_before = held(lake).column("known_at").to_pylist()
    land(lake, {0: 100.0, 1: 101.0}, known_now=LATER)
    assert held(lake).column("known_at").to_pylist() == [known_before[0], LATER]
    aside = lake.aside("_revisions", TABLE, SERIES, MONTH)
    assert aside is not None
    assert aside.column("close").to_pylist() == [100.0]
    assert aside.column("known_at").to_pylist() == [known_before[1]]


@pytest.mark.parametrize("minutes", [[1, 0], [0, 0], [0, 2, 1]])
def test_rows_out_of_order_or_repeated_are_refused_and_nothing_is_written(
    lake: Lake, minutes: list[int]
) -> None:
    with pytest.raises(ValueError, match="rising order of time without repeats"):
        lake.merge(TABLE, SERIES, MONTH, candles(minutes), notes=NOTES)
    assert content(lake) is None


@pytest.mark.parametrize("minute", [-1, 31 * 1440])
def test_rows_of_another_month_are_refused_and_nothing_is_written(lake: Lake, minute: int) -> None:
    with pytest.raises(ValueError, match="do not all belong to the month 2024-03"):
        lake.merge(TABLE, SERIES, MONTH, candles([minute]), notes=NOTES)
    assert content(lake) is None


def test_nothing_landed_in_nothing_makes_no_file(lake: Lake) -> None:
    merge = land(lake, {}, replace=[WHOLE])
    assert (merge.rows, merge.first, merge.last) == (0, None, None)
    assert content(lake) is None


def test_replacing_a_window_by_nothing_leaves_a_file_that_says_so(lake: Lake) -> None:
    land(lake, {0: 100.0, 1: 100.0})
    merge = land(lake, {}, replace=[WHOLE])
    assert (merge.rows, merge.dropped) == (0, 2)
    assert held(lake).num_rows == 0
    assert lake.holes(TABLE, SERIES, WHOLE) == [WHOLE]
    assert lake.last_time(TABLE, SERIES) is None
    land(lake, {5: 100.0})
    assert prices_held(lake) == {5: 100.0}


def test_a_null_that_becomes_a_value_is_a_change_and_two_nulls_are_not(lake: Lake) -> None:
    lake.merge(TABLE, SERIES, MONTH, candles(range(3), trades=[1, None, None]), notes=NOTES)
    merge = lake.merge(TABLE, SERIES, MONTH, candles(range(3), trades=[1, None, 3]), notes=NOTES)
    assert (merge.new, merge.changed) == (0, 1)
    assert held(lake).column("trades").to_pylist() == [1, None, 3]


def test_the_file_tells_who_wrote_it(lake: Lake) -> None:
    merge = land(lake, {0: 100.0, 9: 100.0})
    footer = lake.footer(TABLE, SERIES, MONTH)
    assert footer is not None
    assert (footer.rows, footer.first, footer.last, footer.size) == (2, at(0), at(9), merge.size)
    told = {**NOTES, "table": TABLE.path, "schema_version": "1"}
    assert {name: footer.notes[name] for name in told} == told
    assert lake.footer(TABLE, SERIES, "2024-04") is None


def test_domains_may_live_elsewhere(make_lake: MakeLake) -> None:
    home, market = make_lake(), make_lake()
    options = getattr(market.objects, "_options", None)
    lake = Lake(home.objects.location, options, {"market": market.objects.location})
    merge = land(lake, {0: 100.0})
    assert merge.path == f"{market.objects.location}/ohlcv_1m/series={SERIES}/month={MONTH}/part-0.parquet"
    assert lake.inventory(TABLE) == {SERIES: [MONTH]}
    assert home.objects.list("") == []
