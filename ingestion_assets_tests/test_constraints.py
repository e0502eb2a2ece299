"""constraints.txt: one exact version of everything, for every Python and system that we support."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHONS = ("3.11.9", "3.12.9", "3.13.5")
SYSTEMS = (("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"), ("darwin", "Darwin", "arm64"))


@pytest.fixture(scope="module")
def lines(project: Path) -> list[str]:
    text = (project / "constraints.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def wanted(project: Path) -> list[Requirement]:
    tables = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    words = tables["dependencies"] + list(itertools.chain(*tables["optional-dependencies"].values()))
    requirements = [Requirement(word) for word in words]
    return [one for one in requirements if canonicalize_name(one.name) != tables["name"]]


def test_every_line_is_a_public_version_and_names_no_place(lines: list[str]) -> None:
    exact = re.compile(r"[a-z0-9][a-z0-9._-]*==[0-9][0-9a-z.!]*( ; [^:/@]+)?")
    assert [line for line in lines if not exact.fullmatch(line)] == []


def test_the_comment_says_how_to_make_it_again_and_names_no_place(project: Path) -> None:
    comment = [line for line in (project / "constraints.txt").read_text().splitlines() if line[:1] == "#"]
    assert any("uv pip compile pyproject.toml" in line for line in comment)
    assert [line for line in comment if re.search(r"://|file:|index", line)] == []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: f"{system[0]}-{system[2]}")
def test_what_we_ask_for_is_pinned_once_to_a_version_that_we_allow(
    python: str, system: tuple[str, str, str], lines: list[str], wanted: list[Requirement]
) -> None:
    environment = {
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": system[0],
        "platform_system": system[1],
        "platform_machine": system[2],
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
    }
    pins: dict[str, str] = {}
    for line in lines:
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(environment):
            assert pin.name not in pins, f"{pin.name} has two versions on Python {python}, {system}"
            pins[pin.name] = str(pin.specifier).removeprefix("==")
    refused = {
        str(one): pins.get(canonicalize_name(one.name))
        for one in wanted
        if not one.specifier.contains(pins.get(canonicalize_name(one.name), "0"), prereleases=True)
    }
    assert refused == {}, "pyproject.toml changed: make constraints.txt again, as its first lines say"
