"""A project folder, a simulated exchange, and `ingest` as a shell would run it: in this process, where
what matters is what it says and does, or as a process of its own, where processes matter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.cli.application import run
from ingestion_assets.settings import SIMULATED
from ingestion_assets.simulator import Simulator
from ingestion_assets.workbench import Workbench


@dataclass(frozen=True)
class Result:
    """How an invocation ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def ok(self) -> Result:
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self


class Ingest:
    """`ingest …` in this process, in a folder of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Result:
        self._capsys.readouterr()
        code = run(arguments)
        said = self._capsys.readouterr()
        return Result(code, said.out, said.err)

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def bench(self) -> Workbench:
        return Workbench()

    def snapshot(self) -> dict[str, Any]:
        """Everything that a refused command must not have changed."""
        files = {str(p): p.stat().st_mtime_ns for p in self.lake.rglob("*") if p.is_file()}
        return {"series": self.bench.registry.entries(), "gaps": self.bench.ledger.open(), "files": files}


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """An exchange that nobody disturbs."""
    with Simulator(weight_limit=1_000_000) as running:
        yield running


@pytest.fixture(scope="session")
def prepared_state(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    """A state folder as `ingest setup` leaves it, to be copied: making it takes seconds."""
    home = tmp_path_factory.mktemp("prepared")
    shutil.copy(project / "dagster.yaml", home)
    state = home / "state"
    environment = clean() | {"DAGSTER_HOME": str(home), "INGEST_STATE_DIR": str(state)}
    subprocess.run(
        [sys.executable, "-c", _PREPARE], env=environment, cwd=home, check=True, timeout=120, text=True
    )
    return state


_PREPARE = """
from ingestion_assets.settings import Settings, load_settings
Settings.model_config["env_file"] = None
from ingestion_assets.cli.setup import prepare
prepare(load_settings())
"""


@pytest.fixture
def ingest(
    tmp_path: Path,
    project: Path,
    prepared_state: Path,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Ingest:
    """`ingest` in an empty project whose exchanges are the simulated ones."""
    shutil.copy(project / "dagster.yaml", tmp_path)
    shutil.copytree(prepared_state, tmp_path / "state")
    given = {
        "DAGSTER_HOME": str(tmp_path),
        "INGEST_STATE_DIR": str(tmp_path / "state"),
        "DATA_LAKE_PATH": str(tmp_path / "lake"),
        "BINANCE_URL": simulator.url,
        "EXCHANGE_URLS": json.dumps({name: simulator.url for name in SIMULATED if name != "binance"}),
        "DAGSTER_PORT": "1",  # nobody's UI
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return Ingest(tmp_path, capsys)


@pytest.fixture
def btc(ingest: Ingest) -> Ingest:
    """With binance.BTC-USDT registered since 2024, and nothing of it held."""
    from dataclasses import replace

    series = ingest.bench.describe("binance.BTC-USDT", datetime.now(UTC))
    ingest.bench.registry.add(replace(series, backfill_from=datetime(2024, 1, 1, tzinfo=UTC)))
    return ingest


class Checkout:
    """A copy of the project in a folder of its own; its commands are processes of their own."""

    def __init__(self, folder: Path, project: Path) -> None:
        self.folder = folder
        shutil.copytree(project / "ingestion_assets", folder / "ingestion_assets")
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(project / name, folder)
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        self.environment = clean() | {"PYTHONPATH": str(folder)}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ingestion_assets.cli", *arguments]

    def __call__(self, *arguments: str, timeout: float = 120, **environment: str) -> Result:
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment | environment,
            cwd=self.elsewhere,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, prefix: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*prefix, *self.command(*arguments)],
            env=self.environment | environment,
            cwd=self.elsewhere,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def checkout(tmp_path: Path, project: Path) -> Checkout:
    return Checkout(tmp_path, project)


def clean() -> Mapping[str, str]:
    """The environment as `clean_environment` left it, or without what this machine's settings hold."""
    from ingestion_assets.settings import Settings
    from ingestion_assets_tests.conftest import THEIRS

    return {
        name: value
        for name, value in os.environ.items()
        if name.lower() not in Settings.model_fields and not name.startswith(THEIRS)
    } | {"DAGSTER_DISABLE_TELEMETRY": "1", "NO_COLOR": "1"}
