"""A running simulator, ways to ask it, and where the recorded answers of the real vendors lie."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from ingestion_assets.simulator import Simulator

NOW = "2026-03-04T05:06:07"
"""A Wednesday, seven seconds into a minute."""


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Standing still at NOW."""
    with Simulator(now=NOW) as running:
        yield running


@pytest.fixture
def get(simulator: Simulator) -> Iterator[Callable[..., requests.Response]]:
    """`get("klines", symbol="BTCUSDT", interval="1m")` asks Binance; a path with a slash asks as it is."""
    with requests.Session() as session:
        session.trust_env = False

        def ask(path: str, timeout: float = 30, **query: Any) -> requests.Response:
            path = path if path.startswith("/") else f"/api/v3/{path}"
            return session.get(simulator.url + path, params=query, timeout=timeout)

        yield ask


@pytest.fixture
def klines(get: Callable[..., requests.Response]) -> Callable[..., list[list[Any]]]:
    """A page of BTCUSDT 1m unless said otherwise."""

    def ask(**query: Any) -> list[list[Any]]:
        answer = get("klines", **({"symbol": "BTCUSDT", "interval": "1m"} | query))
        assert answer.status_code == 200, answer.text
        rows: list[list[Any]] = answer.json()
        return rows

    return ask


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], Any]:
    """A recorded answer of a real vendor; skips where the recordings are absent."""
    beside = Path(__file__).parents[2].parent / "shared" / "recordings"
    folder = Path(os.environ.get("RECORDINGS_DIR") or beside)

    def load(name: str) -> Any:
        path = folder / name
        if not path.is_file():
            pytest.skip(f"no recording {name}: set RECORDINGS_DIR to the folder of recorded vendor answers")
        return json.loads(path.read_text())

    return load
