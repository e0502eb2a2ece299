"""The command as a whole: it starts quickly, says what there is, and ends as programs end."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from ingestion_assets_tests.cli.conftest import Ingest

COMMANDS = [
    ["setup"],
    ["up"],
    ["demo"],
    ["plan"],
    ["backfill"],
    ["gaps"],
    ["explain"],
    ["sql"],
    ["doctor"],
    ["simulate"],
    *(
        ["registry", name]
        for name in ("init", "add", "list", "show", "enable", "disable", "remove", "import")
    ),
]
HEAVY = ("dagster", "polars", "ccxt", "pyarrow", "sqlalchemy", "pydantic", "numpy", "duckdb", "rich")


def test_asking_for_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from ingestion_assets.cli.application import run\n"
        "code = run(['--help'])\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "loaded: []" in done.stdout
    assert "backfill" in done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(ingest: Ingest, command: list[str]) -> None:
    said = ingest(*command, "--help").ok()
    assert "Usage:" in said.out
    assert "Stub" not in said.out


def test_the_version_is_the_package_s(ingest: Ingest) -> None:
    assert ingest("--version").ok().out.split() == ["ingestion-assets", metadata.version("ingestion-assets")]


def test_an_unknown_command_is_bad_input(ingest: Ingest) -> None:
    done = ingest("backfil")
    assert done.code == 2
    assert "backfil" in done.err


def test_a_traceback_is_shown_to_who_asks_for_it_only(ingest: Ingest) -> None:
    assert "Traceback" not in ingest("plan", "binance.NO-USDT").err
    done = ingest("--log-level", "debug", "plan", "binance.NO-USDT")
    assert "Traceback" in done.err
    assert done.code == 2


def test_a_setting_that_is_wrong_is_named(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETTLE_SECONDS", "soon")
    done = ingest("registry", "list")
    assert done.code == 2
    assert "SETTLE_SECONDS" in done.err
    assert "soon" in done.err


def test_a_relative_state_folder_is_refused(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_STATE_DIR", "state")
    done = ingest("registry", "list")
    assert done.code == 2
    assert "INGEST_STATE_DIR='state'" in done.err
    assert "absolute" in done.err


def test_a_missing_registry_is_named_with_its_remedy(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("INGEST_STATE_DIR", str(tmp_path_factory.mktemp("empty")))
    done = ingest("registry", "list")
    assert done.code == 1
    assert "ingest registry init" in done.err


def test_a_dagster_home_of_another_project_is_named(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path_factory.mktemp("theirs")))
    done = ingest("registry", "add", "binance", "BTC/USDT")
    assert done.code == 2
    assert "DAGSTER_HOME" in done.err
    assert "dagster.yaml" in done.err
    assert ingest.bench.registry.entries() == []
