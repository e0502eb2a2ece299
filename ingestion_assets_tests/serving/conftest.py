"""The HTTP API on a port of loopback: real uvicorn, lake and Redis; Dagster only where it is tried."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.embedded import free_port
from ingestion_assets.serving.server import server
from ingestion_assets.settings import Settings, load_settings
from ingestion_assets.workbench import Workbench

TOKEN = "b7c1f0a94e2d86353f7a"
CRON = "5d0e7a6b2c9f481733aa"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        return str(self.json["detail"])


class Api:
    """What a client sees of a server, and what a test may put behind it."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.url, self.settings = url, settings
        self.bench = Workbench(settings)

    def __call__(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        seconds: float = 90,
        **query: Any,
    ) -> Reply:
        if query:
            path += "?" + urllib.parse.urlencode(query, doseq=True)
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        given = dict(headers or {})
        if data is not None:
            given.setdefault("Content-Type", "application/json")
        if token is not None:
            given["X-Admin-Token"] = token
        request = urllib.request.Request(self.url + path, data, given, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=seconds) as answer:
                return Reply(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            return Reply(error.code, dict(error.headers), error.read())

    def get(self, path: str, **query: Any) -> Reply:
        return self("GET", path, **query)


@contextlib.contextmanager
def serving(**overrides: Any) -> Iterator[Api]:
    """A server with the environment's settings and these."""
    settings = load_settings(**{"ingest_port": free_port(), **overrides})
    running = server(settings)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    try:
        end = time.monotonic() + 60
        while not running.started:
            assert thread.is_alive() and time.monotonic() < end, "the server did not start"
            time.sleep(0.01)
        yield Api(settings.api_address, settings)
    finally:
        running.should_exit = True
        thread.join(30)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment of this test's own: tokens, an empty lake, nobody's Dagster."""
    given = {
        "INGEST_STATE_DIR": str(tmp_path / "state"),
        "DATA_LAKE_PATH": str(tmp_path / "lake"),
        "ADMIN_TOKEN": TOKEN,
        "CRON_SECRET": CRON,
        "DAGSTER_URL": "http://127.0.0.1:1",
        "EXCHANGE_URLS": json.dumps({"binance": "http://127.0.0.1:1", "kraken": "http://127.0.0.1:1"}),
        "HTTP_ATTEMPTS": "1",
        "API_CHANGES_PER_MIN": "100000",
        "API_REQUESTS_PER_SEC": "100000",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def api(home: Path, redis_url: str) -> Iterator[Api]:
    with serving(redis_url=redis_url) as running:
        yield running
