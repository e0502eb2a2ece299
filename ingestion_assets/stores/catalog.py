"""The SQL catalog's connection and tables: registry, gap ledger, alerts, budgets. SQLite file or PostgreSQL.

The verbs are in the files beside this one (registry_table, gap_ledger, alert_log, budgets), a class each, all
over one `Catalog`. Times are kept as aware UTC datetimes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

SQLITE_PATIENCE = 30.0  # seconds to wait for another writer


class CatalogError(Exception):
    """The catalog cannot be used; the text says why and what may help."""


class UtcTime(TypeDecorator[datetime]):
    """SQLite has no time zones: UTC goes in without, and comes out with."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class PlainText(TypeDecorator[str]):
    """What vendors say may hold what no database takes: the character NUL, halves of characters."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else value.replace("\0", "?").encode("utf-8", "replace").decode("utf-8")


METADATA = sa.MetaData()

SERIES = sa.Table(
    "symbol_registry",
    METADATA,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("domain", sa.String(32), nullable=False),
    sa.Column("source", sa.String(128), nullable=False),
    sa.Column("symbol", sa.String(128), nullable=False),
    sa.Column("strategy", sa.String(50), nullable=False),
    sa.Column("timeframes", sa.JSON, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False, default=True),
    sa.Column("listed_at", UtcTime),
    sa.Column("delisted_at", UtcTime),
    sa.Column("backfill_from", UtcTime),
    sa.Column("status", sa.String(20), nullable=False, default="idle"),
    sa.Column("status_owner", sa.String(128)),
    sa.Column("last_backfill", UtcTime),
    sa.Column("last_snapshot", UtcTime),
    sa.Column("last_stream", UtcTime),
    sa.Column("error_message", PlainText),
    sa.Column("description", PlainText, nullable=False, default=""),
    sa.Column("metadata", sa.JSON, nullable=False, default=dict),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
)

GAPS = sa.Table(
    "gap_ledger",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("table_path", sa.String(128), nullable=False),
    sa.Column("series", sa.String(128), nullable=False),
    sa.Column("start", UtcTime, nullable=False),
    sa.Column("end", UtcTime, nullable=False),
    sa.Column("reason", sa.String(20), nullable=False),
    sa.Column("was", sa.String(20)),
    sa.Column("evidence", PlainText, nullable=False, default=""),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("found_at", UtcTime, nullable=False),
    sa.Column("checked_at", UtcTime, nullable=False),
    sa.Column("next_try_at", UtcTime),
    sa.Column("expires_at", UtcTime),
    sa.Column("closed_at", UtcTime),
    sa.Column("run", sa.String(128)),
    sa.Index("gap_ledger_open", "table_path", "series", "closed_at"),
)

ALERTS = sa.Table(
    "alert_log",
    METADATA,
    sa.Column("key", sa.String(256), primary_key=True),
    sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("message", PlainText, nullable=False),
    sa.Column("context", sa.JSON, nullable=False),
    sa.Column("firing", sa.Boolean, nullable=False),
    sa.Column("told", sa.Boolean, nullable=False),
    sa.Column("since", UtcTime, nullable=False),
    sa.Column("told_at", UtcTime),
)

ARCHIVE_FILES = sa.Table(
    "archive_files",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("vendor", sa.String(64), nullable=False),
    sa.Column("path", sa.String(512), nullable=False),
    sa.Column("table_path", sa.String(128), nullable=False),
    sa.Column("series", sa.String(128), nullable=False),
    sa.Column("start", UtcTime, nullable=False),
    sa.Column("end", UtcTime, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("landed_at", UtcTime, nullable=False),
    sa.Column("compared_at", UtcTime),
    sa.Column("restated_at", UtcTime),
    sa.Index("archive_files_of_series", "table_path", "series"),
    sa.Index("archive_files_path", "vendor", "path"),
)

BUDGETS = sa.Table(
    "budgets",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("period", sa.String(10), primary_key=True),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sa.Column("most", sa.BigInteger),
    sa.Column("updated_at", UtcTime, nullable=False),
)


class Catalog:
    """One connection pool over the tables."""

    def __init__(self, url: str) -> None:
        try:
            self._url = sa.make_url(url.replace("postgres://", "postgresql://", 1))
            kind = self._url.get_backend_name()
        except (sa.exc.ArgumentError, ValueError):
            kind = "nothing known"
        if kind not in ("postgresql", "sqlite"):
            raise CatalogError(
                f"DATABASE_URL names {kind}: write postgresql://user:password@host:5432/database, "
                "special characters in the password as %XX, or leave it out for an SQLite file"
            )
        if self._url.drivername == "postgresql":
            self._url = self._url.set(drivername="postgresql+psycopg2")
        if self._url.drivername.startswith("sqlite"):
            self._engine = sa.create_engine(self._url, connect_args={"timeout": SQLITE_PATIENCE})
            sa.event.listen(self._engine, "connect", _sqlite_manners)
        else:
            self._engine = sa.create_engine(
                self._url, pool_pre_ping=True, connect_args={"connect_timeout": 10}
            )

    @property
    def place(self) -> str:
        """Where the catalog is, without its password."""
        return self._url.render_as_string(hide_password=True)

    def create(self) -> None:
        """Make the tables that are not there yet; what is there stays."""
        if self._url.drivername.startswith("sqlite") and self._url.database:
            try:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CatalogError(
                    f"the catalog {self.place} cannot be made: {error}. "
                    "Set INGEST_STATE_DIR to a folder that can be written"
                ) from None
        with self.begin() as connection:
            METADATA.create_all(connection)

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction, whole or not at all; from its start it is the only one that writes.

        What it reads is then still so when it writes: two runs that record one series' gaps, or two
        processes that make the tables, would otherwise each add what the other has just added.
        """
        with self._explained(), self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql("SET LOCAL lock_timeout = '30s'")
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7163524)")
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with self._explained(), self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.OperationalError as error:
            text = str(error.orig).strip()
            if "database" in text and "does not exist" in text:
                remedy = "Create that database, or correct DATABASE_URL"
            elif "no such table" in text:
                remedy = "It has not been made yet: run `ingest registry init`"
            elif "locked" in text or "lock timeout" in text:
                remedy = (
                    "Another process holds it: try again, or set DATABASE_URL to PostgreSQL for many writers"
                )
            elif "unable to open" in text or "readonly" in text:
                remedy = "Check that the folder of INGEST_STATE_DIR exists and can be written"
            else:
                remedy = "Check DATABASE_URL and that the server is running"
            raise CatalogError(f"the catalog {self.place} cannot be used: {text}. {remedy}") from None
        except sa.exc.ProgrammingError as error:
            text = str(error.orig).strip().splitlines()[0]
            if "does not exist" not in text:
                raise CatalogError(f"the catalog {self.place} refuses: {text}. Check DATABASE_URL") from None
            raise CatalogError(
                f"the catalog {self.place} lacks a table ({text}): run `ingest registry init`"
            ) from None
        except sa.exc.DatabaseError as error:
            if "not a database" not in str(error.orig) and "malformed" not in str(error.orig):
                raise
            raise CatalogError(
                f"the catalog {self.place} is damaged ({error.orig}): restore it, or move it away "
                "and run `ingest registry init`"
            ) from None


def _sqlite_manners(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where Catalog.begin says, not at the first write
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
