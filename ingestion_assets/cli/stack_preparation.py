"""What `ingest up` has done before its servers start, in a process of its own that ends again.

Nobody else works in this state folder then, so runs that a server of an earlier stack was executing are
over, whatever Dagster's records say.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dagster as dg

    from ingestion_assets.settings import Settings

_SERVER = ".dagster/grpc_info"  # where the run was launched; Dagster hides such tags in the UI
_LOST = "Its server is gone: the stack was killed, or the machine went down, while it ran."


def prepare_stack(settings: Settings) -> dict[str, Any]:
    """Registers the first series, mirrors them into Dagster, closes lost runs; what there is to say."""
    from ingestion_assets.cli import environment
    from ingestion_assets.cli.world import mixed_worlds
    from ingestion_assets.seeds import plant
    from ingestion_assets.workbench import Workbench

    quick = settings.model_copy(
        update={"http_attempts": 2, "http_timeout_sec": min(10, settings.http_timeout_sec)}
    )
    bench = Workbench(quick)
    problem = mixed_worlds(bench)
    if problem:
        return {"refused": problem}
    _, errors = plant(bench)
    with environment.instance() as instance:
        for domain in sorted({series.domain for series in bench.registry.series()}):
            add_partitions(instance, [series.id for series in bench.registry.series(domain)], domain)
        lost = release_runs(instance)
    environment.release_lost(bench)
    bench.registry.release_lost(lambda owner: owner.removeprefix("run:") not in lost)
    return {
        "series": [series.id for series in bench.registry.series(enabled_only=True)],
        "problems": [f"{name}: {error}" for name, error in errors.items()],
        "lost_runs": lost,
    }


def add_partitions(instance: dg.DagsterInstance, names: list[str], domain: str = "market") -> None:
    """What the registry-sync sensor would do a little later."""
    missing = [name for name in names if not instance.has_dynamic_partition(domain, name)]
    if missing:
        instance.add_dynamic_partitions(domain, missing)


def release_runs(instance: dg.DagsterInstance) -> list[str]:
    """Close runs whose server is gone: failed, so that Dagster's own retry takes them up again."""
    import dagster as dg

    statuses = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
    lost = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=statuses)):
        if _SERVER in run.tags and not _answers(json.loads(run.tags[_SERVER])):
            if run.status == dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, message=_LOST)
            else:
                instance.report_run_failed(run, message=_LOST)
            lost.append(run.run_id)
    return lost


def _answers(server: dict[str, Any]) -> bool:
    unix = server.get("socket")
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:
        probe.settimeout(2)
        return probe.connect_ex(unix or (server.get("host") or "127.0.0.1", int(server["port"]))) == 0
