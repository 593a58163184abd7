"""Captures of real servers that are killed, restarted, frozen, or need a password."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.source import Capture, Slot
from tests.parts import free_port
from tests.parts.rtsp import RtspServer
from tests.source.peers import mute_peer
from tests.source.waiting import taken, until

pytestmark = pytest.mark.slow(seconds=20)

SECRET = "hunter2"


@pytest.fixture
def watch() -> Iterator[Callable[..., tuple[Capture, Slot]]]:
    """Starts captures and stops them all at the end."""
    with ExitStack() as running:

        def start(
            url: str, on_problem: Callable[[str], None] = lambda problem: None
        ) -> tuple[Capture, Slot]:
            slot = Slot(threading.Condition())
            capture = Capture(
                f"camera-{len(url)}",
                CameraSettings(url=url),
                slot=slot,
                due=lambda seconds: True,
                on_problem=on_problem,
            )
            capture.start()
            running.callback(capture.stop)
            return capture, slot

        yield start


def rate(capture: Capture, seconds: float) -> float:
    """The measured frames per second."""
    began, before = time.monotonic(), capture.counts(0.0).frames
    time.sleep(seconds)
    return (capture.counts(0.0).frames - before) / (time.monotonic() - began)


def test_a_camera_reconnects_after_a_restart_with_another_frame_size(
    rtsp_server: Callable[..., RtspServer], watch: Callable[..., tuple[Capture, Slot]]
) -> None:
    server = rtsp_server()
    problems: list[str] = []
    capture, slot = watch(server.url, problems.append)
    before = taken(slot)
    assert before.size == (640, 360)
    assert capture.online(time.monotonic())

    server.kill()
    killed = time.monotonic()
    until(lambda: not capture.online(time.monotonic()), 8)
    assert time.monotonic() - killed > 4
    assert problems == [f"{server.url}: the connection was closed"]
    while slot.take():
        pass

    server.size = (320, 240)
    server.start()
    returned = time.monotonic()
    until(lambda: capture.online(time.monotonic()), 10)
    assert time.monotonic() - returned < 8
    after = taken(slot)
    assert after.size == (320, 240)
    assert after.seconds > before.seconds
    assert after.captured_at > before.captured_at
    counts = capture.counts(time.monotonic())
    assert counts.reconnects == 1
    assert counts.failures >= 2
    assert len(problems) == 1


def test_unreachable_cameras_do_not_slow_a_working_one(
    ball: RtspServer, watch: Callable[..., tuple[Capture, Slot]]
) -> None:
    alive, _ = watch(ball.url)
    until(lambda: alive.counts(0.0).frames > 15)
    alone = rate(alive, 2)
    with mute_peer() as port:
        refused, _ = watch(f"rtsp://127.0.0.1:{free_port()}/a")
        mute, _ = watch(f"rtsp://127.0.0.1:{port}/bc")
        beside = rate(alive, 3)
        now = time.monotonic()
        assert alive.online(now)
        assert not refused.online(now)
        assert not mute.online(now)
    assert alone == pytest.approx(15, abs=2)
    assert beside == pytest.approx(15, abs=2)


def test_the_password_is_in_no_problem_and_no_log(
    rtsp_server: Callable[..., RtspServer],
    web_camera: str,
    watch: Callable[..., tuple[Capture, Slot]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    server = rtsp_server(user="viewer", password="right")
    problems: list[str] = []
    urls = [server.url, f"{web_camera}/refused", f"rtsp://127.0.0.1:{free_port()}/stream"]
    for url in urls:
        watch(url.replace("//", f"//viewer:{SECRET}@"), problems.append)
    until(lambda: len(problems) == len(urls))
    assert all("viewer:***@" in problem for problem in problems)
    assert "the user name or password is wrong or missing (401)" in caplog.text
    assert SECRET not in "\n".join(problems) + caplog.text


def test_a_capture_of_a_frozen_server_stops_soon(
    rtsp_server: Callable[..., RtspServer], watch: Callable[..., tuple[Capture, Slot]]
) -> None:
    server = rtsp_server()
    capture, slot = watch(server.url)
    taken(slot)
    server.freeze()
    time.sleep(0.3)
    began = time.monotonic()
    capture.stop()
    assert time.monotonic() - began < 2
    server.thaw()
