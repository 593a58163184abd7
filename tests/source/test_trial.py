"""What `check --connect` finds out of real cameras and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.source import Found, Trial
from streamwatch.source import trial as trial_module
from tests.parts import STREET_CLIP, free_port
from tests.parts.rtsp import RtspServer

StartRtsp = Callable[..., RtspServer]


def tried(**settings: object) -> Found | str:
    return Trial("porch", CameraSettings.model_validate(settings)).result()


def test_a_file() -> None:
    found = tried(url=str(STREET_CLIP), pace=False)
    assert isinstance(found, Found)
    assert found.size == (640, 360)
    assert found.fps == pytest.approx(15, abs=0.1)
    assert found.first_seconds > 0


def test_a_camera(rtsp_server: StartRtsp) -> None:
    found = tried(url=rtsp_server(size=(320, 240), fps=10).url)
    assert isinstance(found, Found)
    assert found.size == (320, 240)
    assert found.fps == pytest.approx(10, abs=2)


def test_a_wrong_password(rtsp_server: StartRtsp) -> None:
    server = rtsp_server(user="me", password="hunter2")
    assert isinstance(tried(url=server.url, username="me", password="hunter2"), Found)
    said = tried(url=server.url, username="me", password="hunter3")
    assert said == f"{server.url}: the user name or password is wrong or missing (401)"


def test_nothing_there(tmp_path: Path) -> None:
    port = free_port()
    assert tried(url=f"rtsp://me:hunter2@127.0.0.1:{port}/x") == (
        f"rtsp://me:***@127.0.0.1:{port}/x: nothing listens there (connection refused)"
    )
    assert tried(url=str(tmp_path / "no.mp4")) == f"{tmp_path}/no.mp4: no such file or device"


def test_a_camera_that_gives_no_picture_in_time(
    rtsp_server: StartRtsp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_module, "FIRST_FRAME_SECONDS", 0.0)
    assert tried(url=rtsp_server().url) == "no picture within 0 s"
