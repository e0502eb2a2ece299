"""`ingest api`: the HTTP API in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer


def api(
    host: Annotated[str | None, typer.Option(help="Without it: INGEST_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Without it: INGEST_PORT.")] = None,
) -> None:
    """Serve features, ingestion on request, the registry, the scheduler, metrics over HTTP until Ctrl-C."""
    from ingestion_assets import logs
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.errors import BadInput, Failed
    from ingestion_assets.cli.stack import taken
    from ingestion_assets.serving.server import keep_memory, server

    if port is not None and not 1 <= port <= 65535:
        raise BadInput(f"--port {port} is no port: use 1 to 65535")
    given = {"ingest_host": host, "ingest_port": port}
    settings = environment.settings(**{name: value for name, value in given.items() if value is not None})
    logs.configure(settings.log_level)
    if taken(settings.ingest_port, settings.ingest_host):
        raise Failed(
            f"INGEST_PORT={settings.ingest_port}: something else listens on {settings.ingest_host}:"
            f"{settings.ingest_port} already, or the host is not this machine's. Stop it, or choose another"
        )
    keep_memory()
    running = server(settings)
    output.say(f"HTTP API on {settings.api_address}, {settings.api_address}/docs lists it. Ctrl-C stops it.")
    running.run()
