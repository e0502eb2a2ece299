"""Somebody who is told by HTTP, and remembers what."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from ingestion_assets.embedded import LOOPBACK


class WebhookReceiver:
    """Somebody's webhook on loopback: remembers what was posted, fails when told to.

    `.url` to post to; `.posts` the JSON bodies that were accepted, oldest first; `.attempts` all of
    them with the status they got; `fail_next(n, status=503)`; `wait_for(n)` the first n accepted.
    """

    def __init__(self) -> None:
        self.posts: list[Any] = []
        self.attempts: list[tuple[int, Any]] = []
        self._failures: list[int] = []
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(receiver._take(raw))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="webhook")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/hook"

    def fail_next(self, times: int, status: int = 503) -> None:
        with self._changed:
            self._failures += [status] * times

    def wait_for(self, count: int, seconds: float = 60) -> list[Any]:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.posts) >= count, seconds):
                raise TimeoutError(
                    f"{len(self.posts)} of {count} posts within {seconds:g} s: {self.attempts}"
                )
            return self.posts[:count]

    def _take(self, raw: bytes) -> int:
        try:
            body, status = json.loads(raw), 200
        except ValueError:
            body, status = raw.decode(errors="replace"), 400
        with self._changed:
            if self._failures:
                status = self._failures.pop(0)
            self.attempts.append((status, body))
            if status == 200:
                self.posts.append(body)
            self._changed.notify_all()
        return status
