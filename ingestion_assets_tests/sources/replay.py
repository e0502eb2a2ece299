"""A vendor on loopback that says what a test tells it to: recorded answers, odd statuses, broken lines.

`Replay({"/path": answer})` where an answer is a document, bytes, a `Reply`, a function of the query, or a
list of these, taken one after the other (the last one for ever). `.asked` holds what came in.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from ingestion_assets.embedded import LOOPBACK


@dataclass
class Reply:
    """One answer. `cut` sends only that share of the body and resets the line; `hang` never answers."""

    status: int = 200
    body: Any = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    cut: float | None = None
    hang: bool = False

    @property
    def bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Asked:
    path: str
    query: dict[str, str]
    headers: dict[str, str]


class Replay:
    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.answers: dict[str, Any] = dict(answers or {})
        self.asked: list[Asked] = []
        self._closing = threading.Event()
        self._lock = threading.Lock()
        replay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):  # who asked did not wait for the answer
                    replay._answer(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="replay")

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def count(self, path: str) -> int:
        return sum(one.path == path for one in self.asked)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        with self._lock:
            self.asked.append(Asked(parts.path, query, dict(handler.headers)))
            told = self.answers.get(parts.path, Reply(404, {"error": f"nothing recorded for {parts.path}"}))
            if isinstance(told, Turns):
                told = told.next()
        if callable(told):
            told = told(query)
        self._send(handler, told if isinstance(told, Reply) else Reply(body=told))

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        if reply.hang:
            self._closing.wait()
            handler.close_connection = True
            return
        body = reply.bytes
        handler.send_response_only(reply.status)
        usual = {"Content-Type": reply.content_type, "Date": handler.date_time_string()}
        for name, value in (usual | dict(reply.headers)).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if reply.cut is None:
            handler.wfile.write(body)
            return
        handler.wfile.write(body[: int(len(body) * reply.cut)])
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True


class Turns:
    """Answers one after the other; the last one is given for ever."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def next(self) -> Any:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
