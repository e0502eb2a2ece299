"""The only place where everything meets, for Dagster."""

import warnings

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

from ingestion_assets.assets import aggregates, ingested  # noqa: E402
from ingestion_assets.io_managers.lake import LakeIOManager  # noqa: E402
from ingestion_assets.resources import WorkbenchResource  # noqa: E402

defs = dg.Definitions(
    assets=[*ingested.ASSETS, *aggregates.ASSETS],
    resources={"workbench": WorkbenchResource(), "lake": LakeIOManager()},
    executor=dg.in_process_executor,
)
