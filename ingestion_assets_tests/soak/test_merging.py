"""Writers that are killed and writers that race: no row is lost, no half-written file is ever seen.

A short version of each runs with the suite; the storms are marked soak.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.intervals import month_window
from ingestion_assets.stores.lake import Lake
from ingestion_assets.tables.market import OHLCV_1M as TABLE
from ingestion_assets_tests.servers import S3Server
from ingestion_assets_tests.soak import merging
from ingestion_assets_tests.tables.candles import MONTH, NOTES, candles

KILLS = [3, pytest.param(50, marks=pytest.mark.soak)]
RACES = [1, pytest.param(10, marks=pytest.mark.soak)]
PRICE = 100.0


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    if request.param == "folder":
        return {"location": str(tmp_path / "lake"), "options": {}}
    server: S3Server = request.getfixturevalue("s3_server")
    options = {
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "region": server.region,
        "endpoint_url": server.endpoint,
    }
    return {"location": f"s3://{server.new_bucket()}/lake", "options": options}


def minutes_held(lake: Lake) -> list[int]:
    first = month_window(MONTH).start.timestamp()
    return [int(t / 60e6 - first / 60) for t in lake.keys(TABLE, merging.SERIES, MONTH).tolist()]


def assert_only_whole_files(place: dict[str, Any]) -> None:
    """A reader's pattern matches the month's file and nothing else."""
    if not place["location"].startswith("s3"):
        seen = {p.name for p in Path(place["location"]).glob("**/*.parquet")}
        assert seen <= {"part-0.parquet"}


@pytest.mark.parametrize("kills", KILLS)
def test_a_writer_killed_at_any_moment_has_lost_nothing_that_it_had_landed(
    place: dict[str, Any], kills: int
) -> None:
    lake, random_ = Lake(**place), random.Random(kills)
    first, landed = 0, set[int]()
    for _ in range(kills):
        writer = merging.start(place, first=first, stride=10, batch=10, count=10_000, price=PRICE)
        assert writer.stdout is not None
        try:
            assert writer.stdout.readline() == "ready\n"
            time.sleep(random_.random() * 0.8)
        finally:
            writer.kill()
        told, _ = writer.communicate(timeout=60)
        # what was told is landed; the merge under way when the signal came may or may not be
        landed |= {m for line in told.split() for m in range(int(line), int(line) + 10)}
        first = max(landed, default=-1) + 1
        held = minutes_held(lake)
        assert held == list(range(len(held)))
        assert first <= len(held) <= first + 10
        assert lake.read(TABLE, merging.SERIES, month_window(MONTH)).num_rows == len(held)
        assert_only_whole_files(place)
        landed |= set(held)
        first = len(held)
    lake.merge(TABLE, merging.SERIES, MONTH, candles([first], PRICE), notes=NOTES)
    assert len(minutes_held(lake)) == first + 1
    if not place["location"].startswith("s3"):
        folder = Path(lake.url(TABLE, merging.SERIES, MONTH)).parent
        assert [p.name for p in folder.iterdir()] == ["part-0.parquet"], "the next merge has cleaned up"


@pytest.mark.parametrize("races", RACES)
@pytest.mark.parametrize("writers", [2, 4])
def test_writers_racing_to_one_month_lose_no_row(place: dict[str, Any], writers: int, races: int) -> None:
    lake, count = Lake(**place), 8
    for race in range(races):
        start = race * count * writers
        processes = [
            merging.start(place, first=start + n, stride=writers, batch=1, count=count, price=PRICE)
            for n in range(writers)
        ]
        told = [process.communicate(timeout=120)[0].split() for process in processes]
        assert [process.returncode for process in processes] == [0] * writers
        assert [len(lines) for lines in told] == [count + 1] * writers
        assert minutes_held(lake) == list(range(start + count * writers))
        assert_only_whole_files(place)
