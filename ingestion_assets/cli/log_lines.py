"""What the servers' logs say to somebody who watches the terminal: candles that came, and what went wrong."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ingestion_assets.cli import output
from ingestion_assets.cli.stack import Service

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LEVEL = re.compile(r" - (WARNING|ERROR|CRITICAL) - ")
_RUN = re.compile(r"^(\w+) - [0-9a-f]{8}-[0-9a-f-]{27} - (?:\d+ - )?")
_CHANGES_EACH_TIME = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
# Said by Dagster at every start on a new state folder, or said again at the end of the run.
_IDLE_TALK = ("No cursor for event type", "STEP_FAILURE")
_WIDTH = 300
_SAID_AGAIN_AFTER = 600.0


class LogLines:
    def __init__(self, services: Sequence[Service]) -> None:
        self._places = {service.name: (service.log, service.log.stat().st_size) for service in services}
        self._said: dict[str, float] = {}

    def new(self) -> Iterator[tuple[str, str]]:
        """Lines since the last look, each with its style; what repeats itself is said once in a while."""
        rows: dict[str, int] = {}
        for name, (log, place) in self._places.items():
            lines, self._places[name] = _since(log, place)
            for line in lines:
                text, style = self._of_execution(line, rows) if line.startswith("{") else _of_dagster(line)
                if text and self._is_news(text):
                    yield f"{name}: {text[:_WIDTH]}", style
        if rows:
            total = output.plural(sum(rows.values()), "new row")
            yield f"{total} of {', '.join(rows) if len(rows) <= 4 else f'{len(rows)} series'}", "green"

    def _of_execution(self, line: str, rows: dict[str, int]) -> tuple[str, str]:
        """A JSON line about one series; the rows that came are summed up instead of being told one by one."""
        try:
            said = json.loads(line)
        except ValueError:
            return "", ""
        series, cause = said.get("symbol"), said.get("error") or said.get("message")
        if series and said.get("records") and not said.get("error"):
            rows[series] = rows.get(series, 0) + int(said["records"])
        if said.get("level") in ("WARNING", "ERROR", "CRITICAL"):
            text = f"{series}: {cause}" if series else str(said.get("message"))
            return text, "yellow" if said["level"] == "WARNING" else "red"
        return "", ""

    def _is_news(self, text: str) -> bool:
        pattern, now = _CHANGES_EACH_TIME.sub("#", text), time.monotonic()
        if now - self._said.get(pattern, -_SAID_AGAIN_AFTER) < _SAID_AGAIN_AFTER:
            return False
        if len(self._said) > 1000:
            self._said.clear()
        self._said[pattern] = now
        return True


def _of_dagster(line: str) -> tuple[str, str]:
    line = _COLOUR.sub("", line)
    level = _LEVEL.search(line)
    if level is None or any(words in line for words in _IDLE_TALK):
        return "", ""
    return _RUN.sub(r"\1: ", line[level.end() :]), "yellow" if level[1] == "WARNING" else "red"


def _since(log: Path, place: int) -> tuple[list[str], tuple[Path, int]]:
    with log.open("rb") as file:
        file.seek(place)
        text = file.read()
    whole = text[: text.rfind(b"\n") + 1]
    return whole.decode("utf-8", "replace").splitlines(), (log, place + len(whole))
