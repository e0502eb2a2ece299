"""Input that nobody sends in good faith: always a 4xx, always a text that says what to write instead."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from schemathesis import GenerationMode

from ingestion_assets.embedded import Redis
from ingestion_assets.registry import Series
from ingestion_assets_tests.serving.conftest import CRON, TOKEN, Api, serving
from ingestion_assets_tests.serving.feature_rows import put_online

NOW = int(time.time())
POINT, RANGE = "/ingest/features/market", "/ingest/features/market/range"
MARKET = {"symbol": "BTC/USDT", "timeframe": "1m"}
VENUE = MARKET | {"exchange": "binance"}
BACKFILL = "/ingest/admin/backfill/market"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, redis_server: Redis) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("hostile")
    nobody = "http://127.0.0.1:1"
    with serving(
        ingest_state_dir=folder,
        data_lake_path=str(folder / "lake"),
        redis_url=redis_server.url,
        admin_token=TOKEN,
        cron_secret=CRON,
        dagster_url=nobody,
        exchange_urls={"binance": nobody, "kraken": nobody},
        http_attempts=1,
        api_changes_per_min=1_000_000,
        api_requests_per_sec=1_000_000,
    ) as running:
        put_online(running.bench, [NOW // 60 * 60 - 60 * n for n in range(1, 20)])
        yield running


SYMBOLS = [
    "",
    " ",
    "*",
    "BTC*",
    "BTC/USDT:1m:1724140800",
    "BTC/USDT\r\nDEL x",
    "BTC/USDT\nFLUSHALL",
    "BTC\x00USDT",
    "../../etc/passwd",
    "..%2f..%2fetc",
    "BTC/USDT/../../..",
    "'; drop table symbol_registry; --",
    "{BTC}/USDT",
    "BTC[A-Z]/USDT",
    "BTC?/USDT",
    "features:market:BTC-USDT",
    "_idx",
    "A" * 129,
    "A" * 5_000,
    "₿/USDT",
    "BTC/USDT|binance.ETH-USDT",
    "binance..BTC-USDT",
    ".BTC-USDT",
    "binance.",
    "$(id)/USDT",
    "<script>/USDT",
]
TIMES = [
    "",
    "now",
    "-1",
    "0",
    "1",
    "1e10",
    "1e400",
    "NaN",
    "inf",
    "-inf",
    "1724140801",
    "17241408",
    "99999999999",
    "1724140800000000000000",
    "9" * 39,
    "9" * 4_000,
    "2024-13-01",
    "2024-08-20T25:00Z",
    "0001-01-01",
    "9999-12-31",
    "1969-12-31",
    "2200-01-01",
    "1724140800; GET x",
    "١٧٢٤١٤٠٨٠٠",
    "0x66c44200",
    "1_724_140_800",
    "1724140859.5",
]


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize(
    ("path", "more"), [(POINT, {"ts": 1724140800}), (RANGE, {"start": NOW - 600, "end": NOW})]
)
def test_a_symbol_that_is_none(symbol: str, path: str, more: dict[str, Any], api: Api) -> None:
    refused = api.get(path, symbol=symbol, timeframe="1m", **more)
    assert refused.status == 422
    assert "symbol" in refused.detail
    assert len(refused.body) < 4_000


@pytest.mark.parametrize("ts", TIMES)
def test_a_time_that_is_none_or_in_no_unit_that_fits(ts: str, api: Api) -> None:
    refused = api.get(POINT, **MARKET, ts=ts)
    assert refused.status == 422
    assert "ts" in refused.detail
    if ts not in ("1724140801", "1724140859.5", "1_724_140_800"):  # a range may begin off the grid
        assert api.get(RANGE, **MARKET, start=ts, end=NOW).status == 422


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"start": NOW, "end": NOW - 60}, "swap them"),
        ({"start": "2010-01-01", "end": NOW}, "ask for 366 at most"),
        ({"start": NOW - 60, "end": NOW, "limit": 0}, "limit"),
        ({"start": NOW - 60, "end": NOW, "limit": -1}, "limit"),
        ({"start": NOW - 60, "end": NOW, "limit": 10_001}, "limit"),
        ({"start": NOW - 60, "end": NOW, "limit": 10**30}, "limit"),
        ({"start": NOW - 60, "end": NOW, "limit": "all"}, "limit"),
        ({"start": NOW - 60}, "end"),
        ({"start": NOW - 60, "end": NOW, "timeframe": "7m"}, "use one of 1m"),
        ({"start": NOW - 60, "end": NOW, "timeframe": "1m:_idx"}, "timeframe"),
        ({"start": NOW - 60, "end": NOW, "timeframe": "m" * 500}, "timeframe"),
        ({"start": NOW - 60, "end": NOW, "exchange": "bin*nce"}, "exchange"),
        ({"start": NOW - 60, "end": NOW, "exchange": "../x"}, "exchange"),
    ],
)
def test_a_range_that_cannot_be_meant(query: dict[str, Any], said: str, api: Api) -> None:
    refused = api.get(RANGE, **MARKET | query)
    assert refused.status == 422
    assert said in refused.detail


def test_more_points_than_may_be_asked_for_at_once(api: Api) -> None:
    assert api.get(POINT, **MARKET, ts=[NOW // 60 * 60 - 60] * 1_001).status == 422
    months = [1_577_836_800 + 31 * 86_400 * n for n in range(30)]
    refused = api.get(POINT, **MARKET, ts=[at // 86_400 * 86_400 for at in months])
    assert refused.status == 422
    assert "12 at once" in refused.detail


@pytest.mark.parametrize("name", ["", "*", "BTC:x", "a b", "a\r\nb", "BTC[0-9]", "../..", "x" * 200, "é"])
def test_names_that_would_change_a_redis_key(name: str, api: Api) -> None:
    ask = {"ts": NOW - 600}
    assert api.get("/ingest/features/onchain", symbol=name, metric="active_addresses", **ask).status == 422
    assert api.get("/ingest/features/onchain", symbol="BTC", metric=name, **ask).status == 422
    assert api.get("/ingest/features/social", topic=name, timeframe="1m", **ask).status == 422


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("/ingest/admin/features/ttl-sweep", {"pattern": "*"}, "reaches beyond our keys"),
        ("/ingest/admin/features/ttl-sweep", {"pattern": "governor:*"}, "reaches beyond our keys"),
        ("/ingest/admin/features/ttl-sweep", {"pattern": "features*"}, "reaches beyond our keys"),
        ("/ingest/admin/features/ttl-sweep", {"pattern": "features:" + "*" * 300}, "pattern"),
        ("/ingest/admin/features/ttl-sweep", {"ttl_default": 0}, "ttl_default"),
        ("/ingest/admin/features/ttl-sweep", {"ttl_default": 10**12}, "ttl_default"),
        ("/ingest/admin/features/ttl-sweep", {"max_keys": 10**9}, "max_keys"),
        ("/ingest/admin/features/ttl-sweep", {"max_keys": "many"}, "max_keys"),
        (BACKFILL, {"exchange": "binance"}, "symbol"),
        (BACKFILL, {"exchange": "binance", "symbol": "BTC*"}, "symbol"),
        (BACKFILL, {"exchange": "b;x", "symbol": "BTC/USDT"}, "exchange"),
        (
            BACKFILL,
            {"exchange": "binance", **MARKET, "lookback_minutes": 0},
            "lookback",
        ),
        (
            BACKFILL,
            {"exchange": "binance", **MARKET, "lookback_minutes": 10**9},
            "lookback",
        ),
        (
            BACKFILL,
            {"exchange": "binance", **MARKET, "timeframe": "3m"},
            "not ingested",
        ),
        (
            BACKFILL,
            {"exchange": "binance", **MARKET, "timeframe": "1h"},
            "backfill 1m",
        ),
    ],
)
def test_admin_work_that_cannot_be_meant(path: str, query: dict[str, Any], said: str, api: Api) -> None:
    refused = api("POST", path, token=TOKEN, **query)
    assert refused.status == 422
    assert said in refused.detail


def test_a_storage_domain_that_is_a_path(api: Api) -> None:
    for domain in ("../..", "etc", "", "market/ohlcv_1m", "x" * 100):
        refused = api("GET", "/ingest/admin/storage/check", token=TOKEN, probe=1, domain=domain)
        assert refused.status == 422


BODIES: list[tuple[str, Any]] = [
    ("/ingest/market/binance", {}),
    ("/ingest/market/binance", []),
    ("/ingest/market/binance", None),
    ("/ingest/market/binance", {"symbol": "BTC/USDT", "granularity": "7m"}),
    ("/ingest/market/binance", {"symbol": "BTC/USDT", "granularity": "15m"}),
    ("/ingest/market/binance", {"symbol": "BTC/USDT", "limit": 0}),
    ("/ingest/market/binance", {"symbol": "BTC/USDT", "limit": 10**9}),
    ("/ingest/market/binance", {"symbol": "BTC/USDT", "limit": "2; x"}),
    ("/ingest/market/binance", {"symbol": ["BTC/USDT"]}),
    ("/ingest/market/binance", {"symbol": "../../x"}),
    ("/ingest/market/binance", {"symbol": "BTC/USDT", "path": "/etc/passwd"}),
    ("/ingest/market/bin*nce", {"symbol": "BTC/USDT"}),
    ("/ingest/market/nosuchexchange", {"symbol": "BTC/USDT"}),
    ("/ingest/onchain/glassnode", {"symbol": "BTC"}),
    ("/ingest/onchain/glassnode", {"symbol": "BTC", "metric": "x; y", "days": 1}),
    ("/ingest/onchain/glassnode", {"symbol": "BTC", "metric": "x", "days": -1}),
    ("/ingest/onchain/covalent", {"chain_id": 1, "address": "0x12"}),
    ("/ingest/onchain/covalent", {"chain_id": 0, "address": "0x" + "0" * 40}),
    ("/ingest/social/twitter", {"query": ""}),
    ("/ingest/social/twitter", {"query": "x" * 3_000}),
    ("/ingest/social/twitter", {"query": "x", "max_results": 10**9}),
    ("/ingest/social/twitter", {"query": "x", "since": "yesterday"}),
    ("/ingest/social/twitter", {"query": "x", "since": "2024-02-01T00:00Z", "until": "2024-01-01T00:00Z"}),
    ("/ingest/news/rss", {"source_type": "rss"}),
    ("/ingest/news/rss", {"source_type": "ftp"}),
    ("/ingest/news/newsapi", {"source_type": "api", "category": "../x"}),
    ("/ingest/news/rss", {"source_type": "rss", "feed_url": "http://127.0.0.1:8000/health"}),
    ("/ingest/news/rss", {"source_type": "rss", "feed_url": "http://2130706433/"}),
    ("/ingest/news/rss", {"source_type": "rss", "feed_url": "http://[::ffff:10.0.0.1]/"}),
    ("/ingest/news/rss", {"source_type": "rss", "feed_url": "http://169.254.169.254/latest/meta-data"}),
    ("/ingest/news/rss", {"source_type": "rss", "feed_url": "file:///etc/passwd"}),
    ("/api/ingest", {"symbols": []}),
    ("/api/ingest", {"symbols": ["x"] * 201}),
    ("/api/ingest", {"symbols": "BTC-USD"}),
    ("/api/ingest", {"symbol": ["BTC-USD"]}),
    ("/api/v1/symbols", {"symbol": "BTC/USDT", "strategy": "everything"}),
    ("/api/v1/symbols", {"symbol": "BTC/USDT", "timeframes": ["15m"]}),
    ("/api/v1/symbols", {"symbol": "BTC/USDT", "timeframes": []}),
    ("/api/v1/symbols", {"symbol": "AAPL", "exchange": "binance"}),
    ("/api/v1/symbols", {"symbol": "AAPL", "strategy": "flatpack;drop table"}),
    ("/api/v1/symbols", {"symbol": "BTC/USDT", "description": "x" * 5_000}),
]


@pytest.mark.parametrize(("path", "body"), BODIES, ids=lambda v: str(v)[:60])
def test_a_body_that_cannot_be_meant(path: str, body: Any, api: Api) -> None:
    refused = api("POST", path, token=TOKEN, body=body)
    assert refused.status == 422, refused.body
    assert len(refused.detail) > 10


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[" * 20_000,
        b'{"symbol": NaN}',
        b"\xff\xfe",
        b'{"symbol":"\\ud800"}',
        b'{"symbol":"BTC/USDT","limit":1e999}',
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_no_json(content: bytes, kind: str, api: Api) -> None:
    refused = api("POST", "/ingest/market/binance", raw=content, token=TOKEN, headers={"Content-Type": kind})
    assert refused.status in (400, 422)
    assert refused.detail


def test_a_body_that_breaks_off_is_answered_with_what_to_write(api: Api) -> None:
    refused = api("POST", "/ingest/market/binance", raw=b'{"symbol":', token=TOKEN)
    assert refused.detail.startswith("the body is no JSON (")
    assert 'write an object like {"symbol": "BTC/USDT"}' in refused.detail


def test_running_is_what_a_run_says_of_itself(api: Api) -> None:
    api.bench.registry.add(Series("binance.BTC-USDT", "market", "binance", "BTC/USDT"))
    path = "/api/v1/symbols/BTC-USDT/status"
    refused = api("PUT", path, token=TOKEN, body={"status": "running"})
    assert refused.status == 422
    assert "a run says that of itself" in refused.detail
    assert "/api/v1/registry/execute" in refused.detail
    for status in ("error", "disabled", "idle"):
        assert api("PUT", path, token=TOKEN, body={"status": status}).json["status"] == status
    api.bench.registry.remove("binance.BTC-USDT")


def test_unknown_symbols_are_not_found(api: Api) -> None:
    for name in ("binance.NOPE-USDT", "NOPE-USDT", "NOPE/USDT", "..%2F..%2Fx-USDT"):
        assert api("DELETE", f"/api/v1/symbols/{name}", token=TOKEN).status in (404, 422)
        refused = api("PUT", f"/api/v1/symbols/{name}/status", token=TOKEN, body={"status": "disabled"})
        assert refused.status in (404, 422)


def test_a_server_beneath_that_is_down_is_named_with_its_remedy(api: Api) -> None:
    for method, path in (
        ("GET", "/api/v1/scheduler/status"),
        ("POST", "/api/v1/registry/execute"),
        ("POST", "/api/ingest"),
    ):
        refused = api(method, path, token=TOKEN)
        assert refused.status == 503
        assert "Dagster at http://127.0.0.1:1 does not answer" in refused.detail
        assert "make run" in refused.detail


def test_everything_that_openapi_allows_and_more_is_answered_without_a_fault_of_ours(api: Api) -> None:
    """schemathesis; what is missing beneath us (Dagster, sources that are to come) says 501, 502 or 503."""
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json")
    tried = set()

    operations = [operation.ok() for operation in schema.get_all_operations()]
    for found, mode in itertools.product(operations, GenerationMode):
        if mode is GenerationMode.NEGATIVE and not (found.query or found.body or found.path_parameters):
            continue  # nothing about it can be wrong

        count = 25 if mode is GenerationMode.POSITIVE else 5

        @tries(
            max_examples=count,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=found.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            answer = case.call(headers={"X-Admin-Token": TOKEN}, timeout=60)
            tried.add((case.method, case.path))
            assert answer.status_code < 500 or answer.status_code in (501, 502, 503), answer.text
            if answer.status_code >= 400 and answer.text != "Invalid HTTP request received.":  # uvicorn's own
                assert {"detail", "status"} & answer.json().keys(), answer.text

        ask()
    assert len(tried) > 20
