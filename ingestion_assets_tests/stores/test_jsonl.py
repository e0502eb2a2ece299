"""JSON lines: names and units that older readers expect, and a file that is whole at every moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from ingestion_assets.stores import jsonl
from ingestion_assets.tables.arrays import repeated
from ingestion_assets.tables.contract import TIME
from ingestion_assets.tables.derivatives import AGG_TRADES_UM, FUNDING_RATES, OPEN_INTEREST_5M, PERP_1M

MIDNIGHT = 1_722_470_400_000


def moments(*ms: int) -> pa.Array:
    return pa.array([at * 1_000 for at in ms], pa.int64()).cast(TIME)


def funding(*ms: int) -> pa.Table:
    given = {"time": moments(*ms), "settled_at": moments(*ms), "rate": [0.0001] * len(ms)}
    return FUNDING_RATES.conform(
        pa.table(given | {"source": repeated("rest", len(ms)), "known_at": moments(*ms)})
    )


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_files_have_the_names_that_readers_know():
    names = [jsonl.file_name(t, "BTCUSDT", i) for t, i in ((PERP_1M, "1m"), (OPEN_INTEREST_5M, "5m"))]
    assert names == ["btcusdt_1m_candles.jsonl", "btcusdt_open_interest_5m.jsonl"]
    assert jsonl.file_name(FUNDING_RATES, "BTCUSDT", "") == "btcusdt_funding_rates.jsonl"
    assert jsonl.file_name(AGG_TRADES_UM, "BTCUSDT", "") == "btcusdt_agg_trades.jsonl"


def test_lines_hold_ms_numbers_and_nulls(tmp_path):
    path = tmp_path / "new" / "folder" / "f.jsonl"
    made = jsonl.write(FUNDING_RATES, [funding(MIDNIGHT), funding(), funding(MIDNIGHT + 28_800_000)], path)
    assert made.rows == 2
    assert read(path) == [
        {
            "funding_time": MIDNIGHT + hours,
            "funding_rate": 0.0001,
            "settled_at": MIDNIGHT + hours,
            "interval_hours": None,
            "mark_price": None,
        }
        for hours in (0, 28_800_000)
    ]
    assert datetime.fromtimestamp(read(path)[0]["funding_time"] / 1_000, UTC) == datetime(
        2024, 8, 1, tzinfo=UTC
    )


def test_nothing_is_an_empty_file(tmp_path):
    assert jsonl.write(FUNDING_RATES, [], tmp_path / "f.jsonl").rows == 0
    assert (tmp_path / "f.jsonl").read_bytes() == b""


def test_until_it_is_whole_the_old_file_stays_and_a_failure_leaves_nothing(tmp_path):
    path = tmp_path / "f.jsonl"
    jsonl.write(FUNDING_RATES, [funding(MIDNIGHT)], path)
    before = path.read_bytes()

    def pieces() -> Iterator[pa.Table]:
        yield funding(MIDNIGHT + 28_800_000)
        assert path.read_bytes() == before
        raise RuntimeError("the lake went away")

    with pytest.raises(RuntimeError, match="went away"):
        jsonl.write(FUNDING_RATES, pieces(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
