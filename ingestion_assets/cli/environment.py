"""The project's folder as the commands see it, from whatever folder they are typed in.

The one place of ours that touches os.environ: the root's `.env` counts as if it had been exported, and
Dagster is told where its instance is, as `.env` would tell it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestion_assets.settings import ROOT, Settings, SettingsError, load_settings

if TYPE_CHECKING:
    import dagster as dg

    from ingestion_assets.workbench import Workbench


def settings(**overrides: Any) -> Settings:
    """The settings, after the environment was made ready for Dagster and for child processes."""
    _load_dotenv()
    _keep_worlds_apart()
    found = load_settings(**overrides)
    state = found.ingest_state_dir.expanduser()
    if not state.is_absolute():
        raise SettingsError(f"INGEST_STATE_DIR={str(state)!r} is relative: write an absolute folder")
    os.environ["INGEST_STATE_DIR"] = str(state)
    if not os.environ.get("DAGSTER_HOME") and (ROOT / "dagster.yaml").exists():
        os.environ["DAGSTER_HOME"] = str(ROOT)
    return found


def _keep_worlds_apart() -> None:
    """Simulated and real candles have folders of their own, unless somebody names others."""
    if os.environ.get("PROFILE", "").strip().lower() != "live":
        return
    if os.environ.get("INGEST_STATE_DIR") in (None, "", str(ROOT / ".dagster")):
        os.environ["INGEST_STATE_DIR"] = str(ROOT / ".dagster" / "live")
    if not os.environ.get("DATA_LAKE_PATH"):
        os.environ["DATA_LAKE_PATH"] = str(ROOT / "data_lake_live")


def bench() -> Workbench:
    """The workbench; series whose worker died with its process are marked interrupted first."""
    from ingestion_assets.workbench import Workbench

    made = Workbench(settings())
    release_lost(made)
    return made


def release_lost(made: Workbench) -> None:
    """What Dagster's runs own is Dagster's to release."""
    from ingestion_assets.stores.registry_table import process_alive

    made.registry.release_lost(lambda owner: not owner.startswith("pid:") or process_alive(owner))


def dagster_home() -> Path:
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        raise SettingsError(
            f"DAGSTER_HOME is not set, and {ROOT} holds no dagster.yaml: set it to the folder that does"
        )
    if not (Path(home) / "dagster.yaml").is_file():
        raise SettingsError(f"DAGSTER_HOME={home!r} holds no dagster.yaml: unset it, or set it to {ROOT}")
    return Path(home)


@contextlib.contextmanager
def instance() -> Iterator[dg.DagsterInstance]:
    import dagster as dg

    dagster_home()
    with dg.DagsterInstance.get() as found:
        yield found


def for_children(**more: str) -> Mapping[str, str]:
    """What a child process is started with. Output is seen when it is written, not when a buffer is full.

    A module that somebody named for Dagster's own commands would contradict the workspace that we name.
    """
    own = {name: value for name, value in os.environ.items() if name != "DAGSTER_MODULE_NAME"}
    paths = [str(ROOT), *filter(None, own.get("PYTHONPATH", "").split(os.pathsep))]
    own["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return {**own, "PYTHONUNBUFFERED": "1", "DAGSTER_DISABLE_TELEMETRY": "1", **more}


def apply(**values: str) -> None:
    """For this process and those that it starts; `ingest demo` works in a world of its own."""
    os.environ.update(values)


def remove(*names: str) -> None:
    for name in names:
        os.environ.pop(name, None)


def dotenv() -> Path | None:
    """The `.env` that counts, if there is one."""
    path = Settings.model_config.get("env_file")
    return Path(str(path)) if path is not None and Path(str(path)).is_file() else None


def _load_dotenv() -> None:
    """What is exported already wins."""
    path = dotenv()
    if path is None:
        return
    from dotenv import dotenv_values

    for name, value in dotenv_values(path).items():
        if value and not os.environ.get(name):
            os.environ[name] = value
