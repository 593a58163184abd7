"""Imports run one way, and the stages never import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "streamwatch"
STAGES = {"source", "scheduler", "detector", "watch", "publisher"}
FOUNDATIONS = ["errors", "tls", "geometry", "records", "catalogue", "config"]
"""Each may import those before it."""
ABOVE: dict[str, set[str]] = {
    "logs": set(),
    "signals": set(),
    "notify": set(),
    "liveness": set(),
    "tally": set(),
    "metrics": {"tally"},
    "web": set(),
    "asking": set(),
    "status_screen": set(),
    "analysis": {"tally"},
    "preparing": {"notify"},
    "models_screen": {"logs", "preparing"},
    "suggestions": set(),
    "cameras": {"analysis"},
    "reports": {"analysis", "liveness", "metrics"},
    "commands": set(),
    "reloading": set(),
    "answering": {"analysis", "commands", "reloading"},
    "daemon": {
        "analysis",
        "answering",
        "asking",
        "cameras",
        "commands",
        "liveness",
        "logs",
        "metrics",
        "notify",
        "preparing",
        "reloading",
        "reports",
        "web",
    },
    "demo": {"daemon", "signals"},
    "cli": {
        *("daemon", "demo", "logs", "models_screen", "preparing", "reloading", "signals"),
        *("suggestions", "asking", "status_screen"),
    },
    "__main__": {"cli"},
}
"""What wires and shows: it may import every stage and foundation, and of its own kind these."""


def part(module: str) -> str:
    """`streamwatch.source.slot` → `source`."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> set[str]:
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
    return {part(name) for name in found if name.startswith("streamwatch.")}


def allowed(name: str) -> set[str]:
    if name in FOUNDATIONS:
        return set(FOUNDATIONS[: FOUNDATIONS.index(name) + 1])
    if name in STAGES:
        return {*FOUNDATIONS, name}
    if name == "__init__":
        return {"config", "errors"}
    return {*FOUNDATIONS, *STAGES, *ABOVE[name]}


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_lies_before_it(path: Path) -> None:
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    # `__version__` stands in the package itself.
    forbidden = imports(path) - allowed(name) - {"__version__"}
    assert not forbidden


def test_the_rule_sees_what_it_forbids() -> None:
    assert "source" not in allowed("publisher")
    assert "daemon" not in allowed("watch")
    assert {"records", "config"} <= allowed("source")
    assert len(MODULES) > 30
