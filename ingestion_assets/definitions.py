"""The only place where everything meets, for Dagster."""

import warnings
from datetime import timedelta

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

from ingestion_assets.alerts import alert_sensor  # noqa: E402
from ingestion_assets.assets import (  # noqa: E402
    aggregates,
    domain_features,
    domain_online,
    features,
    ingested,
    online,
    reports,
    sentiment,
    statistics,
)
from ingestion_assets.automation.domain_features import (  # noqa: E402
    DOMAIN_FEATURE_JOBS,
    domain_feature_sensors,
)
from ingestion_assets.automation.housekeeping import housekeeping, housekeeping_schedule  # noqa: E402
from ingestion_assets.automation.jobs import JOBS  # noqa: E402
from ingestion_assets.automation.online import (  # noqa: E402
    ONLINE_CHECKS,
    ONLINE_JOBS,
    online_schedules,
    online_sensors,
)
from ingestion_assets.automation.restated import restated_sensor  # noqa: E402
from ingestion_assets.automation.schedules import schedules  # noqa: E402
from ingestion_assets.automation.sensors import sensors  # noqa: E402
from ingestion_assets.automation.sentiment import SENTIMENT_JOBS, sentiment_sensors  # noqa: E402
from ingestion_assets.checks.archive import ARCHIVE_CHECKS  # noqa: E402
from ingestion_assets.checks.complete import GAP_CHECKS  # noqa: E402
from ingestion_assets.checks.fresh import FRESH_CHECKS  # noqa: E402
from ingestion_assets.checks.leak import LEAK_CHECKS  # noqa: E402
from ingestion_assets.checks.promises import PROMISE_CHECKS  # noqa: E402
from ingestion_assets.checks.sources import AGREEMENT_CHECKS  # noqa: E402
from ingestion_assets.checks.venue import RECONCILE_CHECKS  # noqa: E402
from ingestion_assets.io_managers.lake import LakeIOManager  # noqa: E402
from ingestion_assets.io_managers.online import OnlineIOManager  # noqa: E402
from ingestion_assets.resources import WorkbenchResource  # noqa: E402
from ingestion_assets.settings import load_settings  # noqa: E402
from ingestion_assets.tables import ALL, FETCHED  # noqa: E402
from ingestion_assets.workbench.known_names import check_names  # noqa: E402

OWNERS = ["team:market-data"]


def with_policy(spec: dg.AssetSpec) -> dg.AssetSpec:
    """What holds for every asset by its place in the graph, said once."""
    path = "/".join(spec.key.path)
    table = ALL.get(path)
    spec = spec.replace_attributes(group_name=spec.key.path[0], owners=OWNERS)
    if table is not None:
        columns = [
            dg.TableColumn(
                c.name,
                c.kind,
                description=c.text,
                constraints=dg.TableColumnConstraints(nullable=not c.required),
            )
            for c in table.columns
        ]
        spec = spec.merge_attributes(
            metadata={"dagster/column_schema": dg.TableSchema(columns=columns), "key": table.key},
            kinds={"python", "parquet"},
        )
    if path in FETCHED:
        # By the time of the last materialisation of any partition; the check `fresh` looks at the data.
        spec = spec.replace_attributes(
            freshness_policy=dg.FreshnessPolicy.time_window(
                fail_window=timedelta(hours=2), warn_window=timedelta(hours=1)
            )
        )
    return spec


settings = load_settings()
check_names(settings)
defs = dg.Definitions(
    assets=[
        *ingested.ASSETS,
        *aggregates.ASSETS,
        *features.ASSETS,
        *statistics.ASSETS,
        *online.ASSETS,
        *sentiment.ASSETS,
        *domain_features.ASSETS,
        *domain_online.ASSETS,
        reports.market_coverage,
    ],
    asset_checks=[
        *GAP_CHECKS,
        *FRESH_CHECKS,
        *PROMISE_CHECKS,
        *RECONCILE_CHECKS,
        *AGREEMENT_CHECKS,
        *ARCHIVE_CHECKS,
        *LEAK_CHECKS,
        *ONLINE_CHECKS,
    ],
    jobs=[
        *JOBS,
        *ONLINE_JOBS,
        *SENTIMENT_JOBS.values(),
        *DOMAIN_FEATURE_JOBS.values(),
        housekeeping,
    ],
    schedules=[*schedules(settings), *online_schedules(settings), housekeeping_schedule(settings)],
    sensors=[
        *sensors(settings),
        *online_sensors(settings),
        *sentiment_sensors(settings),
        *domain_feature_sensors(settings),
        restated_sensor(settings),
        alert_sensor,
    ],
    resources={"workbench": WorkbenchResource(), "lake": LakeIOManager(), "online": OnlineIOManager()},
    executor=dg.in_process_executor,
).map_asset_specs(func=with_policy)
