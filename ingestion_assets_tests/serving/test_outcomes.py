"""By series, what became of runs: from what Dagster tells of each run to what an answer says."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion_assets.dagster_api.runs import Failure, Materialized, Run
from ingestion_assets.registry import Series
from ingestion_assets.serving.ingestion import Stretch
from ingestion_assets.serving.models import SeriesOutcome
from ingestion_assets.serving.outcomes import Ended, NobodyIngested, outcomes
from ingestion_assets.tables import INGESTED

M1, M5 = INGESTED["1m"], INGESTED["5m"]
BTC, ETH = (Series(f"binance.{base}-USDT", "market", "binance", f"{base}/USDT") for base in ("BTC", "ETH"))
KNOWN = {series.id: series for series in (BTC, ETH)}


def made(series: Series, asset: str = M1.path, new: int = 0) -> Materialized:
    return Materialized(asset, f"2024-08|{series.id}", {"new_rows": new, "changed_rows": 1})


def ended(status: str, *made: Materialized, failures: tuple[Failure, ...] = (), table=M1) -> Ended:
    run = Run(f"run-{table.name}", status, materialized=made, failures=failures)
    return Ended(run, f"http://ui/runs/{run.id}", Stretch(table, (BTC.id, ETH.id)))


def told(*runs: Ended) -> dict[str, SeriesOutcome]:
    found = outcomes(runs, KNOWN)
    assert [one.series for one in found] == sorted(KNOWN)
    return {one.symbol[:3]: one for one in found}


def test_a_run_that_went_well_is_a_success_for_each_of_its_series() -> None:
    found = told(ended("SUCCESS", made(BTC, new=5), made(BTC, "features/market_1m", 7), made(ETH)))
    assert [(one.status, one.records) for one in found.values()] == [("success", 6), ("success", 1)]
    assert found["BTC"].succeeded == [M1.path, "features/market_1m"]
    assert found["BTC"].run_urls == ["http://ui/runs/run-ohlcv_1m"]


def test_a_step_that_names_its_series_failed_for_those_only() -> None:
    named = Failure("market__ohlcv_1m", "1 series failed", {ETH.id: "AuthError: HTTP 401"})
    found = told(ended("FAILURE", made(BTC), failures=(named,)))
    assert (found["BTC"].status, found["BTC"].failed) == ("success", {})
    assert found["ETH"].failed == {M1.path: "AuthError: HTTP 401"}
    assert found["ETH"].error_message == "market/ohlcv_1m: AuthError: HTTP 401"


def test_what_failed_further_on_does_not_deny_what_was_fetched() -> None:
    named = Failure("online__market_1m", "1 series failed", {ETH.id: "OnlineError: full"})
    found = told(ended("FAILURE", made(BTC), made(ETH), failures=(named,)))
    assert found["ETH"].status == "error"
    assert (found["ETH"].succeeded, list(found["ETH"].failed)) == ([M1.path], ["online/market_1m"])


@pytest.mark.parametrize(
    ("status", "failures", "cause"),
    [
        ("CANCELED", (), "the run was canceled"),
        ("FAILURE", (Failure("", "the process died"),), "the process died"),
        ("FAILURE", (Failure("market__ohlcv_1m", "KeyError: 'x'"),), "KeyError: 'x'"),
        # More series failed than the step names.
        ("FAILURE", (Failure("market__ohlcv_1m", "21 failed", {"binance.A-USDT": "x"}),), "21 failed"),
    ],
)
def test_no_series_is_passed_over_in_silence(status: str, failures: tuple[Failure, ...], cause: str) -> None:
    found = told(ended(status, failures=failures))
    assert {one.status for one in found.values()} == {"error"}
    assert {tuple(one.failed.items()) for one in found.values()} == {((M1.path, cause),)}


@pytest.mark.parametrize(
    ("status", "failures", "cause"),
    [("CANCELED", (), "the run was canceled"), ("FAILURE", (Failure("", "died"),), "died")],
)
def test_a_run_that_was_broken_off_is_no_success(status: str, failures: Any, cause: str) -> None:
    """What it would have made of these candles is not there, and no step tells so."""
    found = told(ended(status, made(BTC), made(ETH), failures=failures))
    for one in found.values():
        assert (one.status, one.succeeded) == ("error", [M1.path])
        assert one.failed == {"the rest of the run": cause}


def test_the_tables_of_a_series_are_told_together() -> None:
    broken = Failure("market__ohlcv_5m", "broken", {BTC.id: "VendorDown: HTTP 502"})
    found = told(
        ended("SUCCESS", made(BTC, new=1), made(ETH)),
        ended("FAILURE", made(ETH, M5.path, 3), failures=(broken,), table=M5),
    )
    assert (found["BTC"].succeeded, list(found["BTC"].failed)) == ([M1.path], [M5.path])
    assert (found["ETH"].status, found["ETH"].records) == ("success", 1 + 4)
    assert len(found["ETH"].run_urls) == 2


def test_a_series_that_was_taken_out_meanwhile_is_not_told_of() -> None:
    assert [one.series for one in outcomes([ended("SUCCESS", made(BTC))], {BTC.id: BTC})] == [BTC.id]


def test_when_nobody_was_ingested_the_first_cause_is_the_answers_text() -> None:
    error = NobodyIngested("ingestion", outcomes([ended("CANCELED")], KNOWN))
    assert error.status_code == 502
    assert error.detail == (
        "ingestion failed: binance.BTC-USDT: market/ohlcv_1m: the run was canceled; and 1 more series"
    )
