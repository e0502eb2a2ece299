"""`ingest demo` as `make demo` runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ingestion_assets_tests.cli.conftest import Checkout


@pytest.mark.timeout(300)
def test_the_demo_shows_the_whole_way_and_leaves_nothing(checkout: Checkout, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    # What the project's own settings say does not matter to the demo.
    done = checkout(
        "demo", timeout=280, TMPDIR=str(temporary), PROFILE="live", DATABASE_URL="postgresql://x/y"
    )
    assert done.code == 0, done.out + done.err
    assert "".join(re.findall(r"^(\d)\. ", done.out, re.MULTILINE)) == "12345678"
    for words in ("healed", "missing now: 0", "was missing", "binance.SOL-USDT", "The demo is over"):
        assert words in done.out
    assert list(temporary.iterdir()) == []
    assert not (checkout.folder / ".dagster").exists()
    assert not (checkout.folder / "data_lake").exists()
