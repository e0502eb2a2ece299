"""Chains and posts through the engine: planned, landed, resumed, revised, never above the ceiling."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingestion_assets.cli.planning import plan_work
from ingestion_assets.cli.selection import Work
from ingestion_assets.ingestion import Landed, Options, slices_of
from ingestion_assets.intervals import Window, floor
from ingestion_assets.simulator import Fault
from ingestion_assets.sources.errors import AuthError, QuotaSpent, VendorDown
from ingestion_assets.stores.budgets import Budgets
from ingestion_assets.stores.catalog import Catalog
from ingestion_assets.stores.gap_ledger import MISSING, UNRECOVERABLE
from ingestion_assets.stores.lake import Lake
from ingestion_assets.tables import Table
from ingestion_assets.tables.onchain import BALANCES, METRICS, TRANSACTIONS
from ingestion_assets.tables.social import POST_COUNTS, POSTS
from ingestion_assets_tests.ingestion.conftest import NOW, window

VENDORS = ("glassnode", "covalent", "x", "reddit")
KEYS = (
    "glassnode_api_key",
    "covalent_api_key",
    "twitter_bearer_token",
    "reddit_client_id",
    "reddit_client_secret",
)
METRIC, WALLET = "glassnode.BTC.addresses.active_count", f"covalent.eth-mainnet.0x{'ab' * 20}"
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
WEEK = Window(floor(NOW, DAY) - 4 * DAY, floor(NOW, MINUTE))


class Desk:
    def __init__(self, bench: Any) -> None:
        self.bench, self.simulator = bench, bench.simulator

    def ingest(self, table: Table, name: str, part: Window, **options: Any) -> list[Landed]:
        found, refused = self.bench.workbench.adopt([name], NOW)
        assert not refused
        pieces = list(slices_of([found[name]], part, table.cut))
        self.simulator.requests.clear()
        return list(self.bench.workbench.ingest(table, pieces, run="test", options=Options(**options)))

    def ingest_well(self, table: Table, name: str, part: Window, **options: Any) -> list[Landed]:
        landed = self.ingest(table, name, part, **options)
        assert [str(one.error) for one in landed if one.error] == []
        return landed

    def rows(self, table: Table, name: str, part: Window) -> list[dict[str, Any]]:
        return self.bench.lake.read(table, name, part).to_pylist()

    def asked(self, part: str) -> int:
        return sum(count for path, count in self.simulator.requests.by_path.items() if part in path)


@pytest.fixture
def make_desk(make_bench: Callable[..., Any], simulator: Any) -> Callable[..., Desk]:
    urls, keys = dict.fromkeys(VENDORS, simulator.url), dict.fromkeys(KEYS, "some key")

    def make(**more: Any) -> Desk:
        return Desk(make_bench(**({"exchange_urls": urls, "http_attempts": 2} | keys | more)))

    return make


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()


def test_days_of_a_metric_land_and_revisions_come_to_light_with_the_next(desk):
    part = Window(WEEK.start, floor(NOW, DAY) - DAY)
    desk.simulator.clock.set(part.end + timedelta(hours=1))
    desk.ingest_well(METRICS, METRIC, part)
    first = desk.rows(METRICS, METRIC, part)
    assert [row["revision"] for row in first] == [0, 0, 0]
    desk.simulator.clock.set(NOW)
    desk.ingest_well(METRICS, METRIC, Window(WEEK.start, floor(NOW, DAY)))
    assert desk.asked("/v1/metrics/") == 1
    second = desk.rows(METRICS, METRIC, WEEK)
    assert [row for row in second if row["revision"] == 0][:3] == first
    revised = [row for row in second if row["revision"] == 1]
    assert len(revised) == 1
    before = {row["time"]: row["value"] for row in first}
    assert revised[0]["value"] > before[revised[0]["time"]]


def test_transactions_of_two_months_are_read_on_one_way(desk):
    part = window("2024-02-10", "2024-03-04")
    desk.ingest_well(TRANSACTIONS, WALLET, part)
    rows = desk.rows(TRANSACTIONS, WALLET, part)
    assert abs(len(rows) - (part.end - part.start) / timedelta(minutes=40)) <= 1
    assert rows == sorted(rows, key=lambda row: row["time"])
    assert {row["hash"] for row in rows}.__len__() == len(rows)
    assert desk.asked("transactions_v3") <= 10
    desk.ingest_well(TRANSACTIONS, WALLET, part)
    assert desk.asked("transactions_v3") == 0


def test_a_way_that_breaks_off_keeps_its_younger_part(desk):
    part = window("2024-03-01", "2024-03-05")
    path = f"/v1/eth-mainnet/address/{WALLET.rpartition('.')[2]}/transactions_v3/page/"
    desk.simulator.faults.add(Fault("server_error", path=path, times=None))
    (landed,) = desk.ingest(TRANSACTIONS, WALLET, part)
    assert isinstance(landed.error, VendorDown)
    kept = desk.rows(TRANSACTIONS, WALLET, part)
    assert kept
    desk.simulator.faults.clear()
    desk.ingest_well(TRANSACTIONS, WALLET, part)
    rows = desk.rows(TRANSACTIONS, WALLET, part)
    assert rows[-len(kept) :] == kept
    assert abs(len(rows) - 144) <= 1


def test_a_plan_takes_nothing_of_what_a_vendor_charges_for(desk):
    found, _ = desk.bench.workbench.adopt([WALLET, METRIC], NOW)
    desk.simulator.requests.clear()
    works = [Work(found[name], table, WEEK) for name, table in ((WALLET, TRANSACTIONS), (METRIC, METRICS))]
    planned = plan_work(desk.bench.workbench, works, Options(), whole_months=False)
    assert all(one.needed for one in planned)
    assert desk.bench.workbench.budgets.listed() == []
    assert desk.asked("") == desk.asked("api_usage") == 1


def test_balances_are_read_once_a_day_and_a_day_without_a_reading_is_gone(make_desk, simulator):
    desk = make_desk(profile="simulator", simulator_port=simulator.port)  # whose day is that of its world
    part = Window(floor(NOW, DAY) - 2 * DAY, floor(NOW, DAY) + DAY)
    desk.ingest_well(BALANCES, WALLET, part)
    rows = desk.rows(BALANCES, WALLET, part)
    assert {row["time"] for row in rows} == {floor(NOW, DAY)}
    assert sorted(row["symbol"] for row in rows) == ["ETH", "HUGE", "USDC"]
    assert max(int(row["balance"]) for row in rows) > 2**200
    gaps = desk.bench.ledger.open(BALANCES.path, WALLET)
    assert {gap.reason for gap in gaps if gap.window.start >= part.start} == {UNRECOVERABLE}
    desk.ingest_well(BALANCES, WALLET, part)
    assert desk.asked("balances_v2") == 0


def test_posts_of_x_land_each_once_and_only_new_ones_are_asked_for(desk):
    part = Window(floor(NOW, DAY), floor(NOW, MINUTE))
    desk.ingest_well(POSTS, "x.bitcoin", part)
    rows = desk.rows(POSTS, "x.bitcoin", part)
    assert abs(len(rows) - 240) <= 1  # one in three minutes, for twelve hours
    spent = desk.bench.workbench.budgets.listed()[0].spent
    assert len(rows) <= spent <= len(rows) + 5
    later = NOW + timedelta(minutes=30)
    desk.simulator.clock.set(later)
    desk.ingest_well(POSTS, "x.bitcoin", Window(part.start, floor(later, MINUTE)))
    assert desk.asked("/2/tweets/search") == 1
    assert 8 <= desk.bench.workbench.budgets.listed()[0].spent - spent <= 12


@pytest.mark.parametrize(("name", "kept"), [("x.bitcoin", 10), ("reddit.bitcoin", 4)])
def test_only_so_many_posts_are_taken_and_the_next_run_takes_the_rest(make_desk, name, kept):
    """X gives no fewer than ten, and those are paid for. A month began four days ago."""
    desk = make_desk(x_spend_per_day_usd="100")
    part = Window(floor(NOW, DAY) - 6 * DAY, floor(NOW, MINUTE) - timedelta(hours=1))
    landed = desk.ingest_well(POSTS, name, part, most=4)
    assert sum(one.fetched for one in landed) == kept
    assert desk.asked("/2/tweets/search") + desk.asked("/r/bitcoin/new") == 1
    rows = desk.rows(POSTS, name, part)
    assert len(rows) == kept
    assert part.end - rows[-1]["time"] < timedelta(minutes=5), "the newest of the time that was asked for"
    if name.startswith("x."):
        assert desk.bench.workbench.budgets.listed()[0].spent == kept
    gaps = [gap for gap in desk.bench.ledger.open(POSTS.path, name) if gap.window.start >= part.start]
    assert {(gap.reason, gap.evidence) for gap in gaps} == {
        (MISSING, "only the newest 4 rows were asked for")
    }
    assert gaps[0].window.start == part.start
    assert rows[0]["time"] <= max(gap.window.end for gap in gaps) <= rows[0]["time"] + 2 * MINUTE
    assert desk.bench.ledger.due(NOW, 8), "healing asks for it"

    desk.ingest_well(POSTS, name, part)
    both = desk.rows(POSTS, name, part)
    assert both[-kept:] == rows
    desk.ingest_well(POSTS, name, part)
    assert desk.rows(POSTS, name, part) == both, "nothing was left out"
    expected = (part.end - part.start) / timedelta(minutes=3) if name.startswith("x.") else 1_000
    assert abs(len(both) - expected) < 30


def test_the_bound_is_of_all_slices_and_pages_together(make_desk):
    desk = make_desk(x_spend_per_day_usd="100")
    part = Window(floor(NOW, DAY) - 6 * DAY, floor(NOW, MINUTE))
    landed = desk.ingest_well(POSTS, "x.bitcoin", part, most=2_450)
    assert sum(one.fetched for one in landed) == 2_450
    assert {one.slice.period for one in landed if one.fetched} == {"2024-02", "2024-03"}
    assert desk.bench.workbench.budgets.listed()[0].spent == 2_450


def test_counts_agree_with_the_posts(desk):
    part = Window(floor(NOW, DAY), floor(NOW, timedelta(hours=1)) - timedelta(hours=1))
    desk.ingest_well(POST_COUNTS, "x.bitcoin", part)
    desk.ingest_well(POSTS, "x.bitcoin", part)
    counted = desk.rows(POST_COUNTS, "x.bitcoin", part)
    assert len(counted) == 11
    assert sum(row["posts"] for row in counted) == len(desk.rows(POSTS, "x.bitcoin", part))


def test_new_posts_of_reddit_land_as_far_back_as_its_listing_goes(desk):
    part = Window(floor(NOW, DAY) - DAY, floor(NOW, MINUTE))
    desk.ingest_well(POSTS, "reddit.bitcoin", part)
    rows = desk.rows(POSTS, "reddit.bitcoin", part)
    assert abs(len(rows) - 720) <= 1
    older = Window(floor(NOW, DAY) - 4 * DAY, floor(NOW, MINUTE))
    desk.ingest_well(POSTS, "reddit.bitcoin", older)
    gaps = desk.bench.ledger.open(POSTS.path, "reddit.bitcoin")
    inside = [gap for gap in gaps if gap.window.start >= older.start]
    assert inside
    assert all("the listing of r/bitcoin ended after 100" in gap.evidence for gap in inside)


@pytest.mark.parametrize(
    ("table", "name", "key"),
    [
        (METRICS, METRIC, "glassnode_api_key"),
        (BALANCES, WALLET, "covalent_api_key"),
        (POSTS, "x.bitcoin", "twitter_bearer_token"),
        (POSTS, "reddit.bitcoin", "reddit_client_id"),
    ],
)
def test_a_wrong_key_fails_at_once_with_the_vendors_words_and_no_key_says_which(make_desk, table, name, key):
    today = floor(datetime.now(UTC), DAY)
    part = Window(today - DAY, today) if table is METRICS else Window(today, today + DAY)
    desk = make_desk(**{key: "wrong hunter2"})
    desk.simulator.clock.reset()
    (landed,) = desk.ingest(table, name, part)
    assert isinstance(landed.error, AuthError)
    assert "401" in str(landed.error)
    assert "hunter2" not in str(landed.error)
    assert sum(desk.simulator.requests.by_path.values()) <= 2  # one asks for the time, one for rows
    desk = make_desk(**{key: None})
    found, _ = desk.bench.workbench.adopt([name], NOW)
    assert not desk.bench.workbench.askable(table, found[name])
    (landed,) = desk.ingest(table, name, part)
    assert f"set {key.upper()}" in str(landed.error)


def test_the_ceiling_in_dollars_holds(make_desk):
    desk = make_desk(x_spend_per_day_usd="0.25", x_post_price_usd="0.005")
    (landed,) = desk.ingest(POSTS, "x.bitcoin", Window(floor(NOW, DAY), floor(NOW, MINUTE)))
    assert isinstance(landed.error, QuotaSpent)
    assert "of 50 post reads are spent" in str(landed.error)
    (budget,) = desk.bench.workbench.budgets.listed()
    assert budget.spent <= budget.most == 50
    account = next(one for one in desk.bench.workbench.accounts() if one.vendor == "x")
    assert account.text.startswith(f"{budget.spent} of 50 post reads spent in ")
    assert 40 <= len(desk.rows(POSTS, "x.bitcoin", WEEK)) <= 50  # what was paid for is kept


_start: Any = None


def _at_the_start(start: Any) -> None:
    global _start
    _start = start


def _race(url: str, database: str, name: str, lake: str) -> list[str]:
    """Fetches one series; the errors that there were."""
    from ingestion_assets.settings import load_settings
    from ingestion_assets.workbench import Workbench

    settings = load_settings(
        _env_file=None,
        data_lake_path=lake,
        ingest_state_dir=lake,
        database_url=database,
        exchange_urls={"x": url},
        twitter_bearer_token="some key",
        x_spend_per_day_usd="1",
        x_post_price_usd="0.005",
    )
    bench = Workbench(settings)
    found, _ = bench.adopt([name], NOW)
    pieces = list(slices_of(list(found.values()), Window(floor(NOW, DAY) - DAY, floor(NOW, MINUTE)), "month"))
    _start.wait(timeout=120)
    landed = list(bench.ingest(POSTS, pieces, run="race"))
    return [type(one.error).__name__ for one in landed if one.error]


def test_four_processes_racing_for_posts_stay_below_the_ceiling_together(simulator, tmp_path):
    database = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    catalog = Catalog(database)
    catalog.create()
    context = multiprocessing.get_context("spawn")
    names = ("x.bitcoin", "x.ether", "x.solana", "x.dogecoin")
    start = context.Barrier(len(names))
    with ProcessPoolExecutor(len(names), context, _at_the_start, (start,)) as racers:
        runs = [racers.submit(_race, simulator.url, database, name, str(tmp_path)) for name in names]
        outcomes = [run.result(timeout=240) for run in runs]
    assert all("QuotaSpent" in outcome for outcome in outcomes)
    (budget,) = Budgets(catalog).listed()
    given = 0
    lake = Lake(str(tmp_path))
    for name in names:
        given += lake.read(POSTS, name, Window(NOW - 9 * DAY, NOW)).num_rows
    assert budget.most == 200
    assert 190 <= budget.spent <= 200
    assert 150 <= given <= budget.spent
    assert datetime.now(UTC).strftime("%Y-%m") in budget.period
    catalog.close()
