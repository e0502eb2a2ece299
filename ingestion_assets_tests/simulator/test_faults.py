"""Each fault shows on the wire, strikes whom and when it was told to, and leaves nothing behind."""

import json
import time

import pytest
import requests

from ingestion_assets.simulator import Fault
from ingestion_assets.simulator.clock import to_ms
from ingestion_assets.simulator.faults import ARCHIVE, KINDS

START = to_ms("2025-05-05T00:00")
MINUTE = 60_000


@pytest.fixture
def honest(klines):
    """The page that an honest vendor gives for the window that the tests below ask for."""
    return klines(startTime=START, endTime=START + 99 * MINUTE, limit=1000)


@pytest.fixture
def page(get):
    return lambda **query: get(
        "klines",
        **(
            {"symbol": "BTCUSDT", "interval": "1m", "startTime": START, "endTime": START + 99 * MINUTE}
            | query
        ),
    )


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        (Fault("rate_limited", retry_after=7), 429, '"code":-1003'),
        (Fault("banned", seconds=300), 418, "IP banned until"),
        (Fault("geo_blocked"), 451, "restricted location"),
        (Fault("server_error"), 503, "<html>"),
        (Fault("server_error", status=500), 500, '"code":-1000'),
        (Fault("server_error", status=502), 502, "Bad Gateway"),
        (Fault("server_error", status=504), 504, "Gateway Time-out"),
        (Fault("forbidden_html"), 403, "403 ERROR"),
        (Fault("html"), 200, "<!DOCTYPE html>"),
        (Fault("error_in_200"), 200, '"code":-1000'),
        (Fault("error_in_200", body={"code": -1001, "msg": "x"}), 200, '{"code":-1001,"msg":"x"}'),
        (Fault("empty_page"), 200, "[]"),
    ],
    ids=lambda value: repr(value.kind) if isinstance(value, Fault) else None,
)
def test_another_answer_once_then_the_honest_one(simulator, page, honest, fault, status, said):
    simulator.faults.add(Fault.from_dict(fault.as_dict()))
    answer = page()
    assert answer.status_code == status
    assert said in answer.text
    assert ("html" in answer.headers["Content-Type"]) == answer.text.startswith("<")
    wait = {"rate_limited": "7", "banned": "300"}.get(fault.kind)
    assert answer.headers.get("Retry-After") == wait
    assert "X-MBX-USED-WEIGHT-1M" in answer.headers
    assert page().json() == honest
    assert simulator.requests.by_fault == {fault.kind: 1}


def test_truncated_page(simulator, page, honest):
    simulator.faults.add(Fault("truncated_page", rows=30))
    assert page().json() == honest[:70]
    assert page().json() == honest


def test_duplicate_rows(simulator, page, honest):
    simulator.faults.add(Fault("duplicate_rows", rows=3))
    assert page().json() == [row for row in honest[:3] for _ in range(2)] + honest[3:]


def test_shuffled_rows(simulator, page, honest):
    simulator.faults.add(Fault("shuffled_rows"))
    found = page().json()
    assert found != honest
    assert sorted(found) == honest


def test_unfinished_extra(simulator, page, honest):
    simulator.faults.add(Fault("unfinished_extra"))
    found = page().json()
    assert found[:-1] == honest
    assert found[-1][0] == START + 100 * MINUTE
    assert found[-1][6] == found[-1][0] + MINUTE - 1
    assert [type(field) for field in found[-1]] == [type(field) for field in honest[-1]]


def test_wrong_values(simulator, page, honest):
    simulator.faults.add(Fault("wrong_values", row=4))
    found = page().json()
    assert float(found[4][2]) < float(found[4][3])
    assert found[:4] + found[5:] == honest[:4] + honest[5:]


def test_truncated_json(simulator, page, honest):
    simulator.faults.add(Fault("truncated_json"))
    answer = page()
    assert len(answer.content) == int(answer.headers["Content-Length"])
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content)
    assert page().json() == honest


def test_reset(simulator, page, honest):
    simulator.faults.add(Fault("reset", keep=0.3))
    with pytest.raises(requests.exceptions.RequestException):
        page()
    assert page().json() == honest


def test_latency_goes_on_and_adds_to_others(simulator, page, honest):
    simulator.faults.add(Fault("latency", ms=50), Fault("html"))
    begun = time.monotonic()
    assert "<html>" in page().text
    assert page().json() == honest
    assert time.monotonic() - begun >= 0.1
    assert simulator.requests.by_fault == {"latency": 2, "html": 1}


def test_hang(simulator, page, honest):
    simulator.faults.add(Fault("hang"))
    with pytest.raises(requests.exceptions.ReadTimeout):
        page(timeout=0.2)
    assert page().json() == honest
    while simulator.requests.by_status[499] != 1:  # noticed when the line is closed
        time.sleep(0.01)
    assert simulator.requests.by_fault == {"hang": 1}


def test_clock_skew(simulator, get):
    fault = simulator.faults.add(Fault("clock_skew", ms=-90_000))
    answer = get("time")
    assert answer.json()["serverTime"] == simulator.clock.now_ms() - 90_000
    assert answer.headers["Date"] == "Wed, 04 Mar 2026 05:04:37 GMT"
    assert get("exchangeInfo", symbol="BTCUSDT").json()["serverTime"] == simulator.clock.now_ms() - 90_000
    simulator.faults.remove(fault)
    assert get("time").json()["serverTime"] == simulator.clock.now_ms()


@pytest.mark.parametrize("symbol", ["BTCUSDT", None])
def test_outage(simulator, page, honest, symbol):
    others = page(symbol="ETHUSDT").json()
    fault = Fault("outage", symbol=symbol, start=START + 10 * MINUTE, end=START + 40 * MINUTE)
    simulator.faults.add(fault)
    assert page().json() == honest[:10] + honest[40:]
    assert page(symbol="ETHUSDT").json() == (others if symbol else others[:10] + others[40:])
    simulator.faults.clear()
    assert page().json() == honest


def test_delisted(simulator, page, honest, get):
    simulator.faults.add(Fault("delisted", symbol="BTCUSDT", at="2025-05-05T00:30"))
    assert page().json() == honest[:30]
    assert get("klines", symbol="BTCUSDT", interval="1m").json()[-1] == honest[29]
    assert get("exchangeInfo", symbol="BTCUSDT").json()["symbols"][0]["status"] == "BREAK"
    assert "BTCUSDT" not in {t["symbol"] for t in get("ticker/price").json()}
    simulator.clock.set("2025-05-05T00:20")
    assert get("exchangeInfo", symbol="BTCUSDT").json()["symbols"][0]["status"] == "TRADING"


def test_silent(simulator, page, honest, get):
    simulator.faults.add(Fault("silent", symbol="BTCUSDT", at=START + 30 * MINUTE))
    assert page().json() == honest[:30]
    assert get("exchangeInfo", symbol="BTCUSDT").json()["symbols"][0]["status"] == "TRADING"
    assert get("ticker/price", symbol="BTCUSDT").json()["price"] == honest[29][4]


def test_vanished(simulator, page, get):
    simulator.faults.add(Fault("vanished", symbol="BTCUSDT"))
    answer = page()
    assert (answer.status_code, answer.json()["code"]) == (400, -1121)
    assert "BTCUSDT" not in {s["symbol"] for s in get("exchangeInfo").json()["symbols"]}
    assert page(symbol="ETHUSDT").status_code == 200


def test_who_and_when(simulator, page, get):
    simulator.faults.add(
        Fault("server_error", path="/api/v3/klines", symbol="BTCUSDT", after=1, every=2, times=2)
    )
    assert get("ping").status_code == 200
    assert page(symbol="ETHUSDT").status_code == 200
    assert [page().status_code for _ in range(7)] == [200, 503, 200, 503, 200, 200, 200]


def test_for_ever_and_in_turn(simulator, page):
    simulator.faults.add(Fault("server_error", status=500), Fault("server_error", times=None))
    assert [page().status_code for _ in range(4)] == [500, 503, 503, 503]


def test_only_one_breaks_the_line_at_a_time(simulator, page, honest):
    simulator.faults.add(Fault("reset"), Fault("truncated_json"))
    with pytest.raises(requests.exceptions.RequestException):
        page()
    with pytest.raises(json.JSONDecodeError):
        json.loads(page().content)
    assert page().json() == honest


def test_a_429_may_come_without_retry_after(simulator, page):
    simulator.faults.add(Fault("rate_limited", retry_after=None))
    assert "Retry-After" not in page().headers


def test_an_empty_page_does_not_use_up_a_fault_of_rows(simulator, page, honest):
    simulator.faults.add(Fault("truncated_page", rows=1))
    assert page(startTime=to_ms("2016-01-01"), endTime=to_ms("2016-02-01")).json() == []
    assert page().json() == honest[:-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"kind": "gremlin"}, "unknown fault 'gremlin'"),
        ({"kind": "latency", "seconds": 1}, "has no parameter seconds"),
        ({"kind": "outage", "start": 1}, "needs end"),
        ({"kind": "html", "every": 0}, "every >= 1"),
        ({"kind": "silent", "at": "soon"}, "Invalid isoformat"),
    ],
)
def test_a_wrong_fault_says_what_is_wrong(arguments, said):
    with pytest.raises(ValueError, match=said):
        Fault(**arguments)


# Those of the archive are tested with it, in test_binance_vision.py.
@pytest.mark.parametrize("kind", sorted(k for k, (place, _) in KINDS.items() if place != ARCHIVE))
def test_every_kind_has_a_test_above(kind):
    names = [name for name in globals() if name.startswith("test_")]
    parametrised = test_another_answer_once_then_the_honest_one.pytestmark[0].args[1]
    assert (
        f"test_{kind}" in names or kind == "latency" or any(fault.kind == kind for fault, *_ in parametrised)
    )
