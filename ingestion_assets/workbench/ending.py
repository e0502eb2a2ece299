"""How a process ends that has used a workbench."""

from __future__ import annotations

import atexit
import gc
import sys


def without_a_last_look() -> None:
    """Have this process leave its memory to the system when it ends.

    Without this Python first looks through every object for rings to break: a tenth of a second with what
    is imported here, more with Dagster. DuckDB's binding wants to see its objects go, or complains.
    """
    atexit.register(_freeze)


def _freeze() -> None:
    if "duckdb" not in sys.modules:
        gc.freeze()
