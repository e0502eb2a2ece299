"""Arguments and options that several commands have, stated once so that they mean the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

SeriesNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SERIES]...",
        help="Like binance.BTC-USDT, BTCUSDT, polygon.AAPL, x.bitcoin. Without any: all that are enabled.",
        show_default=False,
    ),
]
Timeframes = Annotated[
    list[str] | None,
    typer.Option("--timeframe", "-t", metavar="TF", help="1m or 5m; may be repeated. Else as registered."),
]
Tables = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        metavar="TABLE",
        help="Like derivatives/funding_rates or posts; may be repeated. Else those that a series follows.",
    ),
]
Domains = Annotated[
    list[str] | None,
    typer.Option("--domain", metavar="DOMAIN", help="Like market or news; may be repeated. Else all."),
]
Start = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="2024-08-01, 2024-08-01T12:00Z or seconds since 1970. Else as registered.",
    ),
]
End = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Exclusive. Without it: now.")]
Everything = Annotated[bool, typer.Option("--all", help="Disabled series too.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, for a program.")]
