"""Starting, stopping, the port, the control plane, and the blocking variant for the CLI."""

import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests

from ingestion_assets.simulator import Fault, Simulator
from ingestion_assets.simulator.clock import Clock, to_ms, wall_ms


def test_it_stops_cleanly_even_while_requests_hang():
    before = set(threading.enumerate())
    simulator = Simulator(faults=[Fault("hang", path="/api/v3/time")]).start()
    url = simulator.url
    failed = []

    def ask():
        try:
            requests.get(url + "/api/v3/time", timeout=30)
        except requests.RequestException as error:
            failed.append(error)

    hanging = threading.Thread(target=ask)
    hanging.start()
    while not next(iter(simulator.faults)).fired:
        time.sleep(0.01)
    simulator.stop()
    hanging.join()
    assert failed
    assert set(threading.enumerate()) == before
    with pytest.raises(requests.ConnectionError):
        requests.get(url + "/api/v3/ping", timeout=30)
    simulator.stop()  # harmless


def test_it_starts_again_on_the_same_port():
    with Simulator() as simulator:
        port = simulator.port
        assert simulator.url == f"http://127.0.0.1:{port}"
        with pytest.raises(RuntimeError, match="running already"):
            simulator.start()
    with Simulator(port) as simulator:
        assert simulator.port == port
    with pytest.raises(RuntimeError, match="not running"):
        _ = simulator.url


def test_a_port_in_use_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} on 127.0.0.1 is in use"):
            Simulator(port).start()


def test_the_clock():
    assert abs(Clock().now_ms() - wall_ms()) < 60_000
    clock = Clock("2024-05-01T12:00")
    assert clock.now_ms() == to_ms("2024-05-01T12:00+00:00") == 1714564800000
    clock.advance(1000)
    assert clock.now_ms() == 1714564801000
    clock.set("2024-05-01T12:00", running=True)
    assert 0 <= clock.now_ms() - 1714564800000 < 60_000
    clock.advance(3_600_000)
    assert 0 <= clock.now_ms() - 1714568400000 < 60_000
    clock.reset()
    assert abs(clock.now_ms() - wall_ms()) < 60_000
    with pytest.raises(ValueError, match="not a time"):
        to_ms(True)


def test_the_control_plane(simulator):
    def control(method, path, **kwargs):
        return requests.request(method, f"{simulator.url}/_simulator/{path}", timeout=30, **kwargs)

    about = control("GET", "").json()
    assert about["seed"] == 7
    assert about["fault_kinds"]["outage"]["parameters"] == ["start (required)", "end (required)"]
    added = control("POST", "faults", json={"kind": "html", "times": None}).json()
    assert simulator.faults.remove(added[0]["id"])
    control(
        "POST",
        "faults",
        json=[{"kind": "html"}, {"kind": "outage", "start": "2025-01-01", "end": "2025-01-02"}],
    )
    faults = control("GET", "faults").json()
    assert [f["kind"] for f in faults] == ["html", "outage"]
    assert faults[1]["start"] == to_ms("2025-01-01")
    assert "html" in requests.get(simulator.url + "/api/v3/ping", timeout=30).text
    assert control("GET", "faults").json()[0]["fired"] == 1
    assert [f["kind"] for f in control("DELETE", f"faults?id={faults[0]['id']}").json()] == ["outage"]
    assert control("DELETE", "faults").json() == []
    requests.get(simulator.url + "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=3", timeout=30)
    counts = control("GET", "requests?recent=1").json()
    assert (counts["count"], counts["weight"], counts["rejected"]) == (2, 3, 0)
    assert counts["by_path"] == {"/api/v3/ping": 1, "/api/v3/klines": 1}
    assert counts["by_symbol"] == {"BTCUSDT": 1}
    assert counts["recent"][0]["query"] == {"symbol": "BTCUSDT", "interval": "1m", "limit": "3"}
    assert control("DELETE", "requests").json()["count"] == 0 == simulator.requests.count
    assert control("PUT", "clock", json={"at": "2025-01-01T00:00"}).json()["now_ms"] == to_ms("2025-01-01")
    assert control("PUT", "clock", json={"advance_ms": 5}).json()["now_ms"] == to_ms("2025-01-01") + 5
    assert control("PUT", "clock").json()["fixed"] is False
    for method, path, body in (
        ("POST", "faults", {"kind": "gremlin"}),
        ("POST", "faults", {"times": 1}),
        ("POST", "faults", {"kind": "html", "times": "x"}),
        ("DELETE", "faults?id=99", None),
        ("PUT", "clock", {"att": 1}),
        ("GET", "requests?recent=x", None),
    ):
        answer = control(method, path, json=body)
        assert answer.status_code == 400, (method, path, body)
        assert answer.json()["error"]
    assert control("GET", "nothing").status_code == 404


def test_asking_for_the_package_loads_no_web_server():
    code = "import sys, ingestion_assets.simulator as s; s.World; print('aiohttp' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "False"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_well_on_a_signal(number):
    code = (
        "from ingestion_assets.simulator import serve\n"
        "serve(0, seed=9, on_ready=lambda s: print(s.url, flush=True))\n"
        "print('ended')"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        with requests.Session() as session:
            assert session.get(url + "/_simulator/", timeout=30).json()["seed"] == 9
            process.send_signal(number)
            assert process.communicate(timeout=60)[0] == "ended\n"
    assert process.returncode == 0
