"""How texts sound: one asset for each table in tables.SENTIMENT, from the table of texts beside it."""

import functools
from collections.abc import Callable, Generator, Mapping
from datetime import timedelta

import dagster as dg
import pyarrow as pa

from ingestion_assets.features.sentiment import sentiment_columns
from ingestion_assets.features.sentiment_model import judge
from ingestion_assets.features.stories import Known, first_told, told_before
from ingestion_assets.ingestion import Landed
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.io_managers.lake import Harvest
from ingestion_assets.partitions import keys_of_run, partitions_of, parts_of
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.stores.lake_file import CorruptFile
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
        return Harvest(table, made(bench, table, texts, keys, f"run:{context.run.run_id}"))

    return sentiment


def made(bench: Workbench, table: Table, texts: Table, keys: list[str], run: str) -> Generator[Landed]:
    first = functools.lru_cache(maxsize=1)(functools.partial(_first_told, bench, texts))
    for key in sorted(keys):  # month by month, so that each series is read once for each of them
        compute = functools.partial(judged, bench, table, texts, key, first)
        yield bench.land_computed(table, key, compute, run=run)


def judged(
    bench: Workbench, table: Table, texts: Table, key: str, first: Callable[[str], Mapping[str, Known]]
) -> pa.Table:
    """The rows of a month, judged; those that are held as judged already stay so."""
    settings = bench.settings
    month, name = parts_of(key)
    news = table is NEWS_SENTIMENT
    wanted = ["id", "time", "text", "known_at", *(["story"] if news else [])]
    rows = bench.lake.read(texts, name, month_window(month), wanted)
    chosen = judge(settings.sentiment_model_id if settings.ml_sentiment_enabled else None)
    columns = {one: rows.column(one) for one in ("id", "time", "known_at")}
    ids, words = (rows.column(one).to_pylist() for one in ("id", "text"))
    columns |= sentiment_columns(ids, words, chosen, _held(bench, table, month, name))
    columns["source"] = pa.array(["derived"] * rows.num_rows, pa.string())
    if news:
        columns["duplicate_of"] = told_before(name, rows, first(month))
    return table.conform(pa.table(columns))


def _held(bench: Workbench, table: Table, month: str, name: str) -> pa.Table | None:
    try:
        return bench.lake.read(table, name, month_window(month))
    except CorruptFile:  # landing puts it out of the way, and everything is judged anew
        return None


def _first_told(bench: Workbench, texts: Table, month: str) -> Mapping[str, Known]:
    """Where the stories of a month were known first, in whichever series."""
    whole = month_window(month)
    around = Window(whole.start - SAME_STORY, whole.end + SAME_STORY)
    every = bench.lake.inventory(texts)
    return first_told({one: bench.lake.read(texts, one, around, _TOLD) for one in every})


ASSETS = [sentiment_asset(table) for table in SENTIMENT.values()]
