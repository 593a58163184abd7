"""What a person at a shell has besides the commands: completion, a manual page, help for typos."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamwatch import logs
from tests.parts.command import SCRIPT, run_here
from tests.parts.daemon import private_environment

pytestmark = pytest.mark.slow(seconds=20)

ROOT = Path(__file__).parents[2]
COMMANDS = ("run", "check", "status", "look", "alerts", "demo", "init", "models")


def streamwatch(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    usual = {"COLUMNS": "80", "NO_COLOR": "1"}
    return run_here(folder, *arguments, called=SCRIPT, **usual, **environment)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("streamwatch mo", ["models"]),
        ("streamwatch run --l", ["--last-good"]),
        ("streamwatch models pull yolov8s", ["yolov8s-world", "yolov8s-worldv2"]),
    ],
)
def test_the_shell_completes(tmp_path: Path, typed: str, offered: list[str]) -> None:
    done = streamwatch(
        tmp_path,
        _STREAMWATCH_COMPLETE="complete_bash",
        COMP_WORDS=typed,
        COMP_CWORD=str(len(typed.split()) - 1),
    )
    assert (done.stdout.split(), done.stderr) == (offered, "")


def test_the_shell_completes_the_cameras_of_the_configuration(tmp_path: Path) -> None:
    cameras = "cameras: {street: {url: 'bundled:street'}, stable: {url: '1'}, gate: {url: '2'}}\n"
    (tmp_path / "mine.yaml").write_text(f"detector: {{model: toybox}}\n{cameras}")
    for typed, offered in (
        ("streamwatch look -c mine.yaml st", ["street", "stable"]),
        ("streamwatch look -c no.yaml st", []),
    ):
        done = streamwatch(
            tmp_path,
            _STREAMWATCH_COMPLETE="complete_bash",
            COMP_WORDS=typed,
            COMP_CWORD="4",
        )
        assert (done.stdout.split(), done.stderr) == (offered, "")


def test_completion_is_installed_for_bash(tmp_path: Path) -> None:
    """Typer looks which shell has started it."""
    done = subprocess.run(
        ["bash", "--norc", "-c", f"'{SCRIPT}' --install-completion || exit 1"],
        env=private_environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    script = tmp_path / ".bash_completions" / "streamwatch.sh"
    assert f"source '{script}'" in (tmp_path / ".bashrc").read_text().splitlines()
    completed = subprocess.run(
        ["bash", "--norc", "-c", f"source {script}; complete -p streamwatch"],
        capture_output=True,
        text=True,
    )
    assert completed.stdout == "complete -o default -F _streamwatch_completion streamwatch\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["models", "pul"], "No such command 'pul'. Did you mean 'pull'?"),
        (
            ["models", "pull", "yolov8s-worldv3"],
            "Invalid value: there is no yolov8s-worldv3; did you mean 'yolov8s-worldv2'?",
        ),
        (
            ["models", "pull", "me"],
            "Invalid value: there is no me; `streamwatch models` lists what there is",
        ),
        (["run", "--last-god"], "No such option: --last-god (Possible options: --last-good)"),
    ],
)
def test_a_typo_is_told_with_what_was_meant(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = streamwatch(tmp_path, *arguments)
    assert done.returncode == 2
    assert told in " ".join(re.sub("[│╭╰─╮╯]", " ", done.stderr).split())


@pytest.mark.parametrize(
    "command",
    [[], *([name] for name in COMMANDS), ["models", "pull"]],
)
def test_flags_stand_for_themselves(tmp_path: Path, command: list[str]) -> None:
    done = streamwatch(tmp_path, *command, "--help")
    assert done.returncode == 0
    assert "<bool>" not in done.stdout
    assert "Show this message and exit." in done.stdout


@pytest.mark.parametrize(("flags", "is_told"), [([], False), (["-v"], True), (["--verbose"], True)])
def test_verbose_logs_whatever_the_file_says(
    tmp_path: Path, flags: list[str], is_told: bool
) -> None:
    (tmp_path / "config.yaml").write_text(
        "mqtt: {embedded: true, port: 0}\n"
        "detector: {model: toybox}\n"
        "cameras: {street: {url: bundled:street, pace: false, fps: 1}}\n"
        "log: {level: error}\n"
    )
    done = subprocess.run(
        [SCRIPT, "run", *flags],
        cwd=tmp_path,
        env=private_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert ("all cameras have ended" in done.stderr) is is_told
    assert bool(done.stderr) is is_told


def test_verbose_outlasts_an_edit_of_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_verbose", False)
    root, ours = logging.getLogger(), logging.getLogger("streamwatch")
    before = root.handlers[:], root.level, ours.level
    try:
        logs.set_up("error", "text")
        assert ours.level == logging.ERROR
        logs.be_verbose()
        logs.set_up("warning", "text")
        assert ours.level == logging.DEBUG
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        ours.setLevel(before[2])


def test_the_manual_page_is_that_of_the_commands(tmp_path: Path) -> None:
    """`make man` writes it."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "man_page.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    page = ROOT / "docs" / "streamwatch.1"
    assert done.stdout == page.read_text()
    for line in (".SS models pull", "\\fB\\-v\\fR, \\fB\\-\\-verbose\\fR", "\\fB130 or 143\\fR"):
        assert line in done.stdout.splitlines()
    if shutil.which("groff"):
        shown = subprocess.run(
            ["groff", "-ww", "-man", "-Tutf8", str(page)], capture_output=True, text=True
        )
        assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "closed"),
    [("doctor", ">&-"), ("models", "2>&-"), ("models", ">&- 2>&-"), ("check", "<&- >&- 2>&-")],
)
def test_commands_do_without_what_is_closed(tmp_path: Path, command: str, closed: str) -> None:
    """Nor does a file that they open become their output."""
    (tmp_path / "config.yaml").write_bytes((ROOT / "config.yaml").read_bytes())
    done = subprocess.run(
        ["bash", "-c", f'exec "$0" -m streamwatch {command} {closed}', sys.executable],
        cwd=tmp_path,
        env=private_environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "Error" in done.stderr) == (0, False)
