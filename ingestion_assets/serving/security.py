"""Who may change things, and how much anybody may ask. Stands before every route.

What is not plain reading needs the token: every method but GET, HEAD and OPTIONS, everything below
`/ingest/admin/`, and `/api/cron`, which may be a GET. A new route is therefore closed until it is opened,
as `/ml/sentiment/predict` is: a POST that changes nothing.
"""

from __future__ import annotations

import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from pydantic import SecretStr
from starlette.exceptions import HTTPException

from ingestion_assets.serving.problems import answer
from ingestion_assets.settings import Settings, SettingsError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CRON = "/api/cron"
ADMIN = "/ingest/admin/"
PREDICT = "/ml/sentiment/predict"
_READING = ("GET", "HEAD", "OPTIONS")
_SHORTEST_TOKEN = 16
_PLACEHOLDERS = re.compile(
    "change|placeholder|replace|secret|token|password|example|default|admin|test|please|your|here|now|me"
)
_LONGEST_QUERY = 40_000  # 1,000 times in ISO form
_CLIENTS = 10_000  # whose spending is remembered
_SAFE_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]


def check_exposure(settings: Settings) -> None:
    """Refuse to listen beyond this machine with a token that somebody could guess."""
    for name, value in (("ADMIN_TOKEN", settings.admin_token), ("CRON_SECRET", settings.cron_secret)):
        token = value.get_secret_value() if value else ""
        if is_loopback(settings.ingest_host) or (not token and name == "CRON_SECRET"):
            continue
        if not token:
            raise SettingsError(
                f"{name} is not set, and INGEST_HOST={settings.ingest_host!r} opens the API to others: "
                "set it (`ingest setup` makes one, or: openssl rand -hex 24), or listen on 127.0.0.1"
            )
        if is_weak(token):
            raise SettingsError(
                f"{name} is a placeholder or shorter than {_SHORTEST_TOKEN} characters, and INGEST_HOST="
                f"{settings.ingest_host!r} opens the API to others: make one with openssl rand -hex 24"
            )


def is_weak(token: str) -> bool:
    """Too short, all alike, or made of the words that stand in examples."""
    letters = [c for c in _PLACEHOLDERS.sub("", token.lower()) if c.isalnum()]
    return len(token) < _SHORTEST_TOKEN or len(letters) < _SHORTEST_TOKEN // 2 or len(set(token)) < 6


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def matches(given: str, secret: SecretStr | None) -> bool:
    """Compared in a time that tells nothing of how much was right."""
    return secret is not None and hmac.compare_digest(given.encode(), secret.get_secret_value().encode())


def opens(headers: Iterable[tuple[bytes, bytes]], secret: SecretStr | None) -> bool:
    """Whether a request has the token with it."""
    given = _token({name.lower(): value for name, value in headers})
    return given is not None and matches(given, secret)


@dataclass
class Allowance:
    """So many a second for each client, with a second's worth (at least `burst`) saved up."""

    per_second: float
    burst: float
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def spend(self, client: str) -> float:
        """0 when it is granted, otherwise the seconds until there is something again."""
        now = time.monotonic()
        left, then = self._left.pop(client, (self.burst, now))
        left = min(self.burst, left + (now - then) * self.per_second)
        granted = left >= 1
        self._left[client] = (left - 1 if granted else left, now)
        if len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if granted else (1 - left) / self.per_second


class Guard:
    """ASGI middleware: rate, token, size, in this order; nothing of a refused body is read."""

    def __init__(self, app: App, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self._largest = settings.api_max_body_kb * 1024
        self._asking = Allowance(settings.api_requests_per_sec, max(50, settings.api_requests_per_sec))
        self._changing = Allowance(settings.api_changes_per_min / 60, max(5, settings.api_changes_per_min))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_SAFE_HEADERS]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, marked)
            return
        await self.app(scope, self._bounded(receive), marked)

    def _refusal(self, scope: Scope) -> Any:
        client = (scope.get("client") or ("?", 0))[0]
        changing = needs_token(scope["method"], scope["path"])
        wait = (self._changing if changing else self._asking).spend(client)
        if wait:
            return answer(
                429,
                f"too many requests from {client}: try again in {wait:.1f} s",
                {"Retry-After": str(max(1, round(wait)))},
            )
        if len(scope.get("query_string", b"")) > _LONGEST_QUERY:
            return answer(
                414, f"the address is longer than {_LONGEST_QUERY} characters: ask for less at once"
            )
        headers = {name.lower(): value for name, value in scope["headers"]}
        if changing:
            problem = self._token_problem(scope["path"], headers)
            if problem is not None:
                return problem
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            return answer(400, "Content-Length is no number")
        return self._too_large() if int(length) > self._largest else None

    def _token_problem(self, path: str, headers: dict[bytes, bytes]) -> Any:
        given = _token(headers)
        if given is None:
            return answer(
                401,
                f"{path} needs a token: send it as X-Admin-Token: … or Authorization: Bearer …"
                + ("; CRON_SECRET is for this one" if path == CRON else ""),
                {"WWW-Authenticate": "Bearer"},
            )
        admin, cron = self.settings.admin_token, self.settings.cron_secret
        if admin is None and (path != CRON or cron is None):
            return answer(
                403, "this server has no ADMIN_TOKEN, so nothing can be changed through it: set one"
            )
        allowed = matches(given, admin)
        if path == CRON:
            allowed = matches(given, cron) or allowed
        return None if allowed else answer(403, "the token is wrong: it is the server's ADMIN_TOKEN")

    def _too_large(self) -> Any:
        return answer(413, f"the body is larger than {self._largest // 1024} KB (API_MAX_BODY_KB)")

    def _bounded(self, receive: Receive) -> Receive:
        """A body that does not say how long it is, is cut off where it becomes too long."""
        seen = 0

        async def bounded() -> Any:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._largest:
                raise TooLarge(self._largest)
            return message

        return bounded


class TooLarge(HTTPException):
    """More came than was announced."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"the body is larger than {most // 1024} KB (API_MAX_BODY_KB)")


def needs_token(method: str, path: str) -> bool:
    if method == "POST" and path == PREDICT:
        return False
    return method not in _READING or path.startswith(ADMIN) or path.rstrip("/") == CRON


def _token(headers: dict[bytes, bytes]) -> str | None:
    given = headers.get(b"x-admin-token")
    if given is None:
        scheme, _, rest = headers.get(b"authorization", b"").partition(b" ")
        given = rest if scheme.lower() == b"bearer" else None
    text = given.decode("latin-1").strip() if given is not None else ""
    return text or None
