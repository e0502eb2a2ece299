"""The HTTP API of the whole stack, as `make run` starts it: each documented call, answered in its shape.

Dagster, Redis, the simulated exchange and the API are real; schedules and sensors are off, so that what was
asked for is all that happens. One stack for the whole file, since it takes seconds to start.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingestion_assets.registry import Series
from ingestion_assets.settings import load_settings
from ingestion_assets.tables import INGESTED
from ingestion_assets_tests.browser.running_stack import RunningStack
from ingestion_assets_tests.serving.conftest import CRON, TOKEN, Api

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("running_stack")]


WRONG_KEY = "wrong-5f0c2b9e7a"
_SNAPSHOTS = {"strategy": "flatpack_snapshot_stream"}


class Stack:
    def __init__(self, running: RunningStack) -> None:
        self.running = running
        places = {"ingest_state_dir": running.root / ".dagster", "data_lake_path": str(running.lake)}
        self.api = Api(running.api_url, load_settings(**places))


@pytest.fixture(scope="module")
def stack(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    given = {
        "INGESTION_MARKETS": "BTC/USDT,ETH/USDT",
        "INGESTION_LOOKBACK_DAYS": "1",
        "ADMIN_TOKEN": TOKEN,
        "CRON_SECRET": CRON,
        "API_WAIT_SEC": "120",
        "API_CHANGES_PER_MIN": "1000",
        "COVALENT_API_KEY": WRONG_KEY,
    }
    folder = tmp_path_factory.mktemp("stack")
    with RunningStack(project, folder, folder / "lake", **given) as running:
        yield Stack(running)


@pytest.fixture
def api(stack: Stack) -> Api:
    return stack.api


def test_the_parts_are_all_well(api: Api) -> None:
    deep = api.get("/health", deep=1)
    assert (deep.status, deep.json["status"]) == (200, "ok"), deep.body


def test_a_market_is_ingested_and_its_features_are_read_at_once(api: Api, stack: Stack) -> None:
    body = {"symbol": "BTC/USDT", "granularity": "1m", "limit": 90}
    done = api("POST", "/ingest/market/binance", body=body, token=TOKEN)
    assert done.status == 200, done.body
    assert done.json["status"] == "ok"
    assert done.json["path"].startswith(str(stack.running.lake))
    assert done.json["path"].endswith(".parquet")
    assert Path(done.json["path"]).is_file()
    assert done.json["features_written"] > 50
    assert done.json["rows"] >= 90
    now = int(time.time())
    rows = api.get(
        "/ingest/features/market/range", symbol="BTC/USDT", timeframe="1m", start=now - 600, end=now
    )
    assert rows.json["source"] == "redis"
    assert rows.json["count"] >= 8
    assert rows.json["features"][-1]["rsi_14"] is not None
    again = api("POST", "/ingest/market/binance", body=body | {"limit": 2}, token=TOKEN)
    assert again.json["new_rows"] <= 2


def test_a_market_that_is_not_registered_is_looked_up_first(api: Api) -> None:
    nothing = {"symbol": "NOPE/USDT", "granularity": "1m", "limit": 2}
    refused = api("POST", "/ingest/market/binance", body=nothing, token=TOKEN)
    assert refused.status == 404
    assert refused.detail.startswith("ingest_market failed: ")
    assert not [row for row in api.get("/api/v1/symbols").json if "NOPE" in row["series"]]
    body = {"symbol": "ETH/USD", "granularity": "1m", "limit": 3}
    assert api("POST", "/ingest/market/kraken", body=body, token=TOKEN).json["status"] == "ok"
    assert "kraken.ETH-USD" in [row["series"] for row in api.get("/api/v1/symbols").json]


def test_a_metric_is_ingested_and_its_features_are_read_at_once(api: Api, stack: Stack) -> None:
    body = {"symbol": "BTC", "metric": "active_addresses", "days": 40}
    done = api("POST", "/ingest/onchain/glassnode", body=body, token=TOKEN)
    assert done.status == 200, done.body
    assert (done.json["status"], done.json["new_rows"] >= 39) == ("ok", True)
    assert Path(done.json["path"]).is_file()
    assert done.json["features_written"] >= 27
    now = int(time.time())
    chain = {"symbol": "BTC", "metric": "active_addresses"}
    recent = api.get("/ingest/features/onchain/range", **chain, start=now - 9 * 86_400, end=now).json
    assert (recent["source"], recent["series"]) == ("redis", "glassnode.BTC.addresses.active_count")
    older = api.get("/ingest/features/onchain/range", **chain, start=now - 40 * 86_400, end=now).json
    assert (older["source"], older["metric"]) == ("lake", "active_addresses")
    assert older["features"][-1] == recent["features"][-1], "Redis and lake tell the same"
    point = api.get("/ingest/features/onchain", **chain, ts=older["features"][2]["ts"]).json
    assert point["features"] == [older["features"][2]]


def test_posts_are_ingested_judged_and_read_by_platform_and_by_query(api: Api) -> None:
    now = int(time.time())
    body = {"query": "bitcoin", "since": datetime.fromtimestamp(now - 7_200, UTC).isoformat()}
    few = api("POST", "/ingest/social/twitter", body=body | {"max_results": 12}, token=TOKEN)
    assert (few.status, few.json["fetched_rows"], few.json["rows"]) == (200, 12, 12), few.body
    assert len(few.json["left_open"]) == 1
    done = api("POST", "/ingest/social/twitter", body=body, token=TOKEN)
    assert (done.status, done.json["status"]) == (200, "ok"), done.body
    assert done.json["new_rows"] > 20
    assert done.json["left_open"] == []
    before = {"since": body["since"], "until": datetime.fromtimestamp(now - 3_600, UTC).isoformat()}
    again = api("POST", "/ingest/social/twitter", body=body | before, token=TOKEN)
    assert again.json["fetched_rows"] == 0, "until then everything is held"
    assert done.json["features_written"] > 0
    ask = {"timeframe": "1m", "start": now - 7_200, "end": now}
    answers = [
        api.get("/ingest/features/social/range", topic=t, **ask).json for t in ("twitter", "x.bitcoin")
    ]
    assert [one["source"] for one in answers] == ["redis", "redis"]
    assert [one["series"] for one in answers] == ["x", "x.bitcoin"]
    assert answers[0]["features"] == answers[1]["features"]
    assert len(answers[0]["features"]) > 20
    assert {row["judged"] == row["count"] for row in answers[0]["features"]} == {True}


def test_news_are_ingested_from_a_search_and_from_a_feed(api: Api, stack: Stack) -> None:
    papers = {"source_type": "api", "category": "business"}
    done = api("POST", "/ingest/news/newsapi", body=papers, token=TOKEN)
    assert (done.status, done.json["status"] in ("ok", "no_data")) == (200, True), done.body
    url = f"http://127.0.0.1:{stack.running.environment['SIMULATOR_PORT']}/feeds/"
    feed = {"source_type": "rss", "feed_url": f"{url}herald.xml"}
    for _ in range(2):
        done = api("POST", "/ingest/news/rss", body=feed, token=TOKEN)
        assert (done.status, done.json["status"]) == (200, "ok"), done.body
    assert done.json["rows"] > 0
    names = [s.id for s in api.bench.registry.series("news") if s.metadata.get("url") == feed["feed_url"]]
    assert len(names) == 1, "asked for twice, it is registered once"
    gone = api("POST", "/ingest/news/rss", body=feed | {"feed_url": f"{url}nobody.xml"}, token=TOKEN)
    assert (gone.status, gone.detail.startswith("ingest_news failed: ")) == (404, True)


def test_a_vendor_that_refuses_the_key_is_quoted_and_the_key_is_not(api: Api) -> None:
    refused = ask_for_a_wallet(api)
    assert refused.status == 502
    assert refused.detail.startswith("ingest_onchain failed: ")
    assert "401" in refused.detail
    assert WRONG_KEY.encode() not in refused.body
    switch(api, wallet_of(api), "disabled")


def ask_for_a_wallet(api: Api) -> Any:
    """It is registered by that, though its vendor refuses the key."""
    body = {"chain_id": 1, "address": "0x" + "ab" * 20}
    return api("POST", "/ingest/onchain/covalent", body=body, token=TOKEN)


def wallet_of(api: Api) -> str:
    (name,) = [s.id for s in api.bench.registry.series("onchain") if s.source == "covalent"]
    return name


def switch(api: Api, series: str, status: str) -> None:
    assert api("PUT", f"/api/v1/symbols/{series}/status", body={"status": status}, token=TOKEN).status == 200


def test_an_execution_tells_by_series_what_succeeded_and_what_failed(api: Api) -> None:
    """One has a key that its vendor refuses, and a run of its own; another does not exist, and is carried by
    a run that brings others up to date."""
    ask_for_a_wallet(api)
    wallet = wallet_of(api)
    switch(api, wallet, "idle")
    unknown = "binance.NOPE-USDT"
    api.bench.registry.add(Series(unknown, "market", "binance", "NOPE/USDT", backfill_from=datetime.now(UTC)))
    done = api("POST", "/api/v1/registry/execute", token=TOKEN)
    assert (done.status, done.json["status"]) == (200, "partial"), done.body
    told = {one["series"]: one for one in done.json["series"]}
    assert set(told) == {s.id for s in api.bench.registry.series(enabled_only=True)}
    assert {name for name, one in told.items() if one["status"] == "error"} == {wallet, unknown}
    assert set(told[wallet]["failed"]) == {"onchain/transactions", "onchain/balances_1d"}
    assert "401" in told[wallet]["error_message"]
    assert WRONG_KEY.encode() not in done.body
    assert "NOPE" in told[unknown]["failed"]["market/ohlcv_1m"]
    assert (told[unknown]["succeeded"], told[unknown]["records"]) == ([], 0)
    assert "market/ohlcv_1m" in told["binance.BTC-USDT"]["succeeded"]
    assert told["binance.BTC-USDT"]["strategy"] == "flatpack_api"
    assert done.json["result"]["marketsIngested"] >= 2
    by_hand = api("POST", "/api/ingest", body={"symbols": ["BTC-USDT"]}, token=TOKEN).json
    assert (by_hand["status"], [one["series"] for one in by_hand["series"]]) == (
        "success",
        ["binance.BTC-USDT"],
    )
    api("DELETE", f"/api/v1/symbols/{unknown}", token=TOKEN)

    others = [name for name in told if name not in (wallet, unknown)]
    for name in others:
        switch(api, name, "disabled")
    nothing = api("POST", "/api/v1/registry/execute", token=TOKEN)
    assert nothing.status == 502
    assert nothing.detail.startswith(f"ingestion failed: {wallet}: onchain/")
    assert [one["status"] for one in nothing.json["series"]] == ["error"]
    assert "/runs/" in nothing.json["run_url"]
    for name in others:
        switch(api, name, "idle")
    switch(api, wallet, "disabled")


def test_a_backfill_tells_six_figures_that_add_up(api: Api) -> None:
    ask = {"exchange": "binance", "symbol": "XRP/USDT", "timeframe": "1m", "lookback_minutes": 15}
    first = api("POST", "/ingest/admin/backfill/market", token=TOKEN, **ask).json
    assert list(first) == ["symbol", "timeframe", "exchange", "expected", "missing_before", "written"]
    assert (first["symbol"], first["timeframe"], first["exchange"]) == ("XRP/USDT", "1m", "binance")
    assert first["expected"] == first["missing_before"] == 15
    assert first["written"] >= 15
    second = api("POST", "/ingest/admin/backfill/market", token=TOKEN, **ask).json
    assert second["missing_before"] <= 2
    assert second["written"] <= 3


def test_a_backfill_heals_a_month_whose_file_cannot_be_read(api: Api) -> None:
    ask = {"exchange": "binance", "symbol": "XRP/USDT", "timeframe": "1m", "lookback_minutes": 15}
    assert api("POST", "/ingest/admin/backfill/market", token=TOKEN, **ask).status == 200
    table, series = INGESTED["1m"], "binance.XRP-USDT"
    month = api.bench.lake.months(table, series)[-1]
    path = Path(api.bench.lake.url(table, series, month).removeprefix("file://"))
    path.write_bytes(b"no Parquet")
    done = api("POST", "/ingest/admin/backfill/market", token=TOKEN, **ask)
    assert done.status == 200, done.body
    assert done.json["missing_before"] > 0
    assert done.json["written"] >= done.json["missing_before"]
    assert api.bench.lake.last_time(table, series) is not None


def test_a_sweep_tells_what_it_looked_at(api: Api) -> None:
    ask = {"pattern": "features:market:*", "ttl_default": 3_600, "max_keys": 100}
    swept = api("POST", "/ingest/admin/features/ttl-sweep", token=TOKEN, **ask)
    assert swept.status == 200, swept.body
    assert list(swept.json) == ["pattern", "scanned", "ttl_set"]
    assert swept.json["pattern"] == ask["pattern"]
    assert 0 < swept.json["scanned"] <= 100
    assert swept.json["ttl_set"] == 0


def test_the_storage_is_probed(api: Api, stack: Stack) -> None:
    found = api("GET", "/ingest/admin/storage/check", token=TOKEN, probe=1, domain="market").json
    assert (found["status"], found["probe"], found["backend"]) == ("ok", "ok", "local")
    assert found["location"] == str(stack.running.lake)


def test_an_ingestion_answers_in_the_shape_of_the_older_system(api: Api) -> None:
    bearer = {"Authorization": f"Bearer {CRON}"}
    by_hand = api("POST", "/api/ingest", body={"symbols": ["BTC-USDT", "ETH-USDT"]}, token=TOKEN)
    everything = api("POST", "/api/ingest", body={}, token=TOKEN)
    by_cron = api("GET", "/api/cron", headers=bearer)
    registry = api("POST", "/api/v1/registry/execute", token=TOKEN)
    answers = [by_hand, everything, by_cron, registry]
    assert [a.status for a in answers] == [200] * 4, [a.body for a in answers]
    for answer in answers:
        assert answer.json["status"] == "success"
        result = answer.json["result"]
        counts = ("markets", "snapshots", "aggregates", "comparisons", "roiStats")
        assert list(result) == [f"{n}Ingested" for n in counts] + ["startedAt", "completedAt", "trigger"]
        assert datetime.fromisoformat(result["startedAt"]) < datetime.fromisoformat(result["completedAt"])
        assert result["marketsIngested"] >= 2
    assert [a.json["result"]["trigger"] for a in answers] == ["manual", "manual", "cron", "registry"]


def test_the_older_systems_symbols_are_ingested_and_one_that_is_unknown_is_told(api: Api) -> None:
    ask = {"symbols": ["BTC-USD", "ETH-USD", "SPX"]}
    known = [row["series"] for row in api.get("/api/v1/symbols").json]
    dollars = "kraken.ETH-USD"  # where another test has registered it
    some = api("POST", "/api/ingest", body=ask, token=TOKEN)
    assert (some.status, some.json["status"]) == (200, "partial"), some.body
    told = {(one["asked"] or [""])[0]: one for one in some.json["series"]}
    assert {name: one["series"] for name, one in told.items()} == {
        "BTC-USD": "binance.BTC-USDT",
        "ETH-USD": dollars if dollars in known else "binance.ETH-USDT",
        "SPX": None,
    }
    assert [told[name]["status"] for name in ask["symbols"]] == ["success", "success", "error"]
    assert "mock.SPX-USD" in told["SPX"]["error_message"]
    assert some.json["result"]["marketsIngested"] == 2
    added = api("POST", "/api/v1/symbols", body={"symbol": "mock.SPX"} | _SNAPSHOTS, token=TOKEN)
    assert (added.status, added.json["series"]) == (201, "mock.SPX-USD"), added.body
    whole = api("POST", "/api/ingest", body=ask, token=TOKEN)
    assert (whole.status, whole.json["status"]) == (200, "success"), whole.body
    assert whole.json["result"]["marketsIngested"] == 3
    spx = next(one for one in whole.json["series"] if one["series"] == "mock.SPX-USD")
    assert set(spx["succeeded"]) >= {"snapshots/markets", "snapshots/prices", "snapshots/ohlc_4h"}
    assert whole.json["result"]["snapshotsIngested"] >= 1
    by_cron = api("GET", "/api/cron", headers={"Authorization": f"Bearer {CRON}"})
    assert "mock.SPX-USD" in [one["series"] for one in by_cron.json["series"]]
    assert api("DELETE", "/api/v1/symbols/mock.SPX-USD", token=TOKEN).status == 200


def test_symbols_are_added_switched_and_removed(api: Api) -> None:
    body = {
        "symbol": "SOL/USDT",
        "strategy": "flatpack_snapshot_stream",
        "enabled": True,
        "description": "Solana",
    }
    added = api("POST", "/api/v1/symbols", body=body, token=TOKEN)
    assert added.status == 201
    assert {name: added.json[name] for name in body} == body
    assert added.json["series"] == "binance.SOL-USDT"
    assert api("POST", "/api/v1/symbols", body=body, token=TOKEN).status == 409
    for name in ("SOL-USDT", "SOL/USDT", "SOLUSDT", "binance.SOL-USDT", "SOL%2FUSDT"):
        path = f"/api/v1/symbols/{name}/status"
        assert api("PUT", path, body={"status": "disabled"}, token=TOKEN).json["enabled"] is False
        failed = api("PUT", path, body={"status": "error", "error_message": "Rate limit"}, token=TOKEN).json
        assert failed["error_message"] == "Rate limit"
        idle = api("PUT", path, body={"status": "idle"}, token=TOKEN).json
        assert (idle["status"], idle["enabled"], idle["error_message"]) == ("idle", True, None)
    assert api("PUT", path, body={"status": "running"}, token=TOKEN).status == 422
    gone = api("DELETE", "/api/v1/symbols/SOL-USDT", token=TOKEN)
    assert gone.json == {"status": "deleted", "series": "binance.SOL-USDT"}
    assert api("DELETE", "/api/v1/symbols/SOL-USDT", token=TOKEN).status == 404


def test_a_ticker_is_a_share(api: Api) -> None:
    body = {"symbol": "AAPL", "strategy": "flatpack_snapshot_stream", "description": "Apple Inc."}
    added = api("POST", "/api/v1/symbols", body=body, token=TOKEN)
    assert (added.status, added.json["series"], added.json["domain"]) == (201, "polygon.AAPL", "equities")
    assert {name: added.json[name] for name in body} == body
    off = api("PUT", "/api/v1/symbols/AAPL/status", body={"status": "disabled"}, token=TOKEN)
    assert off.json["enabled"] is False
    gone = api("DELETE", "/api/v1/symbols/AAPL", token=TOKEN)
    assert gone.json == {"status": "deleted", "series": "polygon.AAPL"}


def test_the_scheduler_is_started_and_stopped(api: Api) -> None:
    one = "report_coverage_daily"

    def state() -> dict[str, bool]:
        return {job["name"]: job["running"] for job in api.get("/api/v1/scheduler/status").json["jobs"]}

    assert api("POST", "/api/v1/scheduler/stop", token=TOKEN).json["running"] is False
    assert api("POST", f"/api/v1/scheduler/start?name={one}", token=TOKEN).json["running"] is True
    assert [name for name, on in state().items() if on] == [one]
    assert api("POST", "/api/v1/scheduler/stop", token=TOKEN).json["running"] is False
    assert not any(state().values())
    unknown = api("POST", "/api/v1/scheduler/stop?name=nonesuch", token=TOKEN)
    assert unknown.status == 404
    assert one in unknown.detail


def test_what_takes_too_long_goes_on_and_says_where(stack: Stack) -> None:
    from ingestion_assets_tests.serving.conftest import serving

    places = {"ingest_state_dir": stack.running.root / ".dagster", "data_lake_path": str(stack.running.lake)}
    with serving(**places, dagster_url=stack.running.url, admin_token=TOKEN, api_wait_sec=0.0) as api:
        first = api("POST", "/api/v1/registry/execute", token=TOKEN)
        second = api("POST", "/api/v1/registry/execute", token=TOKEN)
    assert (first.status, first.json["status"]) == (202, "running")
    assert first.json["run_url"] == f"{stack.running.url}/runs/{first.json['run_id']}"
    assert second.json["run_id"] == first.json["run_id"], "asked again, nothing is piled up"


def test_metrics_tell_of_all_this(api: Api) -> None:
    text, end = "", time.monotonic() + 120
    while 'ingestion_success_total{provider="binance",trigger="manual"}' not in text:
        assert time.monotonic() < end, text
        time.sleep(1)
        text = api.get("/metrics").body.decode()
    values = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return values[name, tuple(sorted(labels.items()))]

    market = {"asset": "market/ohlcv_1m", "domain": "market"}
    assert any(
        name == "service_info" and ("service", "raw-data-ingestion") in labels for name, labels in values
    )
    assert value("ingestion_rows_total", **market) > 100
    assert value("ingestion_duration_seconds_count", **market) >= 1
    assert value("feature_store_rows_written_total", asset="online/market_1m") > 50
    assert value("feature_store_reads_total", domain="market", kind="range", source="redis") >= 1
    assert (
        value("ingestion_freshness_lag_seconds", asset="market/ohlcv_1m", series="binance.BTC-USDT") < 3_600
    )
    assert value("dagster_runs", status="success") >= 5
    assert value(
        "vendor_weight_limit", pool=next(dict(ls)["pool"] for n, ls in values if n == "vendor_weight_limit")
    )
    assert all(
        value("metrics_part_up", part=p) == 1 for p in ("registry", "gaps", "freshness", "redis", "dagster")
    )
    assert api.get("/metrics/prometheus").status == 200
    shown = api.get("/api/metrics").json
    assert all(list(one) == ["type", "name", "value", "timestamp", "labels"] for one in shown)
    (success,) = [
        one
        for one in shown
        if one["name"] == "ingestion_success_total"
        and one["labels"] == {"trigger": "manual", "provider": "binance"}
    ]
    assert (success["type"], success["value"] >= 1) == ("counter", True)


def test_smoke_finds_the_stack_well(stack: Stack) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ingestion_assets.cli", "smoke", "--json"],
        env=stack.running.environment,
        cwd=stack.running.root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    checks = json.loads(done.stdout)["checks"]
    assert [check["name"] for check in checks if check["ok"]] == [check["name"] for check in checks]
    assert len(checks) == 8
    assert TOKEN not in done.stdout + done.stderr
