"""`ingest registry …` against a simulated exchange, a real catalog and a real Dagster instance."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from ingestion_assets.cli import environment
from ingestion_assets.registry import Status, Strategy
from ingestion_assets.stores.registry_table import process_owner
from ingestion_assets_tests.cli.conftest import Ingest


def partitions() -> list[str]:
    with dg.DagsterInstance.get() as instance:
        return sorted(instance.get_dynamic_partitions("market"))


def test_a_series_is_registered_as_the_venue_describes_it(ingest: Ingest) -> None:
    ingest(
        *("registry", "add", "binance", "ethusdt", "--since", "2024-08-01", "--strategy", "flatpack_api"),
        *("-t", "1min", "-t", "5m", "--description", "ether", "--no-backfill"),
    ).ok()
    entry = ingest.bench.registry.require("binance.ETH-USDT")
    assert entry.series.symbol == "ETH/USDT"
    assert entry.series.timeframes == ("1m", "5m")
    assert entry.series.backfill_from == datetime(2024, 8, 1, tzinfo=UTC)
    assert entry.series.listed_at == datetime(2017, 8, 17, 4, tzinfo=UTC)
    assert entry.series.description == "ether"
    assert entry.status == Status.IDLE
    assert partitions() == ["binance.ETH-USDT"]
    assert not ingest.lake.exists()


def test_history_does_not_begin_before_the_listing(ingest: Ingest) -> None:
    ingest("registry", "add", "binance", "SOL/USDT", "--since", "2017", "--no-backfill").ok()
    series = ingest.bench.registry.require("binance.SOL-USDT").series
    assert series.backfill_from == series.listed_at == datetime(2020, 8, 11, 6, tzinfo=UTC)


def test_adding_fetches_the_history_here_when_no_ui_answers(ingest: Ingest) -> None:
    done = ingest("registry", "add", "kraken", "ETH/USD", "--since", "2026-01-01").ok()
    assert "kraken.ETH-USD is registered" in done.err
    assert "No Dagster UI answers" in done.err
    files = list(ingest.lake.glob("market/ohlcv_1m/series=kraken.ETH-USD/month=*/part-0.parquet"))
    assert files


@pytest.mark.parametrize("strategy", [str(s) for s in Strategy])
def test_every_strategy_is_taken(ingest: Ingest, strategy: str) -> None:
    ingest("registry", "add", "binance", "BTC/USDT", "--strategy", strategy, "--no-backfill").ok()
    assert ingest.bench.registry.require("binance.BTC-USDT").series.strategy == strategy


def test_list_and_show_tell_people_and_programs(btc: Ingest) -> None:
    said = btc("registry", "list").ok().out
    assert "binance.BTC-USDT" in said
    assert "idle" in said
    (entry,) = btc("registry", "list", "--json").ok().json
    assert entry["id"] == "binance.BTC-USDT"
    assert entry["timeframes"] == ["1m"]
    assert entry["backfill_from"] == "2024-01-01T00:00Z"
    assert btc("registry", "show", "BTCUSDT", "--json").ok().json == entry
    assert "BTC/USDT" in btc("registry", "show", "binance.BTC/USDT").ok().out


def test_disable_and_enable(btc: Ingest) -> None:
    btc("registry", "disable", "binance.BTC-USDT").ok()
    assert btc.bench.registry.require("binance.BTC-USDT").status == Status.DISABLED
    assert "disabled" in btc("registry", "list").ok().out
    assert btc("plan").code == 2
    assert btc("plan", "--all", "--to", "2024-02-01").code == 0
    btc("registry", "enable", "binance.BTC-USDT").ok()
    assert btc.bench.registry.require("binance.BTC-USDT").status == Status.IDLE


def test_removing_forgets_the_series_and_its_partition_and_keeps_its_files(btc: Ingest) -> None:
    btc("backfill", "--here", "--from", "2024-01-01", "--to", "2024-01-02").ok()
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("market", ["binance.BTC-USDT"])
    done = btc("registry", "remove", "binance.BTC-USDT").ok()
    assert "registered again" in done.err  # it is one of the first series
    assert btc.bench.registry.entries() == []
    assert partitions() == []
    assert list(btc.lake.rglob("*.parquet"))


def test_a_series_whose_worker_died_is_not_running_for_ever(btc: Ingest) -> None:
    gone = process_owner().rpartition(":")[0] + ":1"  # this process's number, started at another time
    btc.bench.registry.start(["binance.BTC-USDT"], gone)
    (entry,) = btc("registry", "list", "--json").ok().json
    assert entry["status"] == "error"
    assert "interrupted" in entry["error_message"]


def test_a_series_that_a_run_or_a_living_process_works_on_stays_running(btc: Ingest) -> None:
    for owner in ("run:1234", process_owner()):
        btc.bench.registry.start(["binance.BTC-USDT"], owner)
        (entry,) = btc("registry", "list", "--json").ok().json
        assert (entry["status"], entry["status_owner"]) == ("running", owner)


def test_init_registers_what_is_shipped_and_again_nothing(ingest: Ingest) -> None:
    assert ingest("registry", "init", "--json").ok().json["added"] == [
        "binance.BTC-USDT",
        "binance.ETH-USDT",
        "binance.SOL-USDT",
    ]
    assert ingest("registry", "init", "--json").ok().json["added"] == []
    assert partitions() == ["binance.BTC-USDT", "binance.ETH-USDT", "binance.SOL-USDT"]


def test_init_registers_the_good_seeds_and_names_the_bad_one(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTION_MARKETS", "BTCUSDT,NOPE/USDT,kraken.ETH-USD")
    done = ingest("registry", "init")
    assert done.code == 1
    assert "binance.NOPE-USDT" in done.err
    assert {e.series.id for e in ingest.bench.registry.entries()} == {"binance.BTC-USDT", "kraken.ETH-USD"}


def test_init_takes_the_older_systems_markets(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTION_MARKETS", "BTC-USD,ETH-USD,SPX")
    provided = ["mock.BTC-USD", "mock.ETH-USD", "mock.SPX-USD"]
    assert ingest("registry", "init", "--json").ok().json == {"added": provided, "errors": {}}
    monkeypatch.setenv("INGESTION_MARKETS", "BTC-USD,binance.SPX,BTC/USDT")
    done = ingest("registry", "init", "--json")
    assert (done.code, done.json["added"]) == (1, ["binance.BTC-USDT"])
    assert "INGESTION_MARKETS: binance.SPX: symbol 'SPX' cannot be taken apart" in done.err
    assert partitions() == ["binance.BTC-USDT"]
    doctor = ingest("doctor", "--json").json
    told = [one for one in doctor["findings"] if one["name"] == "first series"]
    assert [one["status"] for one in told] == ["fail"]


def test_a_file_of_series_is_imported(ingest: Ingest, tmp_path: Path) -> None:
    path = tmp_path / "series.yaml"
    path.write_text(
        "- {exchange: binance, symbol: BTC/USDT, since: 2024-01-01, timeframes: [1m, 5m], description: big}\n"
        "- {exchange: kraken, symbol: ETH/USD, strategy: stream, enabled: false, metadata: {desk: 7}}\n"
    )
    ingest("registry", "import", str(path)).ok()
    first, second = ingest.bench.registry.entries()
    assert first.series.timeframes == ("1m", "5m")
    assert first.series.backfill_from == datetime(2024, 1, 1, tzinfo=UTC)
    assert second.status == Status.DISABLED
    assert second.series.strategy == Strategy.STREAM
    assert second.series.metadata == {"desk": 7}
    assert partitions() == ["binance.BTC-USDT", "kraken.ETH-USD"]


GOOD = "- {exchange: binance, symbol: ETH/USDT}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "- {exchange: binance, symbol: NOPE/USDT}\n", ["entry 2", "NOPE"]),
        (GOOD + "- {exchange: binanse, symbol: BTC/USDT}\n", ["entry 2", "binanse", "binance"]),
        (GOOD + "- {exchange: binance}\n", ["entry 2", "symbol", "None"]),
        (GOOD + "- {exchange: binance, symbol: BTC/USDT, sincee: 2024}\n", ["entry 2", "sincee", "since"]),
        (
            GOOD + "- {exchange: binance, symbol: BTC/USDT, since: soon}\n",
            ["entry 2", "since", "soon", "ISO"],
        ),
        (GOOD + "- {exchange: binance, symbol: BTC/USDT, since: 2099}\n", ["entry 2", "since", "future"]),
        (
            GOOD + "- {exchange: binance, symbol: BTC/USDT, strategy: x}\n",
            ["entry 2", "strategy", "'x'", "stream"],
        ),
        (GOOD + "- {exchange: binance, symbol: BTC/USDT, timeframes: [7m]}\n", ["entry 2", "7m", "1m"]),
        (GOOD + "- {exchange: binance, symbol: BTC/USDT, timeframes: 5}\n", ["entry 2", "timeframes", "5"]),
        (GOOD + "- {exchange: binance, symbol: BTC/USDT, enabled: maybe}\n", ["entry 2", "enabled", "maybe"]),
        (GOOD + "- {exchange: binance, symbol: '../x/USDT'}\n", ["entry 2", "not safe"]),
        (GOOD + GOOD, ["entry 2", "entry 1 already", "binance.ETH-USDT"]),
        (GOOD + "- BTC\n", ["entry 2", "BTC", "mapping"]),
        ("exchange: binance\n", ["list"]),
        ("", ["list"]),
        ("- {exchange: [\n", ["YAML"]),
    ],
)
def test_a_file_with_one_mistake_registers_nothing(
    ingest: Ingest, tmp_path: Path, text: str, says: list[str]
) -> None:
    path = tmp_path / "series.yaml"
    path.write_text(text)
    done = ingest("registry", "import", str(path))
    assert done.code == 2
    for word in [str(path), *says]:
        assert word in done.err
    assert ingest.bench.registry.entries() == []
    assert partitions() == []


def test_a_perpetual_is_registered_in_its_own_domain_with_what_is_usual(ingest: Ingest) -> None:
    said = ingest("registry", "add", "binance", "BTC/USDT:USDT").ok()
    assert "binance.BTC-USDT-PERP is registered: ohlcv_1m open_interest_5m funding_rates" in said.err
    series = ingest.bench.registry.require("binance.BTC-USDT-PERP").series
    assert (series.domain, series.strategy.value, series.timeframes) == ("derivatives", "flatpack", ())
    with environment.instance() as instance:
        assert instance.get_dynamic_partitions("derivatives") == ["binance.BTC-USDT-PERP"]
        assert instance.get_dynamic_partitions("market") == []
    planned = ingest("plan", "binance.BTC-USDT-PERP", "--json").ok().json["series"]
    assert [one["table"].partition("/")[2] for one in planned] == series.metadata["tables"]
    ingest("registry", "remove", "binance.BTC-USDT-PERP").ok()
    with environment.instance() as instance:
        assert instance.get_dynamic_partitions("derivatives") == []


@pytest.mark.parametrize(
    ("vendor", "symbol", "name", "domain", "tables"),
    [
        ("mock", "SPX", "mock.SPX-USD", "snapshots", "markets prices ohlc_4h"),
        ("x", "bitcoin", "x.bitcoin", "social", "posts"),
        ("polygon", "AAPL", "polygon.AAPL", "equities", "bars_1m splits"),
        (
            "glassnode",
            "BTC.active_addresses",
            "glassnode.BTC.addresses.active_count",
            "onchain",
            "metrics_1d",
        ),
    ],
)
def test_what_is_no_market_is_registered_by_its_vendor_s_names(
    ingest: Ingest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    vendor: str,
    symbol: str,
    name: str,
    domain: str,
    tables: str,
) -> None:
    for key in ("TWITTER_BEARER_TOKEN", "POLYGON_API_KEY", "GLASSNODE_API_KEY"):
        monkeypatch.setenv(key, "anything")
    said = ingest("registry", "add", vendor, symbol).ok()
    assert f"{name} is registered: {tables} from" in said.err
    assert f"`ingest backfill {name} --here`" in said.err
    assert ingest.bench.registry.require(name).series.domain == domain
    assert ingest("registry", "add", vendor, symbol).code == 2
    ingest("registry", "remove", name).ok()
    path = tmp_path / "series.yaml"
    path.write_text(f"- {{exchange: {vendor}, symbol: {symbol}}}\n")
    ingest("registry", "import", str(path)).ok()
    assert [one.id for one in ingest.bench.registry.series()] == [name]


def test_the_history_of_what_is_no_market_is_fetched_here_when_asked_for(ingest: Ingest) -> None:
    ingest("registry", "add", "mock", "SPX", "--here").ok()
    assert list(ingest.lake.glob("snapshots/prices/series=mock.SPX-USD/month=*/part-0.parquet"))
