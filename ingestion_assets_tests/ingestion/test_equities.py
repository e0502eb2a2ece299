"""Shares and snapshots through the engine: closed hours are no gap, lost ones are; nothing is overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.ingestion import Landed, Options, slices_of
from ingestion_assets.ingestion.audit import audit
from ingestion_assets.intervals import Window, micros
from ingestion_assets.registry import Series, Strategy
from ingestion_assets.simulator import Fault
from ingestion_assets.simulator.shares import SHARES, Shares
from ingestion_assets.sources.errors import AuthError, NotFound
from ingestion_assets.sources.feeds import feeds_of, vendors
from ingestion_assets.stores.gap_ledger import UNRECOVERABLE
from ingestion_assets.tables import Table
from ingestion_assets.tables.equities import EQUITIES, EQUITY_1M, EQUITY_SNAPSHOTS, SPLITS
from ingestion_assets.tables.snapshots import MARKET_SNAPSHOTS, OHLC_4H, PRICE_HISTORY, SNAPSHOTS
from ingestion_assets_tests.ingestion.conftest import NOW, window

YEAR = window("2023-03-01", "2024-03-01")  # NOW is Tuesday 2024-03-05 12:00:07, 07:00 in New York
FILES, BARS = "/flatfiles/", "/v2/aggs/"
KEYS = {"polygon_api_key": "key", "polygon_s3_access_key_id": "id", "coingecko_api_key": "key"}
VENDORS = ("polygon", "polygon_files", "coingecko", "mock")


class Desk:
    """A bench with vendors of shares and snapshots, and what the simulated world holds of them."""

    def __init__(self, make_bench: Callable[..., Any], **settings: Any) -> None:
        self.bench = make_bench(**(KEYS | settings))
        self.simulator = self.bench.simulator

    def series(self, name: str, strategy: Strategy = Strategy.FLATPACK) -> Series:
        source, _, rest = name.partition(".")
        kind = next(k for k in vendors() if k.serves == source)
        made = Series(name, kind.domain, source, kind.named(rest)[1], strategy)
        self.bench.registry.add_missing([made])
        return self.bench.registry.require(name).series

    def ingest(self, table: Table, part: Window, *series: Series, **options: bool) -> list[Landed]:
        self.simulator.requests.clear()
        pieces = list(slices_of(series, part, table.cut))
        return list(self.bench.workbench.ingest(table, pieces, run="test", options=Options(**options)))

    def ingest_well(self, table: Table, part: Window, *series: Series, **options: bool) -> list[Landed]:
        landed = self.ingest(table, part, *series, **options)
        assert [str(one.error) for one in landed if one.error] == []
        return landed

    def asked(self, path: str) -> int:
        return sum(n for name, n in self.simulator.requests.by_path.items() if name.startswith(path))

    def rows(self, table: Table, part: Window, series: Series) -> list[dict[str, Any]]:
        return self.bench.lake.read(table, series.id, part).to_pylist()

    def told(self, part: Window, series: Series) -> list[tuple[datetime, float, float]]:
        bars = Shares(self.simulator._gate.market).minutes(
            SHARES[series.symbol], *(micros(moment) // 1_000 for moment in part)
        )
        return [
            (datetime.fromtimestamp(ms / 1000, UTC), close / 100, float(volume))
            for ms, close, volume in zip(
                bars.open_ms.tolist(), bars.close.tolist(), bars.volume.tolist(), strict=True
            )
        ]

    def held(self, part: Window, series: Series) -> list[tuple[datetime, float, float]]:
        return [(r["time"], r["close"], r["volume"]) for r in self.rows(EQUITY_1M, part, series)]

    def gaps(self, table: Table, series: Series) -> list[tuple[str, Window]]:
        return [(gap.reason, gap.window) for gap in self.bench.ledger.open(table.path, series.id)]

    def audited(self, series: Series, part: Window) -> Any:
        import dataclasses

        known = dataclasses.replace(series, backfill_from=part.start)
        lake, ledger = self.bench.lake, self.bench.ledger
        return audit(EQUITY_1M, known, lake, ledger, part.end, grace=timedelta())


@pytest.fixture
def make_desk(make_bench, simulator) -> Callable[..., Desk]:
    urls = json.dumps(dict.fromkeys(VENDORS, simulator.url))
    return lambda **settings: Desk(make_bench, exchange_urls=urls, **settings)


@pytest.fixture
def desk(make_desk) -> Desk:
    return make_desk()


def test_a_year_with_holidays_half_days_and_both_changes_of_the_clock_has_no_gap_and_a_lost_month_is_one(
    desk,
):
    aapl = desk.series("polygon.AAPL")
    desk.ingest_well(EQUITY_1M, YEAR, aapl)
    assert desk.gaps(EQUITY_1M, aapl) == []
    found = desk.audited(aapl, YEAR)
    assert (found.absent, found.pending, found.coverage) == (0, 0, 1.0)
    assert desk.held(YEAR, aapl) == desk.told(YEAR, aapl)
    assert 250 <= desk.asked(FILES) <= 265
    assert desk.asked(BARS) == 0
    desk.ingest_well(EQUITY_1M, YEAR, aapl)
    assert desk.asked(FILES) == 0
    lost = Path(desk.bench.lake.url(EQUITY_1M, aapl.id, "2023-11").removeprefix("file://"))
    lost.unlink()
    found = desk.audited(aapl, YEAR)
    assert found.holes == [window("2023-11-01", "2023-12-01")]
    desk.ingest_well(EQUITY_1M, YEAR, aapl)
    assert 20 <= desk.asked(FILES) <= 23
    assert desk.held(YEAR, aapl) == desk.told(YEAR, aapl)


def test_a_year_by_rest_is_a_request_a_month_and_gives_the_same_rows(desk):
    msft = desk.series("polygon.MSFT", Strategy.FLATPACK_API)
    desk.ingest_well(EQUITY_1M, YEAR, msft)
    assert desk.asked(BARS) == 12
    assert desk.asked(FILES) == 0
    assert desk.gaps(EQUITY_1M, msft) == []
    assert desk.held(YEAR, msft) == desk.told(YEAR, msft)


def test_the_open_day_comes_by_rest_and_again_only_its_tail(desk):
    aapl, part = desk.series("polygon.AAPL"), window("2024-03-01", "2024-04-01")
    desk.ingest_well(EQUITY_1M, part, aapl)
    shown = Window(part.start, NOW - timedelta(minutes=20, seconds=7))
    assert desk.held(part, aapl) == desk.told(shown, aapl)
    bulk = [r["time"] for r in desk.rows(EQUITY_1M, part, aapl) if r["source"] == "bulk"]
    # Monday's file is there at noon on Tuesday, in New York, where it is 07:00.
    assert {moment.date().isoformat() for moment in bulk} == {"2024-03-01", "2024-03-02"}
    desk.simulator.clock.set(NOW + timedelta(minutes=30))
    landed = desk.ingest_well(EQUITY_1M, part, aapl)
    assert (desk.asked(FILES), desk.asked(BARS)) == (0, 1)
    assert sum(one.new for one in landed) == len(
        desk.told(Window(shown.end, shown.end + timedelta(minutes=30)), aapl)
    )


def test_quiet_shares_and_a_halt_of_a_whole_day_are_no_gap(desk):
    halt = window("2024-02-14T05:00", "2024-02-15T05:00")
    desk.simulator.faults.add(Fault("outage", symbol="ZZZ", start=halt.start, end=halt.end, times=None))
    part = window("2024-02-01", "2024-03-01")
    quiet = desk.series("polygon.ZZZ")
    desk.ingest_well(EQUITY_1M, part, quiet)
    assert desk.gaps(EQUITY_1M, quiet) == []
    assert desk.held(part, quiet) == desk.told(part, quiet)
    assert desk.audited(quiet, part).coverage == 1.0


def test_a_session_that_was_traded_and_whose_minutes_nobody_has_is_a_gap_until_somebody_has_them(desk):
    lost = window("2024-02-14T09:00", "2024-02-15T01:00")
    for path in (None, BARS):
        desk.simulator.faults.add(Fault("archive_lacks", path=path, start=lost.start, end=lost.end))
    part, aapl = window("2024-02-01", "2024-03-01"), desk.series("polygon.AAPL")
    desk.ingest_well(EQUITY_1M, part, aapl)
    assert desk.gaps(EQUITY_1M, aapl) == [(UNRECOVERABLE, lost)]
    (gap,) = desk.bench.ledger.open(EQUITY_1M.path, aapl.id)
    assert "none of its minutes" in gap.evidence
    desk.simulator.faults.clear()
    desk.ingest_well(EQUITY_1M, part, aapl, full_refresh=True)
    assert desk.gaps(EQUITY_1M, aapl) == []
    assert desk.held(part, aapl) == desk.told(part, aapl)


def test_what_files_lack_the_api_gives_and_without_their_key_all_of_it(make_desk):
    part, desk = window("2024-02-12", "2024-02-17"), make_desk()
    gone = window("2024-02-14T05:00", "2024-02-15T05:00")
    desk.simulator.faults.add(Fault("archive_missing", path=FILES, start=gone.start, end=gone.end))
    aapl = desk.series("polygon.AAPL")
    desk.ingest_well(EQUITY_1M, part, aapl)
    assert desk.held(part, aapl) == desk.told(part, aapl)
    assert (desk.asked(FILES), desk.asked(BARS)) == (5, 1)
    other = make_desk(polygon_s3_access_key_id=None)
    same = other.series("polygon.AAPL")
    other.ingest_well(EQUITY_1M, part, same)
    assert (other.asked(FILES), other.asked(BARS)) == (0, 1)
    assert other.held(part, same) == desk.told(part, aapl)


def test_without_a_key_nobody_is_asked_and_a_wrong_one_fails_at_once(make_desk):
    part = window("2024-02-12", "2024-02-13")
    none = make_desk(polygon_api_key=None, polygon_s3_access_key_id=None)
    aapl = none.series("polygon.AAPL")
    assert not none.bench.workbench.askable(EQUITY_1M, aapl)
    (landed,) = none.ingest(EQUITY_1M, part, aapl)
    assert isinstance(landed.error, AuthError)
    assert "POLYGON_" in str(landed.error)
    assert none.simulator.requests.by_path == {}
    wrong = make_desk(polygon_api_key="wrong-secret", polygon_s3_access_key_id=None)
    assert wrong.bench.workbench.askable(EQUITY_1M, wrong.series("polygon.AAPL"))
    (landed,) = wrong.ingest(EQUITY_1M, part, aapl)
    assert isinstance(landed.error, AuthError)
    assert "Unknown API Key" in str(landed.error)
    assert "wrong-secret" not in str(landed.error)
    assert set(wrong.simulator.requests.by_path.values()) == {1}, "nothing is asked twice"


def test_the_old_name_and_the_new_name_of_the_key():
    from ingestion_assets.settings import load_settings

    settings = load_settings(massive_api_key="key")
    assert settings.polygon_api_key.get_secret_value() == "key"
    assert settings.polygon_s3_secret_access_key.get_secret_value() == "key"


def test_splits_lie_in_their_months(desk):
    nvda = desk.series("polygon.NVDA")
    desk.simulator.clock.set("2024-07-01T12:00")
    desk.ingest_well(SPLITS, window("2020-01-01", "2024-07-01"), nvda)
    found = desk.rows(SPLITS, window("2020-01-01", "2024-07-01"), nvda)
    assert [(r["execution_date"].isoformat(), r["split_to"]) for r in found] == [
        ("2021-07-20", 4),
        ("2024-06-10", 10),
    ]
    assert desk.asked("/v3/reference/splits") == 1


@pytest.mark.parametrize(
    ("name", "table", "path"),
    [
        ("polygon.AAPL", EQUITY_SNAPSHOTS, "/v2/snapshot/"),
        ("coingecko.bitcoin-usd", MARKET_SNAPSHOTS, "/api/v3/coins/markets"),
        ("mock.SPX-USD", MARKET_SNAPSHOTS, "/mock/v3/coins/markets"),
    ],
)
def test_a_snapshot_is_taken_once_in_five_minutes_and_never_replaced(
    desk, monkeypatch, name: str, table: Table, path: str
) -> None:
    from ingestion_assets.sources.snapshots.coingecko import CoinGecko

    async def simulated(_: Any) -> datetime:
        return datetime.fromtimestamp(desk.simulator.clock.now_ms() / 1_000, UTC)

    monkeypatch.setattr(CoinGecko, "now", simulated)  # elsewhere the present is the machine's
    part, series = window("2024-03-01", "2024-04-01"), desk.series(name, Strategy.SNAPSHOT)
    desk.ingest_well(table, part, series)
    first = desk.rows(table, part, series)
    assert len(first) == desk.asked(path) == 1
    assert (
        window("2024-03-05T12:00", "2024-03-05T12:05").start <= first[0]["time"] < NOW + timedelta(minutes=5)
    )
    desk.ingest_well(table, part, series)
    assert desk.asked(path) == 0
    desk.simulator.clock.set(NOW + timedelta(minutes=5))
    desk.ingest_well(table, part, series)
    second = desk.rows(table, part, series)
    assert len(second) == 2
    assert second[0] == first[0]


def test_while_nobody_is_shown_nothing_is_stored_and_nothing_fails(desk):
    series = [desk.series(name, Strategy.SNAPSHOT) for name in ("polygon.AAPL", "polygon.MSFT")]
    desk.simulator.clock.set("2024-03-06T08:45")  # 03:45 in New York
    month = window("2024-03-01", "2024-04-01")
    landed = desk.ingest(EQUITY_SNAPSHOTS, month, *series)
    assert [(one.status, one.error, one.new) for one in landed] == [("no_data", None, 0)] * 2
    desk.simulator.clock.set("2024-03-06T09:01")
    assert [one.new for one in desk.ingest(EQUITY_SNAPSHOTS, month, *series)] == [1, 1]


def test_many_shares_are_shown_in_one_request_and_one_that_is_unknown_fails_alone(desk):
    names = ("polygon.AAPL", "polygon.MSFT", "polygon.NOPE", "polygon.SPY")
    series = [desk.series(name, Strategy.SNAPSHOT) for name in names]
    landed = desk.ingest(EQUITY_SNAPSHOTS, window("2024-03-01", "2024-04-01"), *series)
    failed = {one.slice.series.id: one.error for one in landed if one.error}
    assert failed.keys() == {"polygon.NOPE"}
    assert isinstance(failed["polygon.NOPE"], NotFound)
    assert sum(one.new for one in landed) == 3
    assert desk.asked("/v2/snapshot/") == 1


def test_each_market_has_its_provider_and_an_unsupported_pair_fails_alone(desk):
    names = ("coingecko.bitcoin-usd", "coingecko.spx-usd", "mock.SPX-USD", "mock.BTC-USD")
    series = [desk.series(name, Strategy.SNAPSHOT) for name in names]
    now = datetime.now(UTC)
    part = Window(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0), now + timedelta(days=1))
    landed = desk.ingest(MARKET_SNAPSHOTS, part, *series)
    assert {one.slice.series.id for one in landed if one.error} == {"coingecko.spx-usd"}
    assert {one.slice.series.id for one in landed if one.new} == {*names} - {"coingecko.spx-usd"}


def test_every_strategy_says_which_tables_a_series_has_and_who_gives_them():
    found = {}
    for strategy in Strategy:
        share = Series("polygon.AAPL", "equities", "polygon", "AAPL", strategy)
        coin = Series("coingecko.bitcoin-usd", "snapshots", "coingecko", "bitcoin/usd", strategy)
        found[strategy] = {
            table.name: [(kind.name, feed.phase) for kind, feed in feeds_of(table, series, vendors())]
            for series, tables in ((share, EQUITIES), (coin, SNAPSHOTS))
            for table in tables.values()
            if series.follows(table)
        }
    files, rest, shown = ("polygon_files", "bulk"), ("polygon", "rest"), ("polygon", "snapshot")
    api = {"bars_1m": [rest], "splits": [rest]}
    api |= {table.name: [("coingecko", "rest")] for table in (PRICE_HISTORY, OHLC_4H)}
    bulk = api | {"bars_1m": [files, rest]}
    snapshot = {"snapshots": [shown], "markets": [("coingecko", "snapshot")]}
    assert found == {
        Strategy.FLATPACK: bulk,
        Strategy.FLATPACK_API: api,
        Strategy.SNAPSHOT: snapshot,
        Strategy.STREAM: {},
        Strategy.SNAPSHOT_STREAM: snapshot,
        Strategy.FLATPACK_SNAPSHOT_STREAM: bulk | snapshot,
    }
