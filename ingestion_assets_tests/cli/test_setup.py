"""`ingest setup` in a fresh checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from dotenv import dotenv_values

from ingestion_assets.cli.setup import write_dotenv
from ingestion_assets.serving.security import is_weak
from ingestion_assets_tests.cli.conftest import Checkout


def test_a_fresh_checkout_is_made_ready_from_any_folder_and_only_once(checkout: Checkout) -> None:
    first = checkout("setup").ok()
    assert "DAGSTER_HOME, INGEST_STATE_DIR, ADMIN_TOKEN, CRON_SECRET added" in first.err
    written = dotenv_values(checkout.folder / ".env")
    tokens = {written.pop(name) for name in ("ADMIN_TOKEN", "CRON_SECRET")}
    assert len(tokens) == 2 and not any(is_weak(str(token)) for token in tokens)
    assert not any(str(token) in first.err + first.out for token in tokens)
    assert (checkout.folder / ".env").stat().st_mode & 0o077 == 0
    assert written == {
        "DAGSTER_HOME": str(checkout.folder),
        "INGEST_STATE_DIR": str(checkout.folder / ".dagster"),
    }
    state = checkout.folder / ".dagster"
    before = {path: path.read_bytes() for path in state.rglob("*.db")}
    assert len(before) == 3
    assert (state / "catalog.sqlite").exists()
    assert list(checkout.elsewhere.iterdir()) == []

    again = checkout("setup").ok()
    assert "set up already" in again.err
    assert {path: path.read_bytes() for path in state.rglob("*.db")} == before
    assert "No series is registered" in checkout("registry", "list").ok().err


def test_the_live_world_has_folders_of_its_own_unless_others_are_named(checkout: Checkout) -> None:
    checkout("setup").ok()
    lake = "from ingestion_assets.cli import environment as e; s = e.settings(); print(s.data_lake_path)"
    live = checkout.folder / ".dagster" / "live"
    assert not live.exists()
    checkout("setup", PROFILE="live").ok()
    assert (live / "catalog.sqlite").exists()
    named = checkout.elsewhere / "named"
    checkout("setup", PROFILE="live", INGEST_STATE_DIR=str(named)).ok()
    assert (named / "catalog.sqlite").exists()
    found = {
        profile: subprocess.run(
            [sys.executable, "-c", lake],
            env=checkout.environment | {"PROFILE": profile},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for profile in ("simulator", "live")
    }
    assert found == {
        "simulator": str(checkout.folder / "data_lake"),
        "live": str(checkout.folder / "data_lake_live"),
    }


def test_processes_that_set_up_at_once_do_not_trip_over_each_other(checkout: Checkout) -> None:
    (checkout.folder / ".dagster").mkdir()
    both = [checkout.start("setup") for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "set up already" in checkout("setup").ok().err


def test_the_project_s_env_file_counts_from_any_folder(checkout: Checkout) -> None:
    (checkout.folder / ".env").write_text("SETTLE_SECONDS=soon\n")
    (checkout.elsewhere / ".env").write_text("SETTLE_SECONDS=never\n")
    done = checkout("registry", "list")
    assert done.code == 2
    assert "soon" in done.err
    assert "never" not in done.err


def test_lines_that_are_there_stay(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    mine = "PROFILE=live\nINGEST_STATE_DIR=/elsewhere\nADMIN_TOKEN=mine\nCRON_SECRET="
    path.write_text(mine)
    assert write_dotenv(tmp_path) == ["DAGSTER_HOME"]
    assert path.read_text() == f"{mine}\nDAGSTER_HOME={tmp_path}\n"
    assert write_dotenv(tmp_path) == []


def test_a_folder_with_odd_characters_survives_the_env_file(tmp_path: Path) -> None:
    folder = tmp_path / "it's a $HOME #1"
    folder.mkdir()
    write_dotenv(folder)
    assert dotenv_values(folder / ".env")["DAGSTER_HOME"] == str(folder)
    shell = 'set -a; . ./.env; printf %s "$DAGSTER_HOME"'
    assert shutil.which("sh")
    done = subprocess.run(["sh", "-c", shell], cwd=folder, capture_output=True, text=True, timeout=10)
    assert done.returncode in (0, 2)  # a quote within quotes is read by dotenv in its own way
