"""A vendor that misbehaves in each way that the simulator knows: survived, or reported and healed later."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from ingestion_assets.ingestion.land import BrokenPromise
from ingestion_assets.intervals import subtract, union
from ingestion_assets.simulator import Fault
from ingestion_assets.simulator.faults import ARCHIVE, KINDS
from ingestion_assets.sources import errors
from ingestion_assets.stores.gap_ledger import MISSING, NO_TRADES, NOT_LISTED
from ingestion_assets.tables.market import OHLCV_1M
from ingestion_assets_tests.ingestion.conftest import window

WHOLE = window("2024-02-20T06:30Z", "2024-02-23T18:00Z")
STRUCK, SPARED = "binance.BTC-USDT", "binance.ETH-USDT"


@dataclass(frozen=True)
class Case:
    """A fault of one symbol's candles; with an error it is to be reported, without to be survived."""

    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    times: int | None = 1
    after: int = 0
    error: type[Exception] | None = None
    text: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    everywhere: bool = False  # whether the venue itself shuts out everybody
    reason: str | None = None  # of the holes that the venue affirms

    def __str__(self) -> str:
        manner = "for_ever" if self.times is None else f"{self.times}x"
        return "-".join(
            [self.kind, manner, *(str(self.parameters.get("status", "")) or ".").split(".")]
        ).strip("-")

    def fault(self) -> Fault:
        counts = {"times": self.times, "after": self.after}
        place = KINDS[self.kind][0]
        path = {} if place == "in the world" else {"path": "/api/v3/klines"}
        return Fault(self.kind, symbol="BTCUSDT", **path, **counts, **self.parameters)


SHORT = {"http_timeout_sec": 3, "http_attempts": 1}
REFUSAL = {"body": {"code": -1100, "msg": "Illegal characters"}}
SURVIVED = [
    Case("latency", {"ms": 5}, times=None),
    Case("hang", settings={"http_timeout_sec": 3}),
    Case("rate_limited", {"retry_after": 0}, times=2),
    Case("banned", {"seconds": 1}),
    Case("server_error", {"status": 502}, times=2),
    Case("server_error", {"status": 503}, after=2),
    Case("server_error", {"status": 500}, after=1),
    Case("forbidden_html", times=2),
    Case("html", times=2, after=1),
    Case("error_in_200", times=2),
    Case("empty_page"),
    Case("empty_page", times=2, after=3),
    Case("truncated_page", {"rows": 10}, after=1),
    Case("truncated_page", {"rows": 999}),
    Case("duplicate_rows", times=2),
    Case("shuffled_rows", times=2, after=2),
    Case("unfinished_extra"),
    Case("unfinished_extra", after=5),
    Case("truncated_json", {"keep": 0.7}, times=2),
    Case("truncated_json", {"keep": 0.01}),
    Case("reset", {"keep": 0.4}, times=2),
    Case("reset", {"keep": 0.0}, after=3),
    Case("outage", {"start": "2024-02-21T10:00", "end": "2024-02-22T15:30"}, reason=NO_TRADES),
    Case("outage", {"start": "2024-02-20T06:30", "end": "2024-02-20T07:10"}, reason=NO_TRADES),
    Case("outage", {"start": "2024-02-23T17:00", "end": "2024-02-23T18:00"}, reason=NO_TRADES),
    Case("delisted", {"at": "2024-02-22T12:00"}, reason=NOT_LISTED),
    Case("silent", {"at": "2024-02-22T12:00"}, reason=NO_TRADES),
    Case("clock_skew", {"ms": 7_200_000}),
    Case("clock_skew", {"ms": -7_200_000}),
]
REPORTED = [
    Case("hang", times=None, error=errors.VendorDown, text="did not answer", settings=SHORT),
    Case("rate_limited", {"retry_after": 0}, times=None, error=errors.RateLimited, text="HTTP 429"),
    Case("rate_limited", {"retry_after": 900}, error=errors.RateLimited, text="429", everywhere=True),
    Case("banned", {"seconds": 900}, error=errors.Banned, text="banned until", everywhere=True),
    Case("geo_blocked", times=None, after=2, error=errors.GeoBlocked, text="HTTP 451"),
    Case("server_error", {"status": 503}, times=None, after=2, error=errors.VendorDown, text="HTTP 503"),
    Case("server_error", {"status": 500}, times=None, error=errors.VendorDown, text="unknown error"),
    Case("forbidden_html", times=None, after=3, error=errors.VendorDown, text="HTTP 403"),
    Case("html", times=None, error=errors.MalformedAnswer, text="Maintenance"),
    Case("error_in_200", times=None, error=errors.VendorDown, text="-1000"),
    Case("error_in_200", REFUSAL, after=1, error=errors.BadRequest, text="-1100"),
    Case("duplicate_rows", times=None, error=errors.MalformedAnswer, text="without repeats"),
    Case("shuffled_rows", times=None, after=2, error=errors.MalformedAnswer, text="rising order"),
    Case("unfinished_extra", times=None, error=errors.MalformedAnswer, text="more than the"),
    Case("truncated_json", {"keep": 0.7}, times=None, error=errors.MalformedAnswer, text="not the JSON"),
    Case("reset", {"keep": 0.4}, times=None, after=2, error=errors.VendorDown, text="the connection broke"),
    Case("vanished", times=None, error=errors.NotFound, text="Invalid symbol"),
    Case("wrong_values", {"row": 17}, error=BrokenPromise, text="low is at most open and close"),
    Case("wrong_values", {"row": 999}, times=None, error=BrokenPromise, text="in quarantine"),
]  # fmt: skip


def test_every_fault_is_among_the_cases():
    """Those of the archive are tried in test_feeds.py: candles have none."""
    of_answers = {kind for kind, (place, _) in KINDS.items() if place != ARCHIVE}
    assert {case.kind for case in SURVIVED + REPORTED} == of_answers


@pytest.mark.parametrize("case", SURVIVED + REPORTED, ids=str)
def test_fault(case, make_bench, simulator):
    bench = make_bench(**case.settings)
    struck, spared = bench.series(STRUCK, SPARED)
    simulator.faults.add(case.fault())
    landed = bench.ingest([struck, spared], WHOLE)
    failures = {one.slice.series.id: one.error for one in landed if one.error is not None}
    assert simulator.requests.by_fault[case.kind] > 0 or KINDS[case.kind][0] == "in the world"

    if case.error is None:
        assert failures == {}
        assert_survived(bench, struck, case.reason)
    else:
        assert_reported(bench, struck, failures, case)
    if not case.everywhere:
        assert SPARED not in failures
        bench.assert_equal(spared, WHOLE)
        assert bench.open_gaps(spared) == []
        assert bench.registry.require(SPARED).error_message is None

    if case.error is not None:
        simulator.faults.clear()
        bench.ingest_all([struck, spared], WHOLE)
        for series in (struck, spared):
            bench.assert_equal(series, WHOLE)
            assert bench.open_gaps(series) == []
            assert bench.registry.require(series.id).error_message is None


def assert_survived(bench, series, reason):
    """The lake is what the venue truly has, and holes are those that it affirms."""
    bench.assert_equal(series, WHOLE)
    gaps = bench.open_gaps(series)
    lacking = bench.lake.holes(OHLCV_1M, series.id, WHOLE)
    assert union(gap.window for gap in gaps) == union(lacking)
    assert {gap.reason for gap in gaps} == ({reason} if reason else set())
    assert bool(lacking) == bool(reason)
    delisted_at = bench.registry.require(series.id).series.delisted_at
    assert (delisted_at is not None) == (reason == NOT_LISTED)
    if delisted_at is not None:
        assert delisted_at == lacking[0].start


def assert_reported(bench, series, failures, case):
    """The series is named with its error, what came before it is kept, the rest is known to be missing."""
    error = failures[series.id]
    if case.everywhere:  # what was asked while the host was shut says that it is
        assert isinstance(error, case.error) and re.search(
            f"{case.text}|is not to be asked before", str(error)
        )
    else:
        assert type(error) is case.error and case.text in str(error)
    entry = bench.registry.require(series.id)
    assert entry.error_message == f"{type(error).__name__}: {error}"[:2000]
    assert entry.status == "error" and entry.status_owner is None
    held = bench.assert_nothing_invented(series, WHOLE)
    assert held < len(bench.honest(series, WHOLE)["time"])
    gaps = bench.open_gaps(series)
    assert {gap.reason for gap in gaps} <= {MISSING}
    known = union(gap.window for gap in gaps)
    lacking = union(bench.lake.holes(OHLCV_1M, series.id, WHOLE))
    assert subtract(lacking, known) == subtract(known, lacking) == []
