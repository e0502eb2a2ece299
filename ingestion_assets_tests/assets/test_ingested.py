"""Candle assets as runs: what lands, what is recorded on which partition, how a failure is told."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow.compute as pc

from ingestion_assets.assets import ingested
from ingestion_assets.intervals import Window
from ingestion_assets.partitions import RANGE_END, RANGE_START
from ingestion_assets.registry import Status, Strategy
from ingestion_assets.simulator import Fault
from ingestion_assets.tables import DERIVED
from ingestion_assets_tests.market_world import M1, M5, asset_key, failure_text, utc

BTC, ETH, SOL = "binance.BTC-USDT", "binance.ETH-USDT", "binance.SOL-USDT"
LATE_JANUARY = {"since": utc(2024, 1, 31, 12), "until": utc(2024, 1, 31, 18)}
JANUARY = f"2024-01|{BTC}"


def test_one_partition(world):
    world.register(BTC, **LATE_JANUARY)
    assert world.run(M1, JANUARY).success
    rows = world.rows(M1, JANUARY)
    assert len(rows) == 360
    assert [rows[0]["time"], rows[-1]["time"]] == [utc(2024, 1, 31, 12), utc(2024, 1, 31, 17, 59)]
    told = world.materialized(M1)
    assert list(told) == [JANUARY]
    facts = told[JANUARY]
    assert (facts["rows"], facts["new_rows"], facts["coverage"], facts["status"]) == (360, 360, 1.0, "ok")
    assert facts["first"] == "2024-01-31T12:00Z"
    assert facts["dagster/partition_row_count"] == 360
    entry = world.bench.registry.require(BTC)
    assert (entry.status, entry.error_message, entry.status_owner) == (Status.IDLE, None, None)
    assert entry.last_backfill is not None


def test_the_query_in_the_metadata_runs_as_it_is_pasted(world):
    import duckdb

    world.register(BTC, **LATE_JANUARY)
    world.run(M1, JANUARY)
    query = world.materialized(M1)[JANUARY]["query"].removeprefix("```sql\n").removesuffix("\n```")
    assert len(duckdb.sql(query).fetchall()) == 10


def test_again_changes_nothing_and_asks_for_no_candles(world):
    world.register(BTC, **LATE_JANUARY)
    world.run(M1, JANUARY)
    before = world.lake_files()
    world.simulator.requests.clear()
    assert world.run(M1, JANUARY).success
    assert world.lake_files() == before
    assert world.simulator.requests.by_path["/api/v3/klines"] == 0
    assert world.materialized(M1)[JANUARY]["new_rows"] == 0


def test_a_rectangle_of_two_series_and_three_months(world):
    """What a backfill launches: every partition has its own figures, nothing beside it is touched."""
    bounds = {"since": utc(2024, 1, 31, 12), "until": utc(2024, 3, 1, 12)}
    world.register(BTC, ETH, SOL, timeframes=("5m",), **bounds)
    run = world.run(M5, f"2024-01|{BTC}", f"2024-03|{ETH}")
    assert run.success
    held = {month: hours * 12 for month, hours in (("2024-01", 12), ("2024-02", 29 * 24), ("2024-03", 12))}
    told = world.materialized(M5)
    assert {key: facts["rows"] for key, facts in told.items()} == {
        f"{month}|{name}": rows for month, rows in held.items() for name in (BTC, ETH)
    }
    assert world.bench.lake.inventory(M5) == {BTC: list(held), ETH: list(held)}
    assert len({facts["path"] for facts in told.values()}) == 6


def test_a_range_that_is_upside_down_fails_and_says_so(world):
    world.register(BTC, ETH, **LATE_JANUARY)
    run = world.run(M1, f"2024-01|{ETH}", f"2024-02|{BTC}")
    assert not run.success
    assert f"2024-01|{ETH} … 2024-02|{BTC} is empty" in failure_text(run)
    assert not world.lake_files()


def test_full_refresh_fetches_everything_again_and_replaces_it(world):
    world.register(BTC, **LATE_JANUARY)
    world.run(M1, JANUARY)
    honest = world.rows(M1, JANUARY)
    wrong = world.bench.lake.read(M1, BTC, Window(utc(2024, 1, 31, 12), utc(2024, 1, 31, 13)))
    doctored = wrong.set_column(5, wrong.schema.field(5), wrong.column(5).combine_chunks().take([0] * 60))
    world.bench.lake.merge(M1, BTC, "2024-01", doctored, notes={})
    world.simulator.requests.clear()
    assert world.run(M1, JANUARY, config={"full_refresh": True}).success
    assert world.materialized(M1)[JANUARY]["fetched_rows"] == 360
    payload = [{name: row[name] for name in ("time", *M1.payload)} for row in honest]
    assert [{n: row[n] for n in ("time", *M1.payload)} for row in world.rows(M1, JANUARY)] == payload


def test_dry_run_observes_and_leaves_everything_as_it_was(world):
    world.register(BTC, **LATE_JANUARY)
    run = world.run(M1, JANUARY, config={"dry_run": True})
    assert run.success
    assert world.materialized(M1) == {}
    assert not world.lake_files()
    assert world.bench.ledger.open() == []
    seen = world.instance.fetch_observations(asset_key(M1), limit=10).records
    assert [record.partition_key for record in seen] == [JANUARY]
    figures = seen[0].asset_observation.metadata
    assert (figures["status"].value, figures["rows"].value) == ("dry_run", 360)
    assert world.bench.registry.require(BTC).last_backfill is None


def test_dry_run_of_a_series_that_fails_fails(world):
    world.register(BTC, **LATE_JANUARY)
    world.simulator.faults.add(Fault("server_error", path="/api/v3/klines", times=None))
    run = world.run(M1, JANUARY, config={"dry_run": True})
    assert not run.success
    assert BTC in failure_text(run)


def test_verify_notices_a_value_that_the_venue_gives_otherwise(world):
    world.register(BTC, **LATE_JANUARY)
    world.run(M1, JANUARY)
    rows = world.bench.lake.read(M1, BTC, Window(utc(2024, 1, 31, 12), utc(2024, 1, 31, 18)))
    volume = M1.schema.get_field_index("volume")
    doctored = rows.set_column(volume, rows.schema.field(volume), pc.add(rows.column(volume), 1.0))
    world.bench.lake.merge(M1, BTC, "2024-01", doctored, notes={})
    assert world.run(M1, JANUARY, config={"verify": True}).success
    facts = world.materialized(M1)[JANUARY]
    assert (facts["changed_rows"], facts["new_rows"]) == (360, 0)


def test_lookback_fetches_the_last_minutes_only(world):
    now = datetime.now(UTC)
    world.register(BTC, since=now - timedelta(hours=12))
    first, last = (f"{now - back:%Y-%m}|{BTC}" for back in (timedelta(minutes=30), timedelta(0)))
    assert world.run(M1, first, last, config={"lookback_minutes": 30}).success
    times = [row["time"] for key in {first, last} for row in world.rows(M1, key)]
    assert 28 <= len(times) <= 31
    assert min(times) >= now - timedelta(minutes=31)


def test_a_month_beyond_the_lookback_is_recorded_as_it_is(world):
    world.register(BTC, **LATE_JANUARY)
    world.run(M1, JANUARY)
    assert world.run(M1, JANUARY, config={"lookback_minutes": 30}).success
    facts = world.materialized(M1)[JANUARY]
    assert (facts["rows"], facts["new_rows"], facts["requests"]) == (360, 0, 0)


def test_full_refresh_and_verify_at_once_are_refused(world):
    world.register(BTC, **LATE_JANUARY)
    run = world.run(M1, JANUARY, config={"full_refresh": True, "verify": True})
    assert not run.success
    assert "exclude each other" in world.told(run)


def test_one_bad_series_fails_by_name_and_the_others_are_materialised(world):
    world.register(BTC, ETH, SOL, **LATE_JANUARY)
    world.simulator.faults.add(
        Fault("server_error", path="/api/v3/klines", symbol="ETHUSDT", times=None, status=502)
    )
    run = world.run(M1, JANUARY, f"2024-01|{SOL}")

    assert not run.success
    text = failure_text(run)
    assert "1 series failed, 2 of 3 partitions landed" in text
    assert f"- {ETH}: VendorDown" in text
    assert "502" in text
    assert BTC not in text
    assert world.instance.get_run_by_id(run.run_id).tags["ingest/failed_series"] == "1"

    told = world.materialized(M1)
    assert sorted(told) == [JANUARY, f"2024-01|{SOL}"]
    assert [facts["rows"] for facts in told.values()] == [360, 360]
    assert all(f"series={key.partition('|')[2]}/" in facts["path"] for key, facts in told.items())

    states = {e.series.id: (e.status, e.error_message or "") for e in world.bench.registry.entries()}
    assert states[BTC] == states[SOL] == (Status.IDLE, "")
    assert states[ETH][0] == Status.ERROR
    assert "502" in states[ETH][1]
    gaps = [gap for gap in world.bench.ledger.open() if gap.reason == "missing"]
    assert [(gap.series, gap.window) for gap in gaps] == [(ETH, Window(*LATE_JANUARY.values()))]

    world.simulator.faults.clear()
    assert world.run(M1, JANUARY, f"2024-01|{SOL}").success
    entry = world.bench.registry.require(ETH)
    assert (entry.status, entry.error_message) == (Status.IDLE, None)
    assert [gap for gap in world.bench.ledger.open() if gap.reason == "missing"] == []


def test_after_a_failure_later_steps_of_the_run_do_not_run(world):
    world.register(BTC, ETH, **LATE_JANUARY)
    world.simulator.faults.add(Fault("server_error", path="/api/v3/klines", symbol="ETHUSDT", times=None))
    names = {asset_key(M1), dg.AssetKey(["market", "ohlcv_1h"])}
    job = world.repository.get_implicit_job_def_for_assets(list(names))
    run = job.get_subset(asset_selection=names, asset_check_selection=set()).execute_in_process(
        instance=world.instance,
        tags={RANGE_START: JANUARY, RANGE_END: f"2024-01|{ETH}"},
        raise_on_error=False,
    )
    assert not run.success
    assert list(world.materialized(M1)) == [JANUARY]
    assert {event.step_key for event in run.all_events if event.is_step_start} == {"market__ohlcv_1m"}
    assert world.bench.lake.inventory(DERIVED["1h"]) == {}


class TestAPartitionThatSomebodyTyped:
    def test_becomes_a_series_when_the_market_exists(self, world):
        world.instance.add_dynamic_partitions("market", ["binance.JUP-USDT"])
        assert world.run(M1, "2024-01|binance.JUP-USDT").success
        series = world.bench.registry.require("binance.JUP-USDT").series
        assert series.listed_at == utc(2024, 1, 31, 15, 30)
        assert world.materialized(M1)["2024-01|binance.JUP-USDT"]["rows"] == 510

    def test_is_refused_with_the_nearest_names_when_it_does_not(self, world):
        world.register(BTC, **LATE_JANUARY)
        world.instance.add_dynamic_partitions("market", ["binance.BTCC-USDT"])
        run = world.run(M1, JANUARY, "2024-01|binance.BTCC-USDT")
        assert not run.success
        text = failure_text(run)
        assert "binance.BTCC-USDT: NotFound" in text
        assert "nearest names: BTCUSDT" in text
        assert list(world.materialized(M1)) == [JANUARY]
        assert world.bench.registry.get("binance.BTCC-USDT") is None

    def test_is_refused_when_its_id_is_not_safe(self, world):
        names = ["binance.BTC/USDT", "../../etc/passwd", "BTC-USDT", "binance.BTC USDT"]
        world.instance.add_dynamic_partitions("market", names)
        run = world.run(M1, f"2024-01|{names[0]}", f"2024-01|{names[-1]}")
        assert not run.success
        assert all(f"series id {name!r}" in failure_text(run) for name in names)
        assert not world.lake_files()
        assert world.bench.registry.series() == []

    def test_is_refused_when_it_is_an_alias_naming_the_id(self, world):
        world.instance.add_dynamic_partitions("market", ["binance.JUPUSDT"])
        run = world.run(M1, "2024-01|binance.JUPUSDT")
        assert not run.success
        assert "binance.JUP-USDT" in failure_text(run)
        assert world.bench.registry.series() == []


def test_a_strategy_without_history_is_refused(world):
    world.register(BTC, strategy=Strategy.STREAM, **LATE_JANUARY)
    world.register(ETH, strategy=Strategy.SNAPSHOT_STREAM, **LATE_JANUARY)
    world.register(SOL, strategy=Strategy.FLATPACK, **LATE_JANUARY)
    run = world.run(M1, JANUARY, f"2024-01|{SOL}")
    assert "2 series failed, 1 of 3 partitions landed" in failure_text(run)
    assert "strategy stream, which asks for no history" in failure_text(run)
    assert list(world.materialized(M1)) == [f"2024-01|{SOL}"]


def test_a_run_that_is_interrupted_leaves_no_series_running(world):
    world.register(BTC, ETH, **LATE_JANUARY)
    slices, refused = ingested.slices_for(world.bench, [JANUARY, f"2024-01|{ETH}"], None, datetime.now(UTC))
    work = world.bench.ingest(M1, slices, run="run:x", refused=refused)
    next(work)
    running = [e.series.id for e in world.bench.registry.entries() if e.status == Status.RUNNING]
    assert len(running) == 1
    work.close()
    entry = world.bench.registry.require(running[0])
    assert entry.status == Status.ERROR
    assert "interrupted" in entry.error_message


def test_newest_months_come_first(world):
    world.register(BTC, since=utc(2024, 1, 1), until=utc(2024, 4, 1))
    keys = [f"2024-0{n}|{BTC}" for n in (1, 3, 2)]
    slices, _ = ingested.slices_for(world.bench, keys, None, datetime.now(UTC))
    assert [piece.period for piece in slices] == ["2024-03", "2024-02", "2024-01"]


def test_a_run_ends_where_it_is_told_to(world):
    world.register(BTC, **LATE_JANUARY)
    assert world.run(M1, JANUARY, config={"until": "2024-01-31T15:00Z"}).success
    times = [row["time"] for row in world.rows(M1, JANUARY)]
    assert times[-1] == utc(2024, 1, 31, 14, 59)
    refused = world.run(M1, JANUARY, config={"max_rows": 5})
    assert not refused.success
    assert "max_rows is not for candles" in world.told(refused)


def test_no_secret_is_written_into_events(world):
    secrets = {
        "EXCHANGE_API_KEY": "k3y-s3cr3t",
        "EXCHANGE_API_SECRET": "s3cr3t-s3cr3t",
        "ALERT_WEBHOOK_URL": "http://127.0.0.1:9/h00k-s3cr3t",
    }
    at_fault = world.simulator.url.replace("http://", "http://user:p4ss-s3cr3t@")
    world.setenv(**secrets, EXCHANGE_URLS=json.dumps({"binance": f"{at_fault}/nowhere"}))
    world.register(BTC, **LATE_JANUARY)
    run = world.run(M1, JANUARY)
    assert not run.success
    told = world.told(run) + repr(world.bench.registry.entries()) + repr(world.bench.ledger.open())
    told += "".join(p.read_text(errors="replace") for p in world.folder.rglob("*.err") if p.is_file())
    assert BTC in told
    assert "s3cr3t" not in told
