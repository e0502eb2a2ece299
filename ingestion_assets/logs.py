"""Log lines as JSON, one object a line, for jq and log stores.

The messages about a series keep the names and fields of the older systems: symbol_execution_started,
symbol_execution_completed and symbol_execution_failed with time, level, message, symbol, strategy,
phase, records, kafka, redis, elapsed and, where it failed, error. `slice_landed` tells of each month of a
series: what was fetched, what was new, and up to when it is held now (cursor).
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

LOGGER = "ingestion_assets"
FIELDS = "fields"


class JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(level: str) -> None:
    """Send our lines to standard error as JSON. Asked twice, does it once."""
    logger = logging.getLogger(LOGGER)
    logger.setLevel(level)
    if not any(isinstance(handler.formatter, JsonLine) for handler in logger.handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(JsonLine())
        logger.addHandler(handler)
        logger.propagate = False


def log_line(message: str, *, level: int = logging.INFO, **fields: Any) -> None:
    logging.getLogger(LOGGER).log(level, message, extra={FIELDS: fields})


def symbol_execution(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """`started`, `completed` or `failed`, and what is known of it."""
    log_line(f"symbol_execution_{event}", level=level, **fields)
