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
    steps = [int(number) for number in re.findall(r"^(\d+)\. ", done.out, re.MULTILINE)]
    assert steps == [*range(1, len(steps) + 1)]
    assert len(steps) >= 10
    fed = "equities/bars_1m", "equities/splits", "snapshots/markets", "snapshots/ohlc_4h", "news/items"
    for table in fed:
        assert f"rows of {table}" in done.out
    for table in ("onchain/metrics_1d", "onchain/transactions", "social/posts", "social/post_counts_1h"):
        assert f"rows of {table}" in done.out
    for words in ("healed", "missing now: 0", "was missing", "binance.SOL-USDT", "The demo is over"):
        assert words in done.out
    assert list(temporary.iterdir()) == []
    assert not (checkout.folder / ".dagster").exists()
    assert not (checkout.folder / "data_lake").exists()
