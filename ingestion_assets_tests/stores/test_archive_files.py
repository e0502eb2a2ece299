"""Files that rows came from, on SQLite and on PostgreSQL alike: noted, compared in turn, found restated."""

from __future__ import annotations

import pytest

from ingestion_assets.intervals import Window
from ingestion_assets.stores.archive_files import ArchiveFile, ArchiveFiles
from ingestion_assets.stores.catalog import Catalog
from ingestion_assets_tests.tables.candles import at, span

TABLE, BTC, ETH, VENDOR = "derivatives/ohlcv_1m", "binance.BTC-USDT-PERP", "binance.ETH-USDT-PERP", "vision"


@pytest.fixture
def files(catalog: Catalog) -> ArchiveFiles:
    return ArchiveFiles(catalog)


def file(path: str, window: Window, sha256: str = "a") -> ArchiveFile:
    return ArchiveFile(VENDOR, path, window, sha256)


def restated(files: ArchiveFiles) -> set[tuple[str, str, Window]]:
    return {(one.series, one.path, one.window) for one in files.restated(TABLE)}


def test_all_that_came_of_a_file_is_restated_with_it_and_nothing_else(files: ArchiveFiles) -> None:
    pieces = [file("jan", span(0, 10)), file("jan", span(10, 15)), file("jan", span(20, 30))]
    files.landed(TABLE, BTC, [span(0, 30)], [*pieces, file("feb", span(30, 60))], at(0))
    files.landed(TABLE, ETH, [span(0, 30)], [file("eth", span(0, 30))], at(0))
    for path in ("jan", "feb", "eth"):
        files.compared(VENDOR, path, "a", at(1))
    assert restated(files) == set()
    files.compared(VENDOR, "jan", "b", at(2))
    files.compared("another", "feb", "b", at(2))
    files.compared(VENDOR, "feb", None, at(2))
    assert restated(files) == {(BTC, "jan", span(0, 15)), (BTC, "jan", span(20, 30))}
    assert files.restated("derivatives/funding_rates") == []
    files.compared(VENDOR, "jan", "c", at(3))
    assert {one.since for one in files.restated(TABLE)} == {at(2)}, "when it was seen first"
    files.compared(VENDOR, "jan", "a", at(4))
    assert restated(files) == set(), "it is what it was"


def test_what_is_landed_anew_is_what_it_is_now(files: ArchiveFiles) -> None:
    files.landed(TABLE, BTC, [span(0, 40)], [file("1", span(0, 20)), file("2", span(20, 40))], at(0))
    files.landed(TABLE, ETH, [span(0, 40)], [file("e", span(0, 20))], at(0))
    for path in ("1", "2", "e"):
        files.compared(VENDOR, path, "b", at(1))
    files.landed(TABLE, BTC, [span(5, 10)], [file("1", span(5, 10), "b")], at(2))
    assert (BTC, "1", span(0, 20)) in restated(files), "only a part of it was fetched again"
    files.landed(TABLE, BTC, [span(0, 10), span(10, 20)], [file("month", span(0, 20), "m")], at(3))
    assert restated(files) == {(BTC, "2", span(20, 40)), (ETH, "e", span(0, 20))}
    files.landed(TABLE, BTC, [span(0, 40)], [], at(4))  # the archive had nothing of use, another vendor had
    assert restated(files) == {(ETH, "e", span(0, 20))}
    assert files.least_compared(TABLE, VENDOR, 9) == ["e"]


def test_every_file_has_its_turn(files: ArchiveFiles) -> None:
    many = [file(f"{n}", span(n, n + 1)) for n in range(7)]
    files.landed(TABLE, BTC, [span(0, 7)], many, at(0))
    seen: list[str] = []
    for night in range(1, 5):
        for path in files.least_compared(TABLE, VENDOR, 2):
            seen.append(path)
            files.compared(VENDOR, path, "a", at(night))
    assert seen == ["0", "1", "2", "3", "4", "5", "6", "0"]
