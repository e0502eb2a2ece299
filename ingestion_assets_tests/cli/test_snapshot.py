"""`ingest test-snapshot`, and what `ingest doctor` says of vendors that need a key."""

from __future__ import annotations

import pytest

from ingestion_assets.registry import Series
from ingestion_assets.simulator import Simulator
from ingestion_assets_tests.cli.conftest import Ingest
from ingestion_assets_tests.cli.test_doctor import findings


@pytest.fixture
def keyed(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    monkeypatch.setenv("POLYGON_API_KEY", "key")
    monkeypatch.setenv("COINGECKO_API_KEY", "key")
    return ingest


@pytest.mark.parametrize(
    ("text", "series", "column"),
    [
        ("AAPL", "polygon.AAPL", "last_trade_price"),
        ("polygon.brk.b", "polygon.BRK.B", "previous_close"),
        ("coingecko.BTC-USD", "coingecko.bitcoin-usd", "market_cap"),
        ("mock.SPX", "mock.SPX-USD", "price"),
    ],
)
def test_a_snapshot_is_shown_examined_and_not_kept(
    keyed: Ingest, text: str, series: str, column: str
) -> None:
    told = keyed("test-snapshot", text, "--json").ok().json
    assert told["series"] == series
    assert told["broken"] == []
    assert told["row"][column] > 0
    said = keyed("test-snapshot", text).ok()
    assert column in said.out
    assert "every promise of" in said.err
    assert not keyed.lake.exists() or list(keyed.lake.rglob("*.parquet")) == []


def test_it_says_what_is_wrong(keyed: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = keyed("test-snapshot", "NOPE")
    assert unknown.code == 2
    assert "no snapshot of 'NOPE'" in unknown.err
    assert keyed("test-snapshot", "AA PL").code == 2
    monkeypatch.setenv("POLYGON_API_KEY", "wrong-secret")
    wrong = keyed("test-snapshot", "AAPL")
    assert wrong.code == 1
    assert "Unknown API Key" in wrong.err
    assert "wrong-secret" not in wrong.err
    monkeypatch.delenv("POLYGON_API_KEY")
    none = keyed("test-snapshot", "AAPL")
    assert none.code == 1
    assert "set POLYGON_API_KEY" in none.err


def test_doctor_says_what_vendors_need(
    btc: Ingest, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = findings(btc)
    assert found["polygon"]["status"] == "ok"
    assert "would need POLYGON_API_KEY" in found["polygon"]["text"]
    btc.bench.registry.add_missing([Series("polygon.AAPL", "equities", "polygon", "AAPL")])
    found = findings(btc)
    assert found["polygon"]["status"] == "warn"
    assert "1 series cannot be asked for" in found["polygon"]["text"]
    assert "Set POLYGON_API_KEY" in found["polygon"]["remedy"]
    monkeypatch.setenv("POLYGON_API_KEY", "key")
    found = findings(btc)
    assert found["polygon"]["text"] == "its key is given"
    assert found["polygon_files"]["status"] == "ok"
    assert "polygon gives what it can" in found["polygon_files"]["text"]
