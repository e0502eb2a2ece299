"""uvicorn around the app: in this process until a signal, or as something to start and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestion_assets.serving.app import create_app

if TYPE_CHECKING:
    import uvicorn

    from ingestion_assets.settings import Settings


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
