"""Backfills that are killed again and again, or that race each other, end as the undisturbed one does.

A real process ingests from the simulator into a folder with SQLite, or into S3 with PostgreSQL. The
short versions run with the suite; the storms are marked soak.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingestion_assets.ingestion import slices_of, summary
from ingestion_assets.intervals import Window, iso, parse_moment, union
from ingestion_assets.registry import Series, Status
from ingestion_assets.settings import load_settings
from ingestion_assets.simulator import Fault, Simulator
from ingestion_assets.stores.gap_ledger import NO_TRADES, VENUE_OUTAGE
from ingestion_assets.stores.registry_table import process_alive, process_owner
from ingestion_assets.tables.market import OHLCV_1M as TABLE
from ingestion_assets.workbench import Workbench
from ingestion_assets_tests.servers import S3Server
from ingestion_assets_tests.soak import backfill

AFFIRMED = {NO_TRADES, VENUE_OUTAGE}
NAMES = ("BTC", "ETH", "SOL")
SHORT, LONG = ("2024-01", "2024-04"), ("2022-04", "2024-04")
SETTLED = "2024-04-10T00:00:00Z"
OUTAGES = [("2024-02-28T10:00Z", "2024-03-01T02:30Z"), ("2024-03-09T08:00Z", "2024-03-09T08:03Z")]


@pytest.fixture(scope="module")
def vendor() -> Iterator[Simulator]:
    """A venue that was out twice, once over a month's end, and answers slowly enough for a kill to hit."""
    faults = [Fault("outage", start=start, end=end) for start, end in OUTAGES]
    limits = {"weight_limit": 10**9, "raw_limit": 10**9}
    with Simulator(now=SETTLED, latency_ms=50, faults=faults, **limits) as simulator:
        yield simulator


class Home:
    """Where one backfill keeps its things."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.bench = Workbench(load_settings(_env_file=None, **settings))
        self.bench.catalog.create()
        self.bench.registry.add_missing(
            Series(f"binance.{name}-USDT", "market", "binance", f"{name}/USDT") for name in NAMES
        )

    def run(self, window: tuple[str, str]) -> dict[str, Any]:
        """One undisturbed run, in this process: its figures."""
        slices = slices_of(self.bench.registry.series(), span(window))
        return summary(list(self.bench.ingest(TABLE, slices, run=process_owner())))

    def rows(self, window: tuple[str, str]) -> Iterator[tuple[str, pa.Table]]:
        """Every row of every series, but for how it became known."""
        columns = [TABLE.key, *TABLE.payload]
        for series in self.bench.registry.series():
            yield series.id, self.bench.lake.read(TABLE, series.id, span(window), columns)

    def explained(self) -> dict[str, list[Window]]:
        """What the open entries of the ledger cover: all of it affirmed by the venue.

        Which of it counts as an outage, a run that is killed between two series may leave unsaid.
        """
        found = {}
        for series in self.bench.registry.series():
            gaps = self.bench.ledger.open(TABLE.path, series.id)
            assert all(a.window.end <= b.window.start for a, b in itertools.pairwise(gaps))
            assert {gap.reason for gap in gaps} <= AFFIRMED
            found[series.id] = union(gap.window for gap in gaps)
        return found

    def files(self) -> set[str]:
        """What a reader's pattern matches."""
        if self.settings["data_lake_path"].startswith("s3"):
            return {path.rpartition("/")[2] for path in self.bench.lake.objects.list("market", ".parquet")}
        return {path.name for path in Path(self.settings["data_lake_path"]).glob("**/*.parquet")}

    def assert_like(self, undisturbed: Home, window: tuple[str, str]) -> None:
        """The same rows, holes that are explained, nothing half-written, nobody at work."""
        for (name, rows), (_, expected) in zip(self.rows(window), undisturbed.rows(window), strict=True):
            assert rows.num_rows == expected.num_rows
            assert rows.equals(expected), name
            holes = self.bench.lake.holes(TABLE, name, span(window))
            assert self.explained()[name] == holes, "every hole is explained, and nothing else"
        assert self.explained() == undisturbed.explained()
        assert self.files() == {"part-0.parquet"}
        again = self.run(window)
        assert (again["fetched_rows"], again["new_rows"], again["failed"]) == (0, 0, {})
        for entry in self.bench.registry.entries():
            assert (entry.status, entry.error_message) == (Status.IDLE, None)


def span(window: tuple[str, str]) -> Window:
    return Window(*map(parse_moment, window))


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    told = process.communicate(timeout=280)[0].splitlines()
    assert process.returncode == 0
    assert (told[0], told[-2]) == ("ready", "done")
    return dict(json.loads(told[-1]))


def killed(home: Home, window: tuple[str, str], landed: int, seconds: float) -> bool:
    """A run killed some time after it has landed so many partitions; whether it was still at work."""
    process = backfill.start(home.settings, window)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        told = "".join(process.stdout.readline() for _ in range(landed))
        time.sleep(seconds)
    finally:
        process.kill()
    told += process.communicate(timeout=60)[0]
    return "done" not in told


@pytest.fixture(params=["folder and sqlite", "s3 and postgresql"])
def homes(request: pytest.FixtureRequest, vendor: Simulator, tmp_path: Path) -> Iterator[list[Home]]:
    """Two homes of one kind: to be disturbed, and to be left alone."""
    stack = contextlib.ExitStack()
    base = {"profile": "live", "binance_url": vendor.url, "ingest_state_dir": str(tmp_path)}
    if request.param == "folder and sqlite":
        places: list[dict[str, Any]] = [
            {
                "data_lake_path": str(tmp_path / name / "lake"),
                "database_url": f"sqlite:///{tmp_path / name}.sqlite",
            }
            for name in ("disturbed", "undisturbed")
        ]
    else:
        server: S3Server = request.getfixturevalue("s3_server")
        postgres = request.getfixturevalue("postgres_server")
        access = {
            "aws_endpoint_url": server.endpoint,
            "aws_access_key_id": server.access_key,
            "aws_secret_access_key": server.secret_key,
            "aws_default_region": server.region,
        }
        databases = [stack.enter_context(postgres.database()) for _ in range(2)]
        places = [
            {"data_lake_path": f"s3://{server.new_bucket()}/lake", "database_url": url} | access
            for url in databases
        ]
    with stack:
        made = [Home(base | place) for place in places]
        yield made
        for home in made:
            home.bench.catalog.close()


STORMS = [
    pytest.param(3, SHORT, id="3 kills"),
    pytest.param(50, LONG, id="50 kills", marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
]


@pytest.mark.parametrize(("kills", "window"), STORMS)
def test_a_backfill_that_is_killed_again_and_again(
    homes: list[Home], kills: int, window: tuple[str, str], record_property: Any
) -> None:
    disturbed, undisturbed = homes
    random_, at_work, landings = random.Random(kills), 0, itertools.cycle([1, 0, 1])
    for _ in range(kills):
        at_work += killed(disturbed, window, next(landings), random_.random() * 0.4)
        lost = disturbed.bench.registry.release_lost(process_alive)
        entries = disturbed.bench.registry.entries()
        assert all(entry.status != Status.RUNNING for entry in entries)
        assert {e.series.id for e in entries if e.status == Status.ERROR} >= set(lost)
        assert disturbed.files() <= {"part-0.parquet"}
    record_property("killed at work", at_work)
    last, whole = disturbed.run(window), undisturbed.run(window)
    assert (last["failed"], whole["failed"]) == ({}, {})
    assert at_work >= kills // 2, "the work is too short for this storm"
    landed = whole["new_rows"] - last["new_rows"]
    record_property("rows landed before the last run", landed)
    record_property("rows landed by the last run", last["new_rows"])
    assert landed > (kills // 8) * 28 * 1440, "the runs have landed too little before they were killed"
    disturbed.assert_like(undisturbed, window)
    story = disturbed.bench.ledger.story(TABLE.path, "binance.BTC-USDT", span(window))
    told = sorted({(iso(g.window.start), iso(g.window.end), g.reason) for g in story})
    assert {reason for *_, reason in told} <= AFFIRMED, told


STORM = [pytest.mark.soak, pytest.mark.timeout(900)]
RACES = [
    pytest.param("folder and sqlite", 1, id="folder and sqlite-1 race"),
    pytest.param("folder and sqlite", 8, id="folder and sqlite-8 races", marks=STORM),
    pytest.param("s3 and postgresql", 8, id="s3 and postgresql-8 races", marks=STORM),
]


@pytest.mark.parametrize(("homes", "races"), RACES, indirect=["homes"])
def test_two_backfills_that_race_over_the_same_partitions(homes: list[Home], races: int) -> None:
    """Also when one of them is killed on the way."""
    disturbed, undisturbed = homes
    assert undisturbed.run(SHORT)["failed"] == {}
    random_ = random.Random(races)
    for race in range(races):
        for series in disturbed.bench.registry.series():
            for month in disturbed.bench.lake.months(TABLE, series.id):
                disturbed.bench.lake.objects.delete(disturbed.bench.lake.path(TABLE, series.id, month))
        runners = [backfill.start(disturbed.settings, SHORT) for _ in range(2)]
        if race % 2:
            assert runners[0].stdout is not None
            runners[0].stdout.readline()
            time.sleep(random_.random() * 0.5)
            runners[0].kill()
            runners[0].communicate(timeout=60)
            finished(runners[1])
            disturbed.bench.registry.release_lost(process_alive)
            disturbed.run(SHORT)
        else:
            assert [finished(runner)["failed"] for runner in runners] == [{}, {}]
        disturbed.assert_like(undisturbed, SHORT)
