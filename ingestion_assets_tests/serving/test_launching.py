"""Requests that wait for a run: each as long as it may, and not more of them than there is room for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ingestion_assets.dagster_api import DagsterApi
from ingestion_assets.serving.launching import _WAITING_AT_ONCE, Launcher
from ingestion_assets.serving.problems import StillRunning
from ingestion_assets_tests.sources.replay import Replay

FAR = 3_600.0


class Runs:
    """What Dagster tells of every run, as the real one words it."""

    def __init__(self) -> None:
        self.status = "STARTED"

    def __call__(self, query: dict[str, str]) -> dict[str, Any]:
        empty = {
            "startTime": 1.0,
            "endTime": 2.0,
            "assetMaterializations": [],
            "eventConnection": {"events": []},
        }
        return {"data": {"runOrError": {"__typename": "Run", "status": self.status} | empty}}


async def wait_until_waiting(launcher: Launcher, count: int) -> None:
    async with asyncio.timeout(60):
        while launcher._waiting != count:  # noqa: ASYNC110 nothing tells of it
            await asyncio.sleep(0.001)


def test_so_many_wait_and_who_comes_then_is_sent_to_the_runs_page() -> None:
    runs = Runs()

    async def main(url: str) -> None:
        launcher = Launcher(DagsterApi(url), FAR)

        async def ended(run: str) -> str:
            async with asyncio.timeout(120):
                return (await launcher.ended(run, "ingest", launcher.deadline())).id

        waiting = [asyncio.create_task(ended(f"run-{n}")) for n in range(_WAITING_AT_ONCE)]
        await wait_until_waiting(launcher, _WAITING_AT_ONCE)
        with pytest.raises(StillRunning) as told:
            await ended("late")
        assert (told.value.run, told.value.page) == ("late", f"{url}/runs/late")
        assert not any(task.done() for task in waiting)

        waiting.pop().cancel()  # a client that hangs up leaves its place to the next one
        await wait_until_waiting(launcher, _WAITING_AT_ONCE - 1)
        waiting.append(asyncio.create_task(ended("next")))
        await wait_until_waiting(launcher, _WAITING_AT_ONCE)

        runs.status = "SUCCESS"
        assert len(await asyncio.gather(*waiting)) == _WAITING_AT_ONCE
        assert await ended("late") == "late"

    with Replay({"/graphql": runs}) as dagster:
        asyncio.run(main(dagster.url))


def test_who_has_waited_long_enough_leaves_its_place() -> None:
    async def main(url: str) -> None:
        launcher = Launcher(DagsterApi(url), 0)
        for number in range(2 * _WAITING_AT_ONCE):
            with pytest.raises(StillRunning):
                await launcher.ended(f"run-{number}", "ingest", launcher.deadline())
        assert dagster.count("/graphql") == 2 * _WAITING_AT_ONCE, "each was looked at"

    with Replay({"/graphql": Runs()}) as dagster:
        asyncio.run(main(dagster.url))
