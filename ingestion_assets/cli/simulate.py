"""`ingest simulate`: the offline world in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ingestion_assets.simulator import Fault, Simulator


def simulate(
    port: Annotated[int | None, typer.Option(help="0 for any free one. Without it: SIMULATOR_PORT.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed is another world.")] = None,
    weight_limit: Annotated[int, typer.Option(help="Request weight allowed in a minute.")] = 6000,
    cheapest_plans: Annotated[
        bool, typer.Option("--cheapest-plans", help="Refuse what the vendors' cheapest plans refuse.")
    ] = False,
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML or JSON: a list of faults, {kind: …, times: …}.")
    ] = None,
) -> None:
    """Serve a Binance- and Kraken-like exchange on 127.0.0.1 until Ctrl-C, with faults on request."""
    from ingestion_assets.cli import environment, output
    from ingestion_assets.cli.errors import BadInput
    from ingestion_assets.simulator import serve
    from ingestion_assets.simulator.limits import CHEAPEST_PLANS

    if port is not None and not 0 <= port <= 65535:
        raise BadInput(f"--port {port} is no port: use 1 to 65535, or 0 for any free one")
    if weight_limit < 1:
        raise BadInput(f"--weight-limit {weight_limit} allows nothing: use at least 1")
    settings = environment.settings()
    script = read_faults(faults) if faults else []

    def ready(simulator: Simulator) -> None:
        output.say(f"Simulated exchange on {simulator.url}, seed {simulator.world.seed}. Ctrl-C stops it.")

    serve(
        settings.simulator_port if port is None else port,
        on_ready=ready,
        seed=settings.simulator_seed if seed is None else seed,
        weight_limit=weight_limit,
        quotas=CHEAPEST_PLANS if cheapest_plans else {},
        faults=script,
    )


def read_faults(path: Path) -> list[Fault]:
    import yaml

    from ingestion_assets.cli.errors import BadInput
    from ingestion_assets.simulator import Fault

    try:
        given = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(
            f"--faults {path}: cannot be read as YAML or JSON: {' '.join(str(error).split())}"
        ) from None
    if not isinstance(given, list):
        raise BadInput(f"--faults {path}: holds a {type(given).__name__}: write a list of faults")
    found = []
    for number, entry in enumerate(given, start=1):
        if not isinstance(entry, dict) or "kind" not in entry:
            raise BadInput(f"--faults {path}: entry {number} ({entry!r}) is not a mapping with a kind")
        try:
            found.append(Fault(**{str(name): value for name, value in entry.items()}))
        except (TypeError, ValueError) as error:
            raise BadInput(f"--faults {path}: entry {number}: {error}") from None
    return found
