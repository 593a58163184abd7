"""`streamwatch check --connect`."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.parts import free_port
from tests.parts.command import run_here
from tests.parts.daemon import PATIENCE_SECONDS, Daemon, private_environment
from tests.parts.mosquitto import StartMosquitto
from tests.source.peers import http_camera

pytestmark = pytest.mark.slow(seconds=15)

STREET = {"url": "bundled:street", "loop": True}


def settings(**others: Any) -> dict[str, Any]:
    return {
        "mqtt": {"embedded": True, "port": 0},
        "detector": {"model": "toybox"},
        "cameras": {"street": STREET},
        "watches": {"car": {"prompt": "red car"}},
        **others,
    }


def answers(folder: Path, config: Path) -> tuple[int, list[str]]:
    """The exit code, and the lines that tell what answers."""
    done = run_here(folder, "check", "--connect", "-c", config)
    assert done.stderr == ""
    said = done.stdout.partition("\nWhat answers:\n\n")[2]
    return done.returncode, [line.strip() for line in said.splitlines()]


def written(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_all_is_well(tmp_path: Path, start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    config = settings(
        mqtt={"host": broker.host, "port": broker.port},
        cameras={"street": STREET, "shed": {"url": "rtsp://shed/", "enabled": False}},
    )
    code, (street, *others) = answers(tmp_path, written(tmp_path, config))
    assert re.fullmatch(
        r"camera street: first frame, 640x360, h264, after \d+\.\d s; 1[45](\.\d)? fps", street
    )
    assert (code, others) == (
        0,
        [
            "camera shed: disabled, and not tried",
            f"broker 127.0.0.1:{broker.port}: connected with MQTT 5",
            f"broker 127.0.0.1:{broker.port}: a message on streamwatch/check came back; on other"
            " topics its access list may say otherwise",
        ],
    )


def test_each_that_does_not_answer_is_told(tmp_path: Path) -> None:
    port, camera = free_port(), free_port()
    config = settings(
        mqtt={"host": "127.0.0.1", "port": port, "username": "us", "password": "hunter2"},
        cameras={"porch": {"url": f"rtsp://me:hunter2@127.0.0.1:{camera}/"}},
    )
    assert answers(tmp_path, written(tmp_path, config)) == (
        3,
        [
            f"camera porch: rtsp://me:***@127.0.0.1:{camera}/: nothing listens there (connection"
            " refused)",
            f"broker 127.0.0.1:{port} is not reachable (connection refused)",
        ],
    )


def test_a_camera_whose_clips_can_not_be_made_is_told(tmp_path: Path) -> None:
    with http_camera() as address:
        cameras = {"porch": {"url": f"{address}/320x240"}, "street": STREET}
        config = settings(cameras=cameras, watches={"car": {"prompt": "car", "clip": True}})
        code, (porch, why, street, _) = answers(tmp_path, written(tmp_path, config))
        assert (code, why) == (
            3,
            "camera porch: clips can't be made: its video (mjpeg) is of a kind that no clip takes"
            " as it is; write clips.encode: true to encode it",
        )
        assert porch.startswith("camera porch: first frame, 320x240, mjpeg")
        assert street.startswith("camera street: first frame")
        config["clips"] = {"encode": True}
        assert answers(tmp_path, written(tmp_path, config))[0] == 0


def test_a_broker_inside_is_not_tried(tmp_path: Path) -> None:
    code, lines = answers(tmp_path, written(tmp_path, settings()))
    assert (code, lines[1:]) == (0, ["broker: it is inside, and starts with the daemon"])


def test_a_running_daemon_is_asked_instead(tmp_path: Path) -> None:
    camera = free_port()
    cameras = {"street": STREET, "porch": {"url": f"rtsp://127.0.0.1:{camera}/", "fps": 1}}
    shed = {"url": "rtsp://shed/", "enabled": False}
    with Daemon(tmp_path, settings(cameras=cameras | {"shed": shed})) as daemon:
        daemon.wait_for_log("camera street: first frame")
        daemon.wait_for_log("camera porch: ")
        code, lines = answers(tmp_path, daemon.config)
        assert (code, lines) == (
            3,
            [
                "The daemon that runs with this file answers; nothing is opened a second time.",
                "camera street: online",
                f"camera porch: offline (rtsp://127.0.0.1:{camera}/: nothing listens there"
                " (connection refused))",
                "camera shed: disabled",
                "broker inside: connected",
            ],
        )
        daemon.process.kill()
        daemon.process.wait()
    assert "The daemon" not in answers(tmp_path, daemon.config)[1][0]


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/"
        config = written(tmp_path, settings(cameras={"porch": {"url": url}}))
        with subprocess.Popen(
            [sys.executable, "-m", "streamwatch", "check", "--connect", "-c", config],
            env=private_environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            silent.settimeout(PATIENCE_SECONDS)
            connected, _ = silent.accept()
            with connected:
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, said) == (130, "")
