"""Which Dagster a command talks to, and what to do when none is there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ingestion_assets.cli.errors import BadInput, Failed

if TYPE_CHECKING:
    from ingestion_assets.dagster_api import DagsterApi
    from ingestion_assets.settings import Settings


def ui_url(settings: Settings, url: str | None) -> str:
    if url is None:
        return settings.dagster_address
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise BadInput(f"--url {url!r} is no address: write it like http://127.0.0.1:3000")
    return url.rstrip("/")


def require(api: DagsterApi) -> None:
    if not api.answers():
        raise Failed(
            f"no Dagster UI answers at {api.url}: start it with `make run`, name another one "
            "with --url, or fetch in this process with --here"
        )
