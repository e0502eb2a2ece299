"""The lines of the servers' logs that somebody who watches the terminal wants to see."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ingestion_assets.cli.stack import Service

_LEVEL = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b")
_WIDTH = 300


class LogLines:
    def __init__(self, services: Sequence[Service]) -> None:
        self._places = {service.name: (service.log, service.log.stat().st_size) for service in services}

    def new(self) -> Iterator[tuple[str, str]]:
        """Warnings and errors since the last look, with the server's name and a style."""
        for name, (log, place) in self._places.items():
            lines, self._places[name] = self._since(log, place)
            for line in lines:
                level = _LEVEL.search(line)
                if level:
                    yield f"{name}: {line[:_WIDTH]}", "yellow" if level[1] == "WARNING" else "red"

    @staticmethod
    def _since(log: Path, place: int) -> tuple[list[str], tuple[Path, int]]:
        with log.open("rb") as file:
            file.seek(place)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        return whole.decode("utf-8", "replace").splitlines(), (log, place + len(whole))
