"""What `make` and its scripts run, with other programs in the place of pip and streamwatch."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ECHO = '#!/bin/sh\necho "$0 $*"\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that make needs, in a folder of their own."""
    for name in ("Makefile", "config.yaml", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    return tmp_path


def program(path: Path, text: str = ECHO) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=checkout, env=inherited, capture_output=True, text=True
    )


def test_the_demo_runs_a_copy_which_git_does_not_see(checkout: Path) -> None:
    program(checkout / ".venv/bin/streamwatch")
    (checkout / ".venv/.run-ready").touch()
    done = make(checkout, "demo")
    assert done.stderr == ""
    assert done.stdout == ".venv/bin/streamwatch demo -c demo.yaml\n"
    copy, tracked = checkout / "demo.yaml", (ROOT / "config.yaml").read_text()
    assert copy.read_text() == tracked
    copy.write_text("# mine\n")
    (checkout / "config.yaml").touch()  # newer, as after a `git pull`
    assert make(checkout, "demo").returncode == 0
    assert copy.read_text() == "# mine\n"
    assert (checkout / "config.yaml").read_text() == tracked
    assert "/demo.yaml" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_demo_runs_another_configuration(checkout: Path) -> None:
    program(checkout / ".venv/bin/streamwatch")
    (checkout / ".venv/.run-ready").touch()
    done = make(checkout, "demo", "CONFIG=mine.yaml")
    assert done.stdout == ".venv/bin/streamwatch demo -c mine.yaml\n"
    assert not (checkout / "demo.yaml").exists()
