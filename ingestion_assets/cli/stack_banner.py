"""What `ingest up` says once everything answers: what is where, and what it stands on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingestion_assets.settings import Settings


def simulated(settings: Settings) -> bool:
    return settings.profile == "simulator" and settings.binance_url is None


def banner(settings: Settings, state: Path, prepared: dict[str, Any], seconds: float) -> None:
    from ingestion_assets.cli import output

    for problem in prepared["problems"]:
        output.say(f"Not registered yet: {problem}", style="yellow")
    if prepared["lost_runs"]:
        lost = output.plural(len(prepared["lost_runs"]), "run")
        output.say(
            f"{lost} of an earlier stack ended without a word; Dagster starts them again.", style="yellow"
        )
    series = prepared["series"]
    names = ", ".join(series[:8]) + (f" and {len(series) - 8} more" if len(series) > 8 else "")
    world = "the built-in simulator" if simulated(settings) else "real exchanges"
    if settings.profile == "simulator" and settings.binance_url:
        world = settings.binance_url
    lines = [
        ("Dagster UI", settings.dagster_address),
        ("HTTP API", f"{settings.api_address}/docs"),
        ("Metrics", _metrics(settings)),
        ("Ingesting", f"{names or 'nothing yet: `ingest registry add EXCHANGE SYMBOL`'}"),
        ("From", f"{world} (PROFILE={settings.profile})"),
        ("Lake", settings.data_lake_path),
        ("Redis", _redis(settings)),
        ("Logs", str(state / "logs")),
    ]
    output.say(f"\nReady after {output.duration(seconds)}.\n", style="bold green")
    for name, value in lines:
        output.say(f"  {name:<11} {value}")
    output.say("\nCtrl-C stops everything.\n", style="bold")


def _metrics(settings: Settings) -> str:
    own = f"{settings.api_address}/metrics"
    if settings.metrics_address is None:
        return f"{own}; not on a port of their own, for 9002 is taken: SCHED_METRICS_PORT names another"
    return f"{own} and {settings.metrics_address}"


def _redis(settings: Settings) -> str:
    """Where it is, without a password."""
    from ingestion_assets.stores.online.line import server_of

    assert settings.redis_url is not None
    return f"redis://{server_of(settings.redis_url.get_secret_value())}"
