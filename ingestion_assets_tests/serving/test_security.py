"""Who may change things: tokens, exposure, origins, sizes, rates; and that no secret is ever told."""

from __future__ import annotations

import http.client
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ingestion_assets.serving.app import create_app
from ingestion_assets.serving.security import Allowance, is_weak
from ingestion_assets.settings import SettingsError, load_settings
from ingestion_assets_tests.serving.conftest import CRON, TOKEN, Api, Reply, serving

CHANGING = [
    ("POST", "/ingest/market/binance"),
    ("POST", "/ingest/onchain/glassnode"),
    ("POST", "/ingest/social/twitter"),
    ("POST", "/ingest/news/rss"),
    ("POST", "/ingest/admin/backfill/market"),
    ("POST", "/ingest/admin/features/ttl-sweep"),
    ("GET", "/ingest/admin/storage/check"),
    ("POST", "/api/ingest"),
    ("GET", "/api/cron"),
    ("POST", "/api/cron"),
    ("POST", "/api/v1/symbols"),
    ("PUT", "/api/v1/symbols/BTC-USDT/status"),
    ("DELETE", "/api/v1/symbols/BTC-USDT"),
    ("POST", "/api/v1/registry/execute"),
    ("POST", "/api/v1/scheduler/start"),
    ("POST", "/api/v1/scheduler/stop"),
]


@pytest.fixture(scope="module")
def shut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that changes nothing here, shared."""
    folder = tmp_path_factory.mktemp("shut")
    given = {"admin_token": TOKEN, "cron_secret": CRON, "dagster_url": "http://127.0.0.1:1"}
    places = {"ingest_state_dir": folder, "data_lake_path": str(folder / "lake")}
    more = {"api_changes_per_min": 100_000, "cors_origins": ("https://desk.example",)}
    with serving(**given, **places, **more) as api:
        yield api


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_what_changes_things_needs_the_right_token(method: str, path: str, shut: Api) -> None:
    missing = shut(method, path)
    assert missing.status == 401
    assert missing.headers["www-authenticate"] == "Bearer"
    assert "X-Admin-Token" in missing.detail
    for wrong in ("", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ключ".encode().decode("latin-1")):
        for headers in ({"X-Admin-Token": wrong}, {"Authorization": f"Bearer {wrong}"}):
            refused = shut(method, path, headers=headers)
            assert refused.status == (403 if wrong else 401)
            assert TOKEN not in refused.detail and CRON not in refused.detail
    for headers in (
        {"X-Admin-Token": TOKEN},
        {"Authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer {TOKEN}"},
    ):
        assert shut(method, path, headers=headers).status not in (401, 403)


def test_every_route_that_is_no_plain_reading_is_in_the_list_above(shut: Api) -> None:
    routes = {
        (method.upper(), path)
        for path, methods in shut.get("/openapi.json").json["paths"].items()
        for method in methods
    }
    closed = {route for route in routes if shut(*route).status == 401}
    assert len(closed) == len(CHANGING)
    assert {route for route in routes - closed if route[0] != "GET"} == {("POST", "/ml/sentiment/predict")}
    assert {path for method, path in closed if method == "GET"} == {
        "/ingest/admin/storage/check",
        "/api/cron",
    }


def test_the_cron_secret_opens_the_cron_and_nothing_else(shut: Api) -> None:
    bearer = {"Authorization": f"Bearer {CRON}"}
    assert shut("GET", "/api/cron", headers=bearer).status == 503  # let in; nobody's Dagster
    assert shut("POST", "/api/cron", headers=bearer).status == 503
    for method, path in CHANGING:
        if path != "/api/cron":
            assert shut(method, path, headers=bearer).status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/ingest//admin/storage/check",
        "/ingest/admin/../admin/storage/check",
        "//ingest/admin/storage/check",
        "/ingest/Admin/storage/check",
        "/ingest/%61dmin/storage/check",
        "/api/cron/",
        "/API/CRON",
    ],
)
def test_another_spelling_of_a_path_opens_nothing(path: str, shut: Api) -> None:
    assert raw(shut, "GET", path).status in (401, 404, 307)


def test_without_a_token_of_its_own_a_server_changes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ADMIN_TOKEN")
    monkeypatch.delenv("CRON_SECRET")
    with serving() as api:
        for token in ("", "None", "null", TOKEN):
            assert api("POST", "/api/v1/scheduler/stop", token=token).status in (401, 403)
        assert "ADMIN_TOKEN" in api("POST", "/api/v1/scheduler/stop", token=TOKEN).detail
        assert api.get("/health").status == 200


@pytest.mark.parametrize(
    "token",
    [
        "",
        "change_me_please",
        "changeme",
        "CHANGE-ME-PLEASE-NOW",
        "your-admin-token-here",
        "admin-admin-admin-admin",
        "secretsecretsecret",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "short-1a9z",
    ],
)
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "api.example"])
def test_beyond_this_machine_only_a_real_token_is_good_enough(token: str, host: str, home: Path) -> None:
    settings = load_settings(ingest_host=host, admin_token=token or None)
    with pytest.raises(SettingsError, match="ADMIN_TOKEN") as caught:
        create_app(settings)
    assert "openssl rand" in str(caught.value)
    assert not token or token not in str(caught.value)


def test_a_weak_cron_secret_is_refused_there_too(home: Path) -> None:
    with pytest.raises(SettingsError, match="CRON_SECRET"):
        create_app(load_settings(ingest_host="0.0.0.0", admin_token=TOKEN, cron_secret="change_me"))
    create_app(load_settings(ingest_host="0.0.0.0", admin_token=TOKEN, cron_secret=None))
    create_app(load_settings(ingest_host="127.0.0.1", admin_token="x", cron_secret="y"))


def test_random_tokens_are_not_called_weak() -> None:
    import secrets

    for _ in range(200):
        assert not is_weak(secrets.token_hex(24))
        assert not is_weak(secrets.token_urlsafe(16))


def test_other_origins_are_shut_out_unless_named(shut: Api, api: Api) -> None:
    ours, theirs = "https://desk.example", "https://evil.example"
    assert shut("GET", "/health", headers={"Origin": ours}).headers["access-control-allow-origin"] == ours
    assert "access-control-allow-origin" not in shut("GET", "/health", headers={"Origin": theirs}).headers
    asking = {
        "Origin": ours,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-admin-token",
    }
    assert shut("OPTIONS", "/api/ingest", headers=asking).status == 200
    assert "access-control-allow-origin" not in api("GET", "/health", headers={"Origin": ours}).headers


def test_a_large_body_is_refused_however_it_is_sent(shut: Api) -> None:
    large = b'{"symbol":"' + b"A" * 70_000 + b'"}'
    told = shut("POST", "/ingest/market/binance", raw=large, token=TOKEN)
    assert told.status == 413
    assert "API_MAX_BODY_KB" in told.detail
    assert shut("POST", "/ingest/market/binance", raw=large).status == 401  # nothing is read before the token
    connection = http.client.HTTPConnection(urlsplit(shut.url).netloc, timeout=30)
    chunks = iter([b'{"symbol":"', *[b"A" * 8_192] * 20, b'"}'])
    headers = {"X-Admin-Token": TOKEN, "Content-Type": "application/json"}
    connection.request("POST", "/ingest/market/binance", chunks, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_who_asks_too_much_is_told_when_to_come_again(home: Path) -> None:
    with serving(api_changes_per_min=5, api_requests_per_sec=50) as api:
        answers = [api("POST", "/api/v1/scheduler/stop", token="wrong") for _ in range(7)]
        assert [a.status for a in answers] == [403] * 5 + [429] * 2
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert "try again in" in answers[-1].detail
        assert api.get("/health").status == 200


def test_an_allowance_fills_up_again_and_forgets_old_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("ingestion_assets.serving.security.time.monotonic", lambda: now[0])
    allowance = Allowance(per_second=2, burst=4)
    assert [allowance.spend("a") > 0 for _ in range(6)] == [False] * 4 + [True] * 2
    assert allowance.spend("b") == 0
    now[0] = 1.0
    assert [allowance.spend("a") > 0 for _ in range(3)] == [False, False, True]
    for number in range(20_000):
        allowance.spend(str(number))
    assert len(allowance._left) <= 10_000


def test_no_secret_is_in_any_answer_or_log(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    password = "hunter2redis"
    caplog.set_level(logging.DEBUG)
    with serving(redis_url=f"redis://:{password}@127.0.0.1:1/0") as api:
        said = []
        for method, path in CHANGING:
            said.append(api(method, path, token=TOKEN).body)
            said.append(api(method, path, raw=f'{{"x":"{TOKEN}"'.encode(), token=TOKEN).body)
        said += [
            api.get(path).body for path in ("/health?deep=1", "/metrics", "/api/metrics", "/openapi.json")
        ]
        said.append(api.get("/ingest/features/social", topic="twitter", timeframe="1m", ts=1724140800).body)
    text = b"".join(said).decode() + caplog.text
    for secret in (TOKEN, CRON, password):
        assert secret not in text


def test_answers_carry_the_usual_guards(shut: Api) -> None:
    headers = {name.lower(): value for name, value in shut.get("/health").headers.items()}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "server" not in headers


def raw(api: Api, method: str, path: str) -> Reply:
    """A path as it is, which urllib would tidy up."""
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=30)
    connection.request(method, path)
    answer = connection.getresponse()
    reply = Reply(answer.status, dict(answer.getheaders()), answer.read())
    connection.close()
    return reply


def test_the_documentation_needs_nothing_from_elsewhere(shut: Api) -> None:
    page = shut.get("/docs")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert b"openapi.json" in page.body
    assert b"http://" not in page.body and b"https://" not in page.body
    assert b"innerHTML" not in page.body
