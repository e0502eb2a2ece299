"""The provider `mock`: markets of the simulated world, in CoinGecko's shapes, whatever the profile.

Vendor    the built-in simulator, on this machine
Key       none
Markets   every coin that the simulator lists, and SPX, which no provider of coins has
"""

from __future__ import annotations

from ingestion_assets.registry import check_id
from ingestion_assets.sources.snapshots.coingecko import CoinGecko


class Mock(CoinGecko):
    name, serves = "mock", "mock"
    needs = None
    allowance = None
    root = "/mock/v3"
    snapshot, prices, candles = CoinGecko.snapshot, CoinGecko.prices, CoinGecko.candles

    @classmethod
    def named(cls, text: str) -> tuple[str, str] | None:
        """`SPX`, `BTC-USD`, `btc/usd`: by ticker, for there is one of each."""
        base, _, quote = text.upper().replace("/", "-").partition("-")
        return check_id(f"{cls.serves}.{base}-{quote or 'USD'}"), f"{base}/{quote or 'USD'}"
