"""Aggregated assets as runs: the venue's own bars, borders of months and years, holes, late minutes."""

from datetime import timedelta

import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from ingestion_assets.intervals import Window
from ingestion_assets.partitions import MARKET
from ingestion_assets.simulator import Fault
from ingestion_assets.tables import DERIVED
from ingestion_assets_tests.market_world import M1, asset_key, failure_text, utc

BTC, ETH = "binance.BTC-USDT", "binance.ETH-USDT"
H1, D1, W1 = (DERIVED[name] for name in ("1h", "1d", "1w"))
OVER_NEW_YEAR = {"since": utc(2024, 12, 29, 20), "until": utc(2025, 1, 7)}


def derive(world, first, last=None):
    """The whole job, as the sensor launches it."""
    tags = {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last or first,
    }
    return world.repository.get_job("derive_market").execute_in_process(
        instance=world.instance, tags=tags, raise_on_error=False
    )


@pytest.mark.parametrize("whole", [True, False], ids=["from scratch", "step by step"])
def test_equals_the_venue_s_own_bars_over_a_year_s_end(world, whole):
    """Whether December is aggregated once, or before the first days of January came and again."""
    world.register(BTC, **OVER_NEW_YEAR)
    if not whole:
        assert world.run(M1, f"2024-12|{BTC}").success
        assert derive(world, f"2024-12|{BTC}").success
        assert world.rows(W1, f"2024-12|{BTC}")[-1]["minutes"] == 2 * 1_440
    assert world.run(M1, f"2024-12|{BTC}", f"2025-01|{BTC}").success
    assert derive(world, f"2024-12|{BTC}", f"2025-01|{BTC}").success
    start, end = OVER_NEW_YEAR["since"], OVER_NEW_YEAR["until"]
    for table in (H1, D1, W1):
        rows = [row for month in ("2024-12", "2025-01") for row in world.rows(table, f"{month}|{BTC}")]
        ours = {row["time"]: row for row in rows if row["coverage"] == 1}
        interval = table.name.removeprefix("ohlcv_")
        first, last = (round(moment.timestamp() * 1_000) for moment in (start, end - table.grain))
        theirs = world.simulator.world.candles("BTCUSDT", interval, first, last + 1).floats()
        assert [round(moment.timestamp() * 1_000) for moment in ours] == theirs["open_ms"].tolist()
        for name in ("open", "high", "low", "close"):
            assert [row[name] for row in ours.values()] == theirs[name].tolist()
        for name, told in (("volume", "volume"), ("trades", "trades"), ("taker_buy_volume", "taker_volume")):
            assert [row[name] for row in ours.values()] == pytest.approx(theirs[told].tolist())
        assert all(row["source"] == "derived" for row in rows)
    assert (
        world.materialized(W1)[f"2024-12|{BTC}"]["rows"] == 2
    )  # the week that began before, and the whole one


def test_again_writes_nothing(world):
    world.register(BTC, **OVER_NEW_YEAR)
    world.run(M1, f"2024-12|{BTC}", f"2025-01|{BTC}")
    derive(world, f"2024-12|{BTC}", f"2025-01|{BTC}")
    before = world.lake_files()
    assert derive(world, f"2024-12|{BTC}", f"2025-01|{BTC}").success
    assert world.lake_files() == before
    for table in DERIVED.values():
        facts = world.materialized(table)[f"2024-12|{BTC}"]
        assert (facts["new_rows"], facts["changed_rows"], facts["dropped_rows"]) == (0, 0, 0)


def test_minutes_that_come_late_change_their_hour_and_no_other(world):
    bounds = {"since": utc(2024, 1, 31), "until": utc(2024, 2, 1)}
    hole = Window(utc(2024, 1, 31, 5, 10), utc(2024, 1, 31, 5, 40))
    key = f"2024-01|{BTC}"
    world.register(BTC, **bounds)
    outage = world.simulator.faults.add(Fault("outage", start=hole.start, end=hole.end))
    assert world.run(M1, key).success
    assert derive(world, key).success
    assert [row["minutes"] for row in world.rows(H1, key)] == [30 if n == 5 else 60 for n in range(24)]
    assert world.rows(D1, key)[0]["coverage"] == pytest.approx(1_410 / 1_440)

    world.simulator.faults.remove(outage)
    assert world.run(M1, key, config={"full_refresh": True}).success
    assert derive(world, key).success
    facts = world.materialized(H1)[key]
    assert (facts["new_rows"], facts["changed_rows"]) == (0, 1)
    assert {row["coverage"] for row in world.rows(H1, key)} == {1.0}


def test_bars_of_minutes_that_are_gone_go_too(world):
    key = f"2024-01|{BTC}"
    world.register(BTC, since=utc(2024, 1, 31), until=utc(2024, 2, 1))
    world.run(M1, key)
    derive(world, key)
    world.punch(M1, BTC, Window(utc(2024, 1, 31, 5), utc(2024, 1, 31, 7)))
    assert derive(world, key).success
    assert len(world.rows(H1, key)) == 22
    assert world.materialized(H1)[key]["dropped_rows"] == 2


def test_one_series_that_cannot_be_read_fails_alone(world):
    world.register(BTC, ETH, since=utc(2024, 1, 31), until=utc(2024, 2, 1))
    world.run(M1, f"2024-01|{BTC}", f"2024-01|{ETH}")
    world.file(M1, f"2024-01|{BTC}").write_bytes(b"PAR1 no more")
    run = world.run(H1, f"2024-01|{BTC}", f"2024-01|{ETH}")
    assert not run.success
    assert f"- {BTC}: CorruptFile" in failure_text(run)
    assert list(world.materialized(H1)) == [f"2024-01|{ETH}"]
    assert len(world.rows(H1, f"2024-01|{ETH}")) == 24


def test_a_file_of_aggregates_that_cannot_be_read_is_made_anew(world):
    key = f"2024-01|{BTC}"
    world.register(BTC, since=utc(2024, 1, 31), until=utc(2024, 2, 1))
    world.run(M1, key)
    world.run(H1, key)
    honest = world.rows(H1, key)
    world.file(H1, key).write_bytes(b"PAR1 no more")
    assert world.run(H1, key).success
    assert world.rows(H1, key) == honest


def test_an_upside_down_range_fails(world):
    world.register(BTC, ETH, **OVER_NEW_YEAR)
    run = world.run(H1, f"2025-01|{BTC}", f"2024-12|{ETH}")
    assert "is empty" in failure_text(run)


def test_a_month_of_the_week_table_needs_the_following_month_of_minutes(world):
    world.register(BTC, **OVER_NEW_YEAR)
    graph = world.repository.asset_graph
    month = MARKET.empty_subset().with_partition_keys([f"2024-12|{BTC}"])
    needed = {}
    for table in DERIVED.values():
        mapping = graph.get(asset_key(table)).partition_mappings[asset_key(M1)]
        with partition_loading_context(dynamic_partitions_store=world.instance):
            found = mapping.get_upstream_mapped_partitions_result_for_partitions(month, MARKET, MARKET)
            needed[table.name] = sorted(found.partitions_subset.get_partition_keys())
    december, january = f"2024-12|{BTC}", f"2025-01|{BTC}"
    assert needed == {
        "ohlcv_1h": [december],
        "ohlcv_1d": [december],
        "ohlcv_1w": [december, january],
    }


def test_the_open_hour_is_not_given_before_it_is_over(world):
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    world.register(BTC, since=now - timedelta(hours=3))
    keys = sorted({f"{now - timedelta(hours=n):%Y-%m}|{BTC}" for n in range(4)})
    world.run(M1, keys[0], keys[-1])
    assert world.run(H1, keys[0], keys[-1]).success
    last = world.bench.lake.last_time(M1, BTC)
    ends = [row["time"] + H1.grain for key in keys for row in world.rows(H1, key)]
    assert ends
    assert max(ends) <= last + M1.grain
