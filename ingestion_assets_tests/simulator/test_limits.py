"""The weight limit: rejects, bans those who hammer on, and recovers with the next window."""

import requests

from ingestion_assets.simulator import Simulator
from ingestion_assets.simulator.limits import Limits, Window


def limits(moment, weight=10, raw=1000, **kwargs):
    return Limits(Window(weight, 60), Window(raw, 300), now_ms=lambda: moment[0], **kwargs)


def test_windows_are_aligned_to_the_clock():
    moment = [59_000]
    window = limits(moment)
    assert [window.admit(5).status for _ in range(3)] == [200, 200, 429]
    assert window.admit(1).retry_after == 1
    moment[0] = 60_000
    verdict = window.admit(1)
    assert (verdict.status, verdict.used) == (200, 1)


def test_hammering_on_is_banned_and_the_ban_ends():
    moment = [0]
    window = limits(moment, weight=1, tolerance=3, ban_seconds=120)
    assert [window.admit(1).status for _ in range(6)] == [200, 429, 429, 429, 418, 418]
    moment[0] = 61_500
    verdict = window.admit(1)
    assert (verdict.status, verdict.retry_after) == (418, 59)
    assert "until 120000." in verdict.message
    moment[0] = 120_000
    assert window.admit(1).status == 200


def test_a_new_window_forgets_rejections():
    moment = [0]
    window = limits(moment, weight=1, tolerance=3)
    for minute in range(5):
        moment[0] = minute * 60_000
        assert [window.admit(1).status for _ in range(4)] == [200, 429, 429, 429]


def test_raw_requests_are_limited_too():
    window = limits([0], weight=1000, raw=2)
    assert [window.admit(1).status for _ in range(3)] == [200, 200, 429]


def test_units_and_suffixes():
    found = [(w.unit, w.count, w.suffix) for w in (Window(1, s) for s in (1, 10, 60, 300, 3600, 86400))]
    assert found == [
        ("SECOND", 1, "1S"),
        ("SECOND", 10, "10S"),
        ("MINUTE", 1, "1M"),
        ("MINUTE", 5, "5M"),
        ("HOUR", 1, "1H"),
        ("DAY", 1, "1D"),
    ]


def test_on_the_wire_it_rejects_then_recovers():
    with (
        Simulator(weight_limit=1, window_seconds=1, tolerance=10**9) as simulator,
        requests.Session() as session,
    ):
        session.trust_env = False

        def ask():
            return session.get(simulator.url + "/api/v3/ping", timeout=30)

        info = session.get(simulator.url + "/api/v3/exchangeInfo", timeout=30)
        assert info.status_code == 429  # its weight is 20
        while (rejected := ask()).status_code == 200:
            assert int(rejected.headers["X-MBX-USED-WEIGHT-1S"]) == 1
        assert rejected.status_code == 429
        assert rejected.headers["Retry-After"] == "1"
        assert rejected.json()["code"] == -1003
        while ask().status_code == 429:
            pass
        assert simulator.requests.rejected >= 2


def test_on_the_wire_the_limit_is_told_and_the_ban_comes():
    with (
        Simulator(weight_limit=50, window_seconds=86400, tolerance=2) as simulator,
        requests.Session() as session,
    ):
        session.trust_env = False
        info = session.get(simulator.url + "/api/v3/exchangeInfo", timeout=30).json()
        told = {"rateLimitType": "REQUEST_WEIGHT", "interval": "DAY", "intervalNum": 1, "limit": 50}
        assert told in info["rateLimits"]
        answers = [session.get(simulator.url + "/api/v3/ping", timeout=30) for _ in range(35)]
        assert [a.status_code for a in answers] == [200] * 30 + [429] * 2 + [418] * 3
        assert 118 <= int(answers[-1].headers["Retry-After"]) <= 120
        assert "IP banned until" in answers[-1].json()["msg"]
        assert simulator.limits.banned_until_ms > 0
        assert session.get(simulator.url + "/0/public/Time", timeout=30).status_code == 200
