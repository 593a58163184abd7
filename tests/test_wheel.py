"""The wheel, installed without its source: every command runs outside the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from streamwatch import __version__
from tests.parts.daemon import private_environment

pytestmark = pytest.mark.slow(seconds=40)

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, and of the tests' own only the other packages.

    Folders that a `.pth` names are searched, but their own `.pth` files, which name the repository
    where it is installed editable, are not read.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith("-packages")]
    (packages / "others.pth").write_text("\n".join(others))
    pip("--python", str(folder), "install", "--no-deps", "--no-index", "--ignore-installed", wheel)
    return folder


def pip(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run(
    installed: Path, home: Path, *arguments: str, program: str = "streamwatch"
) -> subprocess.CompletedProcess[str]:
    """Run it in `home`, without anything of the repository in its environment."""
    environment = {**private_environment(home), "COLUMNS": "100", "NO_COLOR": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(installed / "bin" / program), *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def test_the_distribution_has_a_name_of_its_own(wheel: Path) -> None:
    """`streamwatch` on the package index is another program."""
    name = f"streamwatch_daemon-{__version__}"
    assert wheel.name == f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as file:
        metadata = message_from_bytes(file.read(f"{name}.dist-info/METADATA"))
        commands = file.read(f"{name}.dist-info/entry_points.txt").decode()
        packages = {entry.split("/")[0] for entry in file.namelist()}
    assert (metadata["Name"], metadata["Version"]) == ("streamwatch-daemon", __version__)
    assert "streamwatch = streamwatch.__main__:main" in commands.splitlines()
    assert packages == {"streamwatch", f"{name}.data", f"{name}.dist-info"}


def test_the_wheels_own_copy_is_imported(installed: Path, tmp_path: Path) -> None:
    code = "import streamwatch, sys; print(streamwatch.__file__, *sys.path, sep='\\n')"
    done = run(installed, tmp_path, "-c", code, program="python")
    assert done.returncode == 0, done.stderr
    imported, *searched = done.stdout.splitlines()
    (packages,) = installed.glob("lib/python*/site-packages")
    assert imported == str(packages / "streamwatch" / "__init__.py")
    assert str(ROOT) not in searched
    for folder in ("templates", "static"):
        there = ROOT / "streamwatch" / "web" / "page" / folder
        copied = packages / "streamwatch" / "web" / "page" / folder
        assert {path.name for path in copied.iterdir()} == {path.name for path in there.iterdir()}
    page = installed / "share" / "man" / "man1" / "streamwatch.1"
    assert page.read_text() == (ROOT / "docs" / "streamwatch.1").read_text()


def test_every_command_runs_outside_the_repository(installed: Path, tmp_path: Path) -> None:
    version = run(installed, tmp_path, "--version")
    assert (version.returncode, version.stdout) == (0, f"streamwatch {__version__}\n")

    schema = run(installed, tmp_path, "check", "--schema")
    assert schema.stdout == (ROOT / "config.schema.json").read_text()

    written = run(installed, tmp_path, "init", "home")
    assert written.returncode == 0, written.stderr
    assert (tmp_path / "home" / "config.schema.json").read_text() == schema.stdout
    checked = run(installed, tmp_path, "check", "-c", "home/config.yaml")
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith("home/config.yaml is right. It runs:\n")

    listed = run(installed, tmp_path, "models")
    toybox, *_ = [line for line in listed.stdout.splitlines() if "toybox" in line]
    assert toybox.split()[1] == "bundled"
    unknown = run(installed, tmp_path, "models", "pull", "yolo")
    assert unknown.returncode == 2

    asked = ("bundled:street", "-m", "toybox", "-p", "red car", "--seconds", "5", "--fps", "2")
    tried = run(installed, tmp_path, "try", *asked, "--report", "report.html")
    assert tried.returncode == 0, tried.stderr
    assert "red-car" in (tmp_path / "report.html").read_text()

    status = run(installed, tmp_path, "status", "-c", "home/config.yaml")
    assert status.returncode == 3
    assert "no daemon is running" in status.stderr
    nothing = run(installed, tmp_path, "run")
    assert nothing.returncode == 1
    assert "`streamwatch init` writes one" in nothing.stderr
    helped = run(installed, tmp_path, "demo", "--help")
    assert helped.returncode == 0
    assert "Usage: streamwatch demo" in helped.stdout


def test_the_demo_leaves_the_installation_as_it_is(installed: Path, tmp_path: Path) -> None:
    """Without a config.yaml of one's own; its pictures go where the person's other files are."""
    (packages,) = installed.glob("lib/python*/site-packages")
    before = sorted(path for path in packages.rglob("*") if path.suffix != ".pyc")
    done = run(installed, tmp_path, "demo")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    pictures = tmp_path / "xdg-state" / "streamwatch" / "demo"
    assert f"Pictures of the alerts are in {pictures}" in done.stdout.splitlines()
    assert len(list(pictures.glob("*.jpg"))) == 2 * 8 + 1, "and the crop of what was held back"
    assert sorted(path for path in packages.rglob("*") if path.suffix != ".pyc") == before
    assert done.stdout.splitlines()[-2:] == [
        "Next, for your own camera:",
        f"  {installed}/bin/streamwatch init ~/streamwatch",
    ]


def test_the_daemon_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """With its detector, its clip and its text encoder's process, until the clip has ended."""
    (tmp_path / "config.yaml").write_text(
        "mqtt: {embedded: true, port: 0}\n"
        "detector: {model: toybox}\n"
        "cameras: {street: {url: bundled:street, pace: false, fps: 1}}\n"
        f"watches: {{new: {{prompt: a red car of {os.getpid()}}}}}\n"  # never encoded before
    )
    done = run(installed, tmp_path, "run")
    assert done.returncode == 0, done.stderr
    assert "all cameras have ended" in done.stderr
