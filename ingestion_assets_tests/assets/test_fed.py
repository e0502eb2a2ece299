"""What feeds give, as Dagster assets: by month or day, typed-in series, healing, a source of one file."""

from __future__ import annotations

import json
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ingestion_assets.automation.jobs import FEED_JOBS, job_for
from ingestion_assets.intervals import Window, period_window
from ingestion_assets.registry import Series, Strategy
from ingestion_assets.sources.feeds import feeds_of, vendors
from ingestion_assets.tables import FED, INGESTED, Table
from ingestion_assets.tables.derivatives import (
    AGG_TRADES_UM,
    DERIVATIVES,
    FUNDING_RATES,
    OPEN_INTEREST_5M,
    PERP_1M,
)
from ingestion_assets.tables.onchain import METRICS
from ingestion_assets_tests.market_world import MarketWorld, asset_key, failure_text, utc
from ingestion_assets_tests.sources.replay import Replay, Reply

LINK = "binance.LINK-USDT-PERP"


def perpetual(world: MarketWorld, name: str = LINK, **facts) -> Series:
    symbol = name.removeprefix("binance.").removesuffix("-PERP").replace("-", "/") + ":USDT"
    made = Series(name, "derivatives", "binance", symbol, Strategy.FLATPACK, **facts)
    world.bench.registry.add_missing([made])
    world.instance.add_dynamic_partitions("derivatives", [name])
    return made


def run(world: MarketWorld, table: Table, first: str, last: str | None = None) -> dg.ExecuteInProcessResult:
    job = world.repository.get_job(job_for(table)).get_subset(
        asset_selection={asset_key(table)}, asset_check_selection=set()
    )
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first}
    return job.execute_in_process({}, world.instance, tags=tags, raise_on_error=False)


def test_a_month_of_everything_but_trades(world: MarketWorld) -> None:
    perpetual(world)
    expected = {PERP_1M: 29 * 1_440, OPEN_INTEREST_5M: 29 * 288, FUNDING_RATES: 87}
    for table, rows in expected.items():
        assert run(world, table, f"2024-02|{LINK}").success
        (figures,) = world.materialized(table).values()
        assert figures["rows"] == rows
        assert figures["path"].endswith(f"{table.path}/series={LINK}/month=2024-02/part-0.parquet")


def test_without_a_key_there_is_no_data_and_with_a_wrong_one_the_run_fails(world: MarketWorld) -> None:
    name = "glassnode.BTC.addresses.active_count"
    world.bench.registry.add(Series(name, "onchain", "glassnode", "BTC:addresses/active_count"))
    world.instance.add_dynamic_partitions("onchain", [name])
    key = f"{datetime.now(UTC):%Y-%m}|{name}"
    assert run(world, METRICS, key).success
    (figures,) = world.materialized(METRICS).values()
    assert (figures["status"], figures["rows"], figures["requests"]) == ("no_data", 0, 0)
    assert figures["reason"] == "glassnode needs a key: set GLASSNODE_API_KEY"
    assert not world.file(METRICS, key).exists(), "never an empty file"
    assert world.bench.registry.require(name).error_message is None
    with Replay({"/v1/metrics/addresses/active_count": Reply(401, {"error": "bad key"})}) as vendor:
        world.setenv(GLASSNODE_API_KEY="wrong-0815", EXCHANGE_URLS=json.dumps({"glassnode": vendor.url}))
        refused = run(world, METRICS, key)
        assert not refused.success
        assert "401" in failure_text(refused)
        assert "wrong-0815" not in failure_text(refused)
        assert vendor.count("/v1/metrics/addresses/active_count") == 1, "a wrong key is not tried again"


def test_days_of_trades_in_one_run(world: MarketWorld) -> None:
    perpetual(world)
    assert run(world, AGG_TRADES_UM, f"2024-02-28|{LINK}", f"2024-03-01|{LINK}").success
    figures = world.materialized(AGG_TRADES_UM)
    assert set(figures) == {f"{day}|{LINK}" for day in ("2024-02-28", "2024-02-29", "2024-03-01")}
    assert {one["rows"] for one in figures.values()} == {1_440 * 60}
    held = world.bench.lake.read(AGG_TRADES_UM, LINK, period_window("2024-02-29"), ["id"])
    assert held.num_rows == 1_440 * 60


def test_a_series_typed_into_the_dialog_is_registered_in_its_domain(world: MarketWorld) -> None:
    world.instance.add_dynamic_partitions("derivatives", [LINK, "binance.BTC-USDT", "binance.NOPE-USDT-PERP"])
    world.setenv(INGESTION_MARKETS="BTC-USDT")
    outcome = world.tick("registry_sync")
    series = world.bench.registry.require(LINK).series
    assert (series.domain, series.source, series.symbol) == ("derivatives", "binance", "LINK/USDT:USDT")
    assert series.strategy is Strategy.FLATPACK
    assert series.listed_at == utc(2020, 1, 17, 8)
    assert [t.name for t in DERIVATIVES.values() if series.follows(t)] == [
        "ohlcv_1m",
        "open_interest_5m",
        "funding_rates",
    ]
    assert "binance.BTC-USDT: series 'binance.BTC-USDT' belongs to market" in outcome.skip_message
    assert "binance.NOPE-USDT-PERP" in outcome.skip_message
    pending = {gap.table for gap in world.bench.ledger.open(series=LINK)}
    assert pending == {t.path for t in DERIVATIVES.values() if t is not AGG_TRADES_UM}


def test_a_perpetual_is_not_ingested_by_another_domain_s_assets(world: MarketWorld) -> None:
    perpetual(world)
    world.instance.add_dynamic_partitions("market", [LINK])
    done = world.run(INGESTED["1m"], f"2024-02|{LINK}")
    assert not done.success
    assert "belongs to derivatives" in failure_text(done)


def test_healing_asks_for_the_days_of_a_gap_and_fills_them(world: MarketWorld) -> None:
    start = utc(2024, 2, 27)
    facts = {
        "backfill_from": start,
        "delisted_at": start + timedelta(days=2),
        "metadata": {"tables": ["agg_trades_um"]},
    }
    perpetual(world, **facts)
    world.tick("registry_sync")
    world.bench.expect([world.bench.registry.require(LINK).series], datetime.now(UTC))
    by_day = FEED_JOBS["derivatives", "day"].name
    (request,) = (r for r in world.tick("healing").run_requests if r.job_name == by_day)
    world.execute([request])
    window = Window(start, start + timedelta(days=2))
    assert world.bench.lake.holes(AGG_TRADES_UM, LINK, window) == []
    assert world.bench.ledger.open(AGG_TRADES_UM.path, LINK) == []


def test_the_hot_tick_of_a_feed_asks_for_the_series_that_follow_it(world: MarketWorld) -> None:
    perpetual(world, metadata={"tables": ["funding_rates"]})
    moment = utc(2024, 3, 1, 1)
    (request,) = world.at("hot_derivatives_funding_rates", moment).run_requests
    assert request.tags["dagster/asset_partition_range_start"] == f"2024-02|{LINK}"
    assert request.tags["dagster/asset_partition_range_end"] == f"2024-03|{LINK}"
    assert not world.at("hot_derivatives_agg_trades_um", moment).run_requests


@pytest.mark.parametrize("table", FED.values(), ids=list(FED))
def test_no_table_is_without_a_feed(table: Table) -> None:
    assert table.path in {feed.table.path for kind in vendors() for feed in kind.feeds}


def test_no_feed_is_without_a_table_in_the_catalog() -> None:
    given = {feed.table.path for kind in vendors() for feed in kind.feeds}
    assert given - set(FED) == set(), "name them in tables/__init__.py, or nobody makes assets of them"


def test_every_module_of_a_domain_s_sources_gives_something_or_is_used(project: Path) -> None:
    """A file that nobody finds is a source that nobody ingests."""
    folder = project / "ingestion_assets" / "sources"
    text = {path: path.read_text() for path in folder.rglob("*.py")}
    found = {kind.__module__ for kind in vendors()}
    for path in folder.glob("*/[!_]*.py"):
        module = ".".join(path.relative_to(project).with_suffix("").parts)
        if path.parent.name == "market" or module in found:
            continue
        name = path.stem
        assert any(f"import {name}" in t or f".{name} import" in t for p, t in text.items() if p != path), (
            f"{module} declares no feed, and nobody imports it"
        )


SOURCE = '''
"""Another venue's funding. One file, nothing else."""

from datetime import UTC, datetime, timedelta

from ingestion_assets.intervals import micros
from ingestion_assets.sources.derivatives.binance_rows import normalise_funding
from ingestion_assets.sources.feeds import Page, Vendor, feed
from ingestion_assets.tables.derivatives import FUNDING_RATES


class Elsewhere(Vendor):
    name, domain, serves = "elsewhere_rest", "derivatives", "elsewhere"

    @feed(FUNDING_RATES, phase="rest")
    async def funding(self, series, window):
        hours = range(micros(window.start) // 3_600_000_000, micros(window.end) // 3_600_000_000)
        sent = [{"fundingTime": h * 3_600_000, "fundingRate": "0.0002"} for h in hours if h % 4 == 0]
        yield Page(normalise_funding(sent, timedelta(), "rest"), window)
'''


def test_adding_a_source_is_one_file(
    world: MarketWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "elsewhere_sources"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "elsewhere.py").write_text(textwrap.dedent(SOURCE))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = vendors("elsewhere_sources")
    assert [kind.name for kind in found] == ["elsewhere_rest"]

    world.bench.vendors = [*world.bench.vendors, *found]
    name = "elsewhere.BTC-USDT"
    world.instance.add_dynamic_partitions("derivatives", [name])
    assert run(world, FUNDING_RATES, f"2024-02|{name}").success
    series = world.bench.registry.require(name).series
    assert (series.domain, series.source, series.symbol) == ("derivatives", "elsewhere", "BTC-USDT")
    assert [feed.phase for _, feed in feeds_of(FUNDING_RATES, series, world.bench.vendors)] == ["rest"]
    rows = world.bench.lake.read(FUNDING_RATES, name, period_window("2024-02")).to_pylist()
    assert len(rows) == 29 * 6
    assert {row["rate"] for row in rows} == {0.0002}
    assert world.materialized(FUNDING_RATES)[f"2024-02|{name}"]["rows"] == 29 * 6


def test_two_vendors_of_one_name_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "twice_sources"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name in ("one", "two"):
        (package / f"{name}.py").write_text(textwrap.dedent(SOURCE))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="two vendors are called 'elsewhere_rest'"):
        vendors("twice_sources")
