"""Servers as child processes, each in a session of its own with a log of its own, and their orderly end.

Not here: which servers, in which order, and what people are told (`up`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ingestion_assets.cli.errors import Failed
from ingestion_assets.embedded import Child

_POLL_SECONDS = 0.05
_LAST_LINES = 15


class Stopped(Exception):
    """Somebody asked us to stop."""


class Service:
    """A server of the stack."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str], cwd: Path
    ):
        self.name = name
        self.log = log
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        self.child = Child(command, log=log, env=environment, cwd=cwd)

    @property
    def running(self) -> bool:
        return self.child.running

    def last_lines(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])

    def died(self) -> Failed:
        code = self.child.process.returncode
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        return Failed(
            f"{self.name} ended unexpectedly {how}; {self.log} says at its end:\n{self.last_lines()}"
        )

    def signal_all(self, number: int) -> None:
        """To the server and everything that it started: its session is its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, number)

    @property
    def group_alive(self) -> bool:
        """Whether anything of it is left; who has ended but was not waited for by its parent is not."""
        try:
            os.killpg(self.child.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True


class Stack:
    """Services in the order of their start; stopped the other way round, the last with whatever remains."""

    def __init__(self, logs: Path, environment: Mapping[str, str], cwd: Path, signals: Sequence[object]):
        self.logs, self.environment, self.cwd = logs, dict(environment), cwd
        self.services: list[Service] = []
        self._signals = signals  # grows while we run: one asks us to stop, a second one to hurry

    def start(self, name: str, command: Sequence[str]) -> Service:
        self.logs.mkdir(parents=True, exist_ok=True)
        service = Service(name, command, self.logs / f"{name}.log", self.environment, self.cwd)
        self.services.append(service)
        return service

    def service(self, name: str) -> Service:
        return next(service for service in self.services if service.name == name)

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Until it is ready; a server that dies meanwhile, a signal or too long a wait ends it."""
        end = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > end:
                logs = "\n".join(f"{s.name}:\n{s.last_lines()}" for s in self.services[-1:])
                raise Failed(f"{what} was not ready within {seconds:g} s; {self.logs} holds the logs\n{logs}")
            time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        if self._signals:
            raise Stopped
        for service in self.services:
            if not service.running:
                raise service.died()

    def stop(self, seconds: float) -> list[str]:
        """Ask all to end, in the reverse order of their start; the names of those that had to be killed."""
        end = time.monotonic() + seconds
        for service in reversed(self.services):
            service.signal_all(signal.SIGTERM)
        while any(self._left(service) for service in self.services):
            if time.monotonic() > end or len(self._signals) > 1:
                break
            time.sleep(_POLL_SECONDS)
        killed = [service.name for service in self.services if self._left(service)]
        for service in self.services:
            service.signal_all(signal.SIGKILL)
            service.child.stop(seconds=1)
        self.services = []
        return killed

    @staticmethod
    def _left(service: Service) -> bool:
        service.child.process.poll()  # reaped, so that it no longer counts as a member of its group
        return service.group_alive


def taken(port: int, host: str) -> bool:
    """Whether a server could not listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError:
            return True
    return False


def unix_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        return probe.connect_ex(str(path)) == 0
