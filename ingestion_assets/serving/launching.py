"""Runs of Dagster, started for a request and waited for, no longer than the request may last.

A run that takes longer goes on; who asked is told where to look. Nothing here schedules or retries: that is
Dagster's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from starlette.exceptions import HTTPException

from ingestion_assets.dagster_api import DagsterApi
from ingestion_assets.dagster_api.runs import Run, read_run, run_ended, run_page
from ingestion_assets.serving.problems import StillRunning

_POLL_SECONDS = 0.5
_WAITING_AT_ONCE = 16  # requests that wait for a run; each holds a connection, so there is an end to it


class RunFailed(HTTPException):
    """The run came to nothing; the text is the run's own."""

    def __init__(self, what: str, run: Run, page: str) -> None:
        reason = run.failure or f"the run was {run.status.lower()}"
        super().__init__(502, f"{what} failed: {reason}")
        self.run_url = page


class Launcher:
    def __init__(self, dagster: DagsterApi, wait_seconds: float) -> None:
        self.dagster = dagster
        self.wait_seconds = wait_seconds
        self._waiting = 0

    def deadline(self) -> float:
        """Until when a request that comes now may wait; all its runs together."""
        return time.monotonic() + self.wait_seconds

    async def ended(self, run: str, what: str, deadline: float) -> Run:
        """The run when it has succeeded; raises RunFailed or StillRunning."""
        found = await self._ended(run, deadline)
        if not found.succeeded:
            raise RunFailed(what, found, run_page(self.dagster, run))
        return found

    async def all_ended(self, runs: Sequence[str], deadline: float) -> list[Run]:
        """Every run when it has ended, well or not; raises StillRunning."""
        return [await self._ended(run, deadline) for run in runs]

    async def _ended(self, run: str, deadline: float) -> Run:
        page = run_page(self.dagster, run)
        if self._waiting >= _WAITING_AT_ONCE:
            raise StillRunning(run, page)
        self._waiting += 1
        try:
            while not await asyncio.to_thread(run_ended, self.dagster, run):
                if time.monotonic() > deadline:
                    raise StillRunning(run, page)
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            self._waiting -= 1
        return await asyncio.to_thread(read_run, self.dagster, run)
