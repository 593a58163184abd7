"""`streamwatch doctor`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.parts import free_port
from tests.parts.command import run_here
from tests.parts.daemon import Daemon, private_environment
from tests.parts.mosquitto import StartMosquitto
from tests.parts.terminal import Terminal

pytestmark = pytest.mark.slow(seconds=15)

COMMAND = [sys.executable, "-m", "streamwatch", "doctor"]
STREET = {"url": "bundled:street", "loop": True}
AREAS = {"config", "versions", "systemd", "permissions", "disk", "clock", "device", "weights"}


def written(folder: Path, **sections: Any) -> Path:
    path = folder / "config.yaml"
    content = {
        "mqtt": {"embedded": True, "port": 0},
        "detector": {"model": "toybox"},
        "cameras": {"street": STREET},
        "watches": {"car": {"prompt": "red car"}},
        **sections,
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    path.chmod(0o600)
    return path


def examined(folder: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    done = run_here(folder, "doctor", *options)
    assert "Traceback" not in done.stderr
    return done


def checks(folder: Path, *options: str | Path) -> tuple[int, list[dict[str, Any]]]:
    done = examined(folder, "--json", *options)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def faults(found: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(it["area"], it["subject"]): it for it in found if it["ok"] is False}


def test_all_is_well(tmp_path: Path, start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    path = written(tmp_path, mqtt={"host": broker.host, "port": broker.port})
    code, found = checks(tmp_path, "-c", path)
    # Whether this machine's clock is right is not for this test to say.
    wrong = {where: it for where, it in faults(found).items() if where[0] != "clock"}
    assert wrong == {}
    assert code == (1 if faults(found) else 0)
    assert {it["area"] for it in found} == AREAS | {"cameras", "broker"}
    assert all(set(it) <= {"area", "subject", "ok", "said", "do"} for it in found)


def test_what_must_be_done_is_told_without_secrets(tmp_path: Path) -> None:
    camera, port = free_port(), free_port()
    path = written(
        tmp_path,
        mqtt={"host": "127.0.0.1", "port": port, "username": "us", "password": "hunter2"},
        cameras={"porch": {"url": f"rtsp://me:hunter2@127.0.0.1:{camera}/"}},
    )
    done = examined(tmp_path, "-c", path, "--json")
    found = faults(json.loads(done.stdout))
    assert done.returncode == 1
    assert found["cameras", "porch"]["said"] == (
        f"rtsp://me:***@127.0.0.1:{camera}/: nothing listens there (connection refused)"
    )
    assert found["broker", f"127.0.0.1:{port}"]["said"] == "is not reachable (connection refused)"
    assert all(it["do"] for it in found.values())
    assert "hunter2" not in done.stdout


def test_without_a_configuration(tmp_path: Path) -> None:
    code, found = checks(tmp_path)
    assert code == 1
    assert found[0]["do"].startswith("`streamwatch init` writes one")
    assert {it["area"] for it in found} == AREAS - {"weights"}


def test_a_wrong_configuration_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    path = written(tmp_path, detector={"model": "toibox"}, wachtes={})
    code, found = checks(tmp_path, "-c", path)
    told = [it["said"] for it in found if it["area"] == "config"]
    assert code == 1
    assert len(told) == 2
    assert "did you mean 'toybox'?" in told[0]
    assert {it["area"] for it in found} == AREAS - {"weights"}


def test_a_check_that_fails_unexpectedly_is_a_line(tmp_path: Path) -> None:
    path = written(tmp_path)
    program = (
        "from streamwatch.doctor import disk\n"
        "def broken(case): raise RuntimeError('rtsp://me:hunter2@porch/')\n"
        "disk.checks = broken\n"
        "from streamwatch.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "doctor", "-c", path],
        env=private_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=200,
    )
    told = "! disk         could not be checked (RuntimeError: rtsp://me:***@porch/)"
    assert told in done.stdout.splitlines()
    assert "cameras" in done.stdout
    assert done.stderr == ""


def test_a_running_daemon_is_asked_instead(tmp_path: Path) -> None:
    config = {
        "mqtt": {"embedded": True, "port": 0},
        "detector": {"model": "toybox"},
        "cameras": {"street": STREET, "shed": {"url": "rtsp://shed/", "enabled": False}},
        "watches": {"car": {"prompt": "red car"}},
    }
    with Daemon(tmp_path, config) as daemon:
        daemon.wait_for_log("camera street: first frame")
        daemon.config.chmod(0o600)
        _, found = checks(tmp_path, "-c", daemon.config)
    told = {(it["area"], it["subject"]): it for it in found}
    assert told["cameras", "street"]["said"].startswith("online")
    assert told["cameras", "shed"]["ok"] is None
    (broker,) = (it for it in found if it["area"] == "broker")
    assert broker["ok"]
    assert not broker["said"].endswith(":0")


def test_where_the_signs_can_not_be_written(tmp_path: Path) -> None:
    environment = {**private_environment(tmp_path), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        COMMAND, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("no config       no configuration file")
    assert any(line.startswith("ok versions") for line in lines)
    assert "\x1b" not in done.stdout


def test_an_unknown_option(tmp_path: Path) -> None:
    assert examined(tmp_path, "--no-such-option").returncode == 2


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (140, 40)])
def test_it_fits_a_terminal(tmp_path: Path, columns: int, rows: int) -> None:
    port = free_port()
    path = written(tmp_path, mqtt={"host": "127.0.0.1", "port": port})
    with Terminal(
        [*COMMAND, "-c", path], private_environment(tmp_path), columns=columns, rows=rows
    ) as terminal:
        code = terminal.wait()
        lines = terminal.lines
    print(f"\n{columns}x{rows}", *lines, sep="\n")
    assert code == 1
    assert lines[0].startswith("✓ config       ")
    assert not any(line.startswith("looking at") for line in lines)
    # No line was broken by the terminal: each begins with a sign, or is indented.
    assert all(line[0] in "✓✗! " for line in lines[:-1])
    assert "must be done" in lines[-1]
