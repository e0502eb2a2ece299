"""Kraken REST as facts: bar lengths, page size, the shapes of assets and pairs."""

from typing import Any

from ingestion_assets.simulator.symbols import Symbol

ROWS = 720
INTERVALS = {"1", "5", "15", "30", "60", "240", "1440", "10080"}
"""Minutes. The venue's 21600 is not simulated."""

_FIAT = {"ZUSD": ("USD", 4, 2), "ZEUR": ("EUR", 4, 2), "USDT": ("USDT", 8, 4)}
_TAKER = (0.4, 0.35, 0.24, 0.22, 0.2, 0.18, 0.16, 0.14, 0.12, 0.1)
_MAKER = (0.25, 0.2, 0.14, 0.12, 0.1, 0.08, 0.06, 0.04, 0.02, 0.0)
_VOLUMES = (0, 10000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000)


def plain(value: int, decimals: int, places: int | None = None) -> str:
    """Ticks or lots as Kraken writes them: as many places as the pair has, or as asked."""
    whole, part = divmod(value, 10**decimals)
    return f"{whole}.{part:0{decimals}d}".ljust(len(f"{whole}.") + (places or 0), "0")


def asset(name: str) -> dict[str, Any]:
    """One entry of Assets."""
    alt = name[1:] if len(name) == 4 and name[0] == "X" else name
    alt, decimals, display = _FIAT.get(name, (alt, 10, 5))
    shown = {"decimals": decimals, "display_decimals": display}
    return {"aclass": "currency", "altname": alt, **shown, "status": "enabled"}


def pair(symbol: Symbol, *, online: bool) -> dict[str, Any]:
    """One entry of AssetPairs."""
    leverage = [2, 3, 4, 5] if symbol.quote_per_minute > 5000 else []
    return {
        "altname": symbol.altname,
        "wsname": symbol.wsname,
        "aclass_base": "currency",
        "base": symbol.base,
        "aclass_quote": "currency",
        "quote": symbol.quote,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": symbol.price_decimals,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": leverage,
        "leverage_sell": leverage,
        "fees": [list(step) for step in zip(_VOLUMES, _TAKER, strict=True)],
        "fees_maker": [list(step) for step in zip(_VOLUMES, _MAKER, strict=True)],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": f"{5 / symbol.price:.8f}",
        "costmin": "0.5",
        "tick_size": f"{10.0**-symbol.price_decimals:.{symbol.price_decimals}f}",
        "status": "online" if online else "delisted",
    }
