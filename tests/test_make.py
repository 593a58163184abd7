"""What `make` and its scripts run, with other programs in the place of pip and streamwatch."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
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


SET_UP = """#!/bin/sh
case "$1" in
  -) exit 0 ;;                                  # the check of its version
  -m) case "$2" in venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; exit ;; esac ;;
  scripts/progress.py) exec {python} "$@" ;;
esac
echo "$*" >> commands
echo "{says}"
exit {code}
"""
"""A Python whose pip only notes what it was called with."""

USUAL = "-m pip install --disable-pip-version-check"


def set_up(checkout: Path, *arguments: str, says: str = "", code: int = 0) -> list[str]:
    """The commands of pip that `make` runs for the demo."""
    commands = checkout / "commands"
    commands.unlink(missing_ok=True)
    program(checkout / "python", SET_UP.format(python=sys.executable, says=says, code=code))
    program(checkout / ".venv/bin/streamwatch")
    done = make(checkout, "demo", "PYTHON=./python", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return commands.read_text().splitlines()


def test_setting_up_installs_the_tested_versions(checkout: Path) -> None:
    assert set_up(checkout) == [
        f"{USUAL} --upgrade pip>=25.1",
        f"{USUAL} --progress-bar raw --constraint constraints.txt --editable .",
    ]


def test_torch_comes_from_another_index_from_then_on(checkout: Path) -> None:
    url = "https://torch.example.com/cpu"
    torch = (
        f"{USUAL} --progress-bar raw --upgrade --no-deps --index-url {url} "
        "--constraint constraints.txt torch torchvision"
    )
    assert set_up(checkout, f"TORCH_INDEX={url}")[1:] == [
        torch,
        f"{USUAL} --progress-bar raw --constraint constraints.txt --editable .",
    ]
    (checkout / ".venv/.run-ready").unlink()  # as after an upgrade
    assert set_up(checkout)[1] == torch


def test_a_failing_pip_shows_the_end_of_its_log(checkout: Path) -> None:
    says = "\n".join([*(f"line {number}" for number in range(40)), "ERROR: no space left"])
    program(checkout / "python", SET_UP.format(python=sys.executable, says=says, code=7))
    done = make(checkout, "demo", "PYTHON=./python")
    assert done.returncode == 2  # make's own
    assert "Error 7" in done.stderr
    failed, *end, where, _ = done.stderr.splitlines()
    assert failed.startswith("== Failed: .venv/bin/python -m pip install ")
    assert end == [*(f"   line {number}" for number in range(26, 40)), "   ERROR: no space left"]
    assert where == "== The whole log is .venv/set-up.log"
    assert (checkout / ".venv/set-up.log").read_text() == says + "\n"
    assert not (checkout / ".venv/.run-ready").exists()


PIP = """
print("Collecting torch")
print("  Downloading torch-2.14.1-cp311-cp311-manylinux_2_28_x86_64.whl (600.0 MB)")
for done in range(0, 601, 200):
    print(f"Progress {done}000000 of 600000000")
print("Collecting rich")
print("  Using cached rich-15.0.0-py3-none-any.whl (200.0 MB)")
print("Installing collected packages: rich, torch", flush=True)
import time; time.sleep(1.5)
print("Successfully installed rich-15.0.0 torch-2.14.1")
"""
"""Prints what pip does with `--progress-bar raw`."""


def progress(log: Path) -> list[str]:
    script = str(ROOT / "scripts" / "progress.py")
    return [sys.executable, script, str(log), "1000", sys.executable, "-c", PIP]


def test_progress_is_a_line_for_each_tenth_where_there_is_no_terminal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    done = subprocess.run(progress(log), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "   [####--------------------] 0.2 of about 1.0 GB: torch",
        "   [#########---------------] 0.4 of about 1.0 GB: torch",
        "   [##############----------] 0.6 of about 1.0 GB: torch",
    ]
    lines = log.read_text().splitlines()
    assert lines[:2] == ["before", "Collecting torch"]
    assert lines[-1] == "Successfully installed rich-15.0.0 torch-2.14.1"
    assert not any(line.startswith("Progress") for line in lines)


def test_progress_is_one_line_on_a_terminal(tmp_path: Path) -> None:
    mine, theirs = pty.openpty()
    command = [*progress(tmp_path / "log")]
    with subprocess.Popen(command, stdout=theirs, env={**os.environ, "COLUMNS": "70"}) as process:
        os.close(theirs)
        shown = b""
        while part := _read(mine):
            shown += part
    os.close(mine)
    assert process.returncode == 0
    drawn = shown.decode().split("\r\x1b[K")
    assert "\n" not in shown.decode()
    assert "   [##############----------] 0.6 of about 1.0 GB: torch" in drawn
    assert "   [##############----------] 0.6 of about 1.0 GB: rich" in drawn
    assert "   [------------------------] unpacking 1 of 2: rich" in drawn
    assert drawn[-1] == ""  # what follows stands where it was
    assert all(len(line) < 70 for line in drawn)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # its other end is closed
        return b""
