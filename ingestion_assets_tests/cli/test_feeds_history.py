"""`ingest plan`, `backfill`, `gaps` and `explain` of what feeds give."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from ingestion_assets.cli.asking import Asked, Pace, budget_text
from ingestion_assets.intervals import Window, iso, parse_moment
from ingestion_assets.simulator import Simulator
from ingestion_assets.stores.budgets import Account
from ingestion_assets.tables.derivatives import AGG_TRADES_UM, FUNDING_RATES, PERP_1M
from ingestion_assets_tests.cli.conftest import Ingest

PERP, DAY = "binance.BTC-USDT-PERP", ("--from", "2024-03-04", "--to", "2024-03-05")


def register(ingest: Ingest, *names: str, since: datetime | None = None) -> None:
    found, refused = ingest.bench.adopt(names, datetime.now(UTC))
    assert not refused
    for series in found.values() if since else ():
        ingest.bench.registry.update(dataclasses.replace(series, backfill_from=since))


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLYGON_API_KEY", "NEWS_API_KEY"):
        monkeypatch.setenv(name, "any")


@pytest.fixture
def perp(ingest: Ingest) -> Ingest:
    """A perpetual of which every table is kept, since March 2024."""
    register(ingest, PERP, since=parse_moment("2024-03-01"))
    return ingest


def test_a_perpetual_is_planned_by_its_name_table_by_table(perp: Ingest) -> None:
    said = perp("plan", PERP, *DAY, "--json").ok().json
    tables = {one["table"]: one for one in said["series"]}
    assert set(tables) == {
        "derivatives/ohlcv_1m",
        "derivatives/open_interest_5m",
        "derivatives/funding_rates",
    }
    candles = tables["derivatives/ohlcv_1m"]
    assert candles["bars"] == 31 * 1440  # Dagster's partitions are whole months
    assert candles["partition_keys"] == [f"2024-03|{PERP}"]
    assert candles["requests"] == 31  # the archive's files, one a day
    assert candles["timeframe"] == "1m"
    assert tables["derivatives/funding_rates"]["timeframe"] is None
    assert perp("plan", "BTC/USDT:USDT", *DAY, "--json").ok().json["total"] == said["total"]
    assert "derivatives/funding_rates" in perp("plan", PERP, *DAY).ok().out


def test_here_it_is_to_the_minute_and_days_are_partitions_of_trades(perp: Ingest) -> None:
    window = ("--from", "2024-03-04T22:00", "--to", "2024-03-05T02:00")
    (one,) = perp("plan", PERP, "--table", "agg_trades_um", *window, "--json").ok().json["series"]
    assert one["partition_keys"] == [f"2024-03-05|{PERP}", f"2024-03-04|{PERP}"]
    assert one["bars"] == 2 * 1440
    (one,) = (
        perp("plan", PERP, "--here", "--table", AGG_TRADES_UM.path, *window, "--json").ok().json["series"]
    )
    assert one["bars"] == 240


def test_series_of_all_domains_are_chosen_by_domain_table_and_timeframe(perp: Ingest) -> None:
    register(perp, "binance.BTC-USDT", "polygon.AAPL", "newsapi.bitcoin")

    def planned(*options: str) -> set[tuple[str, str]]:
        told = perp("plan", *options, "--from", "2026-11-01", "--to", "2026-11-02", "--json").ok().json
        return {(one["series"], one["table"]) for one in told["series"]}

    everything = planned()
    assert {name for name, _ in everything} >= {PERP, "binance.BTC-USDT", "polygon.AAPL", "newsapi.bitcoin"}
    assert planned("--domain", "news") == {("newsapi.bitcoin", "news/items")}
    assert planned("--table", "funding_rates") == {(PERP, "derivatives/funding_rates")}
    assert planned("--domain", "market", "-t", "1m") == {("binance.BTC-USDT", "market/ohlcv_1m")}
    assert {name for name, _ in planned("-t", "1m")} == {PERP, "binance.BTC-USDT", "polygon.AAPL"}


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["plan", "--table", "funding_rate"], ["--table", "funding_rate", "Nearest", "funding_rates"]),
        (["plan", "--domain", "derivative"], ["--domain", "derivative", "Nearest", "derivatives"]),
        (["backfill", "--here", PERP, "-t", "5m"], [PERP, "derivatives", "ohlcv_5m", "funding_rates"]),
        (["gaps", "binance.BTC-USD-PERP"], ["binance.BTC-USD-PERP", "Nearest", PERP]),
        (["gaps", "--table", "posts"], ["registry add"]),
        (["explain", PERP, "2024-03-04", "--table", "posts"], [PERP, "social/posts", "funding_rates"]),
        (["explain", PERP, "2024-03-04", "-t", "1m", "--table", "posts"], ["--timeframe", "--table"]),
    ],
)
def test_what_cannot_be_meant_is_refused(perp: Ingest, command: list[str], says: list[str]) -> None:
    before = perp.snapshot()
    done = perp(*command)
    assert done.code == 2, done.err
    for word in says:
        assert word in done.err
    assert perp.snapshot() == before


def test_a_day_is_fetched_here_and_not_again(perp: Ingest) -> None:
    done = perp("backfill", PERP, "--here", *DAY, "--json").ok().json
    assert done["failed"] == {}
    lake, day = perp.bench.lake, Window(parse_moment("2024-03-04"), parse_moment("2024-03-05"))
    assert lake.read(PERP_1M, PERP, day).num_rows == 1440
    assert lake.read(FUNDING_RATES, PERP, day).num_rows == 3
    assert perp("plan", PERP, "--here", *DAY, "--json").ok().json["total"]["requests"] == 0
    assert "Nothing to fetch" in perp("backfill", PERP, "--here", *DAY).ok().err


def test_time_of_events_that_nobody_fetched_is_a_gap_and_what_was_fetched_is_explained(perp: Ingest) -> None:
    change = perp.bench.registry
    bounds = {"backfill_from": parse_moment("2024-03-04"), "delisted_at": parse_moment("2024-03-05")}
    change.update(dataclasses.replace(change.require(PERP).series, **bounds))
    only = ("--table", "funding_rates")
    done = perp("gaps", PERP, *only, "--json")
    assert done.code == 1
    assert {(gap["reason"], gap["evidence"]) for gap in done.json["gaps"]} == {("missing", "never fetched")}
    assert done.json["missing_bars"] == 1440
    assert "stretches of time are missing" in perp("gaps", PERP, *only).err
    why = perp("explain", PERP, "2024-03-04T08:00:30", *only, "--json").ok().json["why"]
    assert why == "missing: never fetched"

    perp("backfill", PERP, "--here", *only, *DAY).ok()
    assert perp("gaps", PERP, *only).ok().code == 0
    story = perp("explain", PERP, "2024-03-04T08:00:30", *only, "--json").ok().json
    assert story["found"]
    assert [row["time"][:16] for row in story["rows"]] == ["2024-03-04T08:00"]
    assert story["file_notes"]["covered"] == "2024-03-04T00:00Z … 2024-03-05T00:00Z"
    none = perp("explain", PERP, "2024-03-04T09:00", *only).ok()
    assert "this time was fetched, and binance had nothing of it" in none.err
    assert perp("explain", PERP, "2024-03-04T09:00", "--json").ok().json["table"] == PERP_1M.path


def test_what_is_charged_is_told_before_it_is_spent(ingest: Ingest) -> None:
    register(ingest, "newsapi.bitcoin")
    start = iso((datetime.now(UTC) - timedelta(days=3)).replace(hour=0, minute=0, second=0, microsecond=0))
    said = ingest("plan", "newsapi.bitcoin", "--here", "--from", start, "--json").ok().json
    (budget,) = [one for one in said["budgets"] if one["vendor"] == "newsapi"]
    assert (budget["spent"], budget["needed"]) == (0, said["total"]["requests"])
    assert budget["left_after"] == 100 - budget["needed"]
    told = ingest("plan", "newsapi.bitcoin", "--here", "--from", start).ok().err
    assert f"this takes about {budget['needed']} requests and leaves {budget['left_after']}" in told


def test_more_than_what_is_left_is_told() -> None:
    account = Account("x", "2026-11-21", 150, 200, "post reads")
    assert budget_text(account, 0) == "x: 150 of 200 post reads spent in 2026-11-21 (UTC)"
    assert "takes about 40 post reads and leaves 10" in budget_text(account, 40)
    assert "50 more than the 50 left" in budget_text(account, 100)
    assert Asked(Pace("x", None, None, 10), 1, 1, 100).units == 100


def test_the_present_is_one_request_and_a_snapshot_lands(ingest: Ingest) -> None:
    register(ingest, "mock.SPX-USD")
    now = datetime.now(UTC)
    window = ("--table", "snapshots/markets", "--from", iso(now - timedelta(hours=1)))
    (one,) = ingest("plan", "mock.SPX-USD", "--here", *window, "--json").ok().json["series"]
    assert (one["bars"], one["requests"]) == (1, 1)
    assert any("not to be had" in text for text in one["foregone"])
    assert ingest("backfill", "mock.SPX-USD", "--here", *window, "--json").ok().json["new_rows"] == 1


def test_without_a_key_a_named_series_says_so_and_others_go_on(
    btc: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(btc, "polygon.AAPL")
    monkeypatch.setenv("PROFILE", "live")
    monkeypatch.delenv("POLYGON_API_KEY")
    done = btc("plan", "polygon.AAPL", "--from", "2024-01-01", "--to", "2024-01-02")
    assert done.code == 1
    assert "needs a key: set POLYGON_" in done.err
    planned = btc("plan", "--from", "2024-01-01", "--to", "2024-01-02", "--json").ok().json["series"]
    assert {one["series"] for one in planned} == {"binance.BTC-USDT"}


def test_planning_asks_a_vendor_for_the_time_and_nothing_else(
    perp: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    with Simulator() as vendor:
        monkeypatch.setenv(
            "EXCHANGE_URLS", json.dumps({"binance_usdm": vendor.url, "binance_vision": vendor.url})
        )
        before = perp.snapshot()
        perp("plan", PERP, *DAY).ok()
        assert dict(vendor.requests.by_path) == {"/fapi/v1/exchangeInfo": 1}
    assert perp.snapshot() == before
