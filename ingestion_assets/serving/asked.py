"""What the symbols of a request stand for among the series that are kept.

`BTC-USD` may be an exchange's market, the provider's, or what an exchange without dollars has instead of it.
One symbol that stands for nothing is told of by itself and does not keep the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ingestion_assets.registry import Series
from ingestion_assets.serving.ingestion import following
from ingestion_assets.serving.models import SeriesOutcome
from ingestion_assets.serving.parameters import market_series
from ingestion_assets.serving.problems import Unprocessable
from ingestion_assets.tables import SNAPSHOTS, Table
from ingestion_assets.workbench import Workbench

_PROVIDERS = "snapshots"  # the domain of who gives markets that are no exchange's
_SHOWN = 60


@dataclass
class Asked:
    series: dict[str, list[str]] = field(default_factory=dict)  # by id, the words that meant it
    refused: list[SeriesOutcome] = field(default_factory=list)


def asked(bench: Workbench, texts: Sequence[str], tables: Collection[Table]) -> Asked:
    """The series among those that these tables keep up to date."""
    kept = dict.fromkeys(name for table in tables for name in following(bench, table))
    known = {series.id: series for series in bench.registry.series()}
    found = Asked()
    for text in dict.fromkeys(texts):
        names = list(dict.fromkeys(_names(bench, text.strip(), kept)))
        name = next((one for one in names if one in kept), None)
        if name is not None:
            found.series.setdefault(name, []).append(text)
        else:
            found.refused.append(_refused(bench, text, names, known))
    return found


def _names(bench: Workbench, text: str, kept: Collection[str]) -> Iterator[str]:
    """What it may mean, the likeliest first."""
    settings = bench.settings
    if "." in text:
        try:
            if fed := bench.canonical(text):
                yield fed
                return
        except ValueError:  # no vendor's; it may be a market
            pass
    try:
        name = market_series(text, None, settings.exchange_name)
    except Unprocessable:
        name = None
    if name is not None:
        yield name
    if "." in text:
        return
    yield from _provided(bench, text)
    if name is None:
        return
    pair = name.partition(".")[2]
    elsewhere = [other for other in kept if other.partition(".")[2] == pair]
    yield from elsewhere if len(elsewhere) == 1 else ()
    if pair.endswith("-USD"):
        yield f"{name}T"  # Binance has Tether where others have dollars


def _provided(bench: Workbench, text: str) -> Iterator[str]:
    """The same of the providers, the one of INGESTION_PROVIDER first."""
    names = {kind.serves for kind in bench.vendors if kind.domain == _PROVIDERS}
    for provider in sorted(names, key=lambda one: (one != bench.settings.market_provider, one)):
        try:
            if found := bench.canonical(f"{provider}.{text}"):
                yield found
        except ValueError:  # it can be no name of theirs
            continue


def _refused(bench: Workbench, text: str, names: Sequence[str], known: Mapping[str, Series]) -> SeriesOutcome:
    series = next((known[name] for name in names if name in known), None)
    return SeriesOutcome(
        series=series.id if series else None,
        symbol=text[:_SHOWN],
        strategy=series.strategy.value if series else None,
        status="error",
        records=0,
        succeeded=[],
        failed={},
        error_message=_why(bench, text[:_SHOWN], names, series),
        run_urls=[],
        asked=[text[:_SHOWN]],
    )


def _why(bench: Workbench, text: str, names: Sequence[str], series: Series | None) -> str:
    if series is None:
        if not names:
            return f"symbol {text!r} stands for no market: write it like BTC/USDT, kraken.ETH-USD or mock.SPX"
        provided = [name for name in names if name.startswith(f"{bench.settings.market_provider}.")]
        likely = provided[0] if provided and names[0].endswith("-USD") else names[0]
        return (
            f"symbol {text!r}: none of {', '.join(names)} is registered: "
            f'POST /api/v1/symbols {{"symbol": "{likely}"}} does that, if its vendor has it'
        )
    if not series.enabled:
        return f"{series.id} is disabled: PUT /api/v1/symbols/{series.id}/status with idle enables it"
    if series.domain == _PROVIDERS:
        lacking = [k.needs.upper() for k in bench.vendors if k.serves == series.source and k.needs]
        unkeyed = not any(bench.askable(table, series) for table in SNAPSHOTS.values())
        if lacking and unkeyed:
            return f"{series.id}: {series.source} needs a key: set {' and '.join(lacking)}"
    return (
        f"{series.id} ({series.domain}, {series.strategy.value}) is in no table that is asked for here: "
        "POST /api/v1/registry/execute takes every table"
    )
