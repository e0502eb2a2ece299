"""The stores in each of their homes: a lake in a folder and on S3, a catalog in SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.stores.catalog import Catalog
from ingestion_assets.stores.gap_ledger import GapLedger
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.registry_table import Registry
from ingestion_assets_tests.servers import S3Server

MakeLake = Callable[[], Lake]
MakeCatalog = Callable[[], Catalog]


def s3_options(server: S3Server) -> dict[str, Any]:
    return {
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "region": server.region,
        "endpoint_url": server.endpoint,
    }


@pytest.fixture(params=["folder", "s3"])
def make_lake(request: pytest.FixtureRequest, tmp_path: Path) -> MakeLake:
    """New and empty lakes, as many as are asked for."""
    if request.param == "folder":
        numbers = iter(range(10**6))
        return lambda: Lake(str(tmp_path / f"lake-{next(numbers)}"))
    server: S3Server = request.getfixturevalue("s3_server")
    bucket = server.new_bucket()
    numbers = iter(range(10**6))
    return lambda: Lake(f"s3://{bucket}/lake-{next(numbers)}", s3_options(server))


@pytest.fixture
def lake(make_lake: MakeLake) -> Lake:
    return make_lake()


@pytest.fixture(params=["sqlite", "postgresql"])
def make_catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeCatalog]:
    """Connections to one catalog, whose tables are there, as different processes would have them."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    else:
        url = request.getfixturevalue("database_url")
    made: list[Catalog] = []

    def make() -> Catalog:
        made.append(Catalog(url))
        made[-1].create()
        return made[-1]

    yield make
    for catalog in made:
        catalog.close()


@pytest.fixture
def catalog(make_catalog: MakeCatalog) -> Catalog:
    return make_catalog()


@pytest.fixture
def ledger(catalog: Catalog) -> GapLedger:
    return GapLedger(catalog)


@pytest.fixture
def registry(catalog: Catalog) -> Registry:
    return Registry(catalog)
