"""Reading: holes, rows across months and schema versions, files that are broken, other people's readers."""

from __future__ import annotations

import dataclasses
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.intervals import Window, holes, micros, month_window, months
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.lake_file import CorruptFile, encode
from ingestion_assets.stores.objects import LocalObjects
from ingestion_assets.tables.contract import Column
from ingestion_assets.tables.market import OHLCV_1M as TABLE
from ingestion_assets_tests.servers import S3Server
from ingestion_assets_tests.stores.conftest import MakeLake
from ingestion_assets_tests.tables.candles import MINUTE, MONTH, NOTES, START, at, candles, span

SERIES = "binance.BTC-USDT"
EDGE = month_window(MONTH).end  # 2024-04-01
AROUND_EDGE = (EDGE - START) // MINUTE


def land(lake: Lake, minutes: Any, series: str = SERIES, price: float = 100.0) -> None:
    """Rows at these minutes, each in its month."""
    minutes = sorted(minutes)
    for month in sorted({at(m).strftime("%Y-%m") for m in minutes}):
        own = [m for m in minutes if at(m).strftime("%Y-%m") == month]
        lake.merge(TABLE, series, month, candles(own, price), notes=NOTES)


def damage(lake: Lake, content: bytes) -> str:
    """Put other bytes in the place of the month's file."""
    path = lake.path(TABLE, SERIES, MONTH)
    lake.objects.update(path, lambda _: content)
    return lake.objects.url(path)


near_edge = st.integers(AROUND_EDGE - 6, AROUND_EDGE + 6)
inside = st.floats(0, 0.9)


def test_holes_are_the_same_with_and_without_the_shortcut_of_the_footer(make_lake: MakeLake) -> None:
    examples = 80 if isinstance(make_lake().objects, LocalObjects) else 6

    @settings(max_examples=examples)
    @given(st.sets(near_edge), st.booleans(), st.tuples(near_edge, inside), st.tuples(near_edge, inside))
    def like_brute_force(
        minutes: set[int], solid: bool, first: tuple[int, float], end: tuple[int, float]
    ) -> None:
        if solid and minutes:
            minutes = set(range(min(minutes), max(minutes) + 1))
        lake = make_lake()
        land(lake, minutes)
        window = span(first[0] - first[1], end[0] + end[1])
        times = np.array(sorted(micros(at(m)) for m in minutes), dtype=np.int64)
        assert lake.holes(TABLE, SERIES, window) == holes(times, window, MINUTE)

    like_brute_force()


def test_what_a_footer_notes_of_holes_is_believed_only_when_the_rows_bear_it_out(lake: Lake) -> None:
    minutes = [*range(40), *range(50, 300), *range(310, 320)]
    land(lake, minutes)
    content = lake.objects.read(lake.path(TABLE, SERIES, MONTH))
    assert content is not None
    ours = pq.read_table(pa.BufferReader(content))
    noted = ours.schema.metadata[b"ingestion_assets.holes"].decode().split(",")
    assert noted == [str(micros(at(m))) for m in (40, 50, 300, 310)]
    fewer = pa.BufferOutputStream()
    pq.write_table(ours.filter(pa.array([m % 7 != 3 for m in minutes])), fewer)
    damage(lake, fewer.getvalue().to_pybytes())  # somebody else's tool, which carries the notes along
    left = np.array([micros(at(m)) for m in minutes if m % 7 != 3], dtype=np.int64)
    assert lake.holes(TABLE, SERIES, span(0, 400)) == holes(left, span(0, 400), MINUTE)


def test_a_deleted_month_is_one_hole_with_the_empty_time_around_it(lake: Lake) -> None:
    land(lake, range(10))
    lake.objects.delete(lake.path(TABLE, SERIES, MONTH))
    window = Window(datetime(2024, 2, 20, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC))
    assert lake.holes(TABLE, SERIES, window) == [window]
    assert lake.holes(TABLE, SERIES, Window(window.end, window.start)) == []


def test_reading_gives_the_rows_of_a_window_across_months(lake: Lake) -> None:
    minutes = range(AROUND_EDGE - 5, AROUND_EDGE + 5)
    land(lake, minutes)
    assert lake.months(TABLE, SERIES) == [MONTH, "2024-04"]
    rows = lake.read(TABLE, SERIES, span(AROUND_EDGE - 3, AROUND_EDGE + 2))
    assert rows.schema == TABLE.schema
    assert rows.column("time").to_pylist() == [at(m) for m in range(AROUND_EDGE - 3, AROUND_EDGE + 2)]
    some = lake.read(TABLE, SERIES, span(AROUND_EDGE - 3, AROUND_EDGE + 2), ["close", "source"])
    assert some.column_names == ["close", "source"]
    assert some.num_rows == 5
    assert lake.read(TABLE, "kraken.BTC-USD", span(0, 9)).num_rows == 0
    assert lake.last_time(TABLE, SERIES) == at(AROUND_EDGE + 4)
    assert lake.first_time(TABLE, SERIES) == at(AROUND_EDGE - 5)
    assert lake.keys(TABLE, SERIES, "2024-04").tolist() == [micros(at(AROUND_EDGE + n)) for n in range(5)]


def test_rows_of_an_older_schema_are_read_in_todays_columns_and_merged(lake: Lake) -> None:
    newer = dataclasses.replace(
        TABLE, columns=(*TABLE.columns, Column("venue_id", pa.int64(), "new", required=False)), version=2
    )
    land(lake, range(3))
    old = lake.read(newer, SERIES, span(0, 9))
    assert old.schema == newer.schema
    assert old.column("venue_id").null_count == 3
    rows = candles(range(2, 5), table=newer, venue_id=[7, 8, 9])
    merge = lake.merge(newer, SERIES, MONTH, rows, notes=NOTES)
    assert (merge.new, merge.changed) == (2, 1)
    assert lake.read(newer, SERIES, span(0, 9)).column("venue_id").to_pylist() == [None, None, 7, 8, 9]
    assert lake.read(TABLE, SERIES, span(0, 9)).num_rows == 5, "and by code that does not know it yet"
    footer = lake.footer(newer, SERIES, MONTH)
    assert footer is not None
    assert footer.notes["schema_version"] == "2"


def broken_files() -> dict[str, bytes]:
    good = encode(TABLE, candles(range(500)), NOTES)
    first = pq.ParquetFile(pa.BufferReader(good)).metadata.row_group(0).column(0)
    body = bytearray(good)
    body[first.data_page_offset + first.total_compressed_size - 1] ^= 1  # only the page's checksum can tell
    return {
        "nothing": b"",
        "garbage": random.Random(0).randbytes(2000),
        "text": b"<html>not found</html>",
        "cut off": good[: len(good) // 2],
        "without a footer": good[:-8],
        "one bit of a page flipped": bytes(body),
        "zeros in the middle": good[:200] + bytes(300) + good[500:],
        "another table": encode(TABLE, candles(range(3)).drop_columns(["time"]), NOTES),
    }


@pytest.mark.parametrize("kind", broken_files())
def test_a_broken_file_is_told_by_name_and_can_be_quarantined(lake: Lake, kind: str) -> None:
    content = broken_files()[kind]
    land(lake, [0])
    place = damage(lake, content)
    for attempt in (
        lambda: lake.read(TABLE, SERIES, span(0, 600)),
        lambda: lake.merge(TABLE, SERIES, MONTH, candles([1]), notes=NOTES),
        lambda: lake.read(TABLE, SERIES, span(0, 600), ["high", "low", "volume"]),
    ):
        with pytest.raises(CorruptFile) as caught:
            attempt()
            pytest.fail(f"{kind} was read")
        assert place in str(caught.value)
    assert lake.objects.read(lake.path(TABLE, SERIES, MONTH)) == content, "reading changes nothing"

    lake.quarantine_file(TABLE, SERIES, MONTH)
    assert lake.holes(TABLE, SERIES, span(0, 600)) == [span(0, 600)]
    kept = lake.objects.list("_quarantine", ".corrupt")
    assert [lake.objects.read(path) for path in kept] == [content]
    land(lake, [0, 1])
    assert lake.read(TABLE, SERIES, span(0, 600)).num_rows == 2


def test_an_hour_of_a_month_is_read_without_the_rest_of_it(lake: Lake) -> None:
    """Told by damage: it is found by who reads the whole month, not by who reads its last hour."""
    minutes = (EDGE - START) // MINUTE
    land(lake, range(minutes))
    content = lake.objects.read(lake.path(TABLE, SERIES, MONTH))
    assert content is not None
    damage(lake, content[:200] + bytes(300) + content[500:])
    for first in (minutes // 2, minutes - 60):
        rows = lake.read(TABLE, SERIES, span(first, first + 60))
        assert rows.column("time").to_pylist() == [at(n) for n in range(first, first + 60)]
    with pytest.raises(CorruptFile):
        lake.read(TABLE, SERIES, span(0, minutes))


def test_a_file_that_another_run_has_mended_meanwhile_is_not_quarantined(lake: Lake) -> None:
    land(lake, range(5))
    lake.quarantine_file(TABLE, SERIES, MONTH)
    assert lake.read(TABLE, SERIES, span(0, 9)).num_rows == 5
    lake.quarantine_file(TABLE, SERIES, "2024-04")
    assert lake.objects.list("_quarantine") == []
    assert lake.months(TABLE, SERIES) == [MONTH]


def test_a_file_replaced_while_it_is_read_is_not_taken_for_a_broken_one(make_lake: MakeLake) -> None:
    """An object store gives a file piece by piece: footer of one version, rows of the next."""
    lake = make_lake()
    land(lake, range(2000))
    file = lake._open(TABLE, SERIES, MONTH)
    assert file is not None
    land(lake, range(2000, 9000), price=77.0)
    rows = lake._rows(file, TABLE, SERIES, MONTH, ["time", "close"], span(0, 9000))
    assert rows.num_rows in (2000, 9000)
    assert set(rows.column("close").to_pylist()) in ({100.0}, {100.0, 77.0})


def test_rows_that_broke_a_promise_are_kept_with_the_reason_where_no_reader_sees_them(lake: Lake) -> None:
    good, broken = TABLE.examine(candles(range(3), volume=[1.0, -1.0, 1.0]))
    lake.merge(TABLE, SERIES, MONTH, good, notes=NOTES)
    for _ in range(2):  # a second landing keeps them once
        lake.quarantine_rows(TABLE, SERIES, MONTH, broken, NOTES)
    aside = lake.aside("_quarantine", TABLE, SERIES, MONTH)
    assert aside is not None
    assert aside.select(["time", "broken_promise"]).to_pylist() == [
        {"time": at(1), "broken_promise": "volume is finite and not negative"}
    ]
    assert lake.inventory(TABLE) == {SERIES: [MONTH]}
    assert lake.read(TABLE, SERIES, span(0, 9)).num_rows == 2


@pytest.fixture
def shelf(tmp_path: Path) -> Lake:
    """Two series over two months, written in several merges, with leftovers of a killed writer."""
    lake = Lake(str(tmp_path / "lake"))
    for series in (SERIES, "kraken.ETH-USD"):
        land(lake, range(AROUND_EDGE - 50, AROUND_EDGE + 50), series)
        land(lake, range(AROUND_EDGE - 80, AROUND_EDGE + 70), series)
    land(lake, [AROUND_EDGE], price=101.0)  # leaves a revision aside
    folder = Path(lake.url(TABLE, SERIES, MONTH)).parent
    (folder / ".tmp-0123").write_bytes(b"PAR1 half a file")
    return lake


def expected_rows() -> list[tuple[str, str, datetime]]:
    minutes = range(AROUND_EDGE - 80, AROUND_EDGE + 70)
    return [(s, f"{at(m):%Y-%m}", at(m)) for s in (SERIES, "kraken.ETH-USD") for m in minutes]


def test_duckdb_reads_the_lake_without_our_code(shelf: Lake) -> None:
    with duckdb.connect() as db:
        db.execute("set timezone='UTC'")
        source = f"read_parquet('{shelf.url(TABLE)}', hive_partitioning=true, hive_types_autocast=false)"
        rows = db.execute(f"select series, month, time from {source} order by all").fetchall()
        assert [(s, m, t.astimezone(UTC)) for s, m, t in rows] == expected_rows()
        types = {r[0]: r[1] for r in db.execute(f"describe select * from {source}").fetchall()}
        assert types["time"] == types["known_at"] == "TIMESTAMP WITH TIME ZONE"
        assert (types["close"], types["trades"], types["source"]) == ("DOUBLE", "BIGINT", "VARCHAR")
        pasted = db.execute(shelf.query(TABLE, SERIES, MONTH)).fetchall()
        assert len(pasted) == 10


def test_polars_reads_the_lake_without_our_code(shelf: Lake) -> None:
    frame = pl.scan_parquet(shelf.url(TABLE), hive_partitioning=True, try_parse_hive_dates=False).collect()
    rows = frame.select("series", "month", "time").sort("series", "month", "time").rows()
    assert [(s, m, t.astimezone(UTC)) for s, m, t in rows] == expected_rows()
    assert frame.schema["time"] == pl.Datetime("us", "UTC")
    assert frame.schema["close"] == pl.Float64


def test_pandas_reads_the_lake_without_our_code(shelf: Lake) -> None:
    frame = pd.read_parquet(Path(shelf.url(TABLE)).parents[2])
    assert len(frame) == len(expected_rows())
    assert str(frame.dtypes["time"]) == "datetime64[us, UTC]"
    assert set(frame["series"]) == {SERIES, "kraken.ETH-USD"}
    one = pd.read_parquet(shelf.url(TABLE, SERIES, MONTH), columns=["close"])
    assert one["close"].tolist() == [100.0] * 80


def test_partition_columns_are_not_repeated_in_the_file(shelf: Lake) -> None:
    file = pq.ParquetFile(shelf.url(TABLE, SERIES, MONTH))
    assert file.schema_arrow.names == TABLE.schema.names
    column = file.metadata.row_group(0).column(0)
    assert (column.compression, column.statistics.min) == ("ZSTD", at(AROUND_EDGE - 80))
    assert column.statistics.max - column.statistics.min == timedelta(minutes=79)


def test_duckdb_and_polars_read_the_lake_on_s3(s3_server: S3Server) -> None:
    options = {"access_key": s3_server.access_key, "secret_key": s3_server.secret_key}
    options |= {"endpoint_url": s3_server.endpoint, "region": s3_server.region}
    lake = Lake(f"s3://{s3_server.new_bucket()}/lake", options)
    land(lake, range(AROUND_EDGE - 20, AROUND_EDGE + 20))
    names = {"aws_access_key_id": options["access_key"], "aws_secret_access_key": options["secret_key"]}
    frame = pl.read_parquet(
        lake.url(TABLE),
        hive_partitioning=True,
        storage_options=names
        | {"aws_endpoint_url": s3_server.endpoint, "aws_region": "us-east-1"}
        | {"aws_allow_http": "true"},
    )
    assert frame.height == 40
    assert list(months(Window(frame["time"].min(), frame["time"].max()))) == [MONTH, "2024-04"]  # type: ignore[arg-type]
