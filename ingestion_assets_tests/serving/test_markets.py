"""Markets as the older system showed them: rows of the lake, the newest first of all from the cache."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from ingestion_assets.intervals import month_of
from ingestion_assets.registry import Series
from ingestion_assets.stores.cache import LATEST
from ingestion_assets.tables import DERIVED, STATISTICS, Table
from ingestion_assets_tests.serving.conftest import Api

SERIES = "binance.BTC-USDT"
HOUR = timedelta(hours=1)
NEWEST = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - HOUR


def keep(api: Api, table: Table, moments: list[datetime], **more: object) -> None:
    """Rows whose numbers are all the row's own number."""
    for number, moment in enumerate(moments):
        values: dict[str, object] = {}
        for column in table.columns:
            values[column.name] = moment if pa.types.is_timestamp(column.type) else float(number + 1)
            if column.kind == "string":
                values[column.name] = "derived"
        values |= {name: value for name, value in more.items() if name in values}
        rows = table.conform(pa.Table.from_pylist([values]))
        api.bench.lake.merge(table, SERIES, month_of(moment), rows, notes={"run": "test"})


def test_markets_are_listed_with_their_two_assets(api: Api) -> None:
    for name, symbol in ((SERIES, "BTC/USDT"), ("binance.BTC-USDT-PERP", "BTC/USDT:USDT")):
        api.bench.registry.add(Series(name, "market", "binance", symbol, description="Bitcoin"))
    listed = api.get("/api/markets").json
    assert [(one["series"], one["baseAsset"], one["quoteAsset"]) for one in listed] == [
        (SERIES, "BTC", "USDT"),
        ("binance.BTC-USDT-PERP", "BTC", "USDT"),
    ]


@pytest.mark.parametrize(
    ("kind", "table", "column"),
    [
        ("snapshots", STATISTICS["market_snapshot"], "price"),
        ("statistics", STATISTICS["roi_statistics"], None),
        ("comparisons", STATISTICS["market_comparison"], "price_ratio"),
        ("aggregates", DERIVED["1h"], "close"),
    ],
)
def test_the_newest_rows_come_oldest_first_and_older_ones_by_their_time(
    kind: str, table: Table, column: str | None, api: Api
) -> None:
    moments = [NEWEST - n * HOUR for n in range(5)][::-1]
    keep(api, table, moments, other="binance.ETH-USDT")
    got = api.get(f"/api/markets/BTC-USDT/{kind}", limit=2).json
    assert (got["series"], got["table"], got["count"]) == (SERIES, table.path, 2)
    assert [row["ts"] for row in got["rows"]] == [int(m.timestamp()) for m in moments[-2:]]
    if column:
        assert [row[column] for row in got["rows"]] == [4.0, 5.0]
    span = {"start": moments[0].isoformat(), "end": int(moments[2].timestamp()), "limit": 2}
    got = api.get(f"/api/markets/BTC/USDT/{kind}", **span).json
    assert [row["ts"] for row in got["rows"]] == [int(m.timestamp()) for m in moments[:2]]


def test_the_latest_is_the_caches(api: Api) -> None:
    missing = api.get("/api/markets/BTC-USDT/latest")
    assert missing.status == 404
    assert "snapshots" in missing.detail
    entry = {"time": int(time.time()), "close": 7.5}
    api.bench.cache.put("BTC-USDT", LATEST, entry)
    assert api.get("/api/markets/BTCUSDT/latest").json == {"series": SERIES, "what": "latest", "entry": entry}


@pytest.mark.parametrize(
    "query",
    [
        "snapshots?limit=0",
        "snapshots?limit=10001",
        "snapshots?start=0",
        "snapshots?start=2024-01-01&end=2020-01-01",
        "snapshots?start=2010-01-01",
        "aggregates?timeframe=7m",
        "aggregates?timeframe=15m",
        "secrets",
    ],
)
def test_what_cannot_be_meant_is_refused(query: str, api: Api) -> None:
    assert api.get(f"/api/markets/BTC-USDT/{query}").status == 422
    assert api.get(f"/api/markets/*/{query}").status == 422
