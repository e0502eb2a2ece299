"""What is ingested from the start: read from the environment, registered when the venue has it."""

import json

from ingestion_assets.seeds import SHIPPED, fetched_as, plant, seeds, unreadable
from ingestion_assets.settings import load_settings
from ingestion_assets.simulator import Fault
from ingestion_assets_tests.market_world import utc

BTC, ETH = "binance.BTC-USDT", "binance.ETH-USDT"
JOB = {"exchange": "binance", "symbol": "BTC/USDT", "cron": "*/5 * * * *"}


def wanted(**environment):
    return seeds(load_settings(**environment))


def test_nothing_said_means_what_is_shipped():
    assert wanted() == dict(SHIPPED)


def test_markets_in_every_spelling_are_one_series():
    spelled = "BTC/USDT, BTCUSDT, btc-usdt, binance.BTC-USDT, binance.BTCUSDT"
    assert wanted(ingestion_markets=spelled) == {BTC: ("1m",)}
    assert wanted(ingestion_markets='["kraken.ETH-USD", "BTC/USDT"]', exchange_name="coinbase") == {
        "kraken.ETH-USD": ("1m",),
        "coinbase.BTC-USDT": ("1m",),
    }


def test_each_market_may_have_its_own_provider(world):
    assert list(wanted(ingestion_markets="coingecko.BTC-USD, mock.SPX, polygon.aapl, BTC/USDT")) == [
        "coingecko.bitcoin-usd",
        "mock.SPX-USD",
        "polygon.AAPL",
        BTC,
    ]
    assert list(wanted(ingestion_markets="BTC-USD,SPX", exchange_name="mock")) == [
        "mock.BTC-USD",
        "mock.SPX-USD",
    ]
    world.setenv(INGESTION_MARKETS="mock.SPX, coingecko.spx, BTC/USDT", COINGECKO_API_KEY="key")
    added, errors = plant(world.bench)
    assert added == ["mock.SPX-USD", BTC]
    assert list(errors) == ["coingecko.spx-usd"]
    assert plant(world.bench)[0] == []


OLDER = "BTC-USD,ETH-USD,SPX"  # the older system's own value


def test_the_older_systems_markets_are_its_providers(world):
    provided = ["mock.BTC-USD", "mock.ETH-USD", "mock.SPX-USD"]
    assert list(wanted(ingestion_markets=OLDER)) == provided
    assert list(wanted(ingestion_markets="BTC/USDT,btcusd")) == [BTC, "mock.BTC-USD"]
    coins = ["coingecko.bitcoin-usd", "coingecko.ethereum-usd", "coingecko.spx-usd"]
    assert list(wanted(ingestion_markets=OLDER, ingestion_provider="coingecko")) == coins
    assert list(wanted(ingestion_markets=OLDER, profile="live")) == coins, (
        "no invented prices among real ones"
    )
    assert list(wanted(ingestion_markets="BTC-USD", exchange_name="kraken")) == ["kraken.BTC-USD"]
    given = {"exchange_name": "kraken", "ingestion_provider": "mock"}
    assert list(wanted(ingestion_markets="BTC-USD,ETH-EUR", **given)) == ["mock.BTC-USD", "kraken.ETH-EUR"]
    world.setenv(INGESTION_MARKETS=OLDER)
    assert plant(world.bench) == (provided, {})


def test_an_entry_that_cannot_be_read_is_told_and_the_others_are_planted(world):
    markets = "binance.SPX, BTC/USDT, x y, kraken.NOQUOTE"
    world.setenv(INGESTION_MARKETS=markets)
    assert wanted(ingestion_markets="binance.SPX") == {}, "and not what is shipped instead"
    added, errors = plant(world.bench)
    assert added == [BTC]
    assert list(errors) == [f"INGESTION_MARKETS: {name}" for name in ("binance.SPX", "x y", "kraken.NOQUOTE")]
    assert errors == unreadable(world.bench.settings) | errors
    assert "write it like BTC/USDT" in str(errors["INGESTION_MARKETS: binance.SPX"])


def test_jobs_add_their_timeframes():
    jobs = [JOB, JOB | {"timeframe": "5m"}, JOB | {"timeframe": "1d", "symbol": "ETH/USDT"}]
    assert wanted(market_jobs=json.dumps(jobs)) == {BTC: ("1m", "5m"), ETH: ("1m",)}
    assert wanted(market_ingest_jobs=json.dumps([JOB])) == {BTC: ("1m",)}
    frames = ("1m", "5m", "1h", "1d", "1w", "15m")
    assert [fetched_as(frame) for frame in frames] == ["1m", "5m", "1m", "1m", "1m", "15m"]


def test_backfill_symbols_count_when_the_window_is_enabled():
    symbols = {"backfill_symbols": "BTC/USDT,ETH/USDT", "backfill_timeframes": "1m,5m"}
    assert wanted(**symbols) == dict(SHIPPED)
    assert wanted(**symbols, backfill_enabled=True) == {BTC: ("1m", "5m"), ETH: ("1m", "5m")}


def test_planting_registers_what_the_venue_has_and_names_what_it_has_not(world):
    world.setenv(INGESTION_MARKETS="BTC/USDT,BTCC/USDT,JUP/USDT")
    added, errors = plant(world.bench, now=utc(2026, 6, 15, 12))
    assert added == [BTC, "binance.JUP-USDT"]
    assert list(errors) == ["binance.BTCC-USDT"]
    assert "nearest names: BTCUSDT" in str(errors["binance.BTCC-USDT"])
    series = world.bench.registry.require(BTC).series
    assert series.backfill_from == utc(2026, 6, 14)
    assert series.listed_at == utc(2017, 8, 17, 4)
    assert plant(world.bench)[0] == []


def test_planting_again_changes_nothing_but_adds_a_timeframe_that_is_new(world):
    world.setenv(INGESTION_MARKETS="BTC/USDT")
    assert plant(world.bench)[0] == [BTC]
    world.bench.registry.enable(BTC, False)
    assert plant(world.bench) == ([], {})
    assert world.bench.registry.require(BTC).series.enabled is False
    world.setenv(INGESTION_MARKETS="", MARKET_JOBS=json.dumps([JOB | {"timeframe": "5m"}]))
    assert plant(world.bench) == ([], {})
    assert world.bench.registry.require(BTC).series.timeframes == ("1m", "5m")


def test_a_timeframe_that_is_no_table_is_refused_with_those_that_are(world):
    world.setenv(MARKET_JOBS=json.dumps([JOB | {"timeframe": "15m"}, JOB | {"symbol": "ETH/USDT"}]))
    added, errors = plant(world.bench)
    assert added == [ETH]
    assert "'15m' is not ingested: use one of 1m, 5m, 1h, 1d, 1w" in str(errors[BTC])


def test_a_venue_that_is_down_is_told_seed_by_seed(world):
    world.simulator.faults.add(Fault("server_error", times=None, status=502))
    added, errors = plant(world.bench)
    assert added == []
    assert set(errors) == set(SHIPPED)
    assert all("502" in str(error) for error in errors.values())


def test_a_venue_that_is_down_is_asked_once_and_the_others_are_planted(world):
    world.setenv(INGESTION_MARKETS="BTC/USDT,ETH/USDT,kraken.ETH-USD", HTTP_ATTEMPTS="1")
    world.simulator.faults.add(Fault("server_error", path="/api/v3/", times=None, status=502))
    added, errors = plant(world.bench)
    assert added == ["kraken.ETH-USD"]
    assert list(errors) == [BTC, ETH]
    asked = world.simulator.requests.by_path
    assert sum(asked[path] for path in asked if path.startswith("/api/v3/")) == 1
