"""How an asset is declared that is computed from tables of the lake; what it computes is in assets/.

It lands in the lake, or its newest rows lie in Redis.
"""

from collections.abc import Callable, Generator, Iterator, Sequence

import dagster as dg

from ingestion_assets.ingestion import Landed
from ingestion_assets.io_managers.lake import Harvest
from ingestion_assets.io_managers.online import Upload, Uploads
from ingestion_assets.partitions import keys_of_run, partitions_of
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.stores.online import OnlineStore
from ingestion_assets.tables import Table
from ingestion_assets.workbench import Workbench

Make = Callable[[Workbench, list[str], str], Generator[Landed]]  # of the partitions of a run, and its name
Put = Callable[[Workbench, OnlineStore, list[str]], Generator[Upload]]  # of the partitions of a run


def computed_asset(
    table: Table, deps: Sequence[dg.AssetDep], cut_as: Table, make: Make
) -> dg.AssetsDefinition:
    """Of a table that is cut by months and series as the other one is."""

    @dg.asset(
        key=table.path.split("/"),
        deps=deps,
        partitions_def=partitions_of(cut_as),
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="lake",
        description=table.text,
    )
    def computed(context: dg.AssetExecutionContext, workbench: WorkbenchResource) -> Harvest:
        return Harvest(table, make(workbench.open(), keys_of_run(context), f"run:{context.run.run_id}"))

    return computed


def online_asset(
    table: Table, partitions_def: dg.MultiPartitionsDefinition, text: str, put: Put
) -> dg.AssetsDefinition:
    """The newest rows of a table, where there is a Redis to put them."""

    @dg.asset(
        key=["online", table.name],
        deps=[table.path.split("/")],
        partitions_def=partitions_def,
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="online",
        output_required=False,
        kinds={"python", "redis"},
        description=f"The last rows of {table.path}, each until {text}",
    )
    def online(
        context: dg.AssetExecutionContext, workbench: WorkbenchResource
    ) -> Iterator[dg.Output[Uploads]]:
        keys, bench = keys_of_run(context), workbench.open()
        if bench.online is None:
            context.log.warning("REDIS_URL is not set: nothing is put online. Set it to redis://host:6379/0")
            return
        yield dg.Output(Uploads(bench.online, put(bench, bench.online, keys)))

    return online


def months_of(table: Table, *, before: int = 0, after: int = 0) -> dg.AssetDep:
    """The same month and series of a table, and so many months of the series before and after it."""
    mapping: dg.PartitionMapping = dg.IdentityPartitionMapping()
    if before or after:
        months = dg.TimeWindowPartitionMapping(
            start_offset=-before, end_offset=after, allow_nonexistent_upstream_partitions=True
        )
        mapping = dg.MultiPartitionMapping(
            {
                "month": dg.DimensionPartitionMapping("month", months),
                "series": dg.DimensionPartitionMapping("series", dg.IdentityPartitionMapping()),
            }
        )
    return dg.AssetDep(table.path.split("/"), partition_mapping=mapping)
