"""Imports go one way only, and the stages never import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "streamwatch"
LEVELS = (
    {"masking"},
    {"errors"},
    {"geometry", "tls", "paths", "logs", "files", "elapsed", "processes"},
    {"records", "databases"},
    {"pixels"},
    {"config"},
    {"pictures"},
    {"models", "learning", "history"},
    {"prompts", "second_look", "source", "scheduler", "detector", "watch", "publisher", "web"},
    {"pipeline", "clips"},
    {"status", "python", "tuning", "live"},
    {"daemon"},
    {"fleet"},
    {"doctor"},
    {"cli"},
    {"__main__"},
)
"""A part of the package may import itself and the levels above it in this list."""
NOT_UNDER = {"pipeline": {"publisher", "web"}}
"""What a part may not import though the levels would allow it."""


def part(module: str) -> str:
    """`streamwatch.source.slot` → `source`."""
    return module.split(".")[1] if "." in module else ""


def imported(path: Path) -> set[str]:
    """The full names of the package's modules that a module imports."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "streamwatch":
                found |= {f"streamwatch.{alias.name}" for alias in node.names}
            elif node.module:
                found.add(node.module)
    return {name for name in found if name.startswith("streamwatch.")}


def imports(path: Path) -> set[str]:
    return {part(name) for name in imported(path)}


def allowed(name: str) -> set[str]:
    if name == "__init__":
        return {"errors", "paths", "python"}  # the last lazily
    found = {name}
    for level in LEVELS:
        if name in level:
            return found - NOT_UNDER.get(name, set())
        found |= level
    raise AssertionError(f"{name} stands on no level")


DOORS = {"streamwatch.config", "streamwatch.config.catalogue"}
"""The only modules of the configuration that other parts may import."""
MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_lower_levels(path: Path) -> None:
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    # `__version__` is defined in the package itself.
    forbidden = imports(path) - allowed(name) - {"__version__"}
    assert not forbidden


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_public_modules_of_the_configuration_are_imported(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] != "config":
        inside = {name for name in imported(path) if part(name) == "config"}
        assert inside <= DOORS


def test_the_import_rule_forbids_what_it_should() -> None:
    assert "source" not in allowed("publisher")
    assert {"publisher", "web"}.isdisjoint(allowed("pipeline"))
    assert "daemon" not in allowed("watch")
    assert {"records", "config"} <= allowed("source")
    assert len(MODULES) > 30
