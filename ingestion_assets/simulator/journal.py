"""What was asked of the vendors: counts for tests and dashboards, and the last requests one by one."""

import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One request and what became of it. `fault` names what struck it, if anything did."""

    at_ms: int
    path: str
    query: dict[str, str]
    symbol: str | None
    status: int
    weight: int
    bytes: int
    fault: str | None


class Journal:
    """Counts since the last clear(). `rejected` are 429 and 418, by limit or by fault. Thread-safe."""

    def __init__(self, remembered: int = 2000) -> None:
        self._lock = threading.Lock()
        self._remembered = remembered
        self.clear()

    def clear(self) -> None:
        with self._lock:
            self.count = self.weight = self.rejected = 0
            self.by_path: Counter[str] = Counter()
            self.by_symbol: Counter[str] = Counter()
            self.by_status: Counter[int] = Counter()
            self.by_fault: Counter[str] = Counter()
            self.recent: deque[Entry] = deque(maxlen=self._remembered)

    def add(self, entry: Entry) -> None:
        with self._lock:
            self.count += 1
            self.weight += entry.weight
            self.rejected += entry.status in (429, 418)
            self.by_path[entry.path] += 1
            self.by_status[entry.status] += 1
            self.by_symbol.update([entry.symbol] if entry.symbol else ())
            self.by_fault.update(entry.fault.split(",") if entry.fault else ())
            self.recent.append(entry)

    def as_dict(self, recent: int = 100) -> dict[str, Any]:
        """As the control plane shows it."""
        with self._lock:
            return {
                "count": self.count,
                "weight": self.weight,
                "rejected": self.rejected,
                "by_path": dict(self.by_path),
                "by_symbol": dict(self.by_symbol),
                "by_status": {str(status): n for status, n in self.by_status.items()},
                "by_fault": dict(self.by_fault),
                "recent": [asdict(entry) for entry in list(self.recent)[-recent:]] if recent else [],
            }
