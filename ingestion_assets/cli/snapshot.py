"""`ingest test-snapshot`: ask a vendor for one snapshot, examine it, keep nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli.arguments import AsJson

if TYPE_CHECKING:
    from ingestion_assets.sources.feeds import Feed, Vendor
    from ingestion_assets.workbench import Workbench

_USUAL = "polygon"


def test_snapshot(
    symbol: Annotated[
        str, typer.Argument(help="Like AAPL, polygon.AAPL, coingecko.bitcoin-usd or mock.SPX.")
    ],
    as_json: AsJson = False,
) -> None:
    """Whether a vendor shows a market as the table promises. Exit code 1 when it does not."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.errors import Failed

    bench = environment.bench()
    kind, feed, rest = _giver(bench, symbol)
    named = kind.named(rest)
    assert named is not None
    rows = asyncio.run(_asked(bench, kind, feed, *named))
    _, broken = feed.table.examine(rows)
    (row,) = rows.to_pylist()
    shown = {name: value for name, value in row.items() if value is not None}
    if as_json:
        reasons = broken.column("broken_promise").to_pylist()
        output.show_json({"series": named[0], "table": feed.table.path, "broken": reasons, "row": shown})
    else:
        output.table(named[0], ("column", "value"), shown.items())
    if broken.num_rows:
        raise Failed(f"{named[0]}: {broken.column('broken_promise')[0].as_py()} is not so")
    output.say(
        f"{named[0]}: {len(shown)} of {len(row)} columns told, every promise of {feed.table.path} kept"
    )


def _giver(bench: Workbench, text: str) -> tuple[type[Vendor], Feed, str]:
    """The vendor and its feed of snapshots; without a source's name before the dot, the one of shares."""
    from ingestion_assets.cli.errors import BadInput

    givers = {
        kind.serves: (kind, one) for kind in bench.vendors for one in kind.feeds if one.phase == "snapshot"
    }
    source, dot, rest = text.strip().partition(".")
    if not dot or source.lower() not in givers:
        source, rest = _USUAL, text.strip()
    if source.lower() not in givers:
        raise BadInput(f"{text!r}: snapshots are given by {', '.join(sorted(givers))}")
    return *givers[source.lower()], rest


async def _asked(bench: Workbench, kind: type[Vendor], feed: Feed, name: str, symbol: str) -> Any:
    import pyarrow as pa

    from ingestion_assets.registry import Series, Strategy
    from ingestion_assets.sources.feeds import Page

    series = Series(name, kind.domain, kind.serves, symbol, Strategy.SNAPSHOT)
    async with bench.vendor(kind) as vendor:
        window = feed.offered(await vendor.now())
        pages = [page async for page in feed.fetch(vendor, series, window)]
    return pa.concat_tables([page.rows for page in pages if isinstance(page, Page)])
