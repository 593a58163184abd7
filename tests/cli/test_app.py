"""The commands of `streamwatch`."""

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
from tests.parts.command import SCRIPT, run_here
from tests.parts.daemon import private_environment

pytestmark = pytest.mark.slow(seconds=40)

ROOT = Path(__file__).parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def streamwatch(tmp_path: Path) -> Command:
    """Run a command in an empty folder; its output may have no traceback."""

    def run(*arguments: str, columns: int = 100) -> subprocess.CompletedProcess[str]:
        done = run_here(tmp_path, *arguments, COLUMNS=str(columns), NO_COLOR="1")
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return done

    return run


@pytest.fixture
def process(tmp_path: Path) -> Command:
    """The same in a process of its own, for what runs a daemon."""

    def run(
        *arguments: str,
        program: tuple[str, ...] = (sys.executable, "-m", "streamwatch"),
        columns: int = 100,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*program, *arguments],
            cwd=tmp_path,
            env={**private_environment(tmp_path), "COLUMNS": str(columns), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return done

    return run


def test_version_and_help(streamwatch: Command, process: Command) -> None:
    for program in ((sys.executable, "-m", "streamwatch"), (str(SCRIPT),)):
        done = process("--version", program=program)
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
    written.write_text("# mine\n")
    schema = tmp_path / "home" / "config.schema.json"
    schema.write_text("of an earlier version")
    again = streamwatch("init", "home")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith(
        "home/config.yaml is there already and stays as it is; home/config.schema.json is up to "
        "date. Next:\n"
    )
    assert written.read_text() == "# mine\n"
    assert schema.read_text() == (ROOT / "config.schema.json").read_text()


def test_init_names_the_file_that_can_not_be_written(streamwatch: Command, tmp_path: Path) -> None:
    (tmp_path / "home" / "config.schema.json").mkdir(parents=True)
    done = streamwatch("init", "home")
    assert done.returncode == 3
    assert done.stderr == "streamwatch: home/config.schema.json can't be written: Is a directory\n"
    (tmp_path / "file").touch()
    done = streamwatch("init", "file")
    assert done.returncode == 3
    assert done.stderr == "streamwatch: file can't be written: File exists\n"


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


def test_a_failing_start_exits_3_with_one_clear_error(process: Command, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = {
            "mqtt": {"embedded": True, "port": taken.getsockname()[1]},
            "detector": {"model": "toybox"},
            "cameras": {"street": {"url": "bundled:street"}},
            "watches": {"car": {"prompt": "red car"}},
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        done = process("run")
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


SILENT = {"zoo", "boat"}


def rows(output: str) -> list[list[str]]:
    """The cells of each visit that the demo has printed."""
    lines = [line.strip() for line in output.splitlines()]
    return [re.split(r"  +", line) for line in lines if re.match(r"[0-9.]+ s ", line)]


def test_the_demo_shows_every_visit_of_the_clip_on_one_screen(
    process: Command, tmp_path: Path
) -> None:
    """With the shipped config.yaml unchanged, which is taken from the working folder."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert config["snapshots"]["path"] == "snapshots"
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    done = process("demo", columns=80)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    shown = rows(done.stdout)
    watches = set(config["watches"]) - SILENT - {"cat"}
    assert sorted(watch for _, _, watch, *_ in shown) == sorted(watches)
    appeared = [float(cells[0].removesuffix(" s")) for cells in shown]
    assert appeared == sorted(appeared)
    gone = [float(cells[1].removesuffix(" s")) for cells in shown]
    assert all(end > start for start, end in zip(appeared, gone, strict=True))
    lines = done.stdout.splitlines()
    assert "Silent, which is right: zoo and boat; nothing of the kind is in the clip." in lines
    assert "Held back by a second look: cat (it looks more like dog)." in lines
    assert f"Pictures of the alerts are in {tmp_path}/snapshots" in lines
    held_back = 1  # has its crop alone
    assert len(list((tmp_path / "snapshots").glob("*.jpg"))) == 2 * len(shown) + held_back
    assert lines[-2] == (
        "Next: change a word in config.yaml and run it again. For your own camera:"
    )
    assert lines[-1] == f"  {sys.executable} -m streamwatch init ~/streamwatch"
    assert len(lines) < 24  # and the prompt
    assert all(len(line) <= 80 for line in lines if str(tmp_path) not in line)


def test_changed_prompts_change_the_alerts(process: Command, tmp_path: Path) -> None:
    text = (ROOT / "config.yaml").read_text()
    changed = text.replace("prompt: red car", "prompt: unicorn").replace(
        "prompt: sailing boat", "prompt: bicycle"
    )
    assert changed != text
    changed = changed.replace("fps: 5 ", "fps: 2 ")  # enough for this
    (tmp_path / "mine.yaml").write_text(changed)
    done = process("demo", "-c", "mine.yaml", columns=80)
    assert done.returncode == 0, done.stderr
    seen = {cells[2] for cells in rows(done.stdout)}
    assert "red-car" not in seen
    assert "boat" in seen
    lines = done.stdout.splitlines()
    assert "Silent, which is right: zoo; nothing of the kind is in the clip." in lines
    assert "Silent: red-car; nothing was seen that looks enough like it." in lines
    assert "Next: change a word in mine.yaml and run it again. For your own camera:" in lines
