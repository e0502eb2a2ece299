"""The sweep as a job with a memory, its schedule and its start; the check of the TTLs."""

import time

import dagster as dg
import pytest
import redis

from ingestion_assets.automation.online import online_schedules, online_sensors
from ingestion_assets.settings import load_settings
from ingestion_assets_tests.market_world import failure_text

ONLINE = dg.AssetKey(["online", "market_1m"])
SECRET = "hunter2-hunter2"


@pytest.fixture
def client(redis_url, world):
    world.setenv(REDIS_URL=redis_url)
    with redis.Redis.from_url(redis_url, decode_responses=True) as plain:
        yield plain


def put(world, minutes=10):
    newest = int(time.time()) // 60 * 60 - 60
    times = [newest - 60 * n for n in range(minutes)]
    world.bench.online.write("market", "BTC-USDT", "1m", times, {"close": [1.0] * minutes})
    return times


def sweep(world, **config):
    run = world.run("redis_ttl_sweep", run_config={"ops": {"sweep_keys": {"config": config}}})
    assert run.success
    figures = run.output_for_node("sweep_keys")
    handled = [event for event in run.all_node_events if event.event_type_value == "STEP_OUTPUT"]
    shown = {name: value.value for name, value in handled[0].step_output_data.metadata.items()}
    assert shown == figures
    return figures


class TestSweep:
    def test_tells_what_it_did_in_the_words_of_the_older_system(self, world, client):
        put(world)
        client.mset({f"features:market:A:1m:{n}": "{}" for n in range(3)})
        figures = sweep(world)
        assert figures == {
            "pattern": "features:market:*",
            "scanned": 14,
            "ttl_set": 3,
            "pruned": 0,
            "cursor": 0,
        }
        assert 3_500 < client.ttl("features:market:A:1m:0") <= 3_600

    def test_goes_on_where_the_last_one_ended_pattern_by_pattern(self, world, client):
        client.mset({f"features:market:A:1m:{n}": "{}" for n in range(400)})
        client.mset({f"features:social:A:1m:{n}": "{}" for n in range(10)})
        first = sweep(world, max_keys=100, ttl_default=50)
        assert 0 < first["scanned"] <= 100
        assert first["cursor"] > 0
        assert sweep(world, pattern="features:social:*")["ttl_set"] == 10
        done = first["ttl_set"]
        for _ in range(50):
            more = sweep(world, max_keys=100, ttl_default=50)
            done += more["ttl_set"]
            if more["cursor"] == 0:
                break
        assert done == 400
        assert sweep(world, max_keys=100, from_the_start=True)["ttl_set"] == 0

    def test_settings_say_where_and_how_long(self, world, client):
        world.setenv(TTL_SWEEP_PATTERN="features:social:*", TTL_SWEEP_TTL="77")
        client.mset({"features:social:twitter:1m:60": "{}", "features:market:A:1m:60": "{}"})
        assert sweep(world)["ttl_set"] == 1
        assert client.ttl("features:social:twitter:1m:60") <= 77
        assert client.ttl("features:market:A:1m:60") == -1

    def test_says_what_is_wrong(self, world):
        config = {"ops": {"sweep_keys": {"config": {}}}}
        assert "REDIS_URL is not set" in failure_text(world.run("redis_ttl_sweep", run_config=config))
        world.setenv(REDIS_URL=f"redis://:{SECRET}@127.0.0.1:1/0")
        run = world.run("redis_ttl_sweep", run_config=config)
        assert "Redis 127.0.0.1:1/0, sweeping features:market:*" in failure_text(run)
        assert "Start it, or correct REDIS_URL" in world.told(run)
        assert SECRET not in world.told(run)


class TestCheck:
    def checked(self, world):
        assert world.run("online_check").success
        key = dg.AssetCheckKey(ONLINE, "ttl_ok")
        record = world.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        figures = {name: value.value for name, value in record.evaluation.metadata.items()}
        return record.evaluation, figures

    def test_passes_over_rows_that_end_by_themselves(self, world, client):
        put(world)
        evaluation, figures = self.checked(world)
        assert evaluation.passed
        assert (figures["keys"], figures["indexes"], figures["members"]) == (11, 1, 10)

    def test_fails_on_keys_that_would_live_for_ever_and_the_sweep_heals_it(self, world, client):
        times = put(world)
        client.persist(f"features:market:BTC-USDT:1m:{times[0]}")
        evaluation, figures = self.checked(world)
        assert not evaluation.passed
        assert evaluation.severity == dg.AssetCheckSeverity.WARN
        assert "1 keys would live for ever: run redis_ttl_sweep" in evaluation.description
        assert figures["examples"] == [f"features:market:BTC-USDT:1m:{times[0]}"]
        sweep(world)
        assert self.checked(world)[0].passed

    def test_fails_on_rows_that_went_before_their_time(self, world, client):
        times = put(world)
        client.delete(f"features:market:BTC-USDT:1m:{times[0]}")
        evaluation, figures = self.checked(world)
        assert not evaluation.passed
        assert figures["vanished"] == 1

    def test_without_redis_there_is_nothing_to_look_at(self, world):
        evaluation, _ = self.checked(world)
        assert evaluation.passed
        assert "Nothing is online: REDIS_URL is not set" in evaluation.description


class TestSchedule:
    @pytest.mark.parametrize(
        ("environment", "cron", "running"),
        [
            ({}, "*/15 * * * *", False),
            ({"ttl_sweep_enabled": True}, "*/15 * * * *", True),
            ({"ttl_sweep_enabled": True, "ttl_sweep_interval_sec": 300}, "*/5 * * * *", True),
            ({"ttl_sweep_enabled": True, "ttl_sweep_interval_sec": 7_200}, "0 */2 * * *", True),
            ({"ttl_sweep_cron": "7 * * * *"}, "7 * * * *", True),
        ],
    )
    def test_says_when_and_whether(self, environment, cron, running):
        for url, there in (("redis://h", True), (None, False)):
            made = online_schedules(load_settings(redis_url=url, **environment))
            schedule = next(s for s in made if s.name == "redis_ttl_sweep")
            assert schedule.cron_schedule == cron
            status = (
                dg.DefaultScheduleStatus.RUNNING if running and there else dg.DefaultScheduleStatus.STOPPED
            )
            assert schedule.default_status == status


class TestStart:
    def test_sweeps_once_for_each_deployment_after_the_first_ingestion(self, world, client):
        sensor = online_sensors(load_settings(redis_url="redis://h"))[0]
        waiting = world.pretend(
            "ingest_market", dg.DagsterRunStatus.STARTED, **{"ingest/cause": "run_on_start_1m"}
        )
        assert "the newest bars come first" in world.tick(sensor).skip_message
        world.instance.delete_run(waiting.run_id)
        outcome = world.tick(sensor)
        assert len(outcome.run_requests) == 1
        assert "has had its sweep" in world.tick(sensor, outcome.cursor).skip_message

    def test_is_off_without_redis_or_when_asked(self, world):
        off = online_sensors(load_settings(redis_url="redis://h", run_on_start=False))[0]
        assert "RUN_ON_START is off" in world.tick(off).skip_message
        assert "REDIS_URL is not set" in world.tick(online_sensors(load_settings())[0]).skip_message
