"""A workbench with an empty lake at a simulated venue, and what an honest venue would have given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from ingestion_assets.ingestion import Landed, Options, slices_of
from ingestion_assets.intervals import Window, micros, parse_moment
from ingestion_assets.registry import Series, parse_id
from ingestion_assets.settings import load_settings
from ingestion_assets.simulator import Simulator
from ingestion_assets.simulator.symbols import BINANCE
from ingestion_assets.stores.gap_ledger import Gap
from ingestion_assets.tables import Table
from ingestion_assets.tables.market import OHLCV_1M
from ingestion_assets.workbench import Workbench

NOW = datetime(2024, 3, 5, 12, 0, 7, tzinfo=UTC)
COMPARED = ("time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades")
COMPARED += ("taker_buy_volume", "taker_buy_quote_volume")


def window(start: str, end: str) -> Window:
    return Window(parse_moment(start), parse_moment(end))


class Bench:
    """A workbench and the ways in which these tests use it."""

    def __init__(self, simulator: Simulator, workbench: Workbench) -> None:
        self.simulator, self.workbench = simulator, workbench
        self.lake, self.ledger, self.registry = workbench.lake, workbench.ledger, workbench.registry
        self.runs = 0

    def series(self, *names: str, **facts: Any) -> list[Series]:
        """Registered series by canonical id."""
        made = []
        for name in names:
            exchange, symbol = parse_id(name)
            self.registry.add_missing([Series(name, "market", exchange, symbol, **facts)])
            made.append(self.registry.require(name).series)
        return made

    def ingest(
        self, series: list[Series], part: Window, options: Options | None = None, table: Table = OHLCV_1M
    ) -> list[Landed]:
        self.runs += 1
        pieces = list(slices_of(series, part))
        landed = list(self.workbench.ingest(table, pieces, run=f"run {self.runs}", options=options))
        assert sorted(one.slice.key for one in landed) == sorted(piece.key for piece in pieces)
        return landed

    def ingest_all(self, series: list[Series], part: Window, options: Options | None = None) -> list[Landed]:
        landed = self.ingest(series, part, options)
        assert [str(one.error) for one in landed if one.error is not None] == []
        return landed

    def honest(self, series: Series, part: Window, table: Table = OHLCV_1M) -> dict[str, list[Any]]:
        """The columns that an honest venue gives of closed bars, faults of the world included."""
        symbol = BINANCE[series.symbol.replace("/", "")]
        start, end = (micros(moment) // 1_000 for moment in part)
        end = min(end, self.simulator.clock.now_ms() - 5_000)
        minutes = table.grain // timedelta(minutes=1)
        end -= end % (minutes * 60_000)
        absent = self.simulator.faults.absent(symbol)
        named = {1: "1m", 5: "5m"}[minutes]
        f = self.simulator.world.candles(symbol, named, start, end, absent).floats()
        opens = [datetime.fromtimestamp(at / 1000, UTC) for at in f["open_ms"].tolist()]
        given = {"time": opens}
        given |= {name: f[name].tolist() for name in COMPARED[1:6]}
        given["close_time"] = [at + table.grain - timedelta(milliseconds=1) for at in opens]
        given |= {"quote_volume": f["quote_volume"].tolist(), "trades": f["trades"].tolist()}
        given["taker_buy_volume"] = f["taker_volume"].tolist()
        given["taker_buy_quote_volume"] = f["taker_quote_volume"].tolist()
        return given

    def held(self, series: Series, part: Window, table: Table = OHLCV_1M) -> pa.Table:
        return self.lake.read(table, series.id, part)

    def assert_equal(self, series: Series, part: Window, table: Table = OHLCV_1M) -> None:
        """The lake holds exactly what an honest venue gives."""
        held, honest = self.held(series, part, table), self.honest(series, part, table)
        assert len(held) == len(honest["time"])
        for name in COMPARED:
            assert held.column(name).to_pylist() == honest[name], name

    def assert_nothing_invented(self, series: Series, part: Window) -> int:
        """Every row held is one of the honest ones; how many are held."""
        honest = self.honest(series, part)
        known = dict(zip(honest["time"], zip(*honest.values(), strict=True), strict=True))
        rows = self.held(series, part).select(COMPARED).to_pylist()
        for row in rows:
            assert tuple(row.values()) == known.get(row["time"])
        assert len({row["time"] for row in rows}) == len(rows)
        return len(rows)

    def open_gaps(self, series: Series, table: Table = OHLCV_1M) -> list[Gap]:
        return self.ledger.open(table.path, series.id)

    def asked(self) -> int:
        """Requests for candles since the last time this was asked."""
        count = self.simulator.requests.by_path["/api/v3/klines"]
        self.simulator.requests.clear()
        return count

    def path(self, series: Series, month: str, table: Table = OHLCV_1M) -> Any:
        from pathlib import Path

        return Path(self.lake.url(table, series.id, month).removeprefix("file://"))

    def punch(self, series: Series, month: str, holes: list[Window], table: Table = OHLCV_1M) -> None:
        """Take rows out of a month's file, as a careless hand would."""
        import numpy as np
        import pyarrow.parquet as pq

        path = self.path(series, month, table)
        rows = pq.read_table(path)
        keys = table.keys(rows)
        keep = np.ones(len(keys), dtype=bool)
        for hole in holes:
            keep &= (keys < micros(hole.start)) | (keys >= micros(hole.end))
        pq.write_table(rows.filter(pa.array(keep)), path)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Standing still at NOW."""
    with Simulator(now=NOW, weight_limit=1_000_000) as running:
        yield running


@pytest.fixture
def make_bench(simulator: Simulator, tmp_path: Any) -> Iterator[Callable[..., Bench]]:
    """A workbench with its own lake and catalog; settings by keyword."""
    made: list[Workbench] = []

    def make(**settings: Any) -> Bench:
        place = tmp_path / f"bench-{len(made)}"
        given = {
            "profile": "live",
            "binance_url": simulator.url,
            "ingest_state_dir": place,
            "data_lake_path": str(place / "lake"),
            "http_attempts": 3,
            "http_timeout_sec": 60,
        }
        workbench = Workbench(load_settings(**(given | settings)))
        workbench.catalog.create()
        made.append(workbench)
        return Bench(simulator, workbench)

    yield make
    for workbench in made:
        workbench.catalog.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()
