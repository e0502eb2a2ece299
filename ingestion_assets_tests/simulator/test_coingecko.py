"""The simulated CoinGecko: the public client gets along with it, and it has the vendor's oddities."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ingestion_assets.simulator import Simulator

pycoingecko = pytest.importorskip("pycoingecko", reason="a public client: pip install pycoingecko")
NOW = "2024-07-09T18:00:30"
DAY = 86_400


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(now=NOW) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator):
    client = pycoingecko.CoinGeckoAPI(retries=0, demo_api_key="any")
    client.api_base_url = f"{simulator.url}/api/v3/"
    return client


def test_a_public_client_reads_markets_charts_and_candles(client, recordings):
    import json

    (bitcoin, ether) = client.get_coins_markets(vs_currency="usd", ids="bitcoin,ethereum,nothing")
    recorded = json.loads((recordings / "coingecko" / "market_data_for_a_coin.body.json").read_text())[0]
    assert bitcoin.keys() == recorded.keys()
    assert ether["id"] == "ethereum"
    assert bitcoin["low_24h"] <= bitcoin["current_price"] <= bitcoin["high_24h"]
    now = 1_720_548_030
    chart = client.get_coin_market_chart_range_by_id("bitcoin", "usd", now - 3 * DAY, now)
    stamps = [stamp for stamp, _ in chart["prices"]]
    assert 71 <= len(stamps) <= 73
    assert len({stamp % 3_600_000 for stamp in stamps}) > 60
    candles = client.get_coin_ohlc_by_id("bitcoin", "usd", 7)
    assert candles[-1][0] > now * 1000, "the last one ends in the future"


def test_without_a_key_nothing_is_served_but_by_the_mock(simulator: Simulator):
    import requests

    told = {
        (key, path): requests.get(
            f"{simulator.url}{path}coins/markets?vs_currency=usd",
            headers=key and {"x-cg-demo-api-key": key},
            timeout=30,
        )
        for key in ("", "wrong-one", "any")
        for path in ("/api/v3/", "/mock/v3/")
    }
    codes = {asked: answer.status_code for asked, answer in told.items()}
    assert codes == {
        ("", "/api/v3/"): 401,
        ("wrong-one", "/api/v3/"): 401,
        ("any", "/api/v3/"): 200,
        ("", "/mock/v3/"): 200,
        ("wrong-one", "/mock/v3/"): 200,
        ("any", "/mock/v3/"): 200,
    }
    assert told["", "/api/v3/"].json()["status"]["error_code"] == 10_002


def test_errors_come_in_the_vendors_shapes(client):
    with pytest.raises(ValueError, match="Missing parameter vs_currency"):
        client.get_coins_markets(vs_currency="")
    with pytest.raises(ValueError, match="coin not found"):
        client.get_coin_ohlc_by_id("nothing", "usd", 7)
