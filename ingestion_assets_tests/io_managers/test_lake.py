"""What assets that build on the lake are given: their partitions' rows, as the type that they ask for."""

from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ingestion_assets.intervals import Window
from ingestion_assets.io_managers.lake import LakeIOManager, failure
from ingestion_assets.partitions import MARKET, RANGE_END, RANGE_START
from ingestion_assets_tests.market_world import M1, M5, asset_key, utc

BTC, ETH = "binance.BTC-USDT", "binance.ETH-USDT"
CANDLES = dg.AssetSpec(asset_key(M1), partitions_def=MARKET).with_io_manager_key("lake")


@pytest.fixture
def held(world):
    """Two series over two months; ETH has a hole, and no file of its second month."""
    world.register(BTC, ETH, since=utc(2024, 1, 31, 22), until=utc(2024, 2, 1, 2))
    world.run(M1, f"2024-01|{BTC}", f"2024-02|{ETH}")
    world.punch(M1, ETH, Window(utc(2024, 1, 31, 22, 10), utc(2024, 1, 31, 22, 20)))
    world.file(M1, f"2024-02|{ETH}").unlink()
    return world


def given(world, kind, first, last=None, **inputs):
    """What an asset with this annotation is given."""
    seen = []

    @dg.asset(partitions_def=MARKET, backfill_policy=dg.BackfillPolicy.single_run(), **inputs)
    def downstream(candles: kind) -> None:  # type: ignore[valid-type]
        seen.append(candles)

    downstream.__annotations__["candles"] = kind
    tags = {RANGE_START: first, RANGE_END: last or first}
    resources = {"lake": LakeIOManager()}
    run = dg.materialize(
        [CANDLES, downstream],
        instance=world.instance,
        tags=tags,
        resources=resources,
        selection=[downstream],
        raise_on_error=False,
    )
    assert run.success
    return seen[0]


FROM_CANDLES = {"ins": {"candles": dg.AssetIn(asset_key(M1))}}


def test_rows_as_the_type_that_is_asked_for_holes_and_all(held):
    for kind in (pa.Table, pl.DataFrame, pd.DataFrame, Any):
        rows = given(held, kind, f"2024-01|{BTC}", f"2024-02|{ETH}", **FROM_CANDLES)
        assert isinstance(rows, pa.Table if kind is Any else kind)
        frame = rows if isinstance(rows, pd.DataFrame) else rows.to_pandas()
        assert frame.groupby("series").size().to_dict() == {BTC: 240, ETH: 110}
        assert list(frame.columns) == [*M1.schema.names, "series"]
        assert all(part["time"].is_monotonic_increasing for _, part in frame.groupby("series"))
        assert str(frame["time"].dtype) == "datetime64[us, UTC]"

    one = given(held, pa.Table, f"2024-01|{ETH}", **FROM_CANDLES)
    assert set(one.column("series").to_pylist()) == {ETH}
    assert one.num_rows == 110

    no_file = given(held, pl.DataFrame, f"2024-02|{ETH}", **FROM_CANDLES)
    assert no_file.height == 0
    assert no_file.columns == [*M1.schema.names, "series"]


def test_a_failure_names_the_first_of_very_many_and_how_many_more():
    failed = {f"binance.A{n}-USDT": "VendorDown: HTTP 502" for n in range(50)}
    said = failure({"failed": failed, "partitions": 100, "failed_partitions": 50})
    assert "50 series failed, 50 of 100 partitions landed" in said.description
    assert said.description.count("VendorDown") == 20
    assert said.description.endswith("- and 30 more")
    assert said.allow_retries is False


def test_a_lake_that_cannot_be_written_fails_each_series_with_the_remedy(world):
    (world.folder / "lake").write_text("a file where the folder should be")
    world.register(BTC, ETH, since=utc(2024, 1, 31, 22), until=utc(2024, 2, 1))
    run = world.run(M5, f"2024-01|{BTC}", f"2024-01|{ETH}")
    assert not run.success
    text = world.told(run)
    assert "2 series failed, 0 of 2 partitions landed" in text
    assert str(world.folder / "lake") in text
    assert world.materialized(M5) == {}
