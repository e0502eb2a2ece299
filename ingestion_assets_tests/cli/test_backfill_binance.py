"""`ingest backfill-binance` and `ingest export jsonl`: flags, progress, summary, files."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingestion_assets.intervals import Window, parse_moment
from ingestion_assets.simulator import Simulator
from ingestion_assets.tables.derivatives import PERP_1M
from ingestion_assets_tests.cli.conftest import Ingest

LINK = ("backfill-binance", "--symbol", "LINKUSDT")
SERIES = "binance.LINK-USDT-PERP"
MINUTE = timedelta(minutes=1)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def next_cursor(said: str, stage: str) -> datetime:
    """What the last progress line of a stage names."""
    (*_, last) = (line for line in said.splitlines() if line.startswith(f"{stage} "))
    return parse_moment(last.partition("next cursor ")[2])


def test_a_window_of_every_kind_and_its_summary(ingest: Ingest, tmp_path: Path) -> None:
    done = ingest(*LINK, "--window-days", "2", "--output", str(tmp_path / "out")).ok()
    said = done.json
    start, end = parse_moment(said["start"]), parse_moment(said["end"])
    assert end - start == timedelta(days=2)
    assert abs(datetime.now(UTC) - end) < timedelta(minutes=5)
    assert (said["status"], said["symbol"], said["series"], said["mode"]) == (
        "ok",
        "LINKUSDT",
        SERIES,
        "resume",
    )
    assert set(said["stages"]) == set(said["totals"]) == {"candles", "open_interest", "funding", "trades"}
    assert 2_877 <= said["totals"]["candles"] <= 2_880
    assert 570 <= said["totals"]["open_interest"] <= 576
    assert 5 <= said["totals"]["funding"] <= 6
    assert 2_877 * 60 <= said["totals"]["trades"] <= 2_880 * 60
    for stage in said["stages"].values():
        assert stage["fetched"] == stage["inserted"] == stage["records"]
        assert stage["records_per_second"] == pytest.approx(stage["fetched"] / stage["seconds"], rel=0.02)
        assert start <= parse_moment(stage["earliest"]) < parse_moment(stage["latest"]) < end
        assert stage["failed"] == stage["unrecoverable"] == []
    progress = [line for line in done.err.splitlines() if line.startswith("candles ")]
    assert re.fullmatch(
        r"candles \d{4}-\d\d: fetched \d+, inserted \d+, next cursor [-0-9T:.]+Z", progress[-1]
    )
    latest = parse_moment(said["stages"]["candles"]["latest"])
    assert next_cursor(done.err, "candles") == latest + MINUTE
    last_trade = parse_moment(said["stages"]["trades"]["latest"])
    assert next_cursor(done.err, "trades") == last_trade + timedelta(milliseconds=1)
    candles = lines(tmp_path / "out" / "linkusdt_1m_candles.jsonl")
    assert len(candles) == said["totals"]["candles"] == said["files"]["candles"]["records"]
    times = [row["open_time"] for row in candles]
    assert {b - a for a, b in itertools.pairwise(times)} == {60_000}
    assert len(lines(tmp_path / "out" / "linkusdt_open_interest_5m.jsonl")) == said["totals"]["open_interest"]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "linkusdt_1m_candles.jsonl",
        "linkusdt_open_interest_5m.jsonl",
        "linkusdt_funding_rates.jsonl",
        "linkusdt_agg_trades.jsonl",
    }


def test_files_lie_where_the_older_tool_put_them_unless_none_are_wanted(ingest: Ingest) -> None:
    few = ("--window-days", "1", "--skip-trades", "--skip-open-interest", "--skip-funding")
    assert ingest(*LINK, *few, "--no-files").ok().json["files"] == {}
    assert not Path("app").exists()
    files = ingest(*LINK, *few).ok().json["files"]
    assert files["candles"]["path"] == "app/data/binance/linkusdt_1m_candles.jsonl"
    assert len(lines(Path(files["candles"]["path"]))) == files["candles"]["records"]


class TestAgain:
    FLAGS = ("--no-files", "--window-days", "3", "--skip-trades", "--skip-open-interest", "--skip-funding")

    def test_only_the_open_tail_is_fetched(self, ingest: Ingest, simulator: Simulator) -> None:
        ingest(*LINK, *self.FLAGS).ok()
        simulator.requests.clear()
        again = ingest(*LINK, *self.FLAGS).ok().json["stages"]
        assert list(again) == ["candles"]
        assert again["candles"]["fetched"] <= 3
        assert not [p for p in simulator.requests.by_path if p.startswith("/data/")]

    def test_a_hole_in_the_middle_is_refetched_alone(self, ingest: Ingest) -> None:
        ingest(*LINK, *self.FLAGS).ok()
        middle = (datetime.now(UTC) - timedelta(days=2)).replace(hour=10, minute=0, second=0, microsecond=0)
        hole = Window(middle, middle + timedelta(hours=3))
        ingest.bench.lake.merge(PERP_1M, SERIES, f"{middle:%Y-%m}", PERP_1M.empty(), notes={}, replace=[hole])
        again = ingest(*LINK, *self.FLAGS).ok().json["stages"]["candles"]
        assert 180 <= again["inserted"] <= 183
        assert again["fetched"] == again["inserted"]

    def test_a_full_refresh_fetches_all_and_changes_nothing(self, ingest: Ingest) -> None:
        first = ingest(*LINK, *self.FLAGS).ok().json
        again = ingest(*LINK, *self.FLAGS, "--full-refresh").ok().json
        assert again["mode"] == "full_refresh"
        assert again["stages"]["candles"]["fetched"] >= first["totals"]["candles"]
        assert again["stages"]["candles"]["changed"] == 0


def test_trades_are_in_sql_by_day(ingest: Ingest) -> None:
    said = ingest(
        *LINK, "--window-days", "1", "--skip-candles", "--skip-open-interest", "--skip-funding"
    ).ok()
    query = "select series, day, count(*) as n from derivatives.agg_trades_um group by all order by day"
    found = ingest("sql", query, "--json").ok().json
    assert [row["series"] for row in found] == [SERIES] * len(found)
    assert {row["day"] for row in found} <= {
        f"{datetime.now(UTC) - timedelta(days=n):%Y-%m-%d}" for n in (0, 1, 2)
    }
    assert sum(row["n"] for row in found) == said.json["totals"]["trades"]


def test_exports_at_other_intervals(ingest: Ingest, tmp_path: Path) -> None:
    kept = ("--window-days", "2", "--skip-trades", "--skip-funding")
    ingest(*LINK, *kept, "--interval", "1h", "--oi-period", "1h", "--output", str(tmp_path)).ok()
    candles = lines(tmp_path / "linkusdt_1h_candles.jsonl")
    assert 46 <= len(candles) <= 48
    assert all(row["open_time"] % 3_600_000 == 0 and row["minutes"] == 60 for row in candles)
    interest = lines(tmp_path / "linkusdt_open_interest_1h.jsonl")
    assert all(row["timestamp"] % 3_600_000 == 0 and row["open_interest"] > 0 for row in interest)
    start = parse_moment(candles[3]["open_time"])
    minutes = ingest.bench.lake.read(PERP_1M, SERIES, Window(start, start + 60 * MINUTE)).to_pydict()
    assert candles[3]["high"] == max(minutes["high"])
    assert candles[3]["close"] == minutes["close"][-1]


def test_export_writes_what_is_held(ingest: Ingest, tmp_path: Path) -> None:
    ingest(*LINK, "--window-days", "1", "--skip-trades").ok()
    made = ingest("export", "jsonl", SERIES, "--output", str(tmp_path), "--json").ok().json
    assert {one["table"] for one in made} == {
        "derivatives/ohlcv_1m",
        "derivatives/open_interest_5m",
        "derivatives/funding_rates",
    }
    for one in made:
        assert len(lines(Path(one["path"]))) == one["records"] > 0
    only = ingest("export", "jsonl", SERIES, "-t", "derivatives/ohlcv_1m", "--output", str(tmp_path)).ok()
    assert "linkusdt_1m_candles.jsonl" in only.err
    wrong = ingest("export", "jsonl", SERIES, "--oi-period", "foo", "--output", str(tmp_path / "wrong"))
    assert (wrong.code, "--oi-period 'foo' is unknown: use one of 5m" in wrong.err) == (2, True)
    assert not (tmp_path / "wrong").exists()
    nothing = ingest("export", "jsonl", SERIES, "-t", "derivatives/agg_trades_um", "--output", str(tmp_path))
    assert nothing.code == 2
    assert "holds nothing" in nothing.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--symbol", "NOPEUSDT"), "no perpetual"),
        (("--symbol", "LINKUSDT", "--resume", "--full-refresh"), "exclude each other"),
        (("--symbol", "LINKUSDT", "--oi-period", "7m"), "--oi-period '7m' is unknown"),
        (("--symbol", "LINKUSDT", "--interval", "7m"), "--interval"),
        (("--symbol", "LINKUSDT", "--window-days", "0"), "--window-days"),
        (
            (
                "--symbol",
                "LINKUSDT",
                "--skip-candles",
                "--skip-trades",
                "--skip-funding",
                "--skip-open-interest",
            ),
            "everything is skipped",
        ),
    ],
)
def test_bad_input_says_what_is_wrong(ingest: Ingest, arguments: tuple[str, ...], said: str) -> None:
    done = ingest("backfill-binance", *arguments)
    assert done.code != 0
    assert said in done.err
    assert done.out == ""
    assert not ingest.lake.exists()
    assert not Path("app").exists()
