"""`ingest up` in a fresh copy of this checkout, for a browser to look at, and its complete removal.

A copy, because a `.env` of the developer's must not be seen, and because the code must not change under
the running servers. Nothing runs in it by itself: schedules and sensors are stopped, so that what the
browser did is all that happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from ingestion_assets.embedded import LOOPBACK, Child
from ingestion_assets.stores.catalog import Catalog
from ingestion_assets.stores.registry_table import Registry

START_SECONDS = 240
STOP_SECONDS = 40
GRACE_SECONDS = 5  # until the kernel has cleared away who has just ended
NEVER = "0 0 29 2 *"  # the next leap day
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")

_INSTIGATORS = """{repositoriesOrError{... on RepositoryConnection{nodes{
  schedules{name scheduleState{id status}} sensors{name sensorState{id status}}}}}}"""
_STOP_SCHEDULE = "mutation($id:String!){stopRunningSchedule(id:$id){__typename}}"
_STOP_SENSOR = "mutation($id:String!){stopSensor(id:$id){__typename}}"


class RunningStack:
    """The project as `make run` shows it, with its own root, state, lake and ports."""

    def __init__(self, project: Path, root: Path, lake: Path, **settings: str) -> None:
        self.root, self.lake = root, lake
        self.url = f"http://{LOOPBACK}:{(port := quiet_port())}"
        self.api_url = f"http://{LOOPBACK}:{(api_port := quiet_port(port))}"
        self.log = root / "up.log"
        shutil.copytree(project / "ingestion_assets", root / "ingestion_assets", ignore=_no_bytecode)
        shutil.copy(project / "dagster.yaml", root)
        self.environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | {
            "PYTHONPATH": str(root),
            "DAGSTER_HOME": str(root),
            "DAGSTER_PORT": str(port),
            "INGEST_PORT": str(api_port),
            "INGEST_STATE_DIR": str(root / ".dagster"),
            "DATA_LAKE_PATH": str(lake),
            "PROFILE": "simulator",
            "SIMULATOR_PORT": str(simulator_port := quiet_port(port, api_port)),
            "SCHED_METRICS_PORT": str(quiet_port(port, api_port, simulator_port)),
            "HOT_CRON": NEVER,
            "HOT_5M_CRON": NEVER,
            "RUN_ON_START": "0",
            "SENSOR_INTERVAL_SEC": "86400",
            **settings,
        }

    def __enter__(self) -> Self:
        # Not from a shell's background: a child of ours handles SIGINT and dies with us.
        command = [sys.executable, "-m", "ingestion_assets.cli", "up"]
        self._up = Child(command, log=self.log, env=self.environment, cwd=self.root)
        try:
            self._up.wait_until(lambda: "Ready after" in self.log.read_text(), START_SECONDS)
            self._stop_automation()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        self._up.stop(STOP_SECONDS)
        end = time.monotonic() + GRACE_SECONDS
        while (left := list(self._left_over())) and time.monotonic() < end:
            time.sleep(0.1)
        for pid, _command in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if left and kind is None:
            raise AssertionError(f"`ingest up` ended and left processes behind: {left}")

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Dagster's GraphQL."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            document: dict[str, Any] = json.load(answer)
        assert "errors" not in document, document["errors"]
        return dict(document["data"])

    def wait_for(self, look: Callable[[], Any], what: str, seconds: float = 180) -> Any:
        """What `look` finds, once it finds something. The bound is for hangs, not for speed."""
        end = time.monotonic() + seconds
        while not (found := look()):
            assert self._up.running, f"`ingest up` ended:\n{self.log.read_text()[-3000:]}"
            assert time.monotonic() < end, f"{what}: not within {seconds:g} s\n{self.log.read_text()[-3000:]}"
            time.sleep(0.3)
        return found

    def files(self, pattern: str) -> set[str]:
        """Data files in the lake, relative to it."""
        return {str(path.relative_to(self.lake)) for path in self.lake.glob(pattern)}

    def registered(self) -> set[str]:
        """Series in the registry."""
        catalog = Catalog(f"sqlite:///{self.root / '.dagster' / 'catalog.sqlite'}")
        return {series.id for series in Registry(catalog).series("market")}

    def _stop_automation(self) -> None:
        self.wait_for(self._stopped, "schedules and sensors that stop")

    def _stopped(self) -> bool:
        """The daemon notes each one's state when it first sees it: where both do, one is refused with 500."""
        still = list(self._at_work())
        for stop, name in still:
            with contextlib.suppress(urllib.error.HTTPError):
                self.ask(stop, id=name)
        return not still

    def _at_work(self) -> Iterator[tuple[str, str]]:
        for node in self.ask(_INSTIGATORS)["repositoriesOrError"]["nodes"]:
            kinds = (("schedules", "scheduleState", _STOP_SCHEDULE), ("sensors", "sensorState", _STOP_SENSOR))
            for many, state, stop in kinds:
                for one in node[many]:
                    if one[state]["status"] == "RUNNING":
                        yield stop, one[state]["id"]

    def _left_over(self) -> Iterator[tuple[int, str]]:
        """Processes that were started with our root as their DAGSTER_HOME."""
        mark = f"DAGSTER_HOME={self.root}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()


def quiet_port(*taken: int) -> int:
    """A free port below those that systems hand out themselves: it stays free until the server binds it."""
    while True:
        port = random.randint(10_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            if port not in taken:
                return port


def _no_bytecode(_folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "__pycache__"}
