"""Schedules: which ranges a tick asks for, and which schedules the environment makes."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from ingestion_assets.automation.jobs import CAUSE, EVERY_GAP
from ingestion_assets.automation.restated import in_turn
from ingestion_assets.automation.schedules import at_work, registry_requests, schedules, tick
from ingestion_assets.partitions import RANGE_END, RANGE_START
from ingestion_assets.registry import Strategy
from ingestion_assets.settings import Settings, SettingsError, load_settings
from ingestion_assets.tables import FETCHED
from ingestion_assets.tables.news import NEWS_ITEMS
from ingestion_assets_tests.market_world import M1, M5, asset_key, utc

BTC, ETH, SOL = "binance.BTC-USDT", "binance.ETH-USDT", "binance.SOL-USDT"
MIDDAY = utc(2024, 6, 15, 12)
RUNNING, STOPPED = dg.DefaultScheduleStatus.RUNNING, dg.DefaultScheduleStatus.STOPPED


def ranges(outcome: Any) -> list[tuple[str, str]]:
    return [(request.tags[RANGE_START], request.tags[RANGE_END]) for request in outcome.run_requests]


def job(symbol: str = "BTC/USDT", **fields: Any) -> dict[str, Any]:
    """An entry of MARKET_JOBS."""
    return {"exchange": "binance", "symbol": symbol, "cron": "*/5 * * * *"} | fields


def made(**environment: Any) -> dict[str, dg.ScheduleDefinition]:
    """The schedules of an environment, by name."""
    texts = {n: json.dumps(v) if isinstance(v, list) else v for n, v in environment.items()}
    found: list[dg.ScheduleDefinition] = schedules(load_settings(**texts))
    return {schedule.name: schedule for schedule in found}


class TestHotTick:
    def test_asks_for_the_open_month_of_all_enabled_series_in_one_run(self, world):
        world.register(BTC, ETH, SOL)
        outcome = world.at("hot_1m", MIDDAY)
        assert ranges(outcome) == [(f"2024-06|{BTC}", f"2024-06|{SOL}")]
        request = outcome.run_requests[0]
        assert request.job_name in (None, "ingest_market")
        assert request.asset_selection == [asset_key(M1)]
        assert list(request.asset_check_keys) == []
        assert request.tags[CAUSE] == "hot_1m"

    def test_looks_back_over_a_month_s_border(self, world):
        world.register(BTC)
        asked = {hour: ranges(world.at("hot_1m", utc(2024, 6, 1, hour))) for hour in range(4)}
        may, june = f"2024-05|{BTC}", f"2024-06|{BTC}"
        # At midnight the new month has no bar that is closed.
        assert asked == {0: [(may, may)], 1: [(may, june)], 2: [(june, june)], 3: [(june, june)]}

    def test_a_series_in_between_that_is_not_meant_splits_the_run(self, world):
        world.register(BTC, ETH, SOL)
        world.bench.registry.enable(ETH, False)
        assert ranges(world.at("hot_1m", MIDDAY)) == [
            (f"2024-06|{BTC}", f"2024-06|{BTC}"),
            (f"2024-06|{SOL}", f"2024-06|{SOL}"),
        ]

    def test_leaves_out_what_has_no_history_or_another_timeframe(self, world):
        world.register(BTC)
        world.register(ETH, strategy=Strategy.SNAPSHOT)
        world.register(SOL, timeframes=("5m",))
        assert ranges(world.at("hot_1m", MIDDAY)) == [(f"2024-06|{BTC}", f"2024-06|{BTC}")]
        assert ranges(world.at("hot_5m", MIDDAY)) == [(f"2024-06|{SOL}", f"2024-06|{SOL}")]

    def test_waits_while_its_last_run_is_at_work(self, world):
        world.register(BTC)
        run = world.pretend("ingest_market", dg.DagsterRunStatus.STARTED, **{CAUSE: "hot_1m"})
        assert "still at work" in world.at("hot_1m", MIDDAY).skip_message
        world.instance.report_run_canceled(run)
        assert world.at("hot_1m", MIDDAY).run_requests

    def test_has_a_run_key_for_each_tick(self, world):
        world.register(BTC)
        first, again = (world.at("hot_1m", MIDDAY).run_requests[0].run_key for _ in range(2))
        later = world.at("hot_1m", MIDDAY + timedelta(minutes=5)).run_requests[0].run_key
        assert first == again != later

    def test_says_why_it_has_nothing_to_do(self, world):
        assert "registry_sync" in world.at("hot_1m", MIDDAY).skip_message

    def test_leaves_to_market_jobs_what_they_have(self, world):
        world.register(BTC, ETH)
        assert ranges(world.at(made(market_jobs=[job(timeframe="1h")])["hot_1m"], MIDDAY)) == [
            (f"2024-06|{ETH}",) * 2
        ]

    def test_really_fetches_what_it_asks_for(self, world):
        now = datetime.now(UTC)
        world.register(BTC, since=now - timedelta(minutes=30))
        assert [run.success for run in world.execute(world.at("hot_1m", now).run_requests)] == [True]
        assert world.bench.lake.last_time(M1, BTC) >= now - timedelta(minutes=3)
        assert world.instance.get_latest_materialization_event(asset_key(M5)) is None


def test_what_comes_a_day_late_is_still_asked_of_the_month_before(world):
    name = "newsapi.bitcoin"
    world.instance.add_dynamic_partitions("news", [name])
    asked = {
        day: [
            (r.tags[RANGE_START], r.tags[RANGE_END])
            for r in tick(world.instance, NEWS_ITEMS, [name], now, cause="t")
        ]
        for day, now in ((1, utc(2024, 6, 1, 12)), (2, utc(2024, 6, 2, 1)), (3, utc(2024, 6, 3)))
    }
    may, june = f"2024-05|{name}", f"2024-06|{name}"
    assert asked == {1: [(may, june)], 2: [(may, june)], 3: [(june, june)]}


def test_causes_are_told_apart_by_more_than_how_they_begin(world):
    world.pretend("ingest_market", dg.DagsterRunStatus.STARTED, **{CAUSE: "market_jobs_10"})
    world.pretend("ingest_market", dg.DagsterRunStatus.STARTED, **{CAUSE: "run_on_start_5m"})
    world.pretend("ingest_market", dg.DagsterRunStatus.SUCCESS, **{CAUSE: "healing"})
    counts = [
        at_work(world.instance, c) for c in ("market_jobs_1", "market_jobs_10", "run_on_start", "healing")
    ]
    assert counts == [0, 1, 1, 0]


def test_the_whole_registry_is_asked_for_table_by_table(world):
    """The same series of two tables are two requests, with run keys that do not swallow each other."""
    world.register(BTC, timeframes=("1m", "5m"))
    found = registry_requests(world.instance, MIDDAY, cause="registry_execute")
    assert [request.asset_selection for request in found] == [[asset_key(M1)], [asset_key(M5)]]
    assert len({request.run_key for request in found}) == 2


class TestEnvironment:
    def test_says_when_hot_runs_and_in_which_zone(self):
        found = made(hot_cron="*/2 * * * *", hot_5m_cron="7 * * * *", sched_tz="Europe/London")
        assert (found["hot_1m"].cron_schedule, found["hot_5m"].cron_schedule) == ("*/2 * * * *", "7 * * * *")
        assert found["hot_1m"].execution_timezone == "Europe/London"
        assert found["hot_1m"].default_status == RUNNING

    def test_of_market_jobs_makes_a_schedule_for_each_rhythm_table_and_reach(self, world):
        jobs = [
            job("BTC/USDT", lookback_minutes=30),
            job("ETHUSDT", exchange="Binance", lookback_minutes=30),
            job("SOL-USDT", timeframe="5min", cron="*/10 * * * *", limit=6),
        ]
        found = {name: s for name, s in made(market_jobs=jobs).items() if name.startswith("market_jobs")}
        assert {s.cron_schedule for s in found.values()} == {"*/5 * * * *", "*/10 * * * *"}
        world.register(BTC, ETH, SOL, timeframes=("1m", "5m"))
        asked = {}
        for schedule in found.values():
            outcome = world.at(schedule, MIDDAY)
            asked[schedule.cron_schedule] = ranges(outcome), outcome.run_requests[0].run_config
        one, five = asked["*/5 * * * *"], asked["*/10 * * * *"]
        assert one[0] == [(f"2024-06|{BTC}", f"2024-06|{ETH}")]
        assert one[1] == {"ops": {"market__ohlcv_1m": {"config": {"lookback_minutes": 30}}}}
        assert five[0] == [(f"2024-06|{SOL}", f"2024-06|{SOL}")]
        assert five[1] == {"ops": {"market__ohlcv_5m": {"config": {"lookback_minutes": 30}}}}
        assert all(s.default_status == RUNNING for s in found.values())

    def test_of_market_ingest_jobs_makes_others_beside_them(self):
        found = made(market_jobs=[job(limit=500)], market_ingest_jobs=[job(limit=500)])
        assert {"market_jobs_1", "market_ingest_jobs_1"} <= found.keys()
        assert "500 min" in found["market_ingest_jobs_1"].description

    def test_a_job_s_request_runs(self, world):
        now = datetime.now(UTC)
        schedule = made(market_jobs=[job(limit=20)])["market_jobs_1"]
        world.register(BTC, since=now - timedelta(hours=5))
        assert all(run.success for run in world.execute(world.at(schedule, now).run_requests))
        rows = [row for key in world.materialized(M1) for row in world.rows(M1, key)]
        assert 18 <= len(rows) <= 21

    def test_a_job_for_hours_days_or_weeks_fetches_the_minutes(self, world):
        schedule = made(market_jobs=[job(timeframe="1h", limit=2)])["market_jobs_1"]
        world.register(BTC)
        request = world.at(schedule, MIDDAY).run_requests[0]
        assert request.asset_selection == [asset_key(M1)]
        assert request.run_config == {"ops": {"market__ohlcv_1m": {"config": {"lookback_minutes": 120}}}}

    def test_a_job_for_a_timeframe_that_is_no_table_is_refused_by_name(self):
        offered = "1m, 5m, 1h, 1d, 1w"
        for variable in ("market_jobs", "market_ingest_jobs"):
            with pytest.raises(SettingsError, match=rf"{variable.upper()}: entry 2 .*'15m'.*{offered}"):
                made(**{variable: [job(), job(timeframe="15m")]})
        with pytest.raises(SettingsError, match=r"BACKFILL_TIMEFRAMES: entry 1 .*'15m'"):
            made(backfill_timeframes="15m")

    def test_a_series_that_is_disabled_or_has_no_history_is_left_out_of_its_job(self, world):
        schedule = made(market_jobs=[job(f"{base}/USDT") for base in ("BTC", "ETH", "SOL")])["market_jobs_1"]
        world.register(BTC, SOL)
        world.register(ETH, strategy=Strategy.STREAM)
        world.bench.registry.enable(BTC, False)
        assert ranges(world.at(schedule, MIDDAY)) == [(f"2024-06|{SOL}", f"2024-06|{SOL}")]

    def test_backfill_interval_becomes_a_rhythm(self):
        rhythms = {60: "*/1 * * * *", 300: "*/5 * * * *", 3_600: "0 */1 * * *", 86_400: "0 */23 * * *"}
        for seconds, cron in rhythms.items():
            assert made(backfill_interval_sec=seconds)["backfill_window_1"].cron_schedule == cron

    def test_the_backfill_window_runs_when_it_is_enabled(self, world):
        assert made()["backfill_window_1"].default_status == STOPPED
        schedule = made(
            backfill_enabled=True, backfill_symbols="BTC/USDT,ETH/USDT", backfill_lookback_min=45
        )["backfill_window_1"]
        assert schedule.default_status == RUNNING
        world.register(BTC, ETH)
        outcome = world.at(schedule, MIDDAY)
        assert ranges(outcome) == [(f"2024-06|{BTC}", f"2024-06|{ETH}")]
        assert outcome.run_requests[0].run_config["ops"]["market__ohlcv_1m"]["config"] == {
            "lookback_minutes": 45
        }

    def test_the_cron_expression_executes_the_registry(self, world):
        assert made()["registry_execute"].default_status == STOPPED
        schedule = made(ingestion_cron_expression="5 4 * * *")["registry_execute"]
        assert (schedule.cron_schedule, schedule.default_status) == ("5 4 * * *", RUNNING)
        world.register(BTC, timeframes=("1m", "5m"))
        assert len(ranges(world.at(schedule, MIDDAY))) == 2
        assert world.at(schedule, MIDDAY).run_requests[0].tags[CAUSE] == "registry_execute_1m"

    def test_names_of_schedules_are_unique_however_many_jobs_there_are(self):
        jobs = [job(cron=f"{minute} * * * *") for minute in range(12)]
        settings = Settings(market_jobs=jobs, market_ingest_jobs=jobs)
        names = [schedule.name for schedule in schedules(settings)]
        assert len(names) == len(set(names)) > 24


def test_the_nightly_aggregation_takes_the_last_two_months_that_are_held(world):
    world.register(BTC, ETH)
    world.run(M1, f"2024-05|{BTC}")
    outcome = world.at("derive_nightly", utc(2024, 6, 1, 0))
    assert ranges(outcome) == [(f"2024-05|{BTC}", f"2024-05|{BTC}")]


def test_the_nightly_gap_scan_looks_at_all_history(world):
    """A null in run config is easily dropped on the way; then two months would be all that is looked at."""
    nightly = world.at("gap_scan_nightly", MIDDAY).run_requests[0]
    assert nightly.run_config["ops"]["market__ohlcv_1m_complete"]["config"] == {"recent_months": None}
    assert EVERY_GAP.ops.keys() == {f"{path.replace('/', '__')}_complete" for path in FETCHED}
    world.register(BTC, since=utc(2020, 1, 1), until=utc(2020, 1, 2))
    hourly = world.at("gap_scan_hourly", MIDDAY).run_requests[0]
    pending = []
    for request in (hourly, nightly):
        run = world.run("gap_scan", run_config=request.run_config)
        assert run.success
        pending.append(world.evaluation(M1, "complete").metadata["pending_count"].value)
    assert pending == [0, 1_440]


def test_every_schedule_of_the_shipped_definitions_evaluates(world):
    world.register(BTC, timeframes=("1m", "5m"))
    for schedule in world.repository.schedule_defs:
        outcome = world.at(schedule.name, MIDDAY)
        assert outcome.run_requests or outcome.skip_message


def test_restated_files_that_fail_for_ever_keep_nobody_waiting():
    keys = [f"2024-{month:02}|{BTC}" for month in range(1, 8)]
    days = [in_turn(keys, 3, day) for day in range(7)]
    assert all(len(set(day)) == 3 for day in days)
    assert {key for day in days for key in day} == set(keys)
    assert in_turn(keys[:2], 3, 5) == keys[:2]
    assert in_turn([], 3, 5) == []
