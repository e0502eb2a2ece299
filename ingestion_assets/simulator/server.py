"""The simulator as something to start and stop: in a thread (Simulator), or until a signal (serve).

It binds 127.0.0.1 and nothing else, whatever is asked of it.
"""

import asyncio
import errno
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from ingestion_assets.simulator.answers import Market
from ingestion_assets.simulator.clock import Clock
from ingestion_assets.simulator.faults import Fault, Faults
from ingestion_assets.simulator.gate import Gate
from ingestion_assets.simulator.journal import Journal
from ingestion_assets.simulator.limits import CHEAPEST_PLANS, Limits, Quota, Window
from ingestion_assets.simulator.world import World

HOST = "127.0.0.1"


class Simulator:
    """The offline world on a port; a context manager.

    `now` sets the clock (ms, ISO text or datetime) and freezes it, unless `running`. `quotas` are requests
    and seconds by vendor, for example CHEAPEST_PLANS; who is not named serves as many as are asked.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        seed: int = 7,
        now: Any = None,
        running: bool = False,
        weight_limit: int = 6000,
        window_seconds: int = 60,
        raw_limit: int = 300_000,
        tolerance: int = 10,
        ban_seconds: int = 120,
        latency_ms: float = 0,
        quotas: Mapping[str, tuple[int, int]] = {},
        faults: Iterable[Fault] = (),
    ) -> None:
        self.world = World(seed)
        self.clock = Clock(now, running=running)
        self.faults = Faults()
        self.requests = Journal()
        windows = Window(weight_limit, window_seconds), Window(raw_limit, 300)
        self.limits = Limits(*windows, tolerance=tolerance, ban_seconds=ban_seconds)
        self.market = Market(self.world, self.clock, self.faults)
        # Futures have limits of their own, here as generous as those of spot are made.
        pools = {"weight": (2_400, 60), "funding": (500, 300), "statistics": (1_000, 300)}
        self.usdm_limits = {
            name: Limits(
                Window(max(1, weight_limit * limit // 6_000), seconds),
                Window(raw_limit, 300),
                tolerance=tolerance,
                ban_seconds=ban_seconds,
            )
            for name, (limit, seconds) in pools.items()
        }
        if unknown := quotas.keys() - CHEAPEST_PLANS.keys():
            raise ValueError(
                f"no quota is simulated for {', '.join(sorted(unknown))}: use {list(CHEAPEST_PLANS)}"
            )
        plans = {name: Quota(*plan) for name, plan in quotas.items()}
        self._gate = Gate(self.market, self.limits, self.usdm_limits, self.requests, latency_ms, plans)
        self._wanted_port = port
        self.port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        for fault in faults:
            self.faults.add(fault)

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        if not self.port:
            raise RuntimeError("the simulator is not running: use `with Simulator() as …` or start()")
        return f"http://{HOST}:{self.port}"

    def start(self) -> Self:
        """Answer from a daemon thread; returns when the port is open."""
        if self._thread is not None:
            raise RuntimeError("the simulator is running already")
        ready = threading.Event()
        failed: list[BaseException] = []

        def main() -> None:
            try:
                asyncio.run(self.run(ready.set))
            except BaseException as error:  # noqa: BLE001 - carried over to the thread that waits
                failed.append(error)
            finally:
                ready.set()

        self._thread = threading.Thread(target=main, name="simulator", daemon=True)
        self._thread.start()
        ready.wait()
        if failed:
            self._thread.join()
            self._thread = None
            raise failed[0]
        return self

    def stop(self) -> None:
        """Stop answering, close every connection, end the thread. Harmless when not running."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def run(self, ready: Callable[[], object], *, signals: Iterable[int] = ()) -> None:
        """Answer on the running loop until stop() or one of the signals."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        for number in signals:
            self._loop.add_signal_handler(number, self._stop.set)
        server = web.Server(self._gate, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.2)
        await runner.setup()
        try:
            site = web.TCPSite(runner, HOST, self._wanted_port)
            try:
                await site.start()
            except OSError as error:
                raise _explained(error, self._wanted_port) from error
            self.port = runner.addresses[0][1]
            ready()
            await self._stop.wait()
        finally:
            self.port = 0
            await runner.cleanup()


def serve(port: int = 8765, *, on_ready: Callable[[Simulator], object] | None = None, **options: Any) -> None:
    """Answer until SIGINT or SIGTERM; `options` are those of Simulator. For the CLI's main thread."""
    simulator = Simulator(port, **options)

    def ready() -> None:
        if on_ready is not None:
            on_ready(simulator)

    asyncio.run(simulator.run(ready, signals=(signal.SIGINT, signal.SIGTERM)))


def _explained(error: OSError, port: int) -> OSError:
    if error.errno == errno.EADDRINUSE:
        return OSError(
            error.errno, f"port {port} on {HOST} is in use; choose another one, or 0 for any free one"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return OSError(error.errno, f"port {port} on {HOST} is not allowed; choose one above 1023")
    return OSError(error.errno, f"cannot listen on {HOST}:{port}: {error.strerror or error}")
