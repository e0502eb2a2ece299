"""Fixtures that every test may ask for: real servers, recordings, a clean environment."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from ingestion_assets.embedded import Redis
from ingestion_assets.logs import LOGGER
from ingestion_assets.settings import Settings
from ingestion_assets_tests.servers import PostgresServer, S3Server, WebhookReceiver

if TYPE_CHECKING:
    from ingestion_assets_tests.market_world import MarketWorld

PROJECT = Path(__file__).resolve().parent.parent

# A busy machine is no reason to fail, and our autouse guard is meant to be shared by all examples.
hypothesis.settings.register_profile(
    "ingestion_assets",
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("ingestion_assets")

# What a developer's shell may hold and Dagster, boto3, PostgreSQL's client or requests would read.
THEIRS = ("AWS_", "DAGSTER_", "PG")
PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")


def pytest_configure() -> None:
    """A shell that starts us in the background has us ignore Ctrl-C; what tests start would inherit that."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees this machine's settings, or a `.env`: it starts in an empty folder of its own."""
    for name in list(os.environ):
        if name.lower() in Settings.model_fields or name.startswith(THEIRS) or name.upper() in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # boto3 without keys would ask the network
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))
    # What one test has configured is not to hide log lines from the next one's caplog.
    monkeypatch.setattr(logging.getLogger(LOGGER), "propagate", True)
    logging.getLogger(LOGGER).setLevel(logging.NOTSET)
    for name in [name for name in logging.root.manager.loggerDict if name.startswith(LOGGER)]:
        logging.getLogger(name).disabled = False


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of this checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A real Redis-compatible server, shared: `.url`. `redis_url` is the same one, emptied."""
    with Redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """The URL of a real and empty Redis-compatible server."""
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL, shared: `.url`, `with .database() as url`."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a new and empty PostgreSQL database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 store, shared: `.endpoint`, `.environment`, `.client()`, `.bucket`, `.new_bucket()`."""
    with S3Server() as server:
        yield server


@pytest.fixture
def s3_lake(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """`s3://…` of a new and empty bucket, with an environment that reaches it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_server.new_bucket()}/lake"


@pytest.fixture
def webhook() -> Iterator[WebhookReceiver]:
    """A webhook to alert: `.url`, `.posts`, `.fail_next(n)`, `.wait_for(n)`."""
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def dagster_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty Dagster instance's folder, to be copied."""
    from ingestion_assets_tests.market_world import empty_instance

    folder = tmp_path_factory.mktemp("dagster")
    empty_instance(folder)
    return folder


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MarketWorld]:
    """Lake, catalog, Dagster instance and simulated vendor of one test's own; see market_world.py."""
    import dagster

    from ingestion_assets_tests.market_world import market_world

    with dagster.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        yield from market_world(tmp_path, instance, monkeypatch)


@pytest.fixture
def world_on_disk(
    tmp_path: Path, dagster_template: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MarketWorld]:
    """The same with Dagster's storage in files, as on one machine; a run costs half a second more."""
    from ingestion_assets_tests.market_world import copied_instance, market_world

    with copied_instance(dagster_template, tmp_path / "dagster") as instance:
        yield from market_world(tmp_path, instance, monkeypatch)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Answers recorded from real vendors. They are not part of the project; RECORDINGS_DIR says where."""
    folder = Path(os.environ.get("RECORDINGS_DIR") or PROJECT.parent / "shared" / "recordings").resolve()
    if not folder.is_dir():
        reason = f"no recorded vendor answers at {folder}: set RECORDINGS_DIR to their folder"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; under CI they must be there")
        pytest.skip(reason)
    return folder
