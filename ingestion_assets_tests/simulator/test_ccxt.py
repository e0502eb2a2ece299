"""The real ccxt clients take the simulator for the real venues."""

import asyncio

import ccxt
import ccxt.async_support
import pytest

from ingestion_assets.simulator import Fault
from ingestion_assets.simulator.clock import to_ms
from ingestion_assets.simulator.symbols import KRAKEN

START = to_ms("2025-05-05T00:00")


def binance(simulator, module=ccxt):
    client = module.binance({"options": {"fetchMarkets": {"types": ["spot"]}}, "enableRateLimit": False})
    client.urls["api"]["public"] = simulator.url + "/api/v3"
    return client


def kraken(simulator, module=ccxt):
    client = module.kraken({"enableRateLimit": False})
    client.urls["api"]["public"] = simulator.url
    return client


def expected(simulator, symbol, start, count):
    f = simulator.world.candles(symbol, "1m", start, start + count * 60_000).floats()
    columns = ("open_ms", "open", "high", "low", "close", "volume")
    return [list(row) for row in zip(*(f[name].tolist() for name in columns), strict=True)]


def test_binance_loads_markets_and_pages(simulator):
    client = binance(simulator)
    markets = client.load_markets()
    assert markets["BTC/USDT"]["active"]
    assert not markets["LUNA/USDT"]["active"]
    assert markets["BTC/USDT"]["precision"] == {"amount": 1e-05, "price": 0.01, "base": 1e-08, "quote": 1e-08}
    assert markets["BTC/USDT"]["limits"]["cost"]["min"] == 5
    assert client.fetch_ohlcv("BTC/USDT", "1m", START, 1000) == expected(simulator, "BTCUSDT", START, 1000)
    assert client.fetch_ohlcv("BTC/USDT", "1w", limit=2)[1][0] == to_ms("2026-03-02")
    assert client.fetch_time() == simulator.clock.now_ms()
    assert client.fetch_ticker("ETH/USDT")["last"] > 0
    assert len(client.fetch_order_book("ETH/USDT", 5)["bids"]) == 5


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("rate_limited"), ccxt.DDoSProtection),
        (Fault("banned"), ccxt.DDoSProtection),
        (Fault("geo_blocked"), ccxt.ExchangeNotAvailable),
        (Fault("server_error"), ccxt.ExchangeNotAvailable),
        (Fault("vanished", symbol="BTCUSDT"), ccxt.BadSymbol),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
def test_ccxt_understands_binance_refusals(simulator, fault, error):
    client = binance(simulator)
    client.load_markets()
    simulator.faults.add(Fault.from_dict(fault.as_dict()))
    with pytest.raises(error):
        client.fetch_ohlcv("BTC/USDT", "1m", START)


def test_kraken_loads_markets_and_pages(simulator):
    client = kraken(simulator)
    markets = client.load_markets()
    assert markets["BTC/USD"]["id"] == "XXBTZUSD"
    assert markets["SOL/USD"]["id"] == "SOLUSD"
    assert markets["DOGE/USD"]["id"] == "XDGUSD"
    rows = client.fetch_ohlcv("BTC/USD", "1m")
    assert len(rows) == 721
    assert rows[:-1] == expected(simulator, KRAKEN["XXBTZUSD"], rows[0][0], 720)
    assert client.fetch_ohlcv("BTC/USD", "1m", since=rows[-10][0]) == rows[-10:]
    assert client.fetch_ticker("BTC/USD")["last"] > 0
    simulator.faults.add(Fault("vanished", symbol="XBTUSD"))
    with pytest.raises(ccxt.ExchangeError, match="Unknown asset pair"):
        client.fetch_ohlcv("BTC/USD")


def test_async_clients_too(simulator):
    async def both():
        one, other = binance(simulator, ccxt.async_support), kraken(simulator, ccxt.async_support)
        try:
            await asyncio.gather(one.load_markets(), other.load_markets())
            return await asyncio.gather(
                one.fetch_ohlcv("ETH/USDT", "1m", START, 1000),
                *(one.fetch_ohlcv(s, "1h", START, 500) for s in ("SOL/USDT", "XRP/USDT", "ADA/USDT")),
                other.fetch_ohlcv("ETH/USD", "1m"),
            )
        finally:
            await asyncio.gather(one.close(), other.close())

    eth, *hours, kraken_eth = asyncio.run(both())
    assert eth == expected(simulator, "ETHUSDT", START, 1000)
    assert [len(rows) for rows in hours] == [500] * 3
    assert len(kraken_eth) == 721
