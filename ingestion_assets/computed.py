"""How an asset is declared that is computed from tables of the lake; what it computes is in assets/."""

from collections.abc import Callable, Generator, Sequence

import dagster as dg

from ingestion_assets.ingestion import Landed
from ingestion_assets.io_managers.lake import Harvest
from ingestion_assets.partitions import keys_of_run, partitions_of
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.tables import Table
from ingestion_assets.workbench import Workbench

Make = Callable[[Workbench, list[str], str], Generator[Landed]]  # of the partitions of a run, and its name


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
