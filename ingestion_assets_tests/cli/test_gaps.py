"""`ingest gaps` and `ingest explain`: what is missing, why, and where a bar comes from."""

from __future__ import annotations

import pytest

from ingestion_assets.intervals import Window, parse_moment
from ingestion_assets.simulator import Fault, Simulator
from ingestion_assets.tables import INGESTED
from ingestion_assets_tests.cli.conftest import Ingest

TABLE, NAME = INGESTED["1m"], "binance.BTC-USDT"


def window(start: str, end: str) -> Window:
    return Window(parse_moment(start), parse_moment(end))


@pytest.fixture
def delisted(btc: Ingest) -> Ingest:
    """binance.BTC-USDT as if it had been listed for January 2024 only, and all of it held."""
    from dataclasses import replace

    series = btc.bench.registry.require(NAME).series
    btc.bench.registry.update(replace(series, delisted_at=parse_moment("2024-02-01")))
    btc("backfill", "--here", "--to", "2024-02-01").ok()
    return btc


def cut(ingest: Ingest, start: str, end: str) -> None:
    """Take rows out of the lake."""
    lake, month = ingest.bench.lake, start[:7]
    lake.merge(TABLE, NAME, month, TABLE.schema.empty_table(), notes={}, replace=[window(start, end)])


def test_a_complete_lake_has_no_gaps(delisted: Ingest) -> None:
    done = delisted("gaps").ok()
    assert "Nothing is missing" in done.err
    assert "100 %" in done.out
    facts = delisted("gaps", "--json").ok().json
    assert facts["missing_bars"] == 0
    assert facts["gaps"] == []
    assert facts["series"][0]["expected"] == 31 * 1440


def test_a_hole_is_found_listed_healed_and_remembered(delisted: Ingest) -> None:
    cut(delisted, "2024-01-10T00:00", "2024-01-10T02:00")
    done = delisted("gaps", "BTCUSDT")
    assert done.code == 1
    assert "120" in done.out
    assert "missing" in done.out
    assert "ingest backfill" in done.err
    found = delisted("gaps", "--json")
    assert found.code == 1
    (gap,) = found.json["gaps"]
    assert (gap["from"], gap["to"], gap["bars"]) == ("2024-01-10T00:00Z", "2024-01-10T02:00Z", 120)
    assert gap["reason"] == "missing"
    assert found.json["missing_bars"] == 120

    story = delisted("explain", "BTCUSDT", "2024-01-10T01:00", "--json").ok().json
    assert not story["found"]
    assert "missing" in story["why"]

    delisted("backfill", "--here", "--to", "2024-02-01").ok()
    assert delisted("gaps").code == 0
    story = delisted("explain", "BTCUSDT", "2024-01-10T01:00", "--json").ok().json
    assert story["found"]
    assert [entry["reason"] for entry in story["ledger"]] == ["healed"]
    assert story["ledger"][0]["was"] == "missing"


def test_a_series_never_fetched_is_missing(btc: Ingest) -> None:
    done = btc("gaps", "--json")
    assert done.code == 1
    assert done.json["series"][0]["never_fetched"] == done.json["missing_bars"] > 0


def test_the_check_and_the_command_leave_a_late_table_the_same_time(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metric of yesterday is not told today; two days of four are expected, by whoever looks."""
    from datetime import UTC, datetime

    from ingestion_assets.checks.complete import gap_audits
    from ingestion_assets.registry import Series
    from ingestion_assets.tables.onchain import DAY, METRICS

    monkeypatch.setenv("GLASSNODE_API_KEY", "any")
    bench, today = ingest.bench, datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    metric = "glassnode.BTC.addresses.active_count"
    since = today - 4 * DAY
    bench.registry.add(Series(metric, "onchain", "glassnode", "BTC/addresses", backfill_from=since))
    told = ingest("gaps", "--table", "metrics_1d", "--json").json["series"]
    (seen,) = gap_audits(bench, METRICS, datetime.now(UTC), None)
    assert [(one["series"], one["expected"], one["missing"]) for one in told] == [(metric, 2, 2)]
    assert (seen.expected, seen.pending) == (2, 2)


def test_a_hole_that_the_venue_affirms_is_explained(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator() as vendor:
        monkeypatch.setenv("BINANCE_URL", vendor.url)
        start, end = "2024-01-05T03:00Z", "2024-01-05T04:00Z"
        vendor.faults.add(Fault("outage", start=start, end=end, times=None))
        ingest("registry", "add", "binance", "BTC/USDT", "--since", "2024-01-01", "--no-backfill").ok()
        ingest("backfill", "--here", "--from", "2024-01-05", "--to", "2024-01-06").ok()
        entry = ingest.bench.registry.require(NAME).series
        from dataclasses import replace

        whole = replace(
            entry, backfill_from=parse_moment("2024-01-05"), delisted_at=parse_moment("2024-01-06")
        )
        ingest.bench.registry.update(whole)
        done = ingest("gaps").ok()
        assert "no_trades" in done.out
        assert "asked again after" in done.out
        story = ingest("explain", NAME, start, "--json").ok().json
    assert not story["found"]
    assert story["why"].startswith("no_trades: binance")


def test_a_bar_tells_where_it_comes_from(delisted: Ingest) -> None:
    story = delisted("explain", "BTC/USDT", "2024-01-10T01:00:42Z", "--json").ok().json
    assert story["time"] == "2024-01-10T01:00Z"
    assert story["row"]["source"] == "rest"
    assert story["row"]["known_at"] == "2024-01-10T01:01:05Z"
    assert story["file"].endswith("series=binance.BTC-USDT/month=2024-01/part-0.parquet")
    assert story["file_notes"]["run"].startswith("pid:")
    assert story["file_notes"]["code_version"] == delisted.bench.code_version
    assert story["earlier_values"] == story["quarantined"] == story["ledger"] == []
    said = delisted("explain", "BTC/USDT", "2024-01-10T01:00").ok().out
    assert "known_at" in said
    assert "file: run" in said


def test_a_bar_that_was_revised_tells_what_it_said_before(delisted: Ingest) -> None:
    lake = delisted.bench.lake
    moment = window("2024-01-10T01:00", "2024-01-10T01:01")
    rows = lake.read(TABLE, NAME, moment)
    place = rows.schema.get_field_index("trades")
    import pyarrow as pa

    lake.merge(TABLE, NAME, "2024-01", rows.set_column(place, "trades", pa.array([7])), notes={"run": "test"})
    story = delisted("explain", NAME, "2024-01-10T01:00", "--json").ok().json
    assert story["row"]["trades"] == 7
    assert [row["trades"] for row in story["earlier_values"]] == rows.column("trades").to_pylist()
    assert "Earlier values" in delisted("explain", NAME, "2024-01-10T01:00").ok().out


def test_a_bar_that_broke_a_promise_is_found_in_quarantine(
    btc: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Simulator() as vendor:
        monkeypatch.setenv("BINANCE_URL", vendor.url)
        vendor.faults.add(Fault("wrong_values", path="/api/v3/klines", row=5, times=None))
        done = btc("backfill", "--here", "--from", "2024-01-10", "--to", "2024-01-10T01:00")
    assert done.code == 1
    assert "quarantine" in done.err
    story = btc("explain", NAME, "2024-01-10T00:05", "--json").ok().json
    assert not story["found"]
    assert len(story["quarantined"]) == 1
    assert story["quarantined"][0]["broken_promise"]


@pytest.mark.parametrize(
    ("time", "timeframe", "why"),
    [
        ("2010-01-01", "1m", "listed at 2017-08-17"),
        ("2024-02-02", "1m", "delisted at 2024-02-01"),
        ("2023-06-01", "1m", "from 2024-01-01"),
        ("2099-01-01", "1m", "future"),
        ("2024-01-10", "1h", "made from 1m"),
        ("2024-01-10", "5m", "not asked for yet"),
    ],
)
def test_why_there_is_no_bar(delisted: Ingest, time: str, timeframe: str, why: str) -> None:
    done = delisted("explain", NAME, time, "-t", timeframe).ok()
    assert "there is no row" in done.err
    assert why in done.err


def test_an_unreadable_file_is_told(delisted: Ingest) -> None:
    (path,) = delisted.lake.rglob("part-0.parquet")
    path.write_bytes(b"not parquet")
    assert delisted("gaps").code == 1
    assert "cannot be read" in delisted("gaps").out
    assert "not a readable Parquet file" in delisted("explain", NAME, "2024-01-10").ok().err
