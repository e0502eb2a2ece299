"""Rows of metrics from what Glassnode sends, and what of them is a revision. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa

from ingestion_assets.intervals import EPOCH
from ingestion_assets.sources.errors import MalformedAnswer, excerpt
from ingestion_assets.sources.http import expect_json
from ingestion_assets.tables.onchain import DAY, METRICS

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Reading:
    time: datetime
    component: str
    value: float | None


def readings_of(body: bytes) -> list[Reading]:
    """All values of an answer, in rising order."""
    expect_json(body, b"[")
    try:
        entries = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer(f"the answer is cut-off or broken JSON ({error}): {excerpt(body)}") from None
    found: list[Reading] = []
    before: datetime | None = None
    for entry in entries:
        try:
            moment = _moment(entry["t"])
            found += [Reading(moment, name, value) for name, value in _values(entry)]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise MalformedAnswer(f"a point cannot be read ({error!r}): {str(entry)[:160]}") from None
        if before is not None and moment <= before:
            raise MalformedAnswer(f"points are not in rising order without repeats: {str(entry)[:160]}")
        before = moment
    return found


def _moment(told: Any) -> datetime:
    """Seconds since 1970, milliseconds by their magnitude, or ISO text."""
    if isinstance(told, str):
        moment = datetime.fromisoformat(told)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    if isinstance(told, bool) or told != int(told):
        raise ValueError(f"t {told!r} is no whole number")
    return EPOCH + (timedelta(milliseconds=told) if abs(told) > 10**11 else timedelta(seconds=told))


def _values(entry: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    if "o" not in entry:
        yield "value", _number(entry["v"])
        return
    yield from _parts("", entry["o"] or {})


def _parts(prefix: str, parts: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    for name, value in sorted(parts.items()):
        if isinstance(value, Mapping):
            yield from _parts(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", _number(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        raise TypeError(f"value {value!r} is no number")
    return None if value is None else float(value)


def normalise_metric(
    readings: list[Reading], read_at: datetime, origin: str, final: timedelta | None = None
) -> pa.Table:
    """Rows as if nothing was known before; `final`: never revised, known so long after the day. Pure."""
    rows = [
        {
            "id": _id(reading.time, reading.component, 0),
            "time": reading.time,
            "component": reading.component,
            "value": reading.value,
            "revision": 0,
            "source": origin,
            "known_at": read_at if final is None else reading.time + DAY + final,
        }
        for reading in readings
    ]
    return pa.Table.from_pylist(rows, schema=METRICS.schema)


def revised(rows: pa.Table, held: pa.Table) -> pa.Table:
    """What is held stays as it is; another value than the newest that is held is its next revision. Pure."""
    newest: dict[tuple[datetime, str], dict[str, Any]] = {}
    for row in held.to_pylist():
        place = row["time"], row["component"]
        if place not in newest or newest[place]["revision"] < row["revision"]:
            newest[place] = row
    found = []
    for row in rows.to_pylist():
        before = newest.get((row["time"], row["component"]))
        if before is None:
            found.append(row)
        elif before["value"] == row["value"]:
            found.append(before)
        else:
            number = before["revision"] + 1
            known = max(row["known_at"], before["known_at"] + _MICROSECOND)
            name = _id(row["time"], row["component"], number)
            found.append(row | {"revision": number, "id": name, "known_at": known})
    return pa.Table.from_pylist(found, schema=METRICS.schema)


def _id(time: datetime, component: str, revision: int) -> str:
    return f"{time:%Y-%m-%dT%H:%M}/{component}/{revision}".replace("T00:00/", "/")
