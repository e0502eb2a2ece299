"""`ingest up`: the whole system on this machine, in the foreground.

    redis       newest features, weight budgets shared by all processes; unless REDIS_URL names one
    simulator   the offline world, with PROFILE=simulator and unless BINANCE_URL is set
    code        our definitions, and every run, behind a socket
    webserver   the UI
    daemon      schedules, sensors, backfills, the run queue
    api         the HTTP API

One code server for both: a webserver and a daemon that each bring their own take 125 MB more (495 MB
instead of 370 MB). It does not load changed code again: after an edit, stop and start.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingestion_assets.cli.stack import Stack
    from ingestion_assets.settings import Settings

METRICS_PORT = 9002  # where the older system's scheduler was scraped; SCHED_METRICS_PORT says another
START_SECONDS = 240.0
RUN_SECONDS, STOP_SECONDS = 3.5, 4.5  # for runs to be cancelled, then for servers to end
_WATCH_SECONDS = 0.5


def up() -> None:
    """Start everything on this machine and serve the Dagster UI until Ctrl-C."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.online import stack_redis
    from ingestion_assets.cli.stack import Stack, Stopped
    from ingestion_assets.cli.stack_banner import banner

    settings = environment.settings()
    home = environment.dagster_home()
    state = settings.ingest_state_dir.expanduser().resolve()
    began = time.monotonic()
    with _signals() as signals, _alone(state), contextlib.ExitStack() as cleanup:
        _check_ports(settings)
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="ingest-")))
        more = metrics_port(settings)
        if settings.redis_url is None:
            more["REDIS_URL"] = cleanup.enter_context(stack_redis(state))
        # Not in the project's folder: there Dagster would put `.env` above what is exported.
        stack = Stack(state / "logs", environment.for_children(**more), folder, signals)
        cleanup.callback(_stop, stack, settings)
        output.say("Starting …")
        try:
            prepared = _start(stack, settings, home)
            settings = environment.settings(**{name.lower(): value for name, value in more.items()})
            banner(settings, state, prepared, time.monotonic() - began)
            _watch(stack)
        except Stopped:
            output.say(f"\nStopping on {signals[0].name} …")
    output.say("Stopped; nothing is left running.")


def _start(stack: Stack, settings: Settings, home: Path) -> dict[str, Any]:
    from ingestion_assets.cli.setup import has_tables
    from ingestion_assets.cli.stack import unix_listening
    from ingestion_assets.cli.stack_banner import simulated
    from ingestion_assets.dagster_api import DagsterApi
    from ingestion_assets.embedded import listening

    python = [sys.executable, "-m"]
    if simulated(settings):
        port, seed = settings.simulator_port, settings.simulator_seed
        simulate = ["simulate", "--port", str(port), "--seed", str(seed)]
        stack.start("simulator", [*python, "ingestion_assets.cli", *simulate])
        stack.wait_until(lambda: listening(port), "the simulator", START_SECONDS)
    socket = stack.cwd / "code.sock"
    module = "ingestion_assets.definitions"
    # Dagster's tables are made by one process: two would race.
    prepared = None if has_tables(home, settings.ingest_state_dir.expanduser()) else _prepare(stack)
    stack.start("code", [*python, "dagster", "api", "grpc", "-m", module, "--socket", str(socket)])
    prepared = prepared or _prepare(stack)
    stack.wait_until(lambda: unix_listening(socket), "the code server", START_SECONDS)
    server = {"socket": str(socket), "location_name": "ingestion_assets"}
    workspace = stack.cwd / "workspace.yaml"
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
    where = ["-h", settings.dagster_host, "-p", str(settings.dagster_port), "-w", str(workspace)]
    stack.start("webserver", [*python, "dagster_webserver", *where])
    stack.start("daemon", [*python, "dagster._daemon", "run", "-w", str(workspace)])
    stack.start("api", [*python, "ingestion_assets.cli", "api"])
    stack.wait_until(DagsterApi(settings.dagster_address).answers, "the UI", START_SECONDS)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.ingest_host, settings.ingest_host)  # noqa: S104
    stack.wait_until(lambda: listening(settings.ingest_port, host), "the HTTP API", START_SECONDS)
    return prepared


def _prepare(stack: Stack) -> dict[str, Any]:
    """In a process of its own, while the code server loads: what it takes to do that is then free again."""
    from ingestion_assets.cli.errors import Failed

    command = [sys.executable, "-m", "ingestion_assets.cli", "setup", "--for-stack"]
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=said,
            env=stack.environment,
            cwd=stack.cwd,
            start_new_session=True,
        )
        try:
            stack.wait_until(lambda: child.poll() is not None, "the state folder", START_SECONDS)
            answer = child.stdout.read() if child.stdout else b""
        finally:
            child.kill()
            child.communicate()
        if child.returncode != 0:
            said.seek(0)
            raise Failed(said.read().decode("utf-8", "replace").strip().removeprefix("ingest: "))
    prepared: dict[str, Any] = json.loads(answer)
    if prepared.get("refused"):
        raise Failed(prepared["refused"])
    return prepared


def _stop(stack: Stack, settings: Settings) -> None:
    from ingestion_assets.cli import output

    if any(service.name == "daemon" for service in stack.services):
        _end_runs(stack, settings)
    killed = stack.stop(STOP_SECONDS)
    if killed:
        seconds = f"{STOP_SECONDS:g} s"
        output.say(f"Killed, since they did not end within {seconds}: {', '.join(killed)}.", style="yellow")


def _end_runs(stack: Stack, settings: Settings) -> None:
    """Runs at work are cancelled while there is somebody to note it; queued ones wait for the next start."""
    from ingestion_assets.cli import output
    from ingestion_assets.dagster_api import DagsterApi, DagsterError

    stack.service("daemon").signal_all(signal.SIGTERM)
    api = DagsterApi(settings.dagster_address, timeout=2)
    end = time.monotonic() + RUN_SECONDS
    try:
        runs = api.runs_at_work()
        if runs:
            output.say(f"Cancelling {output.plural(len(runs), 'run')} …")
            api.terminate(runs)
        while time.monotonic() < end and api.runs_at_work():
            time.sleep(0.2)
    except DagsterError as error:
        output.say(f"Runs at work could not be cancelled in time: {error}", style="yellow")


def _watch(stack: Stack) -> None:
    from ingestion_assets.cli import output
    from ingestion_assets.cli.log_lines import LogLines

    lines = LogLines(stack.services)
    while True:
        for line, style in lines.new():
            output.say(line, style=style)
        stack.check()
        time.sleep(_WATCH_SECONDS)


def metrics_port(settings: Settings) -> dict[str, str]:
    """What the API is told; a port that nobody asked for stops nobody when it is taken."""
    from ingestion_assets.cli.stack import taken

    if settings.sched_metrics_port is not None or taken(METRICS_PORT, settings.ingest_host):
        return {}
    return {"SCHED_METRICS_PORT": str(METRICS_PORT)}


def _check_ports(settings: Settings) -> None:
    """Before anything is started, so that a second stack harms nothing of the first."""
    from ingestion_assets.cli.errors import Failed
    from ingestion_assets.cli.stack import taken
    from ingestion_assets.cli.stack_banner import simulated

    wanted = [
        ("DAGSTER_PORT", settings.dagster_port, settings.dagster_host),
        ("INGEST_PORT", settings.ingest_port, settings.ingest_host),
    ]
    if settings.sched_metrics_port is not None:
        wanted.append(("SCHED_METRICS_PORT", settings.sched_metrics_port, settings.ingest_host))
    if simulated(settings):
        wanted.append(("SIMULATOR_PORT", settings.simulator_port, "127.0.0.1"))
    for name, port, host in wanted:
        if taken(port, host):
            raise Failed(
                f"{name}={port}: something else listens on {host}:{port} already. "
                f"Stop it, or choose another port: {name}={port + 10} make run"
            )


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[None]:
    """One stack for each state folder. The folder itself is locked, so no lock file is left behind."""
    from ingestion_assets.cli.errors import Failed

    state.mkdir(parents=True, exist_ok=True)
    handle = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(
                f"another `ingest up` runs on INGEST_STATE_DIR={str(state)!r}: stop it with Ctrl-C where it "
                "was started, or set INGEST_STATE_DIR and DATA_LAKE_PATH to other folders for a second one"
            ) from None
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _signals() -> Iterator[list[signal.Signals]]:
    """The signals that asked us to stop. Having a handler also undoes an inherited SIG_IGN: a shell that
    starts us with `&` ignores SIGINT, our children would as well, and Dagster's processes could then not
    be stopped by SIGTERM either."""
    received: list[signal.Signals] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))

    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in watched}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
