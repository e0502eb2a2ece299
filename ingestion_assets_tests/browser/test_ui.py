"""What a person does in the Dagster UI, from the first partition to the report's pictures.

One test, for its scenes build upon each other and the stack is started once. Pictures of every scene lie
in the test's temporary folder; with UPDATE_SCREENSHOTS=1 they go to docs/img as well, and the lake is then
made in a folder that looks well on them.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import expect

from ingestion_assets.intervals import month_window
from ingestion_assets_tests.browser.launch_dialog import LaunchDialog, follow_notice
from ingestion_assets_tests.browser.running_stack import RunningStack
from ingestion_assets_tests.browser.visitor import Visitor, chromium

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

SHOWN_LAKE = Path("/srv/lake")
ASSET = "market/ohlcv_1m"
BTC, ETH, XRP, NOPE = (f"binance.{base}-USDT" for base in ("BTC", "ETH", "XRP", "NOPE"))

_RUN = "query($id:ID!){runOrError(runId:$id){... on Run{status}}}"
_LATEST_RUN = "{runsOrError(limit:1){... on Runs{results{id}}}}"
_BACKFILL = "query($id:String!){partitionBackfillOrError(backfillId:$id){... on PartitionBackfill{status}}}"
_FORGET = """mutation($key:String!){deleteDynamicPartitions(partitionsDefName:"market",partitionKeys:[$key],
  repositorySelector:{repositoryName:"__repository__",repositoryLocationName:"ingestion_assets"}){__typename}}"""
_LAUNCH = """mutation($p:LaunchBackfillParams!){launchPartitionBackfill(backfillParams:$p){__typename
  ... on LaunchBackfillSuccess{backfillId}}}"""


def updating() -> bool:
    return os.environ.get("UPDATE_SCREENSHOTS") == "1"


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Path]:
    if not updating():
        yield tmp_path / "lake"
        return
    SHOWN_LAKE.mkdir(parents=True)  # never somebody's own
    try:
        yield SHOWN_LAKE
    finally:
        shutil.rmtree(SHOWN_LAKE)


@pytest.fixture
def months() -> list[str]:
    """The open month, which holds some closed bars, and the two before it."""
    while (now := datetime.now(UTC)) < month_window(f"{now:%Y-%m}").start + timedelta(minutes=3):
        time.sleep(1)
    found = [f"{now:%Y-%m}"]
    while len(found) < 3:
        found.append(f"{month_window(found[-1]).start - timedelta(days=1):%Y-%m}")
    return found[::-1]


@pytest.fixture
def stack(project: Path, tmp_path: Path, lake: Path, months: list[str]) -> Iterator[RunningStack]:
    chromium()  # that there is none is said before anything is started
    root = tmp_path / "checkout"
    root.mkdir()
    # What the check `complete` wants of a series begins here.
    since = month_window(months[0] if updating() else months[-1]).start
    settings = {
        "INGESTION_MARKETS": f"{BTC},{ETH}",
        "INGESTION_LOOKBACK_DAYS": str((datetime.now(UTC) - since).days),
    }
    with RunningStack(project, root, lake, **settings) as running:
        yield running


@pytest.fixture
def pictures(project: Path, tmp_path: Path) -> list[Path]:
    folders = [tmp_path / "pictures", *([project / "docs" / "img"] if updating() else [])]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    return folders


def test_what_a_person_does_in_the_ui(stack: RunningStack, pictures: list[Path], months: list[str]) -> None:
    with Visitor(chromium(), stack.url, pictures) as visitor:
        visitor.open("/")
        visitor.see("Hide navigation").click()  # more room for what matters
        materialise_one_partition(stack, visitor, months[1])
        backfill = launch_a_backfill_of_two_series_over_three_months(visitor, months)
        type_a_series_that_does_not_exist(stack, visitor, months[1])
        type_a_series_that_exists(stack, visitor, months)
        watch_the_backfill(stack, visitor, months, backfill)
        run_the_checks(stack, visitor)
        look_at_the_report(stack, visitor, months)
        look_at_the_graph(visitor)
        assert visitor.page_errors == []
        assert visitor.foreign_requests == []


def materialise_one_partition(stack: RunningStack, visitor: Visitor, month: str) -> None:
    dialog = LaunchDialog(visitor, ASSET)
    dialog.choose_months(month)
    dialog.choose_series([BTC])
    visitor.see("1 partition", dialog.dialog)
    assert outcome(stack, dialog.launch()) == "SUCCESS"
    read_the_partition(visitor, month)


def read_the_partition(visitor: Visitor, month: str) -> None:
    visitor.open(f"/assets/{ASSET}")
    visitor.page.get_by_role("tab", name="Partitions").click()
    visitor.see(month).click()
    visitor.see(BTC).click()
    visitor.see(f"{month}|{BTC}")
    bars = str(month_window(month).length // timedelta(minutes=1))
    told = {"rows": bars, "new_rows": bars, "expected_rows": bars, "coverage": "1"}
    if updating():  # healing knows of this month then, and may have been here first
        del told["new_rows"]
    for name, value in told.items():
        visitor.row(name).get_by_text(value, exact=True).wait_for()
    query = visitor.row("query").locator("code").inner_text()
    assert len(ask_duckdb(query)) == 10, "what the page shows can be pasted"


def launch_a_backfill_of_two_series_over_three_months(visitor: Visitor, months: list[str]) -> str:
    dialog = LaunchDialog(visitor, ASSET)
    dialog.choose_months(f"[{months[0]}...{months[-1]}]")
    dialog.choose_series([BTC, ETH])
    visitor.see("6 partitions", dialog.dialog)
    visitor.picture("launch")
    return dialog.launch()


def watch_the_backfill(stack: RunningStack, visitor: Visitor, months: list[str], backfill: str) -> None:
    visitor.open(f"/runs/b/{backfill}")
    visitor.see("6 partitions")
    assert outcome(stack, backfill) == "COMPLETED_SUCCESS"
    visitor.see("Succeeded")
    visitor.see("100% completed")
    visitor.picture("backfill")
    for series in (BTC, ETH):
        held = {f"{ASSET}/series={series}/month={month}/part-0.parquet" for month in months}
        assert stack.files(f"{ASSET}/series={series}/**/*.*") == held
        assert absent_bars(stack, series, months) == 0
    read_the_partition(visitor, months[0])
    visitor.picture("partition")


def type_a_series_that_exists(stack: RunningStack, visitor: Visitor, months: list[str]) -> None:
    wanted = months[1:] if updating() else months[-1:]
    dialog = LaunchDialog(visitor, ASSET)
    dialog.choose_months(", ".join(wanted))
    dialog.add_series(XRP)
    assert outcome(stack, dialog.launch()) in ("SUCCESS", "COMPLETED_SUCCESS")
    assert stack.registered() == {BTC, ETH, XRP}
    assert absent_bars(stack, XRP, wanted) == 0


def type_a_series_that_does_not_exist(stack: RunningStack, visitor: Visitor, month: str) -> None:
    dialog = LaunchDialog(visitor, ASSET)
    dialog.choose_months(month)
    dialog.add_series(NOPE)
    assert outcome(stack, dialog.launch()) == "FAILURE"
    visitor.see(re.compile(r"binance has no market 'NOPE/USDT'.*nearest names: \w+"))
    visitor.picture("refused", private=True)
    assert stack.registered() == {BTC, ETH}
    answer = stack.ask(_FORGET, key=NOPE)  # what is typed in stays in the list until somebody takes it out
    assert answer["deleteDynamicPartitions"]["__typename"] == "DeleteDynamicPartitionsSuccess"


def run_the_checks(stack: RunningStack, visitor: Visitor) -> None:
    before = latest_run(stack)
    visitor.open(f"/assets/{ASSET}")
    visitor.page.get_by_role("tab", name="Checks").click()
    visitor.button("Execute all").click()
    run = stack.wait_for(
        lambda: latest_run(stack) not in (None, before) and latest_run(stack), "the checks' run"
    )
    assert outcome(stack, run) == "SUCCESS"
    visitor.open(f"/assets/{ASSET}?view=checks")
    visitor.see("all 3 series are complete")
    expect(visitor.page.get_by_text("Succeeded", exact=True)).to_have_count(3)
    visitor.picture("checks")


def look_at_the_report(stack: RunningStack, visitor: Visitor, months: list[str]) -> None:
    if updating():  # candles in the report, and a graph on which everything has been made
        aggregate(stack, months)
    visitor.open("/assets/reports/market_coverage")
    visitor.button("Materialize").click()
    if not updating():
        visitor.see("upstream assets listed below have not been materialized yet")
        visitor.button("Confirm").click()
    assert outcome(stack, follow_notice(visitor)) == "SUCCESS"
    visitor.open("/assets/reports/market_coverage")
    visitor.row("completeness").get_by_text("[Show Markdown]").click()
    picture = visitor.page.get_by_role("dialog").get_by_role("img", name="completeness by day")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 0
    visitor.picture("coverage")


def look_at_the_graph(visitor: Visitor) -> None:
    visitor.open("/locations/__repository__@ingestion_assets/asset-groups/market/lineage")
    for name in ("ohlcv_1m", "ohlcv_5m", "ohlcv_1h", "ohlcv_1d", "ohlcv_1w"):
        visitor.see(name)
    visitor.picture("graph")


def outcome(stack: RunningStack, launched: str) -> str:
    """How a run or a backfill ended."""

    def ended() -> Any:
        if "-" in launched:
            found = stack.ask(_RUN, id=launched)["runOrError"]["status"]
            return found if found in ("SUCCESS", "FAILURE", "CANCELED") else None
        found = stack.ask(_BACKFILL, id=launched)["partitionBackfillOrError"]["status"]
        return found if found not in ("REQUESTED", "COMPLETING") else None

    return str(stack.wait_for(ended, f"the end of {launched}"))


def latest_run(stack: RunningStack) -> str | None:
    found = stack.ask(_LATEST_RUN)["runsOrError"]["results"]
    return found[0]["id"] if found else None


def absent_bars(stack: RunningStack, series: str, months: list[str]) -> int:
    """From the first month's beginning to the last bar that is held, by DuckDB alone.

    That this last bar is of the present is what the check `fresh` says.
    """
    [(count, distinct, first, last)] = ask_duckdb(
        "select count(time), count(distinct time), epoch(min(time)), epoch(max(time)) from read_parquet(?)",
        f"{stack.lake}/{ASSET}/series={series}/*/*.parquet",
    )
    assert (count, first) == (distinct, month_window(months[0]).start.timestamp())
    assert f"{datetime.fromtimestamp(last, UTC):%Y-%m}" == months[-1]
    return int((last - first) / 60) + 1 - count


def ask_duckdb(query: str, *values: str) -> list[Any]:
    with duckdb.connect() as database:
        return list(database.execute(query, values).fetchall())


def aggregate(stack: RunningStack, months: list[str]) -> None:
    assets = [{"path": ["market", f"ohlcv_{name}"]} for name in ("5m", "1h", "1d", "1w")]
    keys = [f"{month}|{series}" for month in months[1:] for series in (BTC, ETH, XRP)]
    answer = stack.ask(_LAUNCH, p={"assetSelection": assets, "partitionNames": keys, "tags": []})
    assert outcome(stack, answer["launchPartitionBackfill"]["backfillId"]) == "COMPLETED_SUCCESS"
