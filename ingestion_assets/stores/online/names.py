"""What series of the other domains are called in Redis, and the way back.

    glassnode.BTC.addresses.active_count   onchain  BTC                 active_addresses (the metric)
    its part `ma30`, if it has several     onchain  BTC                 active_addresses.ma30
    covalent.eth-mainnet.0xd8da…           onchain  eth-mainnet.0xd8da…  transactions, sent … balance_usd
    x.bitcoin                              social   twitter.bitcoin     1m, 1h
    every series of X together             social   twitter             1m, 1h
    rss.coindesk, every feed together      news     rss.coindesk, rss

A metric with a name that people know goes by that; others by category and name, `transactions.count`.
"""

from __future__ import annotations

import re

from ingestion_assets.tables.onchain import ALIASES

_METRICS_BY, _ADDRESSES_BY = "glassnode", "covalent"
VALUE = "value"  # what the component of a metric without parts is called
_KEY = re.compile(r"[A-Za-z0-9_.-]+")
_SOURCES = {"twitter": "x"}  # platforms whose series begin otherwise
_PLATFORMS = {source: platform for platform, source in _SOURCES.items()}
_SHORT = {metric: short for short, metric in ALIASES.items()}


def platform_of(series: str) -> str:
    """`x.bitcoin` → `twitter`: the topic under which all series of a source are taken together."""
    source = series.partition(".")[0]
    return _PLATFORMS.get(source, source)


def topic_of(series: str) -> str:
    """`x.bitcoin` → `twitter.bitcoin`."""
    return f"{platform_of(series)}.{series.partition('.')[2]}"


def source_of(platform: str) -> str:
    """`twitter` → `x`."""
    return _SOURCES.get(platform, platform)


def series_of_topic(topic: str) -> str:
    """`twitter.bitcoin` → `x.bitcoin`; of a platform alone, what the ids of its series begin with: `x`."""
    platform, dot, rest = topic.partition(".")
    return f"{source_of(platform)}{dot}{rest}"


def is_address(series: str) -> bool:
    """Whether a series of `onchain` is an address, not a metric."""
    return series.startswith(f"{_ADDRESSES_BY}.")


def can_be_read(component: str) -> bool:
    """Whether a name that a vendor gave a part may stand in a key and in a request."""
    return _KEY.fullmatch(component) is not None


def metric_of(series: str, component: str = VALUE) -> tuple[str, str]:
    """`glassnode.BTC.addresses.active_count` → `BTC`, `active_addresses`; parts and addresses as above."""
    _, _, rest = series.partition(".")
    if is_address(series):
        return rest, component
    coin, _, metric = rest.partition(".")
    short = _SHORT.get(metric, metric)
    return coin, short if component == VALUE else f"{short}.{component}"


def series_of_metric(coin: str, metric: str) -> tuple[str, str]:
    """`BTC`, `active_addresses` → the series and the component; the vendor's spelling with a slash does as
    well. A coin with a dot in it is an address on its chain."""
    if "." in coin:
        chain, _, address = coin.partition(".")
        lower = address.lower() if address[:2].lower() == "0x" else address
        return f"{_ADDRESSES_BY}.{chain.lower()}.{lower}", metric
    words = metric.replace("/", ".").split(".")
    words[:1] = ALIASES.get(words[0], words[0]).split(".")
    return f"{_METRICS_BY}.{coin.upper()}.{'.'.join(words[:2])}", ".".join(words[2:]) or VALUE
