"""Statistics as runs: what they are made of, which months they look back into, with whom they compare."""

import dataclasses

import pytest

from ingestion_assets.assets.statistics import COMPARED_WITH, benchmarks
from ingestion_assets.features.statistics import Hours, roi_statistics
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.registry import Series
from ingestion_assets.tables import DERIVED, STATISTICS
from ingestion_assets_tests.market_world import M1, asset_key, failure_text, utc

BTC, ETH, SOL = "binance.BTC-USDT", "binance.ETH-USDT", "binance.SOL-USDT"
H1 = DERIVED["1h"]
SNAPSHOT, ROI, COMPARISON = STATISTICS.values()


@pytest.fixture
def derived(world):
    """Hours of three months' ends and beginnings."""
    world.register(BTC, ETH, since=utc(2024, 1, 28), until=utc(2024, 3, 3))
    for table in (M1, H1):
        assert world.run(table, f"2024-01|{BTC}", f"2024-03|{ETH}").success
    return world


def test_march_looks_back_thirty_days_into_january(derived):
    for table in (SNAPSHOT, ROI):
        assert derived.run(table, f"2024-03|{BTC}").success
        rows = derived.rows(table, f"2024-03|{BTC}")
        assert len(rows) == 48
        assert None not in rows[0].values()
    everything = derived.bench.lake.read(H1, BTC, Window(utc(2024, 1, 1), utc(2024, 4, 1)))
    made = roi_statistics(Hours.of(everything, month_window("2024-03")))
    assert derived.rows(ROI, f"2024-03|{BTC}") == made.to_pylist()


def test_each_market_is_compared_with_the_others(derived):
    assert derived.run(COMPARISON, f"2024-03|{BTC}", f"2024-03|{ETH}").success
    mine, theirs = (derived.rows(COMPARISON, f"2024-03|{name}") for name in (BTC, ETH))
    assert {row["other"] for row in mine} == {ETH}
    assert len(mine) == len(theirs) == 48
    assert [a["price_ratio"] * b["price_ratio"] for a, b in zip(mine, theirs, strict=True)] == pytest.approx(
        [1] * 48
    )


def test_again_writes_nothing(derived):
    keys = f"2024-01|{BTC}", f"2024-03|{ETH}"
    for table in STATISTICS.values():
        assert derived.run(table, *keys).success
    before = derived.lake_files()
    for table in STATISTICS.values():
        assert derived.run(table, *keys).success
    assert derived.lake_files() == before


def test_a_market_more_adds_its_rows_and_changes_no_other(derived):
    key = f"2024-03|{BTC}"
    assert derived.run(COMPARISON, key).success
    before = derived.rows(COMPARISON, key)
    derived.register(SOL, since=utc(2024, 3, 1), until=utc(2024, 3, 3))
    for table in (M1, H1):
        assert derived.run(table, f"2024-03|{SOL}").success
    assert derived.run(COMPARISON, key).success
    after = derived.rows(COMPARISON, key)
    assert [row for row in after if row["other"] == ETH] == before
    assert len(after) == 96
    assert derived.materialized(COMPARISON)[key]["new_rows"] == 48


def test_any_reader_sees_hours_by_market(derived):
    import duckdb

    assert derived.run(COMPARISON, f"2024-03|{BTC}").success
    url = derived.bench.lake.url(COMPARISON)
    found = duckdb.sql(f"select series, other, count(*) from '{url}' group by all").fetchall()
    assert found == [(BTC, ETH, 48)]


def test_one_market_that_cannot_be_read_fails_alone(derived):
    derived.file(H1, f"2024-02|{ETH}").write_bytes(b"PAR1 no more")
    run = derived.run(ROI, f"2024-03|{BTC}", f"2024-03|{ETH}")
    assert f"- {ETH}: CorruptFile" in failure_text(run)
    assert list(derived.materialized(ROI)) == [f"2024-03|{BTC}"]


def test_depend_on_the_hours_of_three_months(world):
    for table in STATISTICS.values():
        node = world.repository.asset_graph.get(asset_key(table))
        assert node.parent_keys == {asset_key(H1)}


class TestBenchmarks:
    series = [Series(f"x.{n:02}-USD", "market", "x", f"{n:02}/USD") for n in range(15, 0, -1)]  # noqa: RUF012

    def test_are_the_first_few_where_none_is_chosen(self):
        found = benchmarks(self.series, "x.03-USD")
        assert found == [f"x.{n:02}-USD" for n in range(1, COMPARED_WITH + 1) if n != 3]

    def test_are_those_that_the_registry_says(self):
        chosen = {"x.07-USD", "x.14-USD"}
        series = [dataclasses.replace(s, metadata={"benchmark": s.id in chosen}) for s in self.series]
        assert set(benchmarks(series, "x.03-USD")) == chosen
        assert benchmarks(series, "x.07-USD") == ["x.14-USD"]
