"""As fast as it seems to go with one connection: RESP packed by hand, one batch under way, nothing else.

No guard against older values, no transactions, no answers looked at but for errors: a bound to measure
ourselves against. Points are bare GETs whose JSON nobody reads.
"""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import hiredis
import orjson

from benchmarks.contenders.online import BATCH, INDEX, LIFE, PREFIX, Work, run

KEY = PREFIX.encode()


class Raw:
    def __init__(self, url: str, work: Work) -> None:
        parts = urlsplit(url)
        self.sock = socket.create_connection((parts.hostname, parts.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = hiredis.Reader()
        self.times = work.times.tolist()
        self.names = (*work.columns, "known_at")
        self.columns = [*work.columns.values(), work.known_at]

    def answer(self) -> Any:
        while (answer := self.reader.gets()) is False:
            self.reader.feed(self.sock.recv(65_536))
        if isinstance(answer, hiredis.ReplyError):
            raise answer
        return answer

    def write(self) -> None:
        dumps, names = orjson.dumps, self.names
        form = b"*5\r\n$3\r\nSET\r\n$%d\r\n%s" % (len(KEY) + 10, KEY)
        form += b"%d\r\n$%d\r\n%b\r\n$4\r\nEXAT\r\n$10\r\n%d\r\n"
        index = b"$%d\r\n%s\r\n" % (len(INDEX), INDEX.encode())
        columns = [column.tolist() for column in self.columns]
        waiting = 0
        for start in range(0, len(self.times), BATCH):
            times = self.times[start : start + BATCH]
            rows = zip(*(column[start : start + BATCH] for column in columns), strict=True)
            parts = []
            for moment, row in zip(times, rows, strict=True):
                value = dumps(dict(zip(names, row, strict=True)))
                parts.append(form % (moment, len(value), value, moment + LIFE))
            words = b"\r\n$10\r\n".join([b"%d" % t for t in times for _ in (0, 1)])
            parts.append(b"*%d\r\n$4\r\nZADD\r\n%s$10\r\n%s\r\n" % (2 + 2 * len(times), index, words))
            parts.append(b"*3\r\n$8\r\nEXPIREAT\r\n%s$10\r\n%d\r\n" % (index, times[-1] + LIFE))
            data = b"".join(parts)
            for _ in range(waiting):
                self.answer()
            self.sock.sendall(data)
            waiting = len(times) + 2
        for _ in range(waiting):
            self.answer()

    def point(self, moment: int) -> Any:
        self.sock.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s%d\r\n" % (len(KEY) + 10, KEY, moment))
        return [self.answer()]

    def several(self, moments: list[int]) -> Any:
        head = b"\r\n$%d\r\n%s" % (len(KEY) + 10, KEY)
        keys = head.join([b"", *(b"%d" % t for t in moments)])
        self.sock.sendall(b"*%d\r\n$4\r\nMGET%s\r\n" % (len(moments) + 1, keys))
        return orjson.loads(b"[" + b",".join(self.answer()) + b"]")

    def stretch(self, start: int, end: int) -> Any:
        index = b"$%d\r\n%s\r\n" % (len(INDEX), INDEX.encode())
        self.sock.sendall(b"*4\r\n$13\r\nZRANGEBYSCORE\r\n%s$10\r\n%d\r\n$10\r\n%d\r\n" % (index, start, end))
        return self.several([int(member) for member in self.answer()])

    def close_of(self, answer: Any, position: int) -> float:
        row = answer[position]
        return (orjson.loads(row) if isinstance(row, bytes) else row)["close"]  # type: ignore[no-any-return]


if __name__ == "__main__":
    run(Raw)
