"""Looking after the keys that are there: which have no TTL, which index entries name rows that are gone.

Every write of ours sets a TTL and trims its index, so a sweep normally finds nothing but the entries of
rows that expired since. An index never gets a TTL here: what ends it is its last row.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ingestion_assets.stores.online.keys import INDEX, ROOT, Place
from ingestion_assets.stores.online.line import Line, Lines, command, packed

OURS = (f"{ROOT}:", "market:")
_CHUNK = 1_000
_SHOWN = 10
_BUCKET = 16  # SCAN gives whole buckets, so a few more keys than it is asked for
_SLACK = 5  # seconds by which two clocks may differ


@dataclass(frozen=True)
class Swept:
    """What one sweep did; `cursor` is where the next one goes on, 0 when it has been round."""

    pattern: str
    scanned: int
    ttl_set: int
    pruned: int
    cursor: int


@dataclass
class Audit:
    """The keys below a pattern as they are now."""

    keys: int = 0
    indexes: int = 0
    without_ttl: int = 0
    members: int = 0
    dead: int = 0  # entries of an index whose row is gone
    vanished: int = 0  # those of them that should still be there; the others go with the next write
    examples: list[str] = field(default_factory=list)


def check_pattern(pattern: str) -> str:
    """Only our own keys are looked after: others may mean to live for ever."""
    if not pattern.startswith(OURS):
        raise ValueError(
            f"pattern {pattern!r} reaches beyond our keys: begin it with {' or '.join(OURS)}, "
            "like features:market:*"
        )
    return pattern


def sweep(lines: Lines, pattern: str, ttl_default: int, max_keys: int, cursor: int = 0) -> Swept:
    """Keys without a TTL get one, indexes lose their dead entries.

    Looks at no more than `max_keys` keys, or at one bucket of Redis's table where that is more.
    """
    check_pattern(pattern)
    for name, value in (("ttl_default", ttl_default), ("max_keys", max_keys)):
        if value < 1:
            raise ValueError(f"{name} {value}: at least 1")
    if cursor < 0:
        raise ValueError(f"cursor {cursor}: what the last sweep gave, or 0 to begin anew")
    return lines.run(f"sweeping {pattern}", lambda line: _sweep(line, pattern, ttl_default, max_keys, cursor))


def audit(lines: Lines, pattern: str, life: Callable[[Place], int]) -> Audit:
    """`life` says how many seconds after its time a row of a place may be gone."""
    return lines.run(f"counting keys of {pattern}", lambda line: _audit(line, pattern, life))


def remove(lines: Lines, pattern: str) -> int:
    """Delete the keys of a pattern; how many there were."""
    check_pattern(pattern)

    def work(line: Line) -> int:
        return sum(int(line.ask(command(b"UNLINK", *keys))) for keys in scan(line, pattern) if keys)

    return lines.run(f"removing {pattern}", work)


def scan(line: Line, pattern: str) -> Iterator[list[bytes]]:
    """All keys of a pattern, some at a time; one that is there throughout comes at least once."""
    cursor = b"0"
    while True:
        cursor, keys = line.ask(command(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", _CHUNK))
        yield keys
        if cursor == b"0":
            return


def _sweep(line: Line, pattern: str, ttl_default: int, max_keys: int, cursor: int) -> Swept:
    scanned = ttl_set = pruned = 0
    while scanned == 0 or max_keys - scanned >= _BUCKET:
        count = min(max((max_keys - scanned) // 2, 1), _CHUNK)
        following, keys = line.ask(command(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", count))
        if scanned and scanned + len(keys) > max_keys:
            break  # these are for the next sweep
        indexes = [key for key in keys if is_index(key)]
        ttl_set += _set_missing(line, [key for key in keys if not is_index(key)], ttl_default)
        pruned += sum(_prune(line, key) for key in indexes)
        scanned, cursor = scanned + len(keys), int(following)
        if cursor == 0:
            break
    return Swept(pattern, scanned, ttl_set, pruned, cursor)


def is_index(key: bytes) -> bool:
    return key.endswith(b":" + INDEX.encode())


def _set_missing(line: Line, keys: list[bytes], ttl: int) -> int:
    """NX: a writer that sets one in between is right."""
    bare = _without_ttl(line, keys)
    done = line.ask_all([command(b"EXPIRE", key, ttl, b"NX") for key in bare])
    return sum(answer == 1 for answer in done)


def _without_ttl(line: Line, keys: list[bytes]) -> list[bytes]:
    lives = line.ask_all([command(b"TTL", key) for key in keys])
    return [key for key, life in zip(keys, lives, strict=True) if life == -1]


def _dead(line: Line, index: bytes) -> tuple[int, list[bytes]]:
    """How many entries an index has, and those whose row is gone."""
    prefix = index.removesuffix(INDEX.encode())
    dead: list[bytes] = []
    members, first = 0, 0
    while True:
        chunk = line.ask(command(b"ZRANGE", index, first, first + _CHUNK - 1))
        if not chunk:
            return members, dead
        members, first = members + len(chunk), first + len(chunk)
        keys = b"".join(packed(prefix + member) for member in chunk)
        there = line.ask(b"*%d\r\n$6\r\nEXISTS\r\n%b" % (len(chunk) + 1, keys))
        if there < len(chunk):
            each = line.ask_all([command(b"EXISTS", prefix + member) for member in chunk])
            dead += [member for member, one in zip(chunk, each, strict=True) if not one]


def _prune(line: Line, index: bytes) -> int:
    """Take dead entries out, unless somebody writes the series just now: then the next sweep will."""
    line.ask(command(b"WATCH", index))
    if line.ask(command(b"TYPE", index)) != b"zset":
        line.ask(command(b"UNWATCH"))
        return 0
    _, dead = _dead(line, index)
    if not dead:
        line.ask(command(b"UNWATCH"))
        return 0
    *_, outcome = line.ask_all([command(b"MULTI"), command(b"ZREM", index, *dead), command(b"EXEC")])
    return int(outcome[0]) if isinstance(outcome, list) else 0


def _audit(line: Line, pattern: str, life: Callable[[Place], int]) -> Audit:
    found, now = Audit(), int(clock.time())
    for keys in scan(line, pattern):
        bare = _without_ttl(line, keys)
        found.keys += len(keys)
        found.without_ttl += len(bare)
        found.examples += [key.decode(errors="replace") for key in bare][: _SHOWN - len(found.examples)]
        for index in filter(is_index, keys):
            place = Place.of_index(index.decode(errors="replace"))
            if place is None:
                continue
            members, dead = _dead(line, index)
            found.indexes += 1
            found.members += members
            found.dead += len(dead)
            found.vanished += sum(int(member) + life(place) > now + _SLACK for member in dead)
    return found
