"""The metrics of one process: names, forms, bounds, and what is said while a part is down."""

from __future__ import annotations

import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from ingestion_assets.embedded import free_port
from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series
from ingestion_assets.serving.lookups import Lookups, Part
from ingestion_assets.stores.gap_ledger import Hole
from ingestion_assets.tables import INGESTED
from ingestion_assets.tables.social import POSTS
from ingestion_assets_tests.serving.conftest import Api, serving

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def values(text: str) -> Values:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(api: Api) -> Values:
    return values(api.get("/metrics").body.decode())


def one(found: Values, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def register(api: Api, count: int) -> None:
    known = datetime.now(UTC) - timedelta(hours=5)
    for number in range(count):
        name = f"binance.C{number}-USDT"
        api.bench.registry.add(Series(name, "market", "binance", f"C{number}/USDT", listed_at=known))


def test_the_same_registry_is_served_at_every_address(home: Path) -> None:
    port = free_port()
    with serving(sched_metrics_port=port) as api:
        register(api, 1)
        first, second = api.get("/metrics"), api.get("/metrics/prometheus")
        assert first.headers["content-type"].startswith("text/plain")
        names = {name for name, _ in values(first.body.decode())}
        assert names <= {name for name, _ in values(second.body.decode())}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert b'service_info{service="raw-data-ingestion"' in answer.read()
        shown = {entry["name"] for entry in api.get("/api/metrics").json}
    assert {
        "service_info",
        "ingestion_series",
        "process_cpu_seconds_total",
        "metrics_part_up",
    } <= names & shown


def test_reads_of_features_are_counted_and_timed_by_their_source(api: Api) -> None:
    for _ in range(3):
        api.get("/ingest/features/market", symbol="BTC/USDT", timeframe="1m", ts=1_724_140_800)
    found = scraped(api)
    assert one(found, "feature_store_reads_total", domain="market", kind="point", source="lake") == 3
    assert one(found, "feature_store_read_seconds_count", domain="market", kind="point") == 3
    route = {"route": "/ingest/features/market", "method": "GET", "status": "200"}
    assert one(found, "http_request_seconds_count", **route) == 3


def test_what_is_down_has_no_samples_and_says_so(api: Api) -> None:
    found = scraped(api)
    assert one(found, "metrics_part_up", part="dagster") == 0
    assert one(found, "metrics_part_up", part="registry") == 1
    assert not [name for name, _ in found if name == "dagster_runs"]


def test_series_are_named_up_to_the_bound_the_latest_first(home: Path) -> None:
    with serving(metrics_max_series=5) as api:
        register(api, 12)
        found = scraped(api)
    named = [labels for name, labels in found if name == "ingestion_freshness_lag_seconds"]
    assert len(named) == 5
    assert one(found, "metrics_series_left_out", asset="market/ohlcv_1m") == 7
    assert one(found, "ingestion_stale_series", asset="market/ohlcv_1m") == 0  # known for a moment only
    assert one(found, "ingestion_series", domain="market", status="idle") == 12


def test_what_comes_late_by_its_nature_is_not_stale_before_that(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWITTER_BEARER_TOKEN", "any")
    now = datetime.now(UTC)
    with serving() as api:
        for name, minutes in (("x.bitcoin", 60), ("x.ether", 180)):
            api.bench.registry.add(Series(name, "social", "x", name[2:], metadata={"tables": ["posts"]}))
            known = Window(now - timedelta(minutes=minutes + 1), now - timedelta(minutes=minutes))
            month = f"{known.start:%Y-%m}"
            api.bench.lake.merge(POSTS, name, month, POSTS.empty(), notes={}, covered=[known])
        found = scraped(api)
    assert one(found, "ingestion_freshness_lag_seconds", asset=POSTS.path, series="x.bitcoin") > 3_000
    assert one(found, "ingestion_stale_series", asset=POSTS.path) == 1


def test_gaps_are_counted_by_reason_with_the_bars_they_lack(api: Api) -> None:
    register(api, 2)
    start = datetime(2024, 8, 1, tzinfo=UTC)
    for number in range(2):
        hole = Hole(Window(start, start + timedelta(minutes=30)))
        whole = Window(start, start + timedelta(hours=2))
        api.bench.ledger.record(
            INGESTED["1m"].path, f"binance.C{number}-USDT", whole, [hole], run="test", now=datetime.now(UTC)
        )
    found = scraped(api)
    labels = {"asset": "market/ohlcv_1m", "domain": "market", "reason": "missing"}
    assert one(found, "ingestion_gaps", **labels) == 2
    assert one(found, "ingestion_gap_bars", **labels) == 60


def test_addresses_that_are_no_route_share_one_label(api: Api) -> None:
    for number in range(20):
        api.get(f"/nothing/{number}")
    found = scraped(api)
    routes = {dict(labels)["route"] for name, labels in found if name == "http_request_seconds_count"}
    assert routes <= {"other", "/metrics"}


def test_methods_that_nobody_has_share_one_too(api: Api) -> None:
    api("PROPFIND", "/health")
    assert one(scraped(api), "http_request_seconds_count", route="other", method="other", status="401") == 1


def test_a_part_that_breaks_in_a_way_nobody_foresaw_shows_nothing_old_and_is_looked_at_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes: list[Exception | None] = [None, KeyError("unforeseen"), None]

    def look() -> list[Metric]:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return [GaugeMetricFamily("rows_held", "Rows.", value=7)]

    lookups = Lookups([Part("frail", look, 0), Part("sound", list, 0)])

    def shown() -> dict[str, tuple[bool, list[float]]]:
        lookups.refresh()
        return {
            part.name: (part.up, [sample.value for one in part.found for sample in one.samples])
            for part in lookups.parts
        }

    assert shown() == {"frail": (True, [7]), "sound": (True, [])}
    with caplog.at_level("INFO"):
        assert shown() == {"frail": (False, []), "sound": (True, [])}
    (told,) = [record for record in caplog.records if record.message == "metrics_part_down"]
    assert told.levelname == "ERROR"
    assert vars(told)["fields"] == {"part": "frail", "error": "KeyError: 'unforeseen'"}
    assert shown()["frail"] == (True, [7])
