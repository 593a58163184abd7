"""The commands of `streamwatch`, each in a process of its own."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from streamwatch import __version__
from tests.parts.daemon import private_environment

pytestmark = pytest.mark.slow(seconds=70)

ROOT = Path(__file__).parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def streamwatch(tmp_path: Path) -> Command:
    """Run a command in an empty folder; its output may have no traceback."""

    def run(
        *arguments: str, program: tuple[str, ...] = (sys.executable, "-m", "streamwatch")
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*program, *arguments],
            cwd=tmp_path,
            env={**private_environment(tmp_path), "COLUMNS": "100", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return done

    return run


def test_version_and_help(streamwatch: Command) -> None:
    script = Path(sys.executable).with_name("streamwatch")
    for program in ((sys.executable, "-m", "streamwatch"), (str(script),)):
        done = streamwatch("--version", program=program)
        assert (done.returncode, done.stdout) == (0, f"streamwatch {__version__}\n")
    helped = streamwatch("--help")
    assert helped.returncode == 0
    for word in ("run", "check", "demo", "init", "Exit codes"):
        assert word in helped.stdout


@pytest.mark.parametrize("arguments", [("dance",), ("run", "--fast"), ("check", "-c")])
def test_a_wrong_command_line_exits_2(streamwatch: Command, arguments: tuple[str, ...]) -> None:
    assert streamwatch(*arguments).returncode == 2


def test_init_writes_a_valid_config_and_never_overwrites(
    streamwatch: Command, tmp_path: Path
) -> None:
    done = streamwatch("init", "home")
    assert done.returncode == 0
    written = tmp_path / "home" / "config.yaml"
    assert written.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "home" / "config.schema.json").is_file()
    checked = streamwatch("check", "-c", str(written))
    assert checked.returncode == 0, checked.stderr
    assert "is right" in checked.stdout
    before = written.read_text()
    again = streamwatch("init", "home")
    assert again.returncode == 3
    assert "is there already" in again.stderr
    assert written.read_text() == before


def test_check_run_and_demo_print_every_error_and_exit_1(
    streamwatch: Command, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "detector: {model: toybox}\n"
        "cameras:\n"
        "  porch: {url: bundled:street, fsp: 5}\n"
        "watches:\n"
        "  car: {prompt: red car, camera: [porch]}\n"
    )
    for command in ("check", "run", "demo"):
        done = streamwatch(command, "-c", "config.yaml")
        assert done.returncode == 1
        first, second = done.stderr.splitlines()
        assert first.startswith("config.yaml:3:32: cameras.porch.fsp: ")
        assert "fps" in first
        assert second.startswith("config.yaml:5:26: watches.car.camera: ")
        assert "cameras" in second
        assert done.stdout == ""


def test_check_finds_config_yaml_and_warns(streamwatch: Command, tmp_path: Path) -> None:
    nothing = streamwatch("check")
    assert nothing.returncode == 1
    assert "streamwatch init" in nothing.stderr
    (tmp_path / "config.yaml").write_text(
        "detector: {model: toybox}\ncameras: {gate: {url: 'rtsp://me:geheim@10.0.0.9/live'}}\n"
    )
    done = streamwatch("check")
    assert done.returncode == 0
    assert "rtsp://me:***@10.0.0.9/live" in done.stdout
    assert "geheim" not in done.stdout + done.stderr
    assert "toybox knows drawn scenes only" in done.stdout


def test_check_schema_prints_the_shipped_schema(streamwatch: Command) -> None:
    done = streamwatch("check", "--schema")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((ROOT / "config.schema.json").read_text())


def test_a_failing_start_exits_3_with_one_clear_error(streamwatch: Command, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = {
            "mqtt": {"embedded": True, "port": taken.getsockname()[1]},
            "detector": {"model": "toybox"},
            "cameras": {"street": {"url": "bundled:street"}},
            "watches": {"car": {"prompt": "red car"}},
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        done = streamwatch("run")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("streamwatch: ")


@pytest.mark.parametrize("command", ["run", "check", "demo"])
def test_a_missing_gpu_is_a_config_error(
    streamwatch: Command, tmp_path: Path, command: str
) -> None:
    (tmp_path / "config.yaml").write_text(
        "mqtt: {embedded: true, port: 0}\n"
        "detector:\n"
        "  model: toybox\n"
        "  device: cuda:97\n"
        "cameras: {street: {url: bundled:street}}\n"
    )
    done = streamwatch(command, "-c", "config.yaml")
    assert done.returncode == 1
    assert re.fullmatch(
        r"config\.yaml:4:11: detector\.device: cuda:97 is not on this machine, which has \d+ CUDA "
        r"devices; write auto or cpu",
        done.stderr.splitlines()[-1],
    )


def test_the_demo_prints_every_visit_of_the_clip(streamwatch: Command, tmp_path: Path) -> None:
    """With the shipped config.yaml unchanged."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert config["snapshots"]["path"] == "snapshots"
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    done = streamwatch("demo", "-c", "config.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    appeared = [line.split("●")[1].split()[1] for line in done.stdout.splitlines() if "●" in line]
    gone = [line.split("○")[1].split()[1] for line in done.stdout.splitlines() if "○" in line]
    silent = {"zoo", "boat"}
    assert sorted(appeared) == sorted(gone) == sorted(set(config["watches"]) - silent)
    summary = done.stdout[done.stdout.index("Alerts") :]
    for watch in silent:
        assert any(line.split() == [watch, "0", "silent"] for line in summary.splitlines())
    assert str(tmp_path / "snapshots") in done.stdout.replace("\n", "")
    assert len(list((tmp_path / "snapshots").glob("*.jpg"))) == 2 * len(appeared)


def test_changed_prompts_change_the_alerts(streamwatch: Command, tmp_path: Path) -> None:
    text = (ROOT / "config.yaml").read_text()
    changed = text.replace("prompt: red car", "prompt: unicorn").replace(
        "prompt: sailing boat", "prompt: bicycle"
    )
    assert changed != text
    changed = changed.replace("fps: 5 ", "fps: 2 ")  # enough for this
    (tmp_path / "config.yaml").write_text(changed)
    done = streamwatch("demo", "-c", "config.yaml")
    assert done.returncode == 0, done.stderr
    appeared = {line.split("●")[1].split()[1] for line in done.stdout.splitlines() if "●" in line}
    assert "red-car" not in appeared
    assert "boat" in appeared
