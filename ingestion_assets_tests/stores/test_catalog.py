"""The catalog's connection: what is wrong with it is told with its place and a remedy, never a password."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

from ingestion_assets.embedded import free_port
from ingestion_assets.stores.catalog import METADATA, SERIES, Catalog, CatalogError
from ingestion_assets.stores.registry_table import Registry
from ingestion_assets_tests.servers import FaultyProxy, PostgresServer
from ingestion_assets_tests.stores.conftest import MakeCatalog

PASSWORD = "hunter2secret"


def refusal(catalog: Catalog) -> str:
    with pytest.raises(CatalogError) as caught:
        Registry(catalog).entries()
    catalog.close()
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


def test_making_the_tables_again_keeps_what_is_there(make_catalog: MakeCatalog) -> None:
    first = make_catalog()
    with first.begin() as db:
        assert sorted(sa.inspect(db).get_table_names()) == sorted(METADATA.tables)
    threads = [threading.Thread(target=make_catalog) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Registry(first).entries() == []


def test_a_transaction_is_whole_or_not_at_all(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog()
    row = {"domain": "d", "source": "s", "symbol": "s", "strategy": "stream", "timeframes": []}
    row |= {"created_at": None, "updated_at": None}
    with pytest.raises(sa.exc.IntegrityError), catalog.begin() as db:
        db.execute(SERIES.insert().values(id="a.b", **row))
    with pytest.raises(ZeroDivisionError), catalog.begin() as db:
        now = db.execute(sa.select(sa.func.current_timestamp())).scalar_one()
        assert now
        db.execute(sa.delete(SERIES))
        _ = 1 / 0
    assert Registry(catalog).entries() == []


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://u:hunter2secret@h/d", "://"])
def test_an_url_that_names_no_known_database_is_refused(url: str) -> None:
    with pytest.raises(CatalogError, match=r"DATABASE_URL names .*: write postgresql://") as caught:
        Catalog(url)
    assert PASSWORD not in str(caught.value)


def test_the_place_never_shows_the_password() -> None:
    catalog = Catalog(f"postgres://me:{PASSWORD}@db.example:5432/lake")
    assert catalog.place == "postgresql+psycopg2://me:***@db.example:5432/lake"


def test_an_sqlite_catalog_not_made_yet(tmp_path: Path) -> None:
    text = refusal(Catalog(f"sqlite:///{tmp_path}/catalog.sqlite"))
    assert f"{tmp_path}/catalog.sqlite" in text
    assert "run `ingest registry init`" in text


def test_an_sqlite_catalog_whose_folder_is_missing(tmp_path: Path) -> None:
    text = refusal(Catalog(f"sqlite:///{tmp_path}/no/catalog.sqlite"))
    assert f"{tmp_path}/no/catalog.sqlite" in text
    assert "INGEST_STATE_DIR" in text
    assert not (tmp_path / "no").exists()


def test_an_sqlite_catalog_in_a_place_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CatalogError, match=r"cannot be made: .*Set INGEST_STATE_DIR"):
        Catalog(f"sqlite:///{tmp_path}/file/catalog.sqlite").create()


@pytest.mark.parametrize(
    "content", [b"this is no database at all, whatever its name says" * 100, b"\xff" * 8192]
)
def test_a_damaged_sqlite_catalog(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "catalog.sqlite"
    path.write_bytes(content)
    text = refusal(Catalog(f"sqlite:///{path}"))
    assert "is damaged" in text
    assert str(path) in text
    with pytest.raises(CatalogError, match=r"is damaged .*restore it, or move it away"):
        Catalog(f"sqlite:///{path}").create()
    assert path.read_bytes() == content


def test_an_sqlite_catalog_damaged_within(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    catalog = Catalog(f"sqlite:///{path}")
    catalog.create()
    catalog.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x07" * (len(content) - 4096)
    path.write_bytes(content)
    assert "is damaged" in refusal(Catalog(f"sqlite:///{path}"))


def test_a_locked_sqlite_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion_assets.stores.catalog.SQLITE_PATIENCE", 0.2)
    path = tmp_path / "catalog.sqlite"
    catalog = Catalog(f"sqlite:///{path}")
    catalog.create()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert Registry(catalog).entries() == [], "whoever only reads need not wait"
        with pytest.raises(CatalogError, match="Another process holds it: try again") as caught:
            Registry(catalog).finish("binance.BTC-USDT")
        assert str(path) in str(caught.value)
        other.execute("ROLLBACK")
    Registry(catalog).finish("binance.BTC-USDT")
    catalog.close()


def test_a_postgresql_that_is_not_there() -> None:
    port = free_port()
    text = refusal(Catalog(f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/lake"))
    assert f"me:***@127.0.0.1:{port}/lake" in text
    assert "Check DATABASE_URL and that the server is running" in text


def test_a_postgresql_without_that_database(postgres_server: PostgresServer) -> None:
    text = refusal(Catalog(postgres_server.url_of("nowhere")))
    assert 'database "nowhere" does not exist' in text
    assert "Create that database" in text


def test_a_postgresql_without_the_tables(database_url: str) -> None:
    assert "lacks a table" in (text := refusal(Catalog(database_url)))
    assert "run `ingest registry init`" in text


def test_a_postgresql_where_this_user_may_do_nothing(
    postgres_server: PostgresServer, database_url: str
) -> None:
    Catalog(database_url).create()
    with (
        contextlib.closing(psycopg2.connect(database_url)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("do $$ begin create role stranger login; exception when others then null; end $$")
    text = refusal(Catalog(database_url.replace("postgres@", f"stranger:{PASSWORD}@")))
    assert "permission denied" in text
    assert "ingest registry init" not in text


def test_a_postgresql_that_goes_away_and_comes_back(
    postgres_server: PostgresServer, database_url: str
) -> None:
    with FaultyProxy(postgres_server.port) as line:
        catalog = Catalog(database_url.replace(str(postgres_server.port), str(line.port)))
        catalog.create()
        registry = Registry(catalog)
        with pytest.raises(CatalogError, match="Check DATABASE_URL"), catalog.begin() as db:
            line.refuse = True
            line.reset_all()
            db.execute(sa.select(SERIES))
        assert "Check DATABASE_URL" in refusal(catalog)
        line.heal()
        assert registry.entries() == []
        catalog.close()
