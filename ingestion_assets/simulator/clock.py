"""The present: the right edge of the world. Real by default; tests freeze or shift it.

Only market time lives here. Rate-limit windows and bans run on the machine's own time, because the
client that waits for them waits in real time.
"""

import time
from datetime import UTC, datetime
from typing import Any


def to_ms(value: Any) -> int:
    """Milliseconds since 1970 from ms, an ISO text (UTC when it names no zone) or a datetime."""
    if isinstance(value, bool) or value is None:
        raise ValueError(f"not a time: {value!r}")
    if isinstance(value, int | float):
        return int(value)
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def wall_ms() -> int:
    """The machine's time."""
    return time.time_ns() // 1_000_000


class Clock:
    """`Clock()` is real time, `Clock(at)` stands still, `Clock(at, running=True)` goes on from there."""

    def __init__(self, at: Any = None, *, running: bool = False) -> None:
        self._fixed_ms: int | None = None
        self._offset_ms = 0
        if at is not None:
            self.set(at, running=running)

    def now_ms(self) -> int:
        fixed = self._fixed_ms
        return wall_ms() + self._offset_ms if fixed is None else fixed

    def set(self, at: Any, *, running: bool = False) -> None:
        """Make it `at` now; standing still unless `running`."""
        at_ms = to_ms(at)
        self._offset_ms, self._fixed_ms = (at_ms - wall_ms(), None) if running else (0, at_ms)

    def advance(self, ms: int) -> None:
        """Move on by so many milliseconds, standing or running."""
        if self._fixed_ms is None:
            self._offset_ms += ms
        else:
            self._fixed_ms += ms

    def reset(self) -> None:
        """Back to the machine's time."""
        self._fixed_ms, self._offset_ms = None, 0

    def as_dict(self) -> dict[str, Any]:
        return {"now_ms": self.now_ms(), "fixed": self._fixed_ms is not None, "offset_ms": self._offset_ms}
