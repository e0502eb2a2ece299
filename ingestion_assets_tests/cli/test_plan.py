"""`ingest plan`: the figures are right, and nothing is launched or asked but the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ingestion_assets.cli.planning import Pace
from ingestion_assets.simulator import Simulator
from ingestion_assets_tests.cli.conftest import Ingest

MINUTES_OF_JANUARY, MINUTES_OF_FEBRUARY = 31 * 1440, 29 * 1440


def test_a_quarter_is_counted_by_the_venue_s_pages(btc: Ingest) -> None:
    plan = btc("plan", "BTCUSDT", "--from", "2024-01-01", "--to", "2024-03-01", "--json").ok().json
    (one,) = plan["series"]
    assert one["series"] == "binance.BTC-USDT"
    assert one["partition_keys"] == ["2024-02|binance.BTC-USDT", "2024-01|binance.BTC-USDT"]
    assert one["bars"] == MINUTES_OF_JANUARY + MINUTES_OF_FEBRUARY
    assert one["requests"] == 45 + 42  # pages of 1,000, month by month
    assert one["weight"] == 2 * one["requests"]
    assert plan["total"]["bars"] == one["bars"]
    assert plan["total"]["partitions_needed"] == 2


def test_people_get_a_table(btc: Ingest) -> None:
    said = btc("plan", "--from", "2024-01-01", "--to", "2024-02-01").ok().out
    assert "1 of 1" in said
    assert "44,640" in said


def test_only_the_time_is_asked_for_and_nothing_is_written(
    btc: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = btc.snapshot()
    with Simulator() as vendor:
        monkeypatch.setenv("BINANCE_URL", vendor.url)
        btc("plan", "--to", "2024-06-01").ok()
        assert dict(vendor.requests.by_path) == {"/api/v3/time": 1}
    assert btc.snapshot() == before


def test_dagster_s_partitions_are_whole_months_and_here_is_to_the_minute(btc: Ingest) -> None:
    window = ("--from", "2024-01-15T06:00", "--to", "2024-01-16", "--json")
    assert btc("plan", *window).ok().json["total"]["bars"] == MINUTES_OF_JANUARY
    assert btc("plan", "--here", *window).ok().json["total"]["bars"] == 18 * 60


def test_what_is_held_is_not_planned_again_unless_all_is_to_be_replaced(btc: Ingest) -> None:
    window = ("--from", "2024-01-01", "--to", "2024-02-01")
    btc("backfill", "--here", *window).ok()
    plan = btc("plan", *window, "--json").ok().json["total"]
    assert (plan["partitions"], plan["partitions_needed"], plan["requests"]) == (1, 0, 0)
    assert btc("plan", "--full-refresh", *window, "--json").ok().json["total"]["bars"] == MINUTES_OF_JANUARY


def test_timeframes_are_understood_as_people_write_them(btc: Ingest) -> None:
    window = ("--from", "1704067200", "--to", "2024-01-02T00:00:00+00:00", "--here", "--json")
    plan = btc("plan", *window, "-t", "1min", "-t", "5 min").ok().json
    assert [(one["timeframe"], one["bars"]) for one in plan["series"]] == [("1m", 1440), ("5m", 288)]


def test_what_the_venue_no_longer_serves_is_told(ingest: Ingest) -> None:
    ingest("registry", "add", "kraken", "ETH/USD", "--since", "2026-01-01", "--no-backfill").ok()
    done = ingest("plan", "kraken.ETH-USD").ok()
    assert "not to be had: kraken serves nothing before" in done.err


def test_what_may_be_spent_with_vendors_that_charge_is_told(
    btc: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROFILE", "live")
    monkeypatch.setenv("X_SPEND_PER_DAY_USD", "1")
    month = ("plan", "--from", "2024-01-01", "--to", "2024-02-01")
    assert btc(*month, "--json").ok().json["budgets"] == []  # without a key nobody is asked
    monkeypatch.setenv("TWITTER_BEARER_TOKEN", "hunter2")
    (budget,) = btc(*month, "--json").ok().json["budgets"]
    assert (budget["vendor"], budget["spent"], budget["limit"]) == ("x", 0, 200)
    assert "0 of 200 post reads spent in" in btc(*month).ok().err


def test_the_end_may_lie_in_the_future_but_no_open_bar_is_planned(btc: Ingest) -> None:
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    span = ("--from", f"{start:%Y-%m-%d}", "--to", "2099-01-01")
    planned = btc("plan", "--here", *span, "--json").ok().json["total"]["bars"]
    assert 1430 <= planned <= (datetime.now(UTC) - start) // timedelta(minutes=1)


def test_the_estimate_is_the_slower_of_weight_and_answers() -> None:
    pace = Pace("v", weight_per_second=100, window_budget=6_000, requests_per_second=50)
    assert pace.seconds(500, 1_000) == 10  # fits into the window: as fast as answers come
    assert pace.seconds(50_000, 100_000) == 1_000  # (100,000 - 6,000) / 100 = 940, answers take longer
    assert pace.seconds(50_000, 200_000) == 1_940
    assert Pace("v", None, None, 50).seconds(500, 1_000) == 10


def test_only_tables_that_the_vendor_gives_are_meant(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSNODE_API_KEY", "anything")
    name = "glassnode.BTC.addresses.active_count"
    ingest("registry", "add", "glassnode", "BTC.active_addresses").ok()
    planned = ingest("plan", name, "--json").ok().json["series"]
    assert [one["table"] for one in planned] == ["onchain/metrics_1d"]
    looked_at = ingest("gaps", name, "--json").json["series"]
    assert [one["table"] for one in looked_at] == ["onchain/metrics_1d"]
    assert "metrics_1d" in ingest("explain", name, "2026-01-01").ok().err
    refused = ingest("plan", name, "--table", "balances_1d")
    assert refused.code == 2
    assert "nothing of onchain/balances_1d: it has metrics_1d" in refused.err


def test_every_key_that_would_do_is_named(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGON_API_KEY", "anything")
    ingest("registry", "add", "polygon", "AAPL").ok()
    monkeypatch.delenv("POLYGON_API_KEY")
    refused = ingest("plan", "polygon.AAPL")
    assert refused.code == 1
    assert "polygon needs a key: set POLYGON_API_KEY" in refused.err
    assert "POLYGON_S3_ACCESS_KEY_ID" in refused.err


def test_lengths_of_time_are_as_people_write_them(ingest: Ingest) -> None:
    ingest("registry", "add", "mock", "SPX").ok()
    (markets,) = ingest("plan", "mock.SPX-USD", "--table", "markets", "--json").ok().json["series"]
    assert "steps of 5 min are not to be had" in markets["foregone"][0]
    prices = ingest("gaps", "mock.SPX-USD", "--table", "prices", "--json").json["series"]
    assert prices[0]["unit"] == "1 h of events"
