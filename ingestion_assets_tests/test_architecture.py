"""Which layer may import which: the borders that the map in `ingestion_assets/__init__.py` draws."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "ingestion_assets"

_FACTS = {"tables", "intervals", "registry"}
_WORK = _FACTS | {"sources", "stores", "ingestion", "settings", "logs"}
NOUNS = {"alerts", "assets", "automation", "checks"}
NOUNS |= {"computed", "io_managers", "partitions", "resources"}
TOPS = {"definitions", "cli"}
MAY_IMPORT: dict[str, set[str]] = {
    "tables": set(),
    "intervals": set(),
    "simulator": set(),
    "embedded": set(),
    "registry": {"tables"},
    "settings": {"intervals", "registry"},
    "logs": set(),
    "dagster_api": set(),
    "features": {"tables", "intervals"},
    "sources": _FACTS,
    "stores": _FACTS,
    "ingestion": _FACTS | {"sources", "stores", "logs"},
    "workbench": _WORK | {"simulator"},
    "seeds": _WORK | {"workbench"},
    "serving": _WORK | {"workbench", "seeds", "features", "dagster_api"},
}
EVERY_LAYER = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
LOWER = EVERY_LAYER - NOUNS - TOPS
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The full names that a module imports, wherever it does, and whether that happens on loading it."""
    tree = ast.parse(path.read_text())
    at_once = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in at_once


def layer_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == PACKAGE.name and len(parts) > 1 and parts[1] in EVERY_LAYER else None


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        assert list(imports(path)) == [], "the package itself imports nothing"
        return
    assert own in MAY_IMPORT.keys() | NOUNS | TOPS, f"{own} is new: say here what it may import"
    allowed = EVERY_LAYER if own in TOPS else MAY_IMPORT.get(own, (LOWER - {"simulator"}) | NOUNS)
    for name, at_once in imports(path):
        layer = layer_of(name)
        if layer not in (None, own, "__init__"):
            assert layer in allowed, f"{own} must not import {name}"
            assert own in TOPS or layer != "simulator" or not at_once, (
                "the simulated world is loaded if need be"
            )
        if name.partition(".")[0] == "dagster":
            assert own in NOUNS | TOPS, f"{own} must not know of Dagster"


@pytest.mark.parametrize("path", sorted((PACKAGE / "assets").glob("[!_]*.py")), ids=lambda p: p.stem)
def test_assets_name_their_upstreams_and_import_no_sibling(path: Path) -> None:
    assert [name for name, _ in imports(path) if name.startswith("ingestion_assets.assets.")] == []


def test_the_map_names_every_layer() -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text())) or ""
    words = {word.strip("/,:;()") for word in text.split()}
    assert EVERY_LAYER - {"__init__"} <= words


def test_the_environment_is_read_in_few_places() -> None:
    """Settings read it; what starts programs hands it on; S3's own libraries find their names in it."""
    readers = {p.relative_to(PACKAGE).parts[0] for p in MODULES if "os.environ" in p.read_text()}
    assert readers <= {"settings", "embedded.py", "cli"}
