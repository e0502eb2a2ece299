"""`ingest sql` over a folder and over S3."""

from __future__ import annotations

import csv
import io
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from ingestion_assets_tests.cli.conftest import Checkout, Ingest

COUNT = "select series, month, count(*) as n from market.ohlcv_1m group by all order by all"


@pytest.fixture
def filled(btc: Ingest) -> Ingest:
    btc("backfill", "--here", "--from", "2024-01-31", "--to", "2024-02-02").ok()
    return btc


def test_the_lake_is_there_with_series_and_month_as_columns(filled: Ingest) -> None:
    assert filled("sql", COUNT, "--json").ok().json == [
        {"series": "binance.BTC-USDT", "month": "2024-01", "n": 1440},
        {"series": "binance.BTC-USDT", "month": "2024-02", "n": 1440},
    ]
    said = filled("sql", COUNT).ok()
    assert "1,440" in said.out
    assert "2 rows" in said.err
    rows = list(csv.reader(io.StringIO(filled("sql", "--csv", COUNT).ok().out)))
    assert rows[0] == ["series", "month", "n"]
    assert len(rows) == 3


def test_times_are_utc_and_names_are_text(filled: Ingest) -> None:
    query = "select time, source, typeof(source) as kind from market.ohlcv_1m order by time limit 1"
    assert filled("sql", query, "--json").ok().json == [
        {"time": "2024-01-31T00:00Z", "source": "rest", "kind": "VARCHAR"}
    ]


def test_registry_and_ledger_are_tables(filled: Ingest) -> None:
    query = "select id, timeframes, backfill_from, enabled from registry"
    assert filled("sql", query, "--json").ok().json == [
        {
            "id": "binance.BTC-USDT",
            "timeframes": '["1m"]',
            "backfill_from": "2024-01-01T00:00Z",
            "enabled": True,
        }
    ]
    assert filled("gaps").code == 1
    query = "select reason, count(*) as n from gaps group by reason"
    assert filled("sql", query, "--json").ok().json == [{"reason": "missing", "n": 2}]


def test_an_empty_lake_has_empty_tables(ingest: Ingest) -> None:
    query = "select count(*) as n, any_value(series) as s from market.ohlcv_1d"
    assert ingest("sql", query, "--json").ok().json == [{"n": 0, "s": None}]


def test_the_last_of_several_statements_is_shown(filled: Ingest) -> None:
    assert filled("sql", "create table t as select 7 as x; select * from t", "--json").ok().json == [{"x": 7}]


def test_a_lake_on_s3_is_read_the_same_way(
    btc: Ingest, s3_lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_LAKE_PATH", s3_lake)
    btc("backfill", "--here", "--from", "2024-01-31", "--to", "2024-02-02").ok()
    assert [row["n"] for row in btc("sql", COUNT, "--json").ok().json] == [1440, 1440]


def test_a_file_that_cannot_be_read_is_a_failure_that_names_it(filled: Ingest) -> None:
    path = next(filled.lake.rglob("month=2024-01/part-0.parquet"))
    path.write_bytes(b"not parquet")
    done = filled("sql", "select sum(close) from market.ohlcv_1m")
    assert done.code == 1
    assert "month=2024-01" in done.err


@pytest.fixture
def prepared(checkout: Checkout, prepared_state: Path) -> Checkout:
    shutil.copytree(prepared_state, checkout.folder / ".dagster")
    return checkout


def test_who_has_read_enough_of_the_rows_is_no_failure(prepared: Checkout) -> None:
    process = subprocess.Popen(
        prepared.command("sql", "--csv", "select range from range(1000000)"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=prepared.environment,
        cwd=prepared.elsewhere,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "range\n"
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


def test_without_a_query_and_without_stdin_one_is_asked_for(prepared: Checkout) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *prepared.command("sql")],
        env=prepared.environment,
        cwd=prepared.elsewhere,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "QUERY is empty" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_narrow_terminal_loses_nothing(prepared: Checkout) -> None:
    query = "select 'x'||'long'||'y' as first_of_two, 'the second'||' of them' as second, 1234567 as third"
    done = prepared("sql", query, FORCE_COLOR="1", COLUMNS="20", TERM="xterm").ok()
    for text in ("first_of_two", "xlongy", "the second of them", "1,234,567"):
        assert text in done.out


def test_a_lake_that_is_a_file_is_a_failure_and_not_empty(
    filled: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (filled.folder / "file").touch()
    monkeypatch.setenv("DATA_LAKE_PATH", str(filled.folder / "file"))
    done = filled("sql", "select count(*) from market.ohlcv_1m")
    assert done.code == 1
    assert "is a file, not a folder" in done.err


def test_a_query_comes_from_a_pipe_or_is_typed_at_a_prompt(prepared: Checkout) -> None:
    checkout = prepared
    piped = subprocess.run(
        checkout.command("sql", "--csv"),
        input="select 40 + 2 as x",
        env=checkout.environment,
        cwd=checkout.elsewhere,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert piped.stdout == "x\n42\n", piped.stderr

    terminal, end = pty.openpty()
    process = subprocess.Popen(
        checkout.command("sql"),
        stdin=end,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=checkout.environment,
        cwd=checkout.elsewhere,
        text=True,
    )
    os.close(end)
    try:
        os.write(terminal, b".tables\nselect 40 +\n2 as x;\nselekt;\n.quit\n")
        said = process.communicate(timeout=60)[0]
    finally:
        os.close(terminal)
    assert process.returncode == 0, said
    assert "ohlcv_1m" in said
    assert "42" in said
    assert "not understood" in said
    assert "Traceback" not in said
