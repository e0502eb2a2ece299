"""The offline world: vendors on loopback, deterministic from a seed, with faults on request.

It stands where the internet would: nothing here is imported by production code paths, and it imports
nothing of ours, so that a mistake of ours cannot be made twice and cancel out.

    symbols    what is listed where, since when, and how finely it is priced
    noise      hashing instead of walking: a number for any minute without its predecessors
    world      candles of any window and interval, and the unfinished one at the present
    intervals  the bar lengths and where their buckets begin
    clock      the present, real or set
    render     candles to JSON bytes, a block at a time
    limits     fixed windows of request weight: 429, then 418
    faults     scripted misbehaviour: what, whom, how often
    misbehave  what a fault does to an answer on its way out
    binance*   the Binance spot REST vendor           kraken*   the minimal Kraken REST vendor
    perpetuals     trades one by one, open interest and funding, which agree with the candles
    binance_usdm   the USDT-M futures REST vendor     binance_vision   its public archive of files
    exchange       when New York trades            shares         its shares: bars, splits
    polygon        their REST vendor               polygon_files  its flat files, as S3 gives them
    coingecko      the provider of coins, and `mock`
    press      what papers write                      newsapi, feeds   the vendors that show it
    journal    what was asked                         control   /_simulator/ over HTTP
    server     Simulator (a thread, for tests and `make run`) and serve (blocking, for the CLI)

    >>> with Simulator(seed=7) as simulator:
    ...     simulator.faults.add(Fault("rate_limited", times=2, retry_after=1))
    ...     requests.get(simulator.url + "/api/v3/klines?symbol=BTCUSDT&interval=1m")
"""

from importlib import import_module
from typing import Any

__all__ = ["Clock", "Fault", "Simulator", "World", "serve"]

_HOMES = {"Clock": "clock", "Fault": "faults", "Simulator": "server", "World": "world", "serve": "server"}


def __getattr__(name: str) -> Any:
    """Import on first use: asking for the package alone must not load a web server."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
