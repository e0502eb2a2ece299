"""How texts sound: one asset for each table in tables.SENTIMENT, from the table of texts beside it."""

import functools
from collections.abc import Generator
from datetime import timedelta

import dagster as dg
import pyarrow as pa

from ingestion_assets.features.sentiment import sentiment_columns
from ingestion_assets.features.sentiment_model import judge
from ingestion_assets.features.stories import told_before
from ingestion_assets.ingestion import Landed
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.io_managers.lake import Harvest
from ingestion_assets.partitions import keys_of_run, partitions_of, parts_of
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.tables import SENTIMENT, Table
from ingestion_assets.tables.sentiment import NEWS_SENTIMENT, TEXTS
from ingestion_assets.workbench import Workbench

SAME_STORY = timedelta(days=7)  # so long a story goes round
_TOLD = ["id", "story", "known_at"]


def sentiment_asset(table: Table) -> dg.AssetsDefinition:
    texts = TEXTS[table.path]

    @dg.asset(
        key=table.path.split("/"),
        deps=[dg.AssetDep(texts.path.split("/"), partition_mapping=dg.IdentityPartitionMapping())],
        partitions_def=partitions_of(table),
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="lake",
        description=table.text,
    )
    def sentiment(context: dg.AssetExecutionContext, workbench: WorkbenchResource) -> Harvest:
        bench, keys = workbench.open(), keys_of_run(context)
        return Harvest(table, _made(bench, table, texts, keys, f"run:{context.run.run_id}"))

    return sentiment


def _made(bench: Workbench, table: Table, texts: Table, keys: list[str], run: str) -> Generator[Landed]:
    for key in keys:
        yield bench.land_computed(table, key, functools.partial(judged, bench, table, texts, key), run=run)


def judged(bench: Workbench, table: Table, texts: Table, key: str) -> pa.Table:
    """The rows of a month, judged."""
    settings = bench.settings
    month, name = parts_of(key)
    wanted = ["id", "time", "text", "known_at"]
    rows = bench.lake.read(texts, name, month_window(month), wanted)
    chosen = judge(settings.sentiment_model_id if settings.ml_sentiment_enabled else None)
    columns = {one: rows.column(one) for one in ("id", "time", "known_at")}
    columns |= sentiment_columns(rows.column("text").to_pylist(), chosen)
    columns["source"] = pa.array(["derived"] * rows.num_rows, pa.string())
    if table is NEWS_SENTIMENT:
        columns["duplicate_of"] = _known_before(bench, texts, month, name)
    return table.conform(pa.table(columns))


def _known_before(bench: Workbench, texts: Table, month: str, name: str) -> pa.Array:
    """For each item the series in which its story was known before."""
    whole = month_window(month)
    around = Window(whole.start - SAME_STORY, whole.end + SAME_STORY)
    told = {one: bench.lake.read(texts, one, around, _TOLD) for one in bench.lake.inventory(texts)}
    return told_before(name, bench.lake.read(texts, name, whole, _TOLD), told)


ASSETS = [sentiment_asset(table) for table in SENTIMENT.values()]
