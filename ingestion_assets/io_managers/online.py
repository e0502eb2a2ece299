"""Assets in the online store: rows of the lake's newest hours, by series, under the store's key contract.

An asset returns a lazy `Uploads`; each is read from the lake and written here. Series that worked are
materialised even when others failed; the step then fails and names those, with the cause of each. The lake
is not touched by any of this: what could not be written is written by the next run, which writes the whole
window again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pyarrow as pa

from ingestion_assets.intervals import iso, moment_of
from ingestion_assets.io_managers.lake import PARTIAL_FAILURE, failure
from ingestion_assets.partitions import parts_of
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.stores.online import OnlineError, OnlineStore, Place, Written
from ingestion_assets.tables import Table

TRIES = 3


@dataclass(frozen=True)
class Upload:
    """One partition on its way online: how to read its rows, and by what to see that they have changed."""

    key: str
    place: Place
    table: Table
    load: Callable[[], pa.Table]
    version: Callable[[], object]
    after: Callable[[pa.Table], None] | None = None  # is given the rows that are online now


@dataclass(frozen=True)
class Uploads:
    """Partitions on their way online; iterating reads nothing yet."""

    store: OnlineStore
    pieces: Generator[Upload]


@dataclass(frozen=True)
class Uploaded:
    """What became of one."""

    upload: Upload
    written: Written
    first: int | None
    last: int | None
    seconds: float


class OnlineIOManager(dg.ConfigurableIOManager):
    def handle_output(self, context: dg.OutputContext, obj: Uploads) -> None:
        good: list[Uploaded] = []
        failed: dict[str, str] = {}
        bad, down = 0, None
        for piece in obj.pieces:
            series = parts_of(piece.key)[1]
            try:
                if down is not None:
                    raise down
                good.append(upload(obj.store, piece))
                context.log.info(f"{piece.key}: {good[-1].written.rows} rows online")
            except (OnlineError, StoreError, ValueError) as error:
                bad += 1
                down = error if isinstance(error, OnlineError) and error.of_server else None
                failed[series] = f"{type(error).__name__}: {error}"
                context.log.error(f"{piece.key}: {failed[series]}")
        if failed:
            for key, pieces in _by_key(good).items():
                context.log_event(
                    dg.AssetMaterialization(
                        context.asset_key, partition=key, metadata=metadata_of(obj.store, pieces)
                    )
                )
            tags = {PARTIAL_FAILURE: str(len(failed))}
            context.step_context.instance.add_run_tags(context.step_context.run_id, tags)
            raise failure({"failed": failed, "partitions": len(good) + bad, "failed_partitions": bad})
        for key, pieces in _by_key(good).items():
            context.step_context.add_asset_metadata(
                metadata_of(obj.store, pieces), asset_key=context.asset_key, partition_key=key
            )

    def load_input(self, context: dg.InputContext) -> Any:
        raise dg.DagsterInvariantViolationError(
            f"{context.asset_key.to_user_string()} holds the newest hours only: let the asset depend on the "
            "table in the lake that it is made from, or read bench.online"
        )


def upload(store: OnlineStore, piece: Upload) -> Uploaded:
    """Write what the lake holds; again, if it was changed meanwhile: a later writer may have been faster."""
    started, place = time.monotonic(), piece.place
    for _ in range(TRIES):
        version = piece.version()
        rows = piece.load()
        times = piece.table.times(rows) // 1_000_000
        grain = int(piece.table.grain.total_seconds())
        written = store.put(place.domain, place.name, place.qualifier, times, rows, grain)
        if piece.version() == version:
            break
    if piece.after is not None:
        piece.after(rows)
    first, last = (int(times[0]), int(times[-1])) if len(times) else (None, None)
    return Uploaded(piece, written, first, last, time.monotonic() - started)


def _by_key(good: Iterable[Uploaded]) -> dict[str, list[Uploaded]]:
    """What was written for each partition: its own rows first, then those of what it is a part of."""
    found: dict[str, list[Uploaded]] = {}
    for one in good:
        found.setdefault(one.upload.key, []).append(one)
    return found


def metadata_of(store: OnlineStore, pieces: Sequence[Uploaded]) -> dict[str, Any]:
    """A partition's figures; the query can be pasted into a shell."""
    one = pieces[0]
    place, written = one.upload.place, sum((piece.written for piece in pieces[1:]), one.written)
    newest = place.index if one.last is None else place.key(one.last)
    verb = "ZRANGE" if one.last is None else "GET"
    query = f"redis-cli -u redis://{store.server} {verb} '{newest}'" + (" -10 -1" if one.last is None else "")
    figures = {
        "status": "ok" if written.rows or written.newer else "no_data",
        "features_written": written.rows,
        "kept_newer": written.newer,
        "already_expired": written.expired,
        "ttl_seconds": store.ttl(place.domain),
        "first": iso(moment_of(one.first * 1_000_000)) if one.first is not None else None,
        "last": iso(moment_of(one.last * 1_000_000)) if one.last is not None else None,
        "keys": " ".join(f"{piece.upload.place.prefix}*" for piece in pieces),
        "seconds": round(sum(piece.seconds for piece in pieces), 3),
    }
    return {name: value for name, value in figures.items() if value is not None} | {
        "dagster/partition_row_count": dg.MetadataValue.int(written.rows + written.newer),
        "query": dg.MetadataValue.md(f"```sh\n{query}\n```"),
    }
