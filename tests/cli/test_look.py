"""`streamwatch look`: from the running daemon if there is one, else from the camera itself."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, cast

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from streamwatch.cli import look as looking
from streamwatch.cli.app import app
from streamwatch.config import CameraSettings, Config
from streamwatch.daemon.frames import look
from streamwatch.errors import StreamwatchError
from streamwatch.pictures.areas import IGNORE_BGR, ZONE_BGR
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.records import Image
from tests.parts import STREET_CLIP, free_port
from tests.parts.command import run_here_for_bytes
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import StartMosquitto, Subscriber
from tests.parts.rtsp import RtspServer

pytestmark = pytest.mark.slow(seconds=10)

AREAS = {
    "zones": {"steps": [[0.25, 0.25], [0.75, 0.25], [0.75, 0.65], [0.25, 0.65]]},
    "ignore": [[0.25, 0.75], [0.45, 0.75], [0.45, 0.95], [0.25, 0.95]],
    "mask": [[0.55, 0.75], [0.95, 0.75], [0.95, 0.95], [0.55, 0.95]],
}
STEPS = """
  cameras:
    street:
      zones:
        steps: [[0.2, 0.5], [0.8, 0.5], [0.8, 1.0], [0.2, 1.0]]
"""


def streamwatch(folder: Path, *arguments: str) -> CompletedProcess[bytes]:
    return run_here_for_bytes(folder, *arguments, COLUMNS="200", NO_COLOR="1")


def written(folder: Path, cameras: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    path.write_text(
        yaml.safe_dump({"detector": {"model": "toybox"}, "cameras": cameras}, sort_keys=False)
    )
    return path


def picture(jpeg: bytes) -> Image:
    assert jpeg[:2] == b"\xff\xd8"
    return cast(Image, cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))


def assert_shows_the_areas(image: Image) -> None:
    """Outlines at their places, black where it is masked, and lines at the tenths."""
    height, width = image.shape[:2]

    def at(x: float, y: float) -> Any:
        return image[round(y * height), round(x * width)].astype(int)

    for x, y in ((0.25, 0.45), (0.75, 0.45)):
        assert abs(at(x, y) - ZONE_BGR).max() < 60, (x, y)
    assert abs(at(0.45, 0.83) - IGNORE_BGR).max() < 60
    assert at(0.75, 0.85).max() < 30
    assert at(0.7, 0.85).min() > 60  # a line of the grid


def test_without_a_daemon_the_camera_is_opened(tmp_path: Path) -> None:
    file = written(tmp_path, {"street": {"url": "bundled:street", "enabled": False, **AREAS}})
    done = streamwatch(tmp_path, "look", "street")
    assert (done.returncode, done.stderr) == (0, b"")
    said = done.stdout.decode()
    assert said.startswith("Wrote street.jpg: street, 640x360, opened for this.\n")
    assert f"They stand in {file.name}:\n{STEPS}" in said
    image = picture((tmp_path / "street.jpg").read_bytes())
    assert image.shape == (360, 640, 3)
    assert_shows_the_areas(image)


def test_the_picture_goes_where_it_is_wanted(tmp_path: Path) -> None:
    file = written(tmp_path, {"street": {"url": "bundled:street"}})
    file = file.rename(tmp_path / "mine.yaml")
    done = streamwatch(tmp_path, "look", "street", "-c", str(file), "-o", "a.jpg")
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0, b"Wrote a.jpg: street, 640x360, opened for this.",
    )  # fmt: skip
    piped = streamwatch(tmp_path, "look", "street", "-c", str(file), "-o", "-")
    assert piped.stdout == (tmp_path / "a.jpg").read_bytes()
    assert {path.name for path in tmp_path.glob("*.jpg")} == {"a.jpg"}
    done = streamwatch(tmp_path, "look", "street", "-c", str(file), "-o", "no/a.jpg")
    assert (done.returncode, done.stderr) == (
        3, b"streamwatch: no/a.jpg can't be written: No such file or directory\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("streat", "there is no camera streat; did you mean 'street'?"),
        ("x", "there is no camera x; config.yaml has street and gate"),
    ],
)
def test_an_unknown_camera_is_a_wrong_command_line(tmp_path: Path, name: str, told: str) -> None:
    written(tmp_path, {"street": {"url": "bundled:street"}, "gate": {"url": "/dev/video7"}})
    done = streamwatch(tmp_path, "look", name)
    assert done.returncode == 2
    assert told in " ".join(re.sub("[│╭╰─╮╯]", " ", done.stderr.decode()).split())


def test_a_camera_that_can_not_be_opened_says_why(tmp_path: Path) -> None:
    port = free_port()
    written(tmp_path, {"gate": {"url": f"rtsp://me:geheim@127.0.0.1:{port}/x"}})
    done = streamwatch(tmp_path, "look", "gate")
    assert (done.returncode, done.stderr.decode()) == (
        3,
        f"streamwatch: gate gives no picture: rtsp://me:***@127.0.0.1:{port}/x: nothing listens"
        " there (connection refused)\n",
    )
    assert not list(tmp_path.glob("*.jpg"))


def test_a_wrong_configuration_is_told_first(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("cameras: {street: {ulr: 'bundled:street'}}\n")
    done = streamwatch(tmp_path, "look", "street")
    assert done.returncode == 1
    assert b"did you mean 'url'?" in done.stderr


def test_a_camera_that_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "OPENING_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        settings = CameraSettings.model_validate({"url": url})
        with pytest.raises(StreamwatchError) as caught:
            looking.look(tmp_path / "config.yaml", "gate", settings)
    assert str(caught.value) == f"gate gives no picture: {url}: none came within 0 s"
    for thread in threading.enumerate():
        if thread.name == "look-gate":
            thread.join(30)


@pytest.mark.parametrize("command", [["status"], ["look", "street"]])
def test_the_daemon_of_another_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    file = written(tmp_path, {"street": {"url": "bundled:street"}})
    monkeypatch.setattr("streamwatch.status.socket._asked", forbidden)
    done = CliRunner().invoke(app, [*command, "-c", str(file)])
    assert (done.exit_code, done.stderr) == (
        3, f"streamwatch: the daemon of {file} is another user's; try sudo\n",
    )  # fmt: skip


def test_the_running_daemon_gives_its_newest_frame(
    tmp_path: Path, start_mosquitto: StartMosquitto, rtsp_server: Callable[..., RtspServer]
) -> None:
    broker = start_mosquitto()
    nowhere = f"rtsp://127.0.0.1:{free_port()}/x"
    server = rtsp_server(clip=STREET_CLIP)
    with (
        Subscriber(broker.port, "streamwatch/#") as subscriber,
        Daemon(
            tmp_path,
            {
                "mqtt": {"host": broker.host, "port": broker.port},
                "detector": {"model": "toybox"},
                "cameras": {
                    "street": {"url": server.url, **AREAS},
                    "gate": {"url": nowhere},
                    "shed": {"url": "bundled:street", "enabled": False},
                },
                "watches": {"car": {"prompt": "red car"}},
            },
        ),
    ):
        subscriber.wait_for_payload(
            "streamwatch/cameras/street/status", b"online", PATIENCE_SECONDS
        )
        done = streamwatch(tmp_path, "look", "street")
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(
            b"Wrote street.jpg: street, 640x360, as the running daemon sees it.\n"
        )
        assert_shows_the_areas(picture((tmp_path / "street.jpg").read_bytes()))

        done = streamwatch(tmp_path, "look", "gate")
        assert (done.returncode, done.stderr.decode()) == (
            3,
            f"streamwatch: gate is offline: {nowhere}: nothing listens there (connection"
            " refused)\n",
        )
        done = streamwatch(tmp_path, "look", "shed")
        assert done.stdout.startswith(b"Wrote shed.jpg: shed, 640x360, opened for this.\n")


def test_the_daemon_says_so_where_it_has_no_frame_yet() -> None:
    pipeline = Pipeline(
        Config.model_validate(
            {
                "detector": {"model": "toybox"},
                "cameras": {
                    "street": {"url": "bundled:street"},
                    "shed": {"url": "bundled:street", "enabled": False},
                },
            }
        ),
        publish=lambda _: None,
    )
    with pytest.raises(StreamwatchError, match=r"^street is offline: no frame yet$"):
        look(pipeline, "street")
    assert look(pipeline, "shed") is None
    assert look(pipeline, "gate") is None
