"""Asset checks: what is held in the lake keeps its table's promises."""

import dagster as dg
from pydantic import Field

from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.stores.lake_file import CorruptFile
from ingestion_assets.tables import DERIVED, DOMAIN_FEATURES, FEATURES, FETCHED, SENTIMENT, STATISTICS, Table

LISTED = 50


class PromiseCheckConfig(dg.Config):
    months: int = Field(1, gt=0, description="Read so many of the newest months of each series.")


def _promise_check(table: Table) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table.path.split("/"),
        name="promises",
        description="What is held keeps the promises: " + "; ".join(p.text for p in table.promises),
    )
    def promises(config: PromiseCheckConfig, workbench: WorkbenchResource) -> dg.AssetCheckResult:
        bench = workbench.open()
        broken: dict[str, str] = {}
        rows = 0
        for name, months in bench.lake.inventory(table).items():
            for month in months[-config.months :]:
                try:
                    good, bad = bench.lake.examine(table, name, month)
                except CorruptFile as error:
                    broken[f"{month}|{name}"] = str(error)
                    continue
                rows += good.num_rows + bad.num_rows
                if bad.num_rows:
                    broken[f"{month}|{name}"] = f"{bad.num_rows} rows: {bad.column('broken_promise')[0]}"
        return dg.AssetCheckResult(
            passed=not broken,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{len(broken)} months break a promise"
            if broken
            else f"{rows:,} rows keep every promise",
            metadata={"rows": rows, "broken": dg.MetadataValue.json(dict(list(broken.items())[:LISTED]))},
        )

    return promises


PROMISE_CHECKS = [
    _promise_check(table)
    for group in (FETCHED, DERIVED, FEATURES, STATISTICS, SENTIMENT, DOMAIN_FEATURES)
    for table in group.values()
]
