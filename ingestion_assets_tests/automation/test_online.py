"""The sweep as a job with a memory, its schedule and its start; the check of the TTLs."""

import json
import time
from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow as pa
import pytest
import redis
from dagster._core.events import DagsterEvent, StepMaterializationData

from ingestion_assets.automation.online import CATCH_UP, online_schedules, online_sensors
from ingestion_assets.partitions import RANGE_END, RANGE_START
from ingestion_assets.settings import load_settings
from ingestion_assets.tables import FEATURES
from ingestion_assets.tables.social import POSTS
from ingestion_assets_tests.market_world import M1, asset_key, failure_text

ONLINE = dg.AssetKey(["online", "market_1m"])
BTC, ETH = "binance.BTC-USDT", "binance.ETH-USDT"
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
        assert "1 keys would live for ever: run redis_ttl_sweep with features:*" in evaluation.description
        assert figures["examples"] == [f"features:market:BTC-USDT:1m:{times[0]}"]
        sweep(world)
        assert self.checked(world)[0].passed

    @pytest.mark.parametrize("domain", ["onchain", "social", "news"])
    def test_looks_at_every_domain(self, world, client, domain):
        put(world)
        client.set(f"features:{domain}:a:1h:60", "{}")
        evaluation, figures = self.checked(world)
        assert not evaluation.passed
        assert (figures["without_ttl"], figures["examples"]) == (1, [f"features:{domain}:a:1h:60"])

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
        schedule = online_schedules(load_settings(**environment))[0]
        assert (schedule.name, schedule.cron_schedule) == ("redis_ttl_sweep", cron)
        status = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED
        assert schedule.default_status == status

    @pytest.mark.parametrize("name", ["redis_ttl_sweep", "online_check_hourly"])
    def test_asks_for_one_run_at_a_time_and_for_none_without_redis(self, world, redis_url, name):
        assert "REDIS_URL is not set" in world.at(name, datetime.now(UTC)).skip_message
        world.setenv(REDIS_URL=redis_url)
        assert len(world.at(name, datetime.now(UTC)).run_requests) == 1
        world.pretend("redis_ttl_sweep", dg.DagsterRunStatus.STARTED, **{"ingest/cause": name})
        assert "is still at work" in world.at(name, datetime.now(UTC)).skip_message


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


class TestCatchUp:
    @pytest.fixture
    def keys(self, world, client):
        """Two series with an hour of bars; the sensor has had its first look."""
        now = datetime.now(UTC)
        world.register(BTC, ETH, since=now - timedelta(hours=1))
        months = sorted({f"{now - timedelta(hours=n):%Y-%m}" for n in range(2)})
        keys = f"{months[0]}|{BTC}", f"{months[-1]}|{ETH}"
        assert world.run(M1, *keys).success
        self.cursor = world.tick(self.sensor()).cursor
        return keys

    def sensor(self):
        return next(s for s in online_sensors(load_settings(redis_url="redis://h")) if s.name == CATCH_UP)

    def tick(self, world):
        outcome = world.tick(self.sensor(), self.cursor)
        self.cursor = outcome.cursor
        return outcome

    def derive(self, world, keys):
        whole = world.repository.get_job("derive_market")
        wanted = {asset_key(FEATURES["1m"]), ONLINE}
        job = whole.get_subset(asset_selection=wanted, asset_check_selection=set())
        tags = {RANGE_START: keys[0], RANGE_END: keys[1]}
        return job.execute_in_process(instance=world.instance, tags=tags, raise_on_error=False)

    def test_leaves_alone_what_went_well(self, world, client, keys):
        assert self.derive(world, keys).success
        assert "every run that made features put them online" in self.tick(world).skip_message

    def test_puts_online_what_redis_refused_once_it_is_back(self, world, client, keys, redis_url):
        world.setenv(REDIS_URL="redis://127.0.0.1:1/0")
        assert not self.derive(world, keys).success
        world.setenv(REDIS_URL=redis_url)
        outcome = self.tick(world)
        assert all(run.success for run in world.execute(outcome.run_requests))
        for name in ("BTC-USDT", "ETH-USDT"):
            assert client.zcard(f"features:market:{name}:1m:_idx") >= 50
        assert not self.tick(world).run_requests, "once"

    def test_one_series_without_features_keeps_no_other_offline(self, world, client, keys):
        for month in {key.partition("|")[0] for key in keys}:
            path = world.file(M1, f"{month}|{ETH}")
            if path.exists():
                path.write_bytes(b"not Parquet")
        assert not self.derive(world, keys).success
        assert not list(client.scan_iter("features:*")), "a failed step stops the later steps of its run"
        assert all(run.success for run in world.execute(self.tick(world).run_requests))
        assert client.zcard("features:market:BTC-USDT:1m:_idx") >= 50
        assert client.zcard("features:market:ETH-USDT:1m:_idx") == 0

    def test_waits_for_a_run_that_is_still_at_work(self, world, client, keys):
        run = world.pretend("derive_market", dg.DagsterRunStatus.STARTED)
        event = dg.AssetMaterialization(asset_key(FEATURES["1m"]), partition=keys[0])
        logged = DagsterEvent(
            "ASSET_MATERIALIZATION", "derive_market", event_specific_data=StepMaterializationData(event)
        )
        world.instance.report_dagster_event(logged, run.run_id)
        assert not self.tick(world).run_requests
        world.instance.report_run_failed(world.instance.get_run_by_id(run.run_id))
        assert len(self.tick(world).run_requests) == 1


class TestCatchUpOfOtherDomains:
    """Posts, metrics and news: their features and what is online of them are one run."""

    def run(self, world, key):
        job = world.repository.get_job("features_social")
        tags = {RANGE_START: key, RANGE_END: key}
        return job.execute_in_process(instance=world.instance, tags=tags, raise_on_error=False)

    def test_puts_online_what_redis_refused_once_it_is_back(self, world, client, redis_url):
        minute = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=2)
        row = {"id": "1", "time": minute, "kind": "post", "text": "t", "source": "rest", "known_at": minute}
        columns = {f.name: pa.array([row.get(f.name)], f.type) for f in POSTS.schema}
        month = f"{minute:%Y-%m}"
        world.bench.lake.merge(POSTS, "x.bitcoin", month, pa.table(columns, POSTS.schema), notes={})
        world.instance.add_dynamic_partitions("social", ["x.bitcoin"])
        sensor = next(s for s in online_sensors(load_settings(redis_url="redis://h")) if s.name == CATCH_UP)
        assert self.run(world, f"{month}|x.bitcoin").success
        cursor = world.tick(sensor).cursor
        client.flushall()
        world.setenv(REDIS_URL="redis://127.0.0.1:1/0")
        assert not self.run(world, f"{month}|x.bitcoin").success
        world.setenv(REDIS_URL=redis_url)
        outcome = world.tick(sensor, cursor)
        assert outcome.run_requests
        assert all(run.success for run in world.execute(outcome.run_requests))
        for topic in ("twitter", "twitter.bitcoin"):
            assert client.zcard(f"features:social:{topic}:1m:_idx") == 1
        assert not world.tick(sensor, outcome.cursor).run_requests, "once"


def test_what_was_ingested_is_online_when_the_follow_up_has_run(world, client):
    now = datetime.now(UTC)
    world.register(BTC, since=now - timedelta(hours=2))
    months = sorted({f"{now - timedelta(hours=n):%Y-%m}" for n in range(3)})
    assert world.run(M1, f"{months[0]}|{BTC}", f"{months[-1]}|{BTC}").success
    requests = [r for r in world.tick("derive").run_requests if r.job_name == "derive_market"]
    assert all(run.success for run in world.execute(requests))
    newest = world.bench.lake.last_time(M1, BTC)
    key = f"features:market:BTC-USDT:1m:{int(newest.timestamp())}"
    assert json.loads(client.get(key))["close"] > 0
    assert client.zcard("features:market:BTC-USDT:1m:_idx") >= 55
    assert client.exists("market:BTC-USDT:latest", "market:BTC-USDT:aggregates") == 2
