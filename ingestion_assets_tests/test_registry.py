"""Ids, aliases and strategies: what people type, what it stands for, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.registry import Series, Strategy, check_id, parse_id, series_id

names = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=2, max_size=6)


@pytest.mark.parametrize("alias", ["BTC/USDT", "btc/usdt", "BTC-USDT", "BTCUSDT", " btcusdt ", "BTC_USDT"])
def test_every_spelling_of_a_pair_has_one_id(alias: str) -> None:
    assert series_id("Binance ", alias) == "binance.BTC-USDT"
    assert parse_id(f"binance.{alias.strip()}") == ("binance", "BTC/USDT")


@given(names, names)
def test_an_id_stands_for_the_symbol_it_was_made_of(base: str, quote: str) -> None:
    made = series_id("kraken", f"{base}/{quote}")
    assert check_id(made) == made == f"kraken.{base}-{quote}"
    assert parse_id(made) == ("kraken", f"{base}/{quote}")
    perpetual = series_id("kraken", f"{base}/{quote}:{quote}")
    assert perpetual == f"{made}-PERP"
    assert parse_id(perpetual) == ("kraken", f"{base}/{quote}:{quote}")


@pytest.mark.parametrize(
    ("alias", "expected"),
    [("BTCFDUSD", "BTC-FDUSD"), ("ETHBTC", "ETH-BTC"), ("USDTTRY", "USDT-TRY"), ("BTCEUR", "BTC-EUR")],
)
def test_the_quote_of_a_joined_pair_is_the_longest_that_fits(alias: str, expected: str) -> None:
    assert series_id("binance", alias) == f"binance.{expected}"


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "a..b", "binance", "binance.", ".BTC", "a/b.c", "../etc.passwd", "a.b c", "a.b\n"),
        *("ä.b", "a.b|c", "a.b:c", "a.b*", "x." + "a" * 127),
    ],
)
def test_an_id_that_is_no_safe_folder_or_key_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="series id") as caught:
        check_id(text)
    assert repr(text[:40])[:-1] in str(caught.value)


@pytest.mark.parametrize(
    ("exchange", "symbol", "complaint"),
    [
        ("binance", "XYZ", "cannot be taken apart"),
        ("binance", "USDT", "cannot be taken apart"),
        ("", "BTC/USDT", "not safe"),
        ("bin/ance", "BTC/USDT", "not safe"),
        ("binance", "BTC/USDT/EUR*", "not safe"),
        ("binance", "BTC/USD:BTC", "settles in BTC"),
        ("binance", "BTC/USDT:USDT-240927", "settles in USDT-240927"),
    ],
)
def test_a_symbol_that_has_no_id_of_its_own_is_refused(exchange: str, symbol: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        series_id(exchange, symbol)


@pytest.mark.parametrize("text", ["BTC-USDT", "BTCUSDT"])
def test_an_id_without_an_exchange_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"names no exchange: write it like binance\.BTC-USDT"):
        parse_id(text)


def test_strategies_are_named_sets_of_phases() -> None:
    assert {s.value: sorted(s.phases) for s in Strategy} == {
        "flatpack": ["bulk", "rest"],
        "flatpack_api": ["rest"],
        "snapshot": ["snapshot"],
        "stream": ["stream"],
        "snapshot_stream": ["snapshot", "stream"],
        "flatpack_snapshot_stream": ["bulk", "rest", "snapshot", "stream"],
    }
    assert Strategy.parse(" Flatpack_API ") is Strategy.FLATPACK_API
    with pytest.raises(ValueError, match="strategy 'flat' is unknown: use one of flatpack, flatpack_api"):
        Strategy.parse("flat")


@pytest.mark.parametrize("strategy", Strategy)
def test_history_by_request_is_what_some_strategies_have(strategy: Strategy) -> None:
    series = Series("binance.BTC-USDT", "market", "binance", "BTC/USDT", strategy)
    assert series.rest == (strategy not in (Strategy.SNAPSHOT, Strategy.STREAM, Strategy.SNAPSHOT_STREAM))
