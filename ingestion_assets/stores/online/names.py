"""What series of the other domains are called in Redis, and the way back.

    glassnode.BTC.addresses.active_count   onchain  BTC              active_addresses (the metric)
    x.bitcoin                              social   twitter.bitcoin  1m, 1h
    every series of X together             social   twitter          1m, 1h
    rss.coindesk, every feed together      news     rss.coindesk, rss

A metric with a name that people know goes by that; others by category and name, `transactions.count`.
"""

from __future__ import annotations

from ingestion_assets.tables.onchain import ALIASES

METRICS_BY = "glassnode"  # who measures what is read by coin and metric
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


def metric_of(series: str) -> tuple[str, str]:
    """`glassnode.BTC.addresses.active_count` → `BTC`, `active_addresses`."""
    _, coin, metric = series.split(".", 2)
    return coin, _SHORT.get(metric, metric)


def series_of_metric(coin: str, metric: str) -> str:
    """`BTC`, `active_addresses` → the series; the vendor's spelling with a slash does as well."""
    return f"{METRICS_BY}.{coin.upper()}.{ALIASES.get(metric, metric.replace('/', '.'))}"
