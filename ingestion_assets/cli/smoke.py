"""`ingest smoke`: whether a running stack does what it is there for. Exit code 1 when something does not."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli.arguments import AsJson

if TYPE_CHECKING:
    from ingestion_assets.settings import Settings

_SECONDS = 120.0  # for a run to be waited for


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    text: str


def smoke(
    url: Annotated[str | None, typer.Option(metavar="URL", help="The API. Without it: API_BASE_URL.")] = None,
    symbol: Annotated[str, typer.Option(help="The market that is backfilled for a minute.")] = "BTC/USDT",
    exchange: Annotated[str | None, typer.Option(help="Without it: EXCHANGE_NAME.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a running stack: health, metrics, a short backfill, a sweep of 25 keys, features, the scheduler."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.errors import BadInput

    settings = environment.settings()
    if settings.admin_token is None:
        raise BadInput("ADMIN_TOKEN is not set: `ingest setup` makes one, or copy the stack's into .env")
    place = (url or settings.api_address).rstrip("/")
    if urllib.parse.urlsplit(place).scheme not in ("http", "https"):
        raise BadInput(f"--url {place!r} is no address: write it like http://127.0.0.1:8000")
    found = []
    for check in _checks(place, settings, symbol, exchange or settings.exchange_name):
        found.append(check)
        if not as_json:
            mark, style = ("ok", "green") if check.ok else ("fail", "bold red")
            output.out().print(f"{mark:<5}", style=style, end="")
            output.out().print(f" {check.name}: {check.text}", markup=False)
    bad = sum(not check.ok for check in found)
    if as_json:
        output.show_json({"ok": not bad, "url": place, "checks": [asdict(check) for check in found]})
    else:
        output.say(f"{output.plural(len(found), 'check')} of {place}, {bad} failed.")
    if bad:
        raise typer.Exit(1)


def _checks(place: str, settings: Settings, symbol: str, exchange: str) -> Iterator[Check]:
    token = settings.admin_token.get_secret_value() if settings.admin_token else ""

    def ask(method: str, path: str, **query: Any) -> tuple[int, str]:
        return _ask(place, method, path, query, token)

    def health() -> str:
        return _expect(ask("GET", "/health"), lambda text: json.loads(text) == {"status": "ok"})

    def deep() -> str:
        parts = json.loads(_expect(ask("GET", "/health", deep=1), lambda text: '"status":"ok"' in text))
        return ", ".join(f"{name} {part['detail']}" for name, part in parts.items() if name != "status")

    def metrics() -> str:
        text = _expect(ask("GET", "/metrics"), lambda text: 'service="raw-data-ingestion"' in text)
        return f"{sum(not line.startswith('#') for line in text.splitlines())} samples"

    def shut() -> str:
        _expect(_ask(place, "POST", "/ingest/admin/backfill/market", {}, ""), lambda text: True, wanted=401)
        return "without the token nothing is done"

    def backfill() -> str:
        one = {"exchange": exchange, "symbol": symbol, "timeframe": "1m", "lookback_minutes": 1}
        return _expect(ask("POST", "/ingest/admin/backfill/market", **one), lambda text: '"written"' in text)

    def sweep() -> str:
        keys = {"pattern": "features:market:*", "ttl_default": 3_600, "max_keys": 25}
        return _expect(
            ask("POST", "/ingest/admin/features/ttl-sweep", **keys), lambda text: '"ttl_set"' in text
        )

    def features() -> str:
        now = int(time.time())
        span = {"start": now - 3_600, "end": now, "limit": 100}
        path = "/ingest/features/market/range"
        text = _expect(
            ask("GET", path, symbol=symbol, exchange=exchange, timeframe="1m", **span), lambda text: True
        )
        answer = json.loads(text)
        if not answer["count"]:
            raise ValueError("no row of the last hour: is ingestion running?")
        return f"{answer['count']} rows of the last hour from {answer['source']}"

    def scheduler() -> str:
        jobs = json.loads(_expect(ask("GET", "/api/v1/scheduler/status"), lambda text: '"jobs"' in text))[
            "jobs"
        ]
        failed = [job["name"] for job in jobs if job["last_status"] == "FAILURE"]
        if failed:
            raise ValueError(f"the last tick of {', '.join(failed)} failed")
        return f"{sum(job['running'] for job in jobs)} of {len(jobs)} schedules and sensors are on"

    every: dict[str, Callable[[], str]] = {
        "health": health,
        "parts": deep,
        "metrics": metrics,
        "token": shut,
        "backfill": backfill,
        "ttl-sweep": sweep,
        "features": features,
        "scheduler": scheduler,
    }
    for name, check in every.items():
        try:
            yield Check(name, True, check())
        except (OSError, ValueError, KeyError) as error:
            yield Check(name, False, str(error))
            if name == "health":
                return  # nothing else would be better


def _ask(place: str, method: str, path: str, query: dict[str, Any], token: str) -> tuple[int, str]:
    url = f"{place}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    request = urllib.request.Request(url, method=method)  # noqa: S310 looked at before
    if token:
        request.add_header("X-Admin-Token", token)
    near = urllib.parse.urlsplit(place).hostname in ("127.0.0.1", "localhost", "::1")
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if near else []))
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")
    except OSError as error:
        raise OSError(f"{place} does not answer: {error}. Is `make run` running?") from None


def _expect(answer: tuple[int, str], right: Callable[[str], bool], wanted: int = 200) -> str:
    status, text = answer
    if status != wanted or not right(text):
        raise ValueError(f"answered {status}: {text[:400]}")
    return text
