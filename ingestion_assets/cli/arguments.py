"""Arguments and options that several commands have, stated once so that they mean the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

SeriesNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SERIES]...",
        help="Like binance.BTC-USDT, kraken.ETH/USD, BTCUSDT. Without any: all that are enabled.",
        show_default=False,
    ),
]
Timeframes = Annotated[
    list[str] | None,
    typer.Option("--timeframe", "-t", metavar="TF", help="1m or 5m; may be repeated. Else as registered."),
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
