"""Settings: every variable parsed, wrong values refused by name with a remedy, secrets never shown."""

from __future__ import annotations

import json
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.settings import ROOT, SIMULATED, MarketJob, Settings, SettingsError, load_settings

SECRET = "hunter2secret"
JOB = {"exchange": "binance", "symbol": "BTC/USDT", "timeframe": "1min", "cron": "*/5 * * * *"}

PARSED: dict[str, tuple[str, Any]] = {
    "PROFILE": (" Live ", "live"),
    "SIMULATOR_PORT": ("9000", 9000),
    "SIMULATOR_SEED": ("3", 3),
    "INGEST_STATE_DIR": ("/state", Path("/state")),
    "DATA_LAKE_PATH": ("s3://bucket/lake", "s3://bucket/lake"),
    "MARKET_PATH": ("/lake/market", "/lake/market"),
    "FSSPEC_STORAGE_OPTIONS": ('{"key": "k", "client_kwargs": {}}', {"key": "k", "client_kwargs": {}}),
    "AWS_ACCESS_KEY_ID": ("AKIA", "AKIA"),
    "AWS_SECRET_ACCESS_KEY": (SECRET, SECRET),
    "AWS_SESSION_TOKEN": (SECRET, SECRET),
    "AWS_DEFAULT_REGION": ("eu-west-1", "eu-west-1"),
    "AWS_ENDPOINT_URL": ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
    "GOOGLE_APPLICATION_CREDENTIALS": ("/keys/gcs.json", "/keys/gcs.json"),
    "DATABASE_URL": (f"postgresql://me:{SECRET}@h/d", f"postgresql://me:{SECRET}@h/d"),
    "REDIS_URL": ("redis://127.0.0.1", "redis://127.0.0.1"),
    "REDIS_HOST": ("cache", "cache"),
    "REDIS_PORT": ("6379", 6379),
    "REDIS_PASSWORD": (SECRET, SECRET),
    "EXCHANGE_NAME": ("kraken", "kraken"),
    "EXCHANGE_API_KEY": (SECRET, SECRET),
    "EXCHANGE_API_SECRET": (SECRET, SECRET),
    "BINANCE_URL": ("http://127.0.0.1:1/", "http://127.0.0.1:1/"),
    "BINANCE_FALLBACK_URL": ("https://data.example", "https://data.example"),
    "EXCHANGE_URLS": ('{"kraken": "http://127.0.0.1:2"}', {"kraken": "http://127.0.0.1:2"}),
    "HTTP_TIMEOUT_SEC": ("2.5", 2.5),
    "HTTP_ATTEMPTS": ("2", 2),
    "HTTP_CONCURRENCY": ("3", 3),
    "SETTLE_SECONDS": ("0", 0),
    "POLYGON_API_KEY": (SECRET, SECRET),
    "MASSIVE_API_KEY": (SECRET, SECRET),
    "POLYGON_S3_ACCESS_KEY_ID": (SECRET, SECRET),
    "POLYGON_S3_SECRET_ACCESS_KEY": (SECRET, SECRET),
    "COINGECKO_API_KEY": (SECRET, SECRET),
    "NEWS_API_KEY": (SECRET, SECRET),
    "GLASSNODE_API_KEY": (SECRET, SECRET),
    "COVALENT_API_KEY": (SECRET, SECRET),
    "TWITTER_BEARER_TOKEN": (SECRET, SECRET),
    "REDDIT_CLIENT_ID": (SECRET, SECRET),
    "REDDIT_CLIENT_SECRET": (SECRET, SECRET),
    "X_SPEND_PER_DAY_USD": ("2.50", Decimal("2.50")),
    "X_POST_PRICE_USD": ("0.01", Decimal("0.01")),
    "VENDOR_BUDGETS": ('{"glassnode": 500}', {"glassnode": 500}),
    "ML_SENTIMENT_ENABLED": ("true", True),
    "SENTIMENT_MODEL_ID": ("/models/tiny", "/models/tiny"),
    "ML_MAX_WORKERS": ("2", 2),
    "SOCIAL_SENTIMENT_ENRICH": ("0", False),
    "INGESTION_MARKETS": ("BTC/USDT, ETH/USDT,", ("BTC/USDT", "ETH/USDT")),
    "INGESTION_PROVIDER": (" CoinGecko ", "coingecko"),
    "INGESTION_LOOKBACK_DAYS": ("7", 7),
    "SCHED_TZ": ("Europe/London", "Europe/London"),
    "HOT_CRON": ("*/2 * * * *", "*/2 * * * *"),
    "HOT_5M_CRON": ("0 * * * *", "0 * * * *"),
    "MARKET_JOBS": (json.dumps([JOB]), (MarketJob(**JOB),)),
    "MARKET_INGEST_JOBS": ("[]", ()),
    "INGESTION_CRON_EXPRESSION": ("0 3 * * *", "0 3 * * *"),
    "BACKFILL_ENABLED": ("true", True),
    "BACKFILL_EXCHANGE": ("kraken", "kraken"),
    "BACKFILL_SYMBOLS": ('["BTC/USD", "ETH/USD"]', ("BTC/USD", "ETH/USD")),
    "BACKFILL_TIMEFRAMES": ("1min,5m", ("1m", "5m")),
    "BACKFILL_LOOKBACK_MIN": ("60", 60),
    "BACKFILL_INTERVAL_SEC": ("120", 120),
    "RUN_ON_START": ("no", False),
    "SENSOR_INTERVAL_SEC": ("10", 10),
    "HEAL_PARTITIONS_PER_TICK": ("5", 5),
    "HEAL_MAX_ATTEMPTS": ("3", 3),
    "FRESHNESS_MINUTES": ("9", 9),
    "HOUSEKEEPING_DAYS": ("90", 90),
    "FEATURE_TTL_SEC": ("7200", 7200),
    "FEATURE_TTL_OVERRIDES": ('{"onchain": 172800}', {"onchain": 172800}),
    "CACHE_TTL_SECONDS": ("60", 60),
    "REDIS_TIMEOUT_SEC": ("0.5", 0.5),
    "TTL_SWEEP_ENABLED": ("1", True),
    "TTL_SWEEP_INTERVAL_SEC": ("600", 600),
    "TTL_SWEEP_CRON": ("*/15 * * * *", "*/15 * * * *"),
    "TTL_SWEEP_PATTERN": ("features:*", "features:*"),
    "TTL_SWEEP_TTL": ("1800", 1800),
    "ALERT_WEBHOOK_URL": (f"https://hooks.example/{SECRET}", f"https://hooks.example/{SECRET}"),
    "ALERT_MIN_SEVERITY": ("Error", "error"),
    "ALERT_COOLDOWN_MIN": ("0", 0),
    "LOG_LEVEL": ("warn", "WARNING"),
    "DAGSTER_HOST": ("0.0.0.0", "0.0.0.0"),
    "DAGSTER_PORT": ("3001", 3001),
    "DAGSTER_URL": ("http://webserver:3000", "http://webserver:3000"),
    "INGEST_HOST": ("0.0.0.0", "0.0.0.0"),
    "INGEST_PORT": ("8001", 8001),
    "API_BASE_URL": ("http://ingestion-api:8000/", "http://ingestion-api:8000/"),
    "ADMIN_TOKEN": (SECRET, SECRET),
    "CRON_SECRET": (SECRET, SECRET),
    "CORS_ORIGINS": ('["https://desk.example"]', ("https://desk.example",)),
    "API_WAIT_SEC": ("5", 5.0),
    "API_MAX_BODY_KB": ("128", 128),
    "API_REQUESTS_PER_SEC": ("10", 10),
    "API_CHANGES_PER_MIN": ("5", 5),
    "METRICS_MAX_SERIES": ("50", 50),
    "SCHED_METRICS_PORT": ("9002", 9002),
}


@pytest.fixture(autouse=True)
def no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test sets: no variable of this machine, no .env of this checkout."""
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    for name in PARSED:
        monkeypatch.delenv(name, raising=False)


def test_every_variable_is_tried_here() -> None:
    assert {name.upper() for name in Settings.model_fields} == set(PARSED)


@pytest.mark.parametrize("name", PARSED)
def test_a_variable_is_parsed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, expected = PARSED[name]
    monkeypatch.setenv(name, text)
    settings = load_settings()
    value = getattr(settings, name.lower())
    assert (value.get_secret_value() if hasattr(value, "get_secret_value") else value) == expected
    assert SECRET not in repr(settings)
    monkeypatch.setenv(name, "")
    assert getattr(load_settings(), name.lower()) == Settings.model_fields[name.lower()].default


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("PROFILE", "prod", "'simulator' or 'live'"),
        ("INGESTION_PROVIDER", "kraken", "'mock' or 'coingecko'"),
        ("SIMULATOR_PORT", "70000", "less than or equal to 65535"),
        ("SIMULATOR_PORT", "http", "valid integer"),
        ("DATA_LAKE_PATH", "lake", "is relative: write the absolute folder /"),
        ("DATA_LAKE_PATH", "ftp://host/lake", "use an absolute folder, s3://bucket/path or gs://bucket/path"),
        ("MARKET_PATH", "market", "is relative"),
        ("AWS_ENDPOINT_URL", "localhost:9000", "write it like https://host or http://host:8080"),
        ("BINANCE_URL", "api.binance.com", "write it like https://host"),
        ("BINANCE_FALLBACK_URL", "ftp://x", "write it like https://host"),
        ("HTTP_TIMEOUT_SEC", "0", "greater than 0"),
        ("HTTP_CONCURRENCY", "65", "less than or equal to 64"),
        ("INGESTION_MARKETS", "[BTC/USDT", "write a list, or words with commas"),
        ("INGESTION_LOOKBACK_DAYS", "-1", "greater than or equal to 0"),
        ("SCHED_TZ", "Mars/Olympus", "use an IANA name like UTC or Europe/London"),
        ("SCHED_TZ", "Europe", "use an IANA name like UTC or Europe/London"),
        ("SCHED_TZ", "../etc/passwd", "use an IANA name like UTC or Europe/London"),
        ("HOT_CRON", "every minute", "use five fields like */5 * * * *"),
        ("HOT_5M_CRON", "61 * * * *", "use five fields like */5 * * * *"),
        ("INGESTION_CRON_EXPRESSION", "@daily", "use five fields like */5 * * * *"),
        ("BACKFILL_ENABLED", "perhaps", "valid boolean"),
        ("BACKFILL_TIMEFRAMES", "1m,7m", "use one of 1m, 3m, 5m"),
        ("FEATURE_TTL_SEC", "0", "greater than or equal to 1"),
        ("FEATURE_TTL_OVERRIDES", '{"onchain": 0}', "onchain: 0 is not between 1 and"),
        ("VENDOR_BUDGETS", '{"glassnode": -1}', "glassnode: -1 is below 0"),
        ("FEATURE_TTL_OVERRIDES", "onchain=5", "write an object like {}"),
        ("REDIS_TIMEOUT_SEC", "0", "greater than 0"),
        ("TTL_SWEEP_INTERVAL_SEC", "5", "greater than or equal to 60"),
        ("TTL_SWEEP_CRON", "hourly", "use five fields like */5 * * * *"),
        ("DAGSTER_URL", "webserver:3000", "write it like https://host"),
        ("CORS_ORIGINS", '["desk.example"]', "write it like https://host"),
        ("CORS_ORIGINS", '["https://desk.example/app"]', "an origin is only https://host"),
        ("ALERT_MIN_SEVERITY", "loud", "'info', 'warning', 'error' or 'critical'"),
        ("LOG_LEVEL", "CHATTY", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_itself_and_a_remedy(
    name: str, value: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    text = str(caught.value)
    assert text.startswith(f"{name}=")
    assert value in text
    assert remedy in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FSSPEC_STORAGE_OPTIONS", f'{{"key": "k", "secret": "{SECRET}"'),
        ("FSSPEC_STORAGE_OPTIONS", f'["{SECRET}"]'),
        ("EXCHANGE_URLS", f'{{"kraken": "u:{SECRET}@h"}}'),
        ("ALERT_WEBHOOK_URL", f"hooks.example/{SECRET}"),
        ("REDIS_URL", f"me:{SECRET}@host:6379"),
        ("DATA_LAKE_PATH", f"s3://AKIA:{SECRET}@bucket/lake"),
        ("BINANCE_URL", f"me:{SECRET}@host"),
        ("BINANCE_URL", f"ftp://me:a/b@{SECRET}@host"),
    ],
)
def test_a_wrong_value_that_may_hold_a_secret_is_not_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings()
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__, "the cause would show it"


@pytest.mark.parametrize("name", ["MARKET_JOBS", "MARKET_INGEST_JOBS"])
@pytest.mark.parametrize(
    ("entries", "complaints"),
    [
        ([JOB, JOB | {"cron": "daily"}], ["entry 2", "cron: ", "use five fields"]),
        ([JOB | {"timeframe": "7m"}], ["entry 1", "timeframe: ", "'7m' is unknown: use one of 1m"]),
        ([JOB | {"symbol": "XYZ"}], ["entry 1", "'XYZ' cannot be taken apart", "write it like BTC/USDT"]),
        ([JOB | {"lookback_minutes": 0}], ["entry 1", "lookback_minutes: ", "greater than 0"]),
        ([JOB | {"look_back": 5}], ["entry 1", "look_back: ", "Extra inputs are not permitted"]),
        ([JOB, {"symbol": "BTC/USDT"}], ["entry 2", "exchange: Field required", "cron: Field required"]),
        (["BTC/USDT"], ["entry 1", "valid dictionary"]),
        ({"jobs": []}, ["is a dict: write a list of objects"]),
    ],
)
def test_a_wrong_job_is_refused_by_its_number(
    name: str, entries: Any, complaints: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, json.dumps(entries))
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings()
    for complaint in complaints:
        assert complaint in str(caught.value)


def test_jobs_that_are_no_json_are_refused_with_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKET_JOBS", "[{]")
    with pytest.raises(SettingsError, match=r"MARKET_JOBS=.*is not JSON \(.* at character 2\): write a list"):
        load_settings()


def test_a_job_knows_its_series_and_how_far_it_looks_back() -> None:
    job = MarketJob(**JOB)
    assert (job.series, job.timeframe, job.window_minutes(30)) == ("binance.BTC-USDT", "1m", 30)
    assert MarketJob(**JOB, lookback_minutes=7).window_minutes(30) == 7
    assert MarketJob(**JOB | {"timeframe": "5m"}, limit=12, lookback_minutes=7).window_minutes(30) == 60


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMULATOR_PORT", "x")
    monkeypatch.setenv("HOT_CRON", "y")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [line.partition("=")[0] for line in str(caught.value).splitlines()] == [
        "SIMULATOR_PORT",
        "HOT_CRON",
    ]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"REDIS_HOST": "cache"}, "redis://cache:6379/0"),
        ({"REDIS_HOST": "::1", "REDIS_PORT": "6380"}, "redis://[::1]:6380/0"),
        ({"REDIS_HOST": "cache", "REDIS_PASSWORD": "p@ss/word"}, "redis://:p%40ss%2Fword@cache:6379/0"),
        ({"REDIS_HOST": "cache", "REDIS_URL": "redis://other:1/2"}, "redis://other:1/2"),
        ({"REDIS_PORT": "6380", "REDIS_PASSWORD": "p"}, None),
        ({"REDIS_PORT": "tcp://10.0.0.7:6379"}, None),  # as Kubernetes sets it
    ],
)
def test_redis_may_be_given_in_parts(
    given: dict[str, str], url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.redis_url and settings.redis_url.get_secret_value()) == url
    assert "p@ss" not in repr(settings)


def test_a_port_of_redis_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_HOST", "cache")
    monkeypatch.setenv("REDIS_PORT", "tcp://10.0.0.7:6379")
    with pytest.raises(SettingsError, match="REDIS_PORT"):
        load_settings()


def test_a_domain_may_have_a_ttl_of_its_own() -> None:
    settings = load_settings(feature_ttl_sec=60, feature_ttl_overrides={"onchain": 600})
    assert (settings.feature_ttl("market"), settings.feature_ttl("onchain")) == (60, 600)


def test_derived_values(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(ingest_state_dir=Path("/state"))
    assert settings.catalog_url == "sqlite:////state/catalog.sqlite"
    assert settings.vendor_urls == dict.fromkeys(SIMULATED, "http://127.0.0.1:8901")
    assert load_settings(profile="live").vendor_urls == {"mock": "http://127.0.0.1:8901"}
    own = load_settings(profile="live", binance_url="http://h:1/", exchange_urls={"Kraken": "http://h:2/"})
    assert own.vendor_urls.items() >= {"binance": "http://h:1", "kraken": "http://h:2"}.items()
    assert load_settings(database_url="postgresql://h/d").catalog_url == "postgresql://h/d"
    with pytest.raises(Exception, match="frozen"):
        settings.profile = "live"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:7"),
        ("0.0.0.0", "http://127.0.0.1:7"),
        ("::", "http://[::1]:7"),
        ("fe80::1", "http://[fe80::1]:7"),
    ],
)
def test_a_server_is_asked_where_it_listens_unless_it_is_said_to_be_elsewhere(
    host: str, address: str
) -> None:
    here = load_settings(dagster_host=host, dagster_port=7, ingest_host=host, ingest_port=7)
    assert here.dagster_address == here.api_address == address
    there = load_settings(dagster_url="http://d:1/", api_base_url="http://a:2/")
    assert (there.dagster_address, there.api_address) == ("http://d:1", "http://a:2")


def example_lines() -> dict[str, str]:
    """Names and values of .env.example; a line that is commented out counts too."""
    text = (ROOT / ".env.example").read_text()
    found = re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE)
    assert len({name for name, _ in found}) == len(found), "each once"
    return dict(found)


def compose_variables() -> set[str]:
    path = ROOT / "docker-compose.yml"
    if not path.exists():
        return set()
    return set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", path.read_text()))


def test_the_example_lists_just_the_variables_that_are_read() -> None:
    assert set(example_lines()) == set(PARSED) | compose_variables()


def test_the_example_shows_defaults_and_no_secret_that_works() -> None:
    for name, value in example_lines().items():
        if name in PARSED and value:
            field = name.lower()
            shown = getattr(Settings(_env_file=None, **{field: value}), field)  # type: ignore[call-arg]
            assert shown == Settings.model_fields[field].default, name
        if re.search("PASSWORD|SECRET|TOKEN|API_KEY", name):
            assert value == "", name


def test_the_example_copied_as_it_is_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / ".env"
    copy.write_text((ROOT / ".env.example").read_text())
    monkeypatch.setitem(Settings.model_config, "env_file", copy)
    assert load_settings() == Settings(_env_file=None)  # type: ignore[call-arg]
    assert "PROFILE" not in os.environ


def test_what_may_be_spent_on_x_is_told_in_dollars_and_counted_in_posts() -> None:
    prices = {"x_spend_per_day_usd": "0.07", "x_post_price_usd": "0.01"}
    settings = load_settings(**prices, vendor_budgets={"covalent": 9})
    assert settings.budget("x", None) == 7
    assert settings.budget("covalent", 100) == 9
    assert settings.budget("glassnode", None) is None
