"""Alerts from real check results and runs to a real webhook, over many ticks of the sensor."""

import logging
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info

from ingestion_assets.alerts import WebhookError, alerts_of_check
from ingestion_assets.checks.fresh import freshness_result
from ingestion_assets.io_managers.lake import PARTIAL_FAILURE
from ingestion_assets.simulator import Fault
from ingestion_assets.simulator.symbols import BINANCE
from ingestion_assets_tests.checks.test_market import hold
from ingestion_assets_tests.market_world import M1, asset_key, utc

BTC, ETH = "binance.BTC-USDT", "binance.ETH-USDT"
NOON = datetime(2024, 6, 15, 12, 0, tzinfo=UTC)


@pytest.fixture
def alerted(world, webhook):
    world.setenv(ALERT_WEBHOOK_URL=f"{webhook.url}/s3cr3t-t0ken")
    return world


def look(world, now: datetime, ticks: int = 3) -> None:
    """Freshness as at this moment, written down, and the alert sensor some times over."""
    result = freshness_result(world.bench, M1, now)
    world.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=asset_key(M1),
            check_name="fresh",
            passed=result.passed,
            metadata=result.metadata,
            severity=result.severity,
            description=result.description,
        )
    )
    for _ in range(ticks):
        world.tick("alerts")


def failed_tick(world) -> str:
    """What Dagster would write down of an alert sensor that fails, causes included."""
    with pytest.raises(WebhookError) as failed:
        world.tick("alerts")
    return serializable_error_info_from_exc_info((failed.type, failed.value, failed.tb)).to_string()


def events(webhook) -> list[tuple[str, str]]:
    return [(post["event"], post["key"]) for post in webhook.posts]


def test_without_a_webhook_nobody_is_told(world):
    assert "ALERT_WEBHOOK_URL is not set" in world.tick("alerts").skip_message


def test_one_series_stops_and_starts_again(alerted, webhook):
    """Exactly one notice and one recovery; a backfill of old months in between hides and tells nothing."""
    alerted.register(BTC, ETH, since=utc(2024, 1, 1))
    for minute in range(0, 60, 10):
        now = NOON + timedelta(minutes=minute)
        hold(alerted, BTC, now - timedelta(minutes=1))
        if minute < 10:
            hold(alerted, ETH, now - timedelta(minutes=1))
        if minute == 40:
            hold(alerted, ETH, utc(2024, 2, 1))
        look(alerted, now)
    key = f"fresh:{M1.path}:series:{ETH}"
    assert events(webhook) == [("firing", key)]
    assert webhook.posts[0]["severity"] == "error"
    assert webhook.posts[0]["context"]["series"] == ETH
    assert "29 min behind" in webhook.posts[0]["message"]
    hold(alerted, ETH, NOON + timedelta(minutes=59))
    look(alerted, NOON + timedelta(minutes=60))
    assert events(webhook) == [("firing", key), ("recovered", key)]


def test_a_venue_that_is_down_is_one_message_not_fifty(alerted, webhook):
    names = [f"binance.{s.base}-{s.quote}" for s in BINANCE.values()][:50]
    alerted.register(*names, since=utc(2024, 1, 1))
    for name in names:
        hold(alerted, name, NOON)
    for minute in (1, 10, 16, 20, 40, 90):
        look(alerted, NOON + timedelta(minutes=minute))
    assert events(webhook) == [("firing", f"fresh:{M1.path}:venue:binance")]
    assert webhook.posts[0]["severity"] == "critical"
    assert "50 of 50 series of binance are late" in webhook.posts[0]["message"]
    for name in names:
        hold(alerted, name, NOON + timedelta(minutes=99))
    look(alerted, NOON + timedelta(minutes=100))
    assert [post["event"] for post in webhook.posts] == ["firing", "recovered"]


def test_a_webhook_that_is_down_for_some_ticks_is_told_later(alerted, webhook, caplog):
    alerted.register(BTC, since=utc(2024, 1, 1))
    hold(alerted, BTC, NOON)
    webhook.fail_next(3)
    look(alerted, NOON + timedelta(minutes=30), ticks=0)

    with caplog.at_level(logging.DEBUG):
        told = [failed_tick(alerted) for _ in range(3)]
        alerted.tick("alerts")
        alerted.tick("alerts")
    assert events(webhook) == [("firing", f"fresh:{M1.path}:series:{BTC}")]
    assert "HTTP 503" in told[0]
    assert "ALERT_WEBHOOK_URL" in told[0]
    assert "s3cr3t" not in caplog.text + "".join(told)


def test_an_address_where_nobody_answers_is_not_named(alerted, caplog):
    alerted.setenv(ALERT_WEBHOOK_URL="http://user:p4ss-s3cr3t@127.0.0.1:9/s3cr3t-t0ken")
    alerted.register(BTC, since=utc(2024, 1, 1))
    hold(alerted, BTC, NOON)
    look(alerted, NOON + timedelta(minutes=30), ticks=0)
    with caplog.at_level(logging.DEBUG):
        shown = failed_tick(alerted)
    assert "no answer (ConnectionError)" in shown
    assert "s3cr3t" not in shown + caplog.text


def test_less_than_the_wanted_severity_is_not_told(alerted, webhook):
    alerted.setenv(ALERT_MIN_SEVERITY="critical")
    alerted.register(BTC, since=utc(2024, 1, 1))
    hold(alerted, BTC, NOON)
    look(alerted, NOON + timedelta(minutes=30))
    assert webhook.attempts == []


def test_cool_down_after_a_recovery(alerted, webhook):
    alerted.setenv(ALERT_COOLDOWN_MIN="30")
    alerted.register(BTC, since=utc(2024, 1, 1))
    hold(alerted, BTC, NOON)
    for minute in (30, 1, 30, 1, 30):
        look(alerted, NOON + timedelta(minutes=minute), ticks=1)
    assert [post["event"] for post in webhook.posts] == ["firing", "recovered"]
    alerted.setenv(ALERT_COOLDOWN_MIN="0")
    alerted.tick("alerts")
    assert [post["event"] for post in webhook.posts] == ["firing", "recovered", "firing"]


def test_a_run_that_failed_is_told_once_with_its_cause_and_once_when_the_next_works(alerted, webhook):
    alerted.register(BTC, since=utc(2024, 1, 31), until=utc(2024, 2, 1))
    bad = alerted.run(M1, f"2024-01|{BTC}", config={"full_refresh": True, "verify": True})
    assert not bad.success
    for _ in range(3):
        alerted.tick("alerts")
    assert events(webhook) == [("firing", "run:ingest_market")]
    assert webhook.posts[0]["context"]["run_id"] == bad.run_id
    assert "exclude each other" in webhook.posts[0]["context"]["cause"]
    assert alerted.run(M1, f"2024-01|{BTC}").success
    for _ in range(3):
        alerted.tick("alerts")
    assert events(webhook) == [("firing", "run:ingest_market"), ("recovered", "run:ingest_market")]


def test_a_run_of_which_only_some_series_failed_is_left_to_freshness(alerted, webhook):
    alerted.register(BTC, ETH, since=utc(2024, 1, 31), until=utc(2024, 2, 1))
    alerted.simulator.faults.add(Fault("server_error", path="/api/v3/klines", symbol="ETHUSDT", times=None))
    run = alerted.run(M1, f"2024-01|{BTC}", f"2024-01|{ETH}")
    assert PARTIAL_FAILURE in alerted.instance.get_run_by_id(run.run_id).tags
    alerted.tick("alerts")
    assert webhook.attempts == []


def test_a_check_that_fails_is_told_with_its_figures(alerted, webhook):
    def report(passed: bool) -> None:
        alerted.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=asset_key(M1),
                check_name="complete",
                passed=passed,
                severity=dg.AssetCheckSeverity.WARN,
                description="3 bars are absent in 1 of 2 series",
                metadata={"missing_count": 3, "gaps": dg.MetadataValue.json({BTC: ["…"]})},
            )
        )
        alerted.tick("alerts")
        alerted.tick("alerts")

    report(passed=False)
    report(passed=True)
    assert events(webhook) == [(event, f"check:{M1.path}:complete") for event in ("firing", "recovered")]
    first = webhook.posts[0]
    assert first["severity"] == "warning"
    assert "3 bars are absent" in first["message"]
    assert first["context"] == {"missing_count": 3}


def test_a_check_that_is_at_work_leaves_the_alert_as_it_is(alerted, webhook):
    """A planned evaluation has no result yet: neither wrong nor well again."""
    alerted.register(BTC, since=utc(2024, 1, 1))
    hold(alerted, BTC, NOON)
    look(alerted, NOON + timedelta(minutes=30))
    job = alerted.repository.get_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection={dg.AssetCheckKey(asset_key(M1), "fresh")}
    )
    alerted.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    for _ in range(2):
        alerted.tick("alerts")
    assert [post["event"] for post in webhook.posts] == ["firing"]


def test_a_passed_check_says_nothing():
    passed = dg.AssetCheckEvaluation(asset_key=asset_key(M1), check_name="fresh", passed=True, metadata={})
    assert alerts_of_check(M1.path, passed) == []
