"""`ingest simulate` as a process."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request

import pytest

from ingestion_assets.embedded import free_port, listening
from ingestion_assets_tests.cli.conftest import Checkout


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_with_the_script_of_faults_until_it_is_stopped(
    checkout: Checkout, ending: signal.Signals
) -> None:
    port = free_port()
    script = checkout.elsewhere / "faults.yaml"
    script.write_text("- {kind: server_error, path: /api/v3/ping, status: 502, times: 1}\n")
    process = checkout.start(
        *("simulate", "--port", str(port), "--seed", "11", "--weight-limit", "50"),
        *("--faults", "faults.yaml", "--cheapest-plans"),
    )
    assert process.stdout is not None
    assert f"127.0.0.1:{port}, seed 11" in process.stdout.readline()
    url = f"http://127.0.0.1:{port}/api/v3"
    assert get(f"{url}/ping")[0] == 502
    assert get(f"{url}/ping")[0] == 200
    limits = json.loads(get(f"{url}/exchangeInfo?symbol=BTCUSDT")[1])["rateLimits"]
    assert any(limit["limit"] == 50 for limit in limits)
    news = f"http://127.0.0.1:{port}/v2/top-headlines?apiKey=any"
    assert {get(news)[0] for _ in range(100)} == {200}
    assert get(news)[0] == 429
    process.send_signal(ending)
    assert process.wait(20) == 0
    assert not listening(port)


def test_a_port_that_is_taken_is_named(checkout: Checkout) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = checkout("simulate", "--port", str(port))
    assert done.code == 1
    assert f"port {port}" in done.err
    assert "Traceback" not in done.err
