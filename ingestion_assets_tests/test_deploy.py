"""The files that other programs read: Dagster's instances, docker-compose.yml, the image's recipe."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import pytest
import yaml
from dagster._core.run_coordinator import QueuedRunCoordinator

ONE_SHOT = ("s3-bucket", "schema")  # they do their work and end
PASSWORDS = {
    "POSTGRES_PASSWORD": "pg",
    "REDIS_PASSWORD": "rd",
    "S3_SECRET_KEY": "s3-secret",
    "ADMIN_TOKEN": "token",
}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def write_and_read_back(load: Any) -> None:
    @dg.job
    def nothing() -> None: ...

    with load() as instance:
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        instance.add_dynamic_partitions("market", ["binance.BTC-USDT", "kraken.ETH-USD"])
        run_id = nothing.execute_in_process(instance=instance).run_id
    with load() as instance:
        assert instance.get_dynamic_partitions("market") == ["binance.BTC-USDT", "kraken.ETH-USD"]
        run = instance.get_run_by_id(run_id)
        assert run is not None and run.is_success
        assert instance.all_logs(run_id)


def test_the_sqlite_instance_keeps_its_state_where_it_is_told(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("INGEST_STATE_DIR", str(state))
    write_and_read_back(lambda: dg.DagsterInstance.from_config(str(project)))
    assert list(state.rglob("runs.db"))


@pytest.fixture
def postgres_instance(
    project: Path, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    place = urlsplit(database_url)
    monkeypatch.setenv("DAGSTER_POSTGRES_HOST", str(place.hostname))
    monkeypatch.setenv("DAGSTER_POSTGRES_PORT", str(place.port))
    monkeypatch.setenv("DAGSTER_POSTGRES_USER", str(place.username))
    monkeypatch.setenv("DAGSTER_POSTGRES_PASSWORD", "any")
    monkeypatch.setenv("DAGSTER_POSTGRES_DB", place.path.removeprefix("/"))
    monkeypatch.setenv("INGEST_STATE_DIR", str(tmp_path))
    yield project / "deploy"


def test_the_postgres_instance_works_on_a_real_one(postgres_instance: Path, tmp_path: Path) -> None:
    write_and_read_back(lambda: dg.DagsterInstance.from_config(str(postgres_instance)))
    assert not list(tmp_path.rglob("*.db"))


def test_both_instances_differ_in_storage_only(project: Path) -> None:
    ours, theirs = read(project / "dagster.yaml"), read(project / "deploy" / "dagster.yaml")
    assert ours.pop("storage") != theirs.pop("storage")
    assert ours == theirs


def compose(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real compose, from its wheel, without the `.env` that may lie about."""
    program = Path(sys.executable).with_name("docker-compose")
    where = ["--env-file", os.devnull, "-f", project / "docker-compose.yml"]
    return subprocess.run(
        [program, *where, "config", "--format", "json", "--no-path-resolution", "--no-env-resolution"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def services(project: Path) -> dict[str, Any]:
    done = compose(project, **PASSWORDS)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["services"])


@pytest.mark.parametrize("name", PASSWORDS)
def test_a_password_that_is_not_set_stops_compose_and_is_named(name: str, project: Path) -> None:
    for value in ({}, {name: ""}):
        rest = {key: word for key, word in PASSWORDS.items() if key != name}
        done = compose(project, **rest, **value)
        assert done.returncode != 0
        assert f"set {name} in .env" in done.stderr


def test_no_secret_has_a_default(project: Path, services: dict[str, Any]) -> None:
    for service, settings in services.items():
        for name, value in (settings.get("environment") or {}).items():
            if re.search("PASSWORD|SECRET|AUTH|TOKEN", name):
                assert value in PASSWORDS.values(), f"{service} has its own {name}"


def test_compose_refuses_what_it_does_not_know(tmp_path: Path, project: Path) -> None:
    text = (project / "docker-compose.yml").read_text().replace("healthcheck:", "healthchek:", 1)
    (tmp_path / "docker-compose.yml").write_text(text)
    assert compose(tmp_path, **PASSWORDS).returncode != 0


def test_every_service_is_checked_pinned_and_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    for name, service in services.items():
        tag = service["image"].rpartition(":")[2]
        assert tag not in ("latest", service["image"]), name
        if name in ONE_SHOT:
            assert service["restart"] == "on-failure", name
        else:
            assert service["healthcheck"]["test"], name
        for needed, how in service.get("depends_on", {}).items():
            done = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
            assert how["condition"] == done, f"{name} on {needed}"


def test_ports_are_open_to_this_machine_unless_told_otherwise(
    project: Path, services: dict[str, Any]
) -> None:
    def hosts(services: dict[str, Any]) -> set[str]:
        return {port["host_ip"] for service in services.values() for port in service.get("ports", ())}

    assert hosts(services) == {"127.0.0.1"}
    told = {"BIND_ADDRESS": "10.0.0.7", "DAGSTER_HOST": "0.0.0.0", "DAGSTER_PORT": "3333"}
    told |= {"INGEST_HOST": "0.0.0.0", "INGEST_PORT": "8888"}
    done = compose(project, **PASSWORDS, **told)
    changed = json.loads(done.stdout)["services"]
    assert hosts(changed) == {"10.0.0.7", "0.0.0.0"}
    assert changed["webserver"]["ports"][0]["published"] == "3333"
    assert changed["ingestion-api"]["ports"][0]["published"] == "8888"
    assert changed["ingestion-api"]["ports"][1]["target"] == 9002
    assert changed["ingestion-api"]["environment"]["SCHED_METRICS_PORT"] == "9002"


def test_dagster_in_compose_is_given_what_its_files_ask_for(project: Path, services: dict[str, Any]) -> None:
    asked = set(re.findall(r"env: (\w+)", (project / "deploy" / "dagster.yaml").read_text()))
    server = read(project / "deploy" / "workspace.yaml")["load_from"][0]["grpc_server"]
    assert asked and server["host"] in services
    for name in ("schema", "code", "daemon", "webserver"):
        assert asked <= services[name]["environment"].keys(), name
        assert services[name]["volumes"][0]["target"] == services[name]["environment"]["INGEST_STATE_DIR"]


def test_the_image_copies_files_that_exist_and_are_not_ignored(project: Path) -> None:
    recipe = (project / "Dockerfile").read_text()
    allowed = {
        line[1:] for line in (project / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", recipe, re.MULTILINE) for name in line.split()]
    assert copied
    for name in copied:
        assert (project / name).exists(), name
        assert name.split("/")[0] in allowed, name
    assert re.search(r"^USER (?!root)\w+$", recipe, re.MULTILINE)
    assert "-c constraints.txt" in recipe


def test_the_workspace_names_our_definitions(project: Path) -> None:
    module = read(project / "workspace.yaml")["load_from"][0]["python_module"]
    assert module == {"module_name": "ingestion_assets.definitions", "location_name": "ingestion_assets"}


def test_shell_scripts_parse(project: Path) -> None:
    script = project / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script]).returncode == 0
