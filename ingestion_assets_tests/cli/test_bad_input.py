"""What is typed wrongly is refused: the field, the value and the remedy are named, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestion_assets_tests.cli.conftest import Ingest

ADD = ("registry", "add")
BTC = "binance.BTC-USDT"

CASES: dict[str, tuple[list[str], list[str]]] = {
    # the command line, and what its error must hold
    "unknown exchange": ([*ADD, "binanse", "BTC/USDT"], ["binanse", "nearest", "binance"]),
    "unknown symbol": ([*ADD, "binance", "BTC/USTD"], ["BTC/USTD", "nearest", "BTCUSDT"]),
    "symbol without a quote": ([*ADD, "binance", "BTC"], ["'BTC'", "BTC/USDT"]),
    "unsafe id": ([*ADD, "binance", "../etc/USDT"], ["not safe", "binance.BTC-USDT"]),
    "no exchange": ([*ADD, "", "BTC/USDT"], ["exchange", "''", "kraken"]),
    "duplicate": ([*ADD, "binance", "BTCUSDT"], [BTC, "registered already", "enable"]),
    "unknown strategy": ([*ADD, "binance", "ETH/USDT", "--strategy", "psychic"], ["psychic", "flatpack_api"]),
    "unknown timeframe": ([*ADD, "binance", "ETH/USDT", "-t", "7m"], ["7m", "1m"]),
    "timeframe not ingested": ([*ADD, "binance", "ETH/USDT", "-t", "15m"], ["15m", "1m, 5m"]),
    "derived timeframe": ([*ADD, "binance", "ETH/USDT", "-t", "1h"], ["1h", "made from 1m"]),
    "since not understood": ([*ADD, "binance", "ETH/USDT", "--since", "soon"], ["since", "soon", "ISO"]),
    "since in the future": (
        [*ADD, "binance", "ETH/USDT", "--since", "2099-01-01"],
        ["since", "2099", "future"],
    ),
    "show unknown": (["registry", "show", "binance.BTC-USDC"], ["binance.BTC-USDC", "Nearest", BTC]),
    "enable unknown": (["registry", "enable", "kraken.BTC-USD"], ["kraken.BTC-USD", "registry add"]),
    "disable unknown": (["registry", "disable", "kraken.BTC-USD"], ["kraken.BTC-USD", "registry add"]),
    "remove unknown": (["registry", "remove", "kraken.BTC-USD"], ["kraken.BTC-USD", "registry add"]),
    "import of no file": (["registry", "import", "/nowhere.yaml"], ["/nowhere.yaml", "No such file"]),
    "plan of an unknown series": (["plan", "binance.BTC-USDC"], ["binance.BTC-USDC", "Nearest", BTC]),
    "plan of nothing": (["plan", ""], ["''", "BTC/USDT"]),
    "plan of nobody's": (["plan", "binnce.BTC"], ["binnce.BTC", "not registered", "Nearest", BTC]),
    "plan of an unsafe id": (["plan", "../../x"], ["'../../x'", "not safe"]),
    "table of nobody": (["plan", "--table", "foo"], ["--table", "'foo'", "news/items"]),
    "end before start": (["plan", "--from", "2024-02-01", "--to", "2024-01-01"], ["--to", "--from", "swap"]),
    "end is start": (["plan", "--from", "2024-02-01", "--to", "2024-02-01"], ["--to", "--from"]),
    "end before history": (["plan", "--to", "2023-06-01"], ["--to", "2023-06-01", "2024-01-01", "--from"]),
    "future window": (["plan", "--from", "2099-01-01"], ["--from", "2099-01-01", "future"]),
    "start not understood": (["plan", "--from", "yesterday"], ["--from", "yesterday", "ISO"]),
    "end not understood": (["plan", "--to", "2024-13-01"], ["--to", "2024-13-01", "ISO"]),
    "month for minute": (["plan", "-t", "1M"], ["1M", "1m"]),
    "backfill timeframe": (["backfill", "--here", "-t", "4h"], ["4h", "1m, 5m"]),
    "backfill future": (["backfill", "--here", "--from", "2099"], ["--from", "2099", "future"]),
    "refresh and verify": (["backfill", "--here", "--full-refresh", "--verify"], ["full_refresh", "verify"]),
    "dry run by dagster": (["backfill", "--dry-run"], ["--dry-run", "--here"]),
    "url without scheme": (["backfill", "--url", "localhost:3000"], ["--url", "localhost:3000", "http://"]),
    "gaps of an unknown series": (["gaps", "binance.BTC-USDC"], ["binance.BTC-USDC", "Nearest", BTC]),
    "explain without a time": (["explain", BTC, "noon"], ["noon", "ISO"]),
    "explain unknown series": (["explain", "binance.BTC-USDC", "2024-01-01"], ["binance.BTC-USDC", BTC]),
    "explain unkept timeframe": (["explain", BTC, "2024-01-01", "-t", "15m"], ["15m", "1m, 5m, 1h"]),
    "query not understood": (["sql", "selekt 1"], ["QUERY", "selekt"]),
    "query of no table": (["sql", "select * from market.ohlcv_7m"], ["QUERY", "ohlcv_7m", "ohlcv_"]),
    "query empty": (["sql", "  "], ["QUERY", "empty", "select"]),
    "json and csv": (["sql", "select 1", "--json", "--csv"], ["--json", "--csv", "one"]),
    "export into a file": (
        ["export", "jsonl", BTC, "--output", "/dev/null"],
        ["--output", "/dev/null", "folder"],
    ),
    "no port": (["simulate", "--port", "99999"], ["--port", "99999", "65535"]),
    "no weight": (["simulate", "--weight-limit", "0"], ["--weight-limit", "0", "1"]),
    "no faults": (["simulate", "--faults", "/nowhere.yaml"], ["--faults", "/nowhere.yaml"]),
    "log level": (["--log-level", "loud", "plan"], ["--log-level", "loud", "debug"]),
}


@pytest.mark.parametrize(("command", "says"), CASES.values(), ids=CASES.keys())
def test_bad_input_is_refused(btc: Ingest, command: list[str], says: list[str]) -> None:
    before = btc.snapshot()
    done = btc(*command)
    assert done.code == 2, done.err
    for word in says:
        assert word in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert btc.snapshot() == before


@pytest.mark.parametrize("command", [["plan"], ["backfill", "--here"], ["gaps"]])
def test_without_any_series_the_way_to_one_is_told(ingest: Ingest, command: list[str]) -> None:
    done = ingest(*command)
    assert done.code == 2
    assert "ingest registry add" in done.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: html", ["dict", "list"]),
        ("- html", ["entry 1", "'html'", "kind"]),
        ("- {kind: html}\n- {kind: gremlins}", ["entry 2", "gremlins", "rate_limited"]),
        ("- {kind: outage}", ["entry 1", "outage", "start"]),
        ("- {kind: html, colour: red}", ["entry 1", "colour"]),
    ],
)
def test_a_script_of_faults_with_a_mistake_is_refused(
    ingest: Ingest, tmp_path: Path, text: str, says: list[str]
) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    done = ingest("simulate", "--port", "0", "--faults", str(path))
    assert done.code == 2
    for word in [str(path), *says]:
        assert word in done.err


def test_a_series_without_history_by_request_is_refused_by_name_and_passed_over_otherwise(
    btc: Ingest,
) -> None:
    btc("registry", "add", "binance", "ETH/USDT", "--strategy", "stream", "--no-backfill").ok()
    done = btc("plan", "ETHUSDT")
    assert done.code == 2
    assert "stream" in done.err
    assert "flatpack_api" in done.err
    assert "ETH" not in btc("plan", "--to", "2024-02-01").ok().out


def test_an_unreachable_vendor_is_a_failure_that_names_it(
    btc: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BINANCE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_ATTEMPTS", "1")
    before = btc.snapshot()
    for command in (["plan"], ["registry", "add", "binance", "ETH/USDT"]):
        done = btc(*command)
        assert done.code == 1
        assert "127.0.0.1:9" in done.err
    assert btc.snapshot() == before


def test_a_lake_that_cannot_be_written_fails_with_its_remedy(
    btc: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = btc.folder / "a file"
    place.write_text("not a folder")
    monkeypatch.setenv("DATA_LAKE_PATH", str(place))
    done = btc("backfill", "--here", "--from", "2024-01-01", "--to", "2024-01-02")
    assert done.code == 1
    assert "a file" in done.err
    assert "DATA_LAKE_PATH" in done.err


def test_a_backfill_by_dagster_without_dagster_says_how_to_get_one(btc: Ingest) -> None:
    done = btc("backfill", "--from", "2024-01-01", "--to", "2024-01-02")
    assert done.code == 1
    assert "http://127.0.0.1:1" in done.err
    assert "make run" in done.err
    assert "--here" in done.err
    assert not btc.lake.exists()
