"""A file that the archive restates is noticed by its checksum and fetched again, and what it said is kept."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ingestion_assets.checks.archive import ARCHIVE_CHECKS, archives_of
from ingestion_assets.intervals import Window
from ingestion_assets.partitions import RANGE_END, RANGE_START
from ingestion_assets.registry import Series, Strategy
from ingestion_assets.simulator import Fault
from ingestion_assets.tables import FED
from ingestion_assets.tables.derivatives import PERP_1M
from ingestion_assets_tests.market_world import MarketWorld, asset_key, utc

LINK = Series(
    "binance.LINK-USDT-PERP",
    "derivatives",
    "binance",
    "LINK/USDT:USDT",
    Strategy.FLATPACK,
    listed_at=utc(2024, 1, 30),
    backfill_from=utc(2024, 1, 30),
    delisted_at=utc(2024, 2, 1),
)
KEY, HOLE = f"2024-01|{LINK.id}", Window(utc(2024, 1, 31, 5), utc(2024, 1, 31, 6))


@pytest.fixture
def held(world: MarketWorld) -> MarketWorld:
    """Two days of candles from two files, of which the second lacks an hour that the API gave."""
    world.bench.registry.add_missing([LINK])
    world.instance.add_dynamic_partitions("derivatives", [LINK.id])
    world.simulator.faults.add(Fault("archive_lacks", start="2024-01-31T05:00", end="2024-01-31T06:00"))
    job = world.repository.get_job("ingest_derivatives").get_subset(
        asset_selection={asset_key(PERP_1M)}, asset_check_selection=set()
    )
    tags = {RANGE_START: KEY, RANGE_END: KEY}
    assert job.execute_in_process({}, world.instance, tags=tags, raise_on_error=False).success
    assert len(world.rows(PERP_1M, KEY)) == 2 * 1_440
    assert {row["source"] for row in world.rows(PERP_1M, KEY)} == {"bulk", "rest"}
    return world


def look(world: MarketWorld):
    job = world.repository.get_job("quality_scan").get_subset(
        asset_check_selection={
            key for check in ARCHIVE_CHECKS for key in check.check_keys if key.asset_key == asset_key(PERP_1M)
        },
        asset_selection=set(),
    )
    assert job.execute_in_process({}, world.instance, raise_on_error=False).success
    return world.evaluation(PERP_1M, "as_published")


def test_every_table_that_an_archive_gives_is_looked_at(world: MarketWorld) -> None:
    looked_at = {key.asset_key for check in ARCHIVE_CHECKS for key in check.check_keys}
    assert looked_at == {asset_key(table) for table in FED.values() if archives_of(world.bench, table)}


def test_files_that_are_as_they_were_pass_and_ask_for_nothing(held: MarketWorld) -> None:
    held.simulator.requests.clear()
    found = look(held)
    assert (found.passed, found.metadata["compared"].value) == (True, 2)
    assert all(path.endswith(".CHECKSUM") for path in held.simulator.requests.by_path)
    assert held.tick("restated").run_requests == []


def test_a_restated_file_is_fetched_again_and_replaces_what_was_held(held: MarketWorld) -> None:
    rows = held.bench.lake.read(PERP_1M, LINK.id, Window(HOLE.start, utc(2024, 1, 31, 5, 1)))
    place = rows.schema.get_field_index("trades")
    other = rows.set_column(place, rows.schema.field(place), pa.array([7], rows.schema.field(place).type))
    honest = held.rows(PERP_1M, KEY)
    held.bench.lake.merge(PERP_1M, LINK.id, "2024-01", other, notes={})  # as the old file might have had it
    held.simulator.faults.clear()

    found = look(held)
    assert not found.passed
    (path,) = found.metadata["restated"].value
    assert path.endswith("/LINKUSDT-1m-2024-01-31.zip")
    outcome = held.tick("restated")
    (request,) = outcome.run_requests
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == (KEY, KEY)
    assert [run.success for run in held.execute(outcome.run_requests)] == [True]

    def told(rows):
        return [{k: v for k, v in row.items() if k not in ("known_at", "source")} for row in rows]

    assert told(held.rows(PERP_1M, KEY)) == told(honest)
    earlier = held.bench.lake.aside("_revisions", PERP_1M, LINK.id, "2024-01")
    assert earlier is not None
    assert 7 in earlier.column("trades").to_pylist()
    assert look(held).passed
    assert held.tick("restated").run_requests == []


def test_an_archive_that_is_away_is_said_and_nothing_taken_for_restated(held: MarketWorld) -> None:
    held.simulator.faults.add(Fault("server_error", path="/data/futures/um", times=None, status=502))
    held.simulator.requests.clear()
    found = look(held)
    assert not found.passed
    assert len(held.simulator.requests.by_path) == 1, "who is away is waited for once"
    assert len(found.metadata["unreachable"].value) == 2
    assert found.metadata["restated"].value == {}


def test_while_it_fails_it_stays_to_be_fetched(held: MarketWorld) -> None:
    held.simulator.faults.clear()
    assert not look(held).passed
    held.simulator.faults.add(Fault("server_error", times=None, status=502))
    outcome = held.tick("restated")
    assert [run.success for run in held.execute(outcome.run_requests)] == [False]
    assert len(held.rows(PERP_1M, KEY)) == 2 * 1_440, "nothing is lost meanwhile"
    held.simulator.faults.clear()
    assert [run.success for run in held.execute(held.tick("restated").run_requests)] == [True]
    assert look(held).passed
