"""uvicorn around the app: in this process until a signal, or as something to start and stop."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

from ingestion_assets.serving.app import create_app

if TYPE_CHECKING:
    import uvicorn

    from ingestion_assets.settings import Settings


_KEEP = {-8: 1, -3: 32 << 20, -1: 128 << 20}  # glibc's M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD


def keep_memory() -> None:
    """Have this process keep the memory of large answers, where the C library can be told so.

    Otherwise it is given back after each answer and asked for again for the next one, page by page, which
    takes as long as everything else about a range of 1,000 rows.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            for option, value in _KEEP.items():
                mallopt(option, value)


def server(settings: Settings, *, host: str | None = None, port: int | None = None) -> uvicorn.Server:
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=host or settings.ingest_host,
            port=settings.ingest_port if port is None else port,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=3,
            limit_concurrency=1_000,
            h11_max_incomplete_event_size=64 * 1024,
        )
    )
