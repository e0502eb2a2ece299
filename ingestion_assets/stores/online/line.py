"""Connections to Redis and the bare protocol: commands packed by hand, answers parsed by hiredis.

redis-py opens the connection (TLS, user, database, everything a URL can say); what is sent afterwards are
whole batches of bytes, because building commands one by one costs five times what Redis needs for them.
"""

from __future__ import annotations

import collections
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ingestion_assets.stores.online.errors import OnlineError, refused, unreachable

T = TypeVar("T")
CONNECT_SECONDS = 2.0
_NOTHING_YET = object()


class Line:
    """One connection. Any error on it ends it: nobody knows which answers would still come."""

    def __init__(self, connection: Any, timeout: float) -> None:
        import hiredis

        self.error = hiredis.ReplyError
        self._connection = connection
        self._reader = hiredis.Reader(notEnoughData=_NOTHING_YET)
        sock = connection._sock
        if isinstance(sock, socket.socket) and not hasattr(sock, "cipher"):
            # The kernel watches the clock, which spares two system calls for each answer.
            limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1e6))
            sock.settimeout(None)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        else:
            sock.settimeout(timeout)
        self._sock = sock
        self.process = os.getpid()

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def reply(self) -> Any:
        answer = self._reader.gets()
        while answer is _NOTHING_YET:
            data = self._sock.recv(65_536)
            if not data:
                raise ConnectionResetError("the connection was closed")
            self._reader.feed(data)
            answer = self._reader.gets()
        return answer

    def replies(self, count: int) -> list[Any]:
        """So many answers, errors among them as they are."""
        answers: list[Any] = []
        gets, more = self._reader.gets, _NOTHING_YET
        while len(answers) < count:
            answer = gets()
            answers.append(self.reply() if answer is more else answer)
        return answers

    def ask(self, data: bytes) -> Any:
        """One command, one answer; an error as answer is raised."""
        self._sock.sendall(data)
        answer = self.reply()
        if isinstance(answer, self.error):
            raise answer
        return answer

    def ask_all(self, commands: Sequence[bytes]) -> list[Any]:
        """Commands sent together; an error among the answers is raised after all of them were read."""
        if not commands:
            return []
        self.send(b"".join(commands))
        answers = self.replies(len(commands))
        for answer in answers:
            if isinstance(answer, self.error):
                raise answer
        return answers

    def close(self) -> None:
        self._connection.disconnect()


class Lines:
    """Connections that wait to be used again; safe for threads, and for a process that forks."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url, self.timeout = url, timeout
        self.server = server_of(url)
        self._pool: Any = None
        self._idle: collections.deque[Line] = collections.deque()

    def run(self, doing: str, work: Callable[[Line], T]) -> T:
        """Do something that may be repeated; when the connection breaks it is, once, on another one."""
        repeated = False
        while True:
            line = self._take(doing)
            try:
                done = work(line)
            except (OSError, ValueError, OnlineError) as error:
                line.close()
                if isinstance(error, ConnectionError) and not repeated:
                    self.close()
                    repeated = True
                    continue
                if isinstance(error, OSError):
                    raise unreachable(self.server, doing, error, self.timeout) from error
                raise
            except line.error as error:
                line.close()
                raise refused(self.server, doing, error) from None
            except BaseException:
                line.close()
                raise
            self._idle.append(line)
            return done

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _take(self, doing: str) -> Line:
        while self._idle:
            try:
                line = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if line.process == os.getpid():
                return line
        import redis

        try:
            if self._pool is None:
                self._pool = redis.ConnectionPool.from_url(
                    self._url,
                    protocol=2,
                    socket_timeout=self.timeout,
                    socket_connect_timeout=min(CONNECT_SECONDS, self.timeout),
                    retry=None,
                )
            connection = self._pool.make_connection()
            connection.connect()
            return Line(connection, self.timeout)
        except (redis.RedisError, OSError) as error:
            raise unreachable(self.server, doing, error, self.timeout) from None
        except ValueError as error:
            raise OnlineError(
                self.server, doing, f"REDIS_URL is wrong: {error}", "Write it like redis://host:6379/0"
            ) from None


def server_of(url: str) -> str:
    """host:port/database of a URL, without user and password."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return parts.path
        return f"{parts.hostname or '?'}:{parts.port or 6379}{parts.path if len(parts.path) > 1 else '/0'}"
    except ValueError:
        return "?"


def command(*words: str | bytes | int) -> bytes:
    """One command as Redis reads it."""
    parts = [b"*%d\r\n" % len(words)]
    parts += [packed(word) for word in words]
    return b"".join(parts)


def packed(word: str | bytes | int) -> bytes:
    content = word if isinstance(word, bytes) else str(word).encode()
    return b"$%d\r\n%b\r\n" % (len(content), content)
