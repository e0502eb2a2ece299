"""`ingest setup`: what has to be there once before anything runs. Doing it again changes nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ingestion_assets.settings import Settings

_SQLITE_FILES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


def setup(
    for_stack: Annotated[
        bool, typer.Option("--for-stack", hidden=True, help="What `ingest up` needs.")
    ] = False,
) -> None:
    """Write .env, and make the state folder, the catalog and Dagster's tables, where they are missing."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.settings import ROOT

    written = write_dotenv(ROOT) if (ROOT / "dagster.yaml").is_file() else []
    settings = environment.settings()
    made = prepare(settings)
    if for_stack:
        from ingestion_assets.cli.stack_preparation import prepare_stack

        output.show_json(prepare_stack(settings))
        return
    done = [f"{ROOT / '.env'}: {', '.join(written)} added" if written else "", *made]
    for line in filter(None, done):
        output.say(line)
    if not any(done):
        output.say("Everything is set up already.")


def write_dotenv(root: Path) -> list[str]:
    """Add what Dagster has to know, and tokens for the HTTP API; the other lines stay as they are.

    The names that were added.
    """
    path = root / ".env"
    text = path.read_text() if path.exists() else ""
    names = {line.split("=")[0].removeprefix("export").strip() for line in text.splitlines() if "=" in line}
    wanted = {
        "DAGSTER_HOME": str(root),
        "INGEST_STATE_DIR": str(root / ".dagster"),
        "ADMIN_TOKEN": secrets.token_hex(24),
        "CRON_SECRET": secrets.token_hex(24),
    }
    missing = {name: value for name, value in wanted.items() if name not in names}
    if missing:
        lines = [text if not text or text.endswith("\n") else text + "\n"]
        if not text:
            lines.append("# Settings of this checkout; .env.example lists them all.\n")
        lines += [f"{name}={_quoted(value)}\n" for name, value in missing.items()]
        path.touch(mode=0o600)
        path.chmod(path.stat().st_mode & ~0o077)  # tokens are in it
        path.write_text("".join(lines))
    return list(missing)


def prepare(settings: Settings) -> list[str]:
    """Make what is missing; what was made, in words."""
    from ingestion_assets.cli import environment
    from ingestion_assets.stores.catalog import Catalog

    state = settings.ingest_state_dir.expanduser()
    made = [] if state.is_dir() else [f"{state}: made"]
    state.mkdir(parents=True, exist_ok=True)
    Catalog(settings.catalog_url).create()
    home = environment.dagster_home()
    if not has_tables(home, state):
        with _one_at_a_time(home):  # two processes that make the tables at once trip over each other
            if not has_tables(home, state):
                with environment.instance() as instance:
                    instance.get_runs(limit=1)
                    instance.get_dynamic_partitions("market")
                    instance.all_instigator_state()
                made.append(f"Dagster's instance at {home}: ready")
    return made


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def has_tables(home: Path, state: Path) -> bool:
    """Known without loading Dagster, for it takes seconds."""
    import yaml

    config: Any = yaml.safe_load((home / "dagster.yaml").read_text()) or {}
    if "sqlite" not in config.get("storage", {}):
        return False
    return all(_has_revision(state / name) for name in _SQLITE_FILES)


def _has_revision(path: Path) -> bool:
    import sqlite3

    if not path.is_file():
        return False
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        rows = database.execute(
            "select count(*) from sqlite_master where name = 'alembic_version'"
        ).fetchone()
        return bool(rows[0]) and bool(database.execute("select count(*) from alembic_version").fetchone()[0])


def _quoted(text: str) -> str:
    return text if all(c.isalnum() or c in "/._-+@:," for c in text) else "'" + text.replace("'", "\\'") + "'"
