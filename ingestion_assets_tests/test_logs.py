"""Log lines as the older systems wrote them, one JSON object a line."""

import json
import logging
import subprocess
import sys

from ingestion_assets.logs import JsonLine, log_line, symbol_execution


def formatted(caplog, write):
    logger = logging.getLogger("ingestion_assets")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.DEBUG, logger="ingestion_assets"):
            write()
    finally:
        logger.removeHandler(caplog.handler)
    return json.loads(JsonLine().format(caplog.records[-1]))


def test_a_failed_series_is_one_line_with_the_documented_names(caplog):
    line = formatted(
        caplog,
        lambda: symbol_execution(
            "failed",
            level=logging.ERROR,
            symbol="binance.BTC-USDT",
            strategy="flatpack_api",
            phase="rest",
            records=3,
            kafka=False,
            redis=False,
            elapsed=0.52,
            error="HTTP 429: Rate limit exceeded",
        ),
    )
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "ERROR",
        "message": "symbol_execution_failed",
        "symbol": "binance.BTC-USDT",
        "strategy": "flatpack_api",
        "phase": "rest",
        "records": 3,
        "kafka": False,
        "redis": False,
        "elapsed": 0.52,
        "error": "HTTP 429: Rate limit exceeded",
    }


def test_a_text_with_line_breaks_and_quotes_stays_one_line(caplog):
    line = formatted(caplog, lambda: log_line('a "quoted"\ntext', cause="x\ny"))
    assert line["message"] == 'a "quoted"\ntext'
    assert line["cause"] == "x\ny"


def test_configured_twice_a_line_is_written_once():
    program = (
        "from ingestion_assets import logs\n"
        "logs.configure('INFO'); logs.configure('INFO')\n"
        "logs.log_line('once'); logs.log_line('never', level=10)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert [json.loads(line)["message"] for line in run.stderr.splitlines()] == ["once"]
