from __future__ import annotations

import contextlib
import http.client
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis
import requests
from botocore.exceptions import ClientError

from ingestion_assets.embedded import Redis
from ingestion_assets_tests.conftest import recordings as recordings_fixture
from ingestion_assets_tests.servers import FaultyProxy, PostgresServer, S3Server, WebhookReceiver


def ask(url: str, statement: str) -> object:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
        assert row is not None
        return row[0]


def test_postgres_is_utf8_in_utc_and_gives_empty_databases(postgres_server: PostgresServer) -> None:
    assert ask(postgres_server.url, "show server_encoding") == "UTF8"
    assert ask(postgres_server.url, "show timezone") == "UTC"
    with postgres_server.database() as one, postgres_server.database() as other:
        assert one != other
        assert ask(one, "select count(*) from pg_tables where schemaname = 'public'") == 0
        hanging = psycopg2.connect(other)  # does not keep it from being dropped
    hanging.close()
    assert ask(postgres_server.url, "select count(*) from pg_database where datname like 'test_%'") == 0


def test_a_durable_postgres_keeps_what_was_committed_when_the_plug_is_pulled() -> None:
    with PostgresServer(durable=True) as server:
        server.execute("create table kept as select 42 as answer")
        server.kill()
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(server.url)
        server.start()
        assert ask(server.url, "select answer from kept") == 42
        folder, pid = server.folder, server.child.pid if server.child else 0
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_s3_keeps_objects_and_enforces_conditional_writes(s3_server: S3Server) -> None:
    with contextlib.closing(s3_server.client()) as s3:
        s3.put_object(Bucket=s3_server.bucket, Key="a", Body=b"1", IfNoneMatch="*")
        with pytest.raises(ClientError, match="PreconditionFailed"):
            s3.put_object(Bucket=s3_server.bucket, Key="a", Body=b"2", IfNoneMatch="*")
        assert s3.get_object(Bucket=s3_server.bucket, Key="a")["Body"].read() == b"1"
        assert s3.list_objects_v2(Bucket=s3_server.new_bucket())["KeyCount"] == 0


def test_s3_by_environment_alone(s3_lake: str) -> None:
    import pyarrow.fs as pafs

    filesystem, path = pafs.FileSystem.from_uri(s3_lake)
    with filesystem.open_output_stream(f"{path}/x.txt") as stream:
        stream.write(b"hello")
    with filesystem.open_input_stream(f"{path}/x.txt") as stream:
        assert stream.read() == b"hello"


def test_webhook_remembers_what_it_took_and_fails_when_told(webhook: WebhookReceiver) -> None:
    webhook.fail_next(2, status=502)
    codes = [requests.post(webhook.url, json={"n": n}, timeout=30).status_code for n in range(3)]
    assert codes == [502, 502, 200]
    assert webhook.posts == [{"n": 2}]
    assert webhook.attempts == [(502, {"n": 0}), (502, {"n": 1}), (200, {"n": 2})]
    late = threading.Thread(target=requests.post, args=(webhook.url,), kwargs={"json": "late", "timeout": 30})
    late.start()
    assert webhook.wait_for(2) == [{"n": 2}, "late"]
    late.join()
    assert requests.post(webhook.url, data="not json", timeout=30).status_code == 400
    assert len(webhook.posts) == 2
    with pytest.raises(TimeoutError, match="2 of 3 posts"):
        webhook.wait_for(3, seconds=0.1)


@pytest.fixture
def line(redis_server: Redis) -> Iterator[FaultyProxy]:
    with FaultyProxy(redis_server.port) as proxy:
        yield proxy


def client_of(proxy: FaultyProxy, seconds: float = 30) -> redis.Redis:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis(port=proxy.port, socket_timeout=seconds, retry=Retry(NoBackoff(), 0))


def test_a_line_without_faults_passes_everything(line: FaultyProxy) -> None:
    with client_of(line) as client:
        big = os.urandom(3_000_000)
        client.set("big", big)
        assert client.get("big") == big
        client.flushall()


def test_a_blackhole_stalls_and_heals(line: FaultyProxy) -> None:
    with client_of(line, seconds=0.3) as client:
        assert client.ping()
        line.blackhole = True
        with pytest.raises(redis.TimeoutError):
            client.ping()
        line.heal()
    with client_of(line) as client:
        assert client.ping()


def test_latency_delays(line: FaultyProxy) -> None:
    with client_of(line, seconds=0.2) as client:
        line.latency = 0.5
        with pytest.raises(redis.TimeoutError):
            client.ping()


def test_refused_and_reset_connections(line: FaultyProxy) -> None:
    with socket.create_connection(("127.0.0.1", line.port)) as connection:
        connection.settimeout(30)
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == b"+PONG\r\n"
        line.reset_all()
        with pytest.raises(ConnectionResetError):
            connection.recv(100)
    with client_of(line) as client:
        line.refuse = True
        with pytest.raises(redis.ConnectionError):
            client.ping()
        line.refuse = False
        assert client.ping()
    assert line.connections == 3


@pytest.mark.parametrize("reset", [False, True])
def test_an_answer_is_cut_in_the_middle(reset: bool, redis_server: Redis) -> None:
    class Long(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(b"x" * 1_000_000)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Long) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        with FaultyProxy(server.server_address[1]) as proxy:
            proxy.cut_after, proxy.cut_with_reset = 300_000, reset
            connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
            with pytest.raises(ConnectionResetError if reset else http.client.IncompleteRead) as error:
                connection.request("GET", "/")
                connection.getresponse().read()
            if isinstance(error.value, http.client.IncompleteRead):
                assert 299_000 < len(error.value.partial) < 300_000
            connection.close()
        server.shutdown()
        serving.join()


def test_nobody_behind_the_line_is_a_reset(redis_server: Redis) -> None:
    with FaultyProxy(1) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as line:
        line.settimeout(30)
        with pytest.raises(ConnectionResetError):
            line.recv(1)


@pytest.fixture(scope="session")
def dirty() -> Iterator[None]:
    """What a developer's shell may hold, set before the guard runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATABASE_URL", "AWS_ACCESS_KEY_ID", "PROFILE", "MARKET_JOBS", "https_proxy"):
            patch.setenv(name, "dirty")
        yield


def test_the_environment_is_clean(dirty: None, tmp_path: Path) -> None:
    assert "dirty" not in os.environ.values()
    assert list(Path.cwd().iterdir()) == []
    assert "PATH" in os.environ


def test_absent_recordings_are_skipped_loudly_and_fail_under_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = recordings_fixture.__wrapped__  # type: ignore[attr-defined]
    monkeypatch.setenv("RECORDINGS_DIR", str(tmp_path))
    assert look() == tmp_path
    monkeypatch.setenv("RECORDINGS_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="set RECORDINGS_DIR"):
        look()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="under CI"):
        look()


def test_the_servers_run_this_python(s3_server: S3Server) -> None:
    assert s3_server.child is not None
    assert s3_server.child.command[0] == sys.executable
