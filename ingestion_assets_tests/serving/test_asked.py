"""Symbols of a request: each stands for a series that is kept, or has an entry that says why not."""

from __future__ import annotations

from ingestion_assets.registry import Series, Strategy
from ingestion_assets.serving.asked import asked
from ingestion_assets.serving.routes.execution import MARKETS
from ingestion_assets_tests.serving.conftest import TOKEN, Api

BTC, ETH = "binance.BTC-USDT", "binance.ETH-USDT"


def register(api: Api, *names: str) -> None:
    api.bench.registry.add_missing(Series(name, "market", name.partition(".")[0], "x") for name in names)


def provided(api: Api, *names: str) -> None:
    kind = Strategy.FLATPACK_SNAPSHOT_STREAM
    api.bench.registry.add_missing(
        Series(name, "snapshots", name.partition(".")[0], "x", kind, ()) for name in names
    )


def meant(api: Api, *texts: str) -> dict[str, list[str]]:
    return asked(api.bench, texts, MARKETS).series


def test_the_older_systems_symbols_are_what_is_shipped(api: Api) -> None:
    register(api, BTC, ETH, "binance.SOL-USDT")
    assert meant(api, "BTC-USD", "ETH-USD") == {BTC: ["BTC-USD"], ETH: ["ETH-USD"]}
    assert meant(api, "BTC/USDT", "BTCUSD", "BTC/USDT", "binance.btcusdt") == {
        BTC: ["BTC/USDT", "BTCUSD", "binance.btcusdt"]
    }


def test_a_series_in_dollars_goes_before_one_in_tether(api: Api) -> None:
    register(api, BTC, "kraken.BTC-USD")
    assert meant(api, "BTC-USD") == {"kraken.BTC-USD": ["BTC-USD"]}
    provided(api, "mock.BTC-USD", "mock.SPX-USD")
    assert meant(api, "BTC-USD", "SPX", "kraken.BTC-USD") == {
        "mock.BTC-USD": ["BTC-USD"],
        "mock.SPX-USD": ["SPX"],
        "kraken.BTC-USD": ["kraken.BTC-USD"],
    }


def test_what_stands_for_no_series_is_told_with_its_remedy_and_the_others_are_found(api: Api) -> None:
    register(api, BTC, ETH)
    api.bench.registry.enable(ETH, False)
    provided(api, "coingecko.bitcoin-usd")
    api.bench.registry.add(Series("polygon.AAPL", "equities", "polygon", "AAPL", Strategy.FLATPACK))
    texts = ["SPX", "BTC-USDT", "ETH-USDT", "../x", "polygon.AAPL", "coingecko.BTC-USD"]
    found = asked(api.bench, texts, MARKETS)
    assert found.series == {BTC: ["BTC-USDT"], "coingecko.bitcoin-usd": ["coingecko.BTC-USD"]}
    said = {one.symbol: one.error_message or "" for one in found.refused}
    assert list(said) == ["SPX", "ETH-USDT", "../x", "polygon.AAPL"]
    assert '"symbol": "mock.SPX-USD"' in said["SPX"]
    assert f"{ETH} is disabled" in said["ETH-USDT"]
    assert "write it like BTC/USDT" in said["../x"]
    assert "/api/v1/registry/execute" in said["polygon.AAPL"]


def test_a_provider_without_its_key_is_told(api: Api, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("PROFILE", "live")
    live = Api(api.url, type(api.settings)())
    provided(live, "coingecko.bitcoin-usd")
    (one,) = asked(live.bench, ["BTC-USD"], MARKETS).refused
    assert one.error_message == "coingecko.bitcoin-usd: coingecko needs a key: set COINGECKO_API_KEY"


def test_when_no_symbol_is_kept_nothing_is_launched(api: Api) -> None:
    refused = api("POST", "/api/ingest", body={"symbols": ["SPX", "x y"]}, token=TOKEN)
    assert refused.status == 404, refused.body
    assert [one["symbol"] for one in refused.json["series"]] == ["SPX", "x y"]
    assert refused.detail.startswith("ingestion failed: SPX: symbol 'SPX': none of mock.SPX-USD")
