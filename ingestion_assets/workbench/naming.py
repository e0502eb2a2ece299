"""What a text stands for: whose series it names, under which id and symbol. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ingestion_assets.registry import parse_id, series_id
from ingestion_assets.sources.feeds import Vendor


class Named(NamedTuple):
    """Whose series it is, with its canonical id and the vendor's symbol; without a vendor it is a market."""

    vendor: type[Vendor] | None
    source: str
    id: str
    symbol: str


def named(text: str, kinds: Iterable[type[Vendor]]) -> Named:
    """By a canonical id or an alias."""
    found = fed(text, kinds)
    if found is not None:
        return found
    exchange, symbol = parse_id(text)
    return Named(None, exchange, series_id(exchange, symbol), symbol)


def fed(text: str, kinds: Iterable[type[Vendor]]) -> Named | None:
    """The same of another domain than candles; None where it is none of those vendors'."""
    source, _, rest = text.strip().partition(".")
    for kind in sorted(kinds, key=lambda one: not one.lists()):
        match = kind.named(rest) if rest and kind.serves == source.lower() else None
        if match is not None:
            return Named(kind, kind.serves, *match)
    return None
