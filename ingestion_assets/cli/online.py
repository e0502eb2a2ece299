"""`ingest cache` and `ingest sweep`: the keys in Redis, looked after by hand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingestion_assets.cli.arguments import AsJson

if TYPE_CHECKING:
    from ingestion_assets.stores.online import OnlineStore

USUAL_PORT = 6379
_ADDRESS = "redis.url"

cache = typer.Typer(help="The cache of newest rows and the features in Redis.", no_args_is_help=True)


@cache.command("invalidate")
def invalidate(
    patterns: Annotated[
        list[str],
        typer.Argument(metavar="PATTERN", help="Like 'market:*:latest' or 'features:market:BTC-USDT:*'."),
    ],
) -> None:
    """Delete the keys of these patterns; the next ingestion writes them anew."""
    from ingestion_assets.cli import output

    store = _store()
    for pattern in patterns:
        output.say(f"{output.plural(store.remove(pattern), 'key')} of {pattern} deleted")


def sweep(
    pattern: Annotated[
        str | None, typer.Argument(help="Which keys; TTL_SWEEP_PATTERN when not given.", show_default=False)
    ] = None,
    ttl: Annotated[
        int | None, typer.Option(help="Seconds for keys without a TTL. Else TTL_SWEEP_TTL.", min=1)
    ] = None,
    max_keys: Annotated[int | None, typer.Option(help="Stop after so many keys. Else all.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Give keys without a TTL one, and take entries of rows that are gone out of indexes."""
    from ingestion_assets.cli import environment, output

    settings = environment.settings()
    store, wanted = _store(), pattern or settings.ttl_sweep_pattern
    scanned = ttl_set = pruned = cursor = 0
    while True:
        room = 10_000 if max_keys is None else max_keys - scanned
        swept = store.sweep(wanted, ttl or settings.ttl_sweep_ttl, room, cursor)
        scanned, ttl_set = scanned + swept.scanned, ttl_set + swept.ttl_set
        pruned, cursor = pruned + swept.pruned, swept.cursor
        if cursor == 0 or max_keys is not None:
            break
    if as_json:
        output.show_json({"pattern": wanted, "scanned": scanned, "ttl_set": ttl_set, "pruned": pruned})
    else:
        output.say(
            f"{output.plural(scanned, 'key')} of {wanted}: {ttl_set} had no TTL, "
            f"{output.plural(pruned, 'dead entry', 'dead entries')} taken out of indexes"
        )


@contextlib.contextmanager
def stack_redis(state: Path) -> Iterator[str]:
    """The Redis that a stack brings along, at the usual port when that is free; other commands find it."""
    from ingestion_assets.embedded import Redis, ServerError, listening

    with contextlib.ExitStack() as cleanup:
        try:
            if listening(USUAL_PORT):
                raise ServerError(f"port {USUAL_PORT} is taken")
            server = cleanup.enter_context(Redis(USUAL_PORT))
        except ServerError:  # somebody else's server, or another stack, has it
            server = cleanup.enter_context(Redis())
        address = state / _ADDRESS
        address.write_text(server.url)
        cleanup.callback(address.unlink, missing_ok=True)
        yield server.url


def _store() -> OnlineStore:
    """REDIS_URL's server, or the one of the stack that runs on this state folder."""
    from ingestion_assets.cli import environment
    from ingestion_assets.cli.errors import Failed
    from ingestion_assets.workbench import Workbench

    settings = environment.settings()
    address = settings.ingest_state_dir.expanduser() / _ADDRESS
    if settings.redis_url is None and address.is_file():
        settings = environment.settings(redis_url=address.read_text())
    store = Workbench(settings).online
    if store is None:
        raise Failed("there is no Redis: set REDIS_URL to redis://host:6379/0, or start `ingest up`")
    return store
