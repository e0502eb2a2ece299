"""The registry kept, on SQLite and on PostgreSQL alike: series, their state, and who works on them."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series, Status, Strategy
from ingestion_assets.stores.catalog import SERIES
from ingestion_assets.stores.gap_ledger import MISSING, NO_TRADES, NOT_LISTED, GapLedger, Hole
from ingestion_assets.stores.registry_table import (
    Registry,
    RegistryError,
    process_alive,
    process_owner,
)
from ingestion_assets_tests.stores.conftest import MakeCatalog
from ingestion_assets_tests.tables.candles import at, span

BTC = Series("binance.BTC-USDT", "market", "binance", "BTC/USDT")
ETH = Series("binance.ETH-USDT", "market", "binance", "ETH/USDT", enabled=False)
NEWS = Series("rss.coindesk", "news", "rss", "coindesk", Strategy.SNAPSHOT)

moments = st.one_of(
    st.none(),
    st.datetimes(
        datetime(1990, 1, 1),
        datetime(2100, 1, 1),
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))]),
    ),
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text("aé漢 '\"\\%", max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.text("ab", max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)
serieses = st.builds(
    Series,
    id=st.from_regex(r"[A-Za-z0-9_-]{1,8}\.[A-Za-z0-9_-]{1,8}", fullmatch=True),
    domain=st.sampled_from(["market", "news"]),
    source=st.text("abc", min_size=1, max_size=100),
    symbol=st.text("ABC/:", min_size=1, max_size=100),
    strategy=st.sampled_from(list(Strategy)),
    timeframes=st.lists(st.sampled_from(["1m", "5m"])).map(tuple),
    enabled=st.booleans(),
    listed_at=moments,
    delisted_at=moments,
    backfill_from=moments,
    description=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    metadata=st.dictionaries(st.text("ab", max_size=3), json_values, max_size=3),
)


def test_any_series_comes_back_as_it_was_put_in(registry: Registry) -> None:
    @settings(max_examples=60)
    @given(serieses)
    def comes_back(series: Series) -> None:
        with registry.catalog.begin() as db:
            db.execute(SERIES.delete())
        assert registry.add_missing([series, series]) == [series.id]
        entry = registry.require(series.id)
        assert entry.series == series
        assert entry.status == (Status.IDLE if series.enabled else Status.DISABLED)
        assert registry.series(series.domain) == [series]

    comes_back()


def test_series_are_listed_by_domain_and_by_being_enabled(registry: Registry) -> None:
    assert registry.add_missing([BTC, NEWS]) == [BTC.id, NEWS.id]
    assert registry.add_missing([NEWS, ETH]) == [ETH.id]
    assert registry.series() == [BTC, ETH, NEWS]
    assert registry.series("market", enabled_only=True) == [BTC]
    registry.enable(ETH.id)
    registry.enable(BTC.id, False)
    assert [s.id for s in registry.series("market", enabled_only=True)] == [ETH.id]
    registry.remove(ETH.id)
    assert registry.get(ETH.id) is None


def test_a_series_cannot_be_added_twice_and_the_first_stays(registry: Registry) -> None:
    registry.add(BTC)
    with pytest.raises(
        RegistryError, match=r"'binance\.BTC-USDT' is registered already: `ingest registry show"
    ):
        registry.add(dataclasses.replace(BTC, symbol="another"))
    assert registry.series() == [BTC]


def test_an_unsafe_id_is_refused_and_nothing_of_its_batch_is_kept(registry: Registry) -> None:
    with pytest.raises(ValueError, match="not safe"):
        registry.add_missing([BTC, dataclasses.replace(BTC, id="../x")])
    assert registry.series() == []


def test_an_unknown_series_is_refused_with_the_nearest_names(registry: Registry) -> None:
    registry.add(BTC)
    for attempt in (registry.require, registry.remove, registry.enable):
        with pytest.raises(
            RegistryError, match=r"'binance\.BTC-USD' is not registered\. Nearest: binance\.BTC-USDT"
        ):
            attempt("binance.BTC-USD")
    with pytest.raises(RegistryError, match=r"is not registered\. `ingest registry add"):
        registry.update(NEWS)


def test_updating_what_is_said_of_a_series_leaves_its_state(registry: Registry) -> None:
    registry.add(BTC)
    registry.start([BTC.id], "run-1")
    delisted = datetime(2024, 5, 1, tzinfo=UTC)
    registry.update(dataclasses.replace(BTC, delisted_at=delisted))
    entry = registry.require(BTC.id)
    assert (entry.series.delisted_at, entry.status, entry.status_owner) == (delisted, Status.RUNNING, "run-1")


def test_gaps_are_closed_of_the_time_that_is_taken_from_a_series_and_of_no_other(registry: Registry) -> None:
    ledger, wanted = GapLedger(registry.catalog), dataclasses.replace(BTC, backfill_from=at(10))
    registry.add_missing([wanted, ETH])
    before = [Hole(span(0, 30)), Hole(span(30, 40), NO_TRADES), Hole(span(40, 50), NOT_LISTED)]
    for series in (BTC.id, ETH.id):
        for table in ("market/ohlcv_1m", "market/ohlcv_5m"):
            ledger.record(table, series, span(0, 60), before, now=at(60))

    def left(series: str) -> set[tuple[str, Window, str]]:
        return {(gap.table, gap.window, gap.reason) for gap in ledger.open(series=series)}

    untouched = left(ETH.id)
    registry.update(dataclasses.replace(wanted, timeframes=("1m", "5m")))
    assert len(left(BTC.id)) == 6, "the dates are what they were"
    registry.update(dataclasses.replace(wanted, backfill_from=at(20), delisted_at=at(35)))
    assert left(BTC.id) == {
        (table, window, reason)
        for table in ("market/ohlcv_1m", "market/ohlcv_5m")
        for window, reason in (
            (span(0, 10), MISSING),  # somebody asked for it although the registry did not
            (span(20, 30), MISSING),
            (span(30, 35), NO_TRADES),
            (span(40, 50), NOT_LISTED),
        )
    }
    assert left(ETH.id) == untouched
    assert {gap.series for gap in ledger.due(at(10**6), 8)} == {BTC.id, ETH.id}
    registry.update(dataclasses.replace(wanted, delisted_at=at(5)))
    assert {window for _, window, _ in left(BTC.id)} == {span(0, 10), span(40, 50)}


def test_the_state_of_a_series_follows_its_runs(registry: Registry) -> None:
    registry.add(BTC)
    registry.start([BTC.id, "not.registered"], "run-1")
    entry = registry.require(BTC.id)
    assert (entry.status, entry.status_owner, entry.last_backfill) == (Status.RUNNING, "run-1", None)
    registry.finish(BTC.id, "VendorDown: 503 \0" + "x" * 5000)
    entry = registry.require(BTC.id)
    assert (entry.status, entry.status_owner) == (Status.ERROR, None)
    assert entry.error_message is not None
    assert entry.error_message.startswith("VendorDown: 503 ?x")
    assert len(entry.error_message) == 2000
    registry.start([BTC.id], "run-2")
    registry.finish(BTC.id)
    entry = registry.require(BTC.id)
    assert (entry.status, entry.error_message) == (Status.IDLE, None)
    assert entry.last_backfill is not None
    assert entry.last_backfill.tzinfo is not None


def test_a_disabled_series_shows_as_disabled_whatever_its_last_run_did(registry: Registry) -> None:
    registry.add(BTC)
    registry.finish(BTC.id, "broken")
    registry.enable(BTC.id, False)
    assert registry.require(BTC.id).status == Status.DISABLED
    registry.enable(BTC.id)
    assert registry.require(BTC.id).status == Status.ERROR


def test_what_a_dead_process_was_working_on_is_released(registry: Registry) -> None:
    program = "from ingestion_assets.stores.registry_table import process_owner; print(process_owner())"
    owner = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()
    registry.add_missing([BTC, ETH, NEWS])
    registry.start([BTC.id], owner)
    registry.start([ETH.id], process_owner())
    registry.start([NEWS.id], "6f1b4c1e-a-dagster-run")
    assert registry.release_lost(process_alive) == [BTC.id]
    assert registry.release_lost(process_alive) == []
    lost = registry.require(BTC.id)
    assert (lost.status, lost.status_owner) == (Status.ERROR, None)
    assert lost.error_message == f"interrupted: {owner} ended without a word; the next run resumes"
    assert registry.require(ETH.id).status_owner == process_owner()
    assert registry.require(NEWS.id).status == Status.RUNNING


def test_a_process_is_known_by_its_beginning_not_only_by_its_number() -> None:
    assert process_alive(process_owner())
    host = socket.gethostname()
    assert not process_alive(f"pid:{host}:{os.getpid()}:1")
    assert process_alive("pid:another-host:1:1")
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        started = Path(f"/proc/{killed.pid}/stat").read_text().rpartition(")")[2].split()[19]
        assert process_alive(f"pid:{host}:{killed.pid}:{started}")
        killed.kill()
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        assert not process_alive(f"pid:{host}:{killed.pid}:{started}"), "dead, but nobody has awaited it"
    finally:
        killed.communicate(timeout=60)


def test_processes_that_register_the_same_series_at_once_agree(make_catalog: MakeCatalog) -> None:
    registries = [Registry(make_catalog()) for _ in range(4)]
    many = [Series(f"binance.C{n}-USDT", "market", "binance", f"C{n}/USDT") for n in range(10)]
    barrier = threading.Barrier(len(registries))
    added: list[str] = []
    failed: list[Exception] = []

    def work(registry: Registry) -> None:
        barrier.wait(60)
        try:
            for series in many:
                added.extend(registry.add_missing([series]))
        except Exception as error:  # noqa: BLE001 told to the thread that asserts
            failed.append(error)

    threads = [threading.Thread(target=work, args=[registry]) for registry in registries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(added) == sorted(series.id for series in many), "each was new to exactly one of them"
