"""Errors as answers. Every one is `{"detail": "…"}`, and the text names the field, the value, the remedy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ingestion_assets.dagster_api import DagsterDown, DagsterRefused
from ingestion_assets.logs import log_line
from ingestion_assets.sources.errors import NotFound, SourceError
from ingestion_assets.stores.catalog import CatalogError
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.stores.online import OnlineError

_LONGEST = 2_000
_SHOWN = 80
_MOST = 20  # wrong fields that are named
Responses = dict[int | str, dict[str, Any]]
Handler = Callable[[Request, Any], Awaitable[Response]]


class Problem(BaseModel):
    """What went wrong and what to do."""

    detail: str
    run_url: str | None = Field(None, description="Where the failed run shows its log.")


class StillRunning(Exception):
    """The wait limit is over; the run goes on."""

    def __init__(self, run: str, page: str) -> None:
        super().__init__(run)
        self.run, self.page = run, page


class Unprocessable(HTTPException):
    """The request cannot be meant."""

    def __init__(self, text: str) -> None:
        super().__init__(422, text)


def answer(status: int, text: str, headers: dict[str, str] | None = None, **more: Any) -> Response:
    body = orjson.dumps({"detail": text[:_LONGEST], **more})
    return Response(body, status, headers=headers, media_type="application/json")


def install(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _stated)
    app.add_exception_handler(RequestValidationError, _invalid)
    for kind, status in (
        (NotFound, 404),
        (SourceError, 502),
        (DagsterRefused, 502),
        (DagsterDown, 503),
        (StoreError, 503),
        (CatalogError, 503),
        (OnlineError, 503),
    ):
        app.add_exception_handler(kind, _told(status))
    app.add_exception_handler(StillRunning, _still_running)
    app.add_exception_handler(Exception, _unforeseen)


async def _still_running(request: Request, error: Any) -> Response:
    """Nothing went wrong: it takes longer than the request may."""
    body = orjson.dumps({"status": "running", "run_id": error.run, "run_url": error.page})
    return Response(body, 202, headers={"Location": error.page}, media_type="application/json")


def _told(status: int) -> Handler:
    async def told(request: Request, error: Exception) -> Response:
        log_line("request_failed", path=request.url.path, status=status, error=str(error))
        return answer(status, str(error))

    return told


async def _stated(request: Request, error: Any) -> Response:
    more = {name: getattr(error, name) for name in ("run_url", "series") if getattr(error, name, None)}
    return answer(error.status_code, str(error.detail), getattr(error, "headers", None), **more)


async def _invalid(request: Request, error: Any) -> Response:
    """Every wrong field by its name; a value is shown in short, and nothing of a body that is no JSON."""
    said = []
    wrong = error.errors()
    for one in wrong[:_MOST]:
        if one["type"] == "json_invalid":
            reason = one.get("ctx", {}).get("error", "it cannot be read")
            said.append(f'the body is no JSON ({reason}): write an object like {{"symbol": "BTC/USDT"}}')
            continue
        place = ".".join(str(part) for part in one["loc"][1:]) or str(one["loc"][0])
        text = one["msg"].removeprefix("Value error, ")
        given = one.get("input")
        shown = f" {str(given)[:_SHOWN]!r}" if isinstance(given, (str, int, float, bool)) else ""
        said.append(f"{place}{shown}: {text}")
    if len(wrong) > _MOST:
        said.append(f"and {len(wrong) - _MOST} more")
    return answer(422, "; ".join(said))


async def _unforeseen(request: Request, error: Exception) -> Response:
    log_line("request_broken", level=40, path=request.url.path, error=f"{type(error).__name__}: {error}")
    return answer(500, "something that nobody foresaw went wrong; the server's log tells what")
