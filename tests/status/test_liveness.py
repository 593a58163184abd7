"""Detection of stuck threads, and the messages to systemd and its watchdog."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamwatch.records import CameraCounts
from streamwatch.status import systemd as sd_notify
from streamwatch.status.liveness import STUCK_SECONDS, Liveness, Pulse
from tests.parts import STREET_CLIP, free_port
from tests.parts.daemon import PATIENCE_SECONDS, private_environment

pytestmark = pytest.mark.slow(seconds=60)

HANG = """
import time
from streamwatch.daemon import supervision
from streamwatch.status import liveness
from streamwatch.detector.detector import WorldDetector
from streamwatch.publisher import loop
from streamwatch.publisher.loop import PublisherLoop
from streamwatch.cli.app import main
liveness.STUCK_SECONDS = 4
loop.MAX_TURN_SECONDS = 1
step = {part}
ready = []
def hang(self, *given):
    if ready and time.monotonic() > ready[0] + 2:
        time.sleep(3600)
    return step(self, *given)
{part} = hang
tell = supervision.systemd.ready
supervision.systemd.ready = lambda: (tell(), ready.append(time.monotonic()))
main()
"""
"""streamwatch, with a function that hangs from 2 s after READY on."""


def pulse(
    now: float,
    *,
    detector: float | None = None,
    publisher: float | None = None,
    **cameras: CameraCounts,
) -> Pulse:
    return Pulse(
        now if detector is None else detector, now if publisher is None else publisher, cameras
    )


def camera(offered: int, analysed: int, online: bool = True) -> CameraCounts:
    return CameraCounts(online=online, offered=offered, analysed=analysed)


def test_active_threads_are_not_stuck() -> None:
    liveness = Liveness()
    for second in range(100):
        assert not liveness.stuck(pulse(second, detector=second - 29, publisher=second - 5), second)


@pytest.mark.parametrize("part", ["detector", "publisher"])
def test_a_thread_idle_for_too_long_is_stuck(part: str) -> None:
    (sentence,) = Liveness().stuck(pulse(100, **{part: 69}), 100)  # type: ignore[arg-type]
    assert sentence == f"the {part}'s thread has done nothing for 31 s"


@pytest.mark.parametrize(
    ("pulses", "stuck"),
    [
        pytest.param(lambda s: camera(s * 5, s * 5), False, id="all is analysed"),
        pytest.param(lambda s: camera(s * 5, s), False, id="most are dropped"),
        pytest.param(lambda s: camera(s * 5, 7), True, id="frames come, none is analysed"),
        pytest.param(lambda s: camera(s * 5, 7, online=False), False, id="offline"),
        pytest.param(lambda s: camera(12, 7), False, id="no new frames"),
        pytest.param(lambda s: camera(12 + s // 45, 7 + s // 45), False, id="a frame in 45 s"),
        pytest.param(lambda s: camera(12 + (s > 5), 7), True, id="one that is never analysed"),
        pytest.param(lambda s: camera(s * 5, s // 25), False, id="one in 25 s, with many dropped"),
    ],
)
def test_a_camera_whose_frames_are_not_analysed_is_stuck(
    pulses: Callable[[int], CameraCounts], stuck: bool
) -> None:
    liveness = Liveness()
    said = [liveness.stuck(pulse(second, porch=pulses(second)), second) for second in range(60)]
    assert any(said) == stuck
    if stuck:
        first = next(sentences for sentences in said if sentences)
        assert first == (
            f"no frame of porch was analysed for {STUCK_SECONDS + 1:.0f} s, though they come",
        )


def test_the_reloading_thread_is_stuck_after_ten_minutes() -> None:
    """After ten minutes, since it may be loading another model."""
    liveness = Liveness()
    assert not liveness.stuck(Pulse(1000, 1000, {}, reload_at=401), 1000)
    (sentence,) = liveness.stuck(Pulse(1000, 1000, {}, reload_at=399), 1000)
    assert sentence == "the reloading thread has done nothing for 601 s"


def test_a_removed_camera_is_not_stuck() -> None:
    liveness = Liveness()
    for second in range(100):
        there = second % 20 != 0
        now = pulse(second, porch=camera(second, 7)) if there else pulse(second)
        assert not liveness.stuck(now, second)


class Systemd:
    """Systemd's end of the notify socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def close(self) -> None:
        self._socket.close()

    def heard(self, seconds: float, until: str | None = None) -> Sequence[str]:
        """The lines received within so many seconds, or until a line contains `until`."""
        lines: list[str] = []
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if until is not None and any(until in line for line in lines):
                break
            self._socket.settimeout(left)
            try:
                lines += self._socket.recv(4096).decode().splitlines()
            except TimeoutError:
                break
        return lines


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    listening = Systemd(tmp_path / "notify")
    yield listening
    listening.close()


def test_a_status_is_one_line_of_text(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(systemd.path))
    sd_notify.status("cameras: 1;\nWATCHDOG=1 \ud800")
    assert systemd.heard(0.2) == ["STATUS=cameras: 1; WATCHDOG=1 ?"]


@pytest.fixture
def start(tmp_path: Path, systemd: Systemd) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `streamwatch run`, with a function that hangs if `hanging`; kills all at the end."""
    running: list[subprocess.Popen[bytes]] = []

    def run(
        cameras: dict[str, Any], hanging: str | None = None, **more: Any
    ) -> subprocess.Popen[bytes]:
        path = tmp_path / "config.yaml"
        tree = {
            "mqtt": {"host": "127.0.0.1", "port": free_port()},
            "detector": {"model": "toybox"},
            "cameras": cameras,
            "watches": {"car": {"prompt": "red car", "snapshot": False}},
            **more,
        }
        path.write_text(yaml.safe_dump(tree))
        program = ["-m", "streamwatch"] if hanging is None else ["-c", HANG.format(part=hanging)]
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *program, "run", "-c", str(path)],
                env={**private_environment(tmp_path), "NOTIFY_SOCKET": str(systemd.path)},
                stdout=log,
                stderr=log,
            )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.wait()


CLIP = {"street": {"url": str(STREET_CLIP), "loop": True, "fps": 5}}


def test_systemd_gets_ready_watchdog_and_stopping(
    systemd: Systemd, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """Without a broker: a connection attempt is enough to be ready."""
    process = start(CLIP)
    assert "READY=1" in systemd.heard(PATIENCE_SECONDS, "READY=1")
    for _ in range(3):
        assert "WATCHDOG=1" in systemd.heard(PATIENCE_SECONDS, "WATCHDOG=1")
    os.kill(process.pid, signal.SIGTERM)
    said = systemd.heard(PATIENCE_SECONDS, "STOPPING=1")
    assert "STOPPING=1" in said
    assert process.wait(PATIENCE_SECONDS) == 0


def test_an_offline_camera_does_not_trigger_the_watchdog(
    systemd: Systemd, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    start({**CLIP, "gate": {"url": f"rtsp://me:s3cr3t@127.0.0.1:{free_port()}/stream"}})
    systemd.heard(PATIENCE_SECONDS, "READY=1")
    said = list(systemd.heard(PATIENCE_SECONDS, "nothing listens there"))
    offline = said[-1]
    for _ in range(3):
        said += systemd.heard(PATIENCE_SECONDS, "WATCHDOG=1")
        assert said[-1] == "WATCHDOG=1"
    assert "gate is offline" in offline
    assert "cameras: 2" in offline
    assert not [line for line in said if "s3cr3t" in line]


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ("WorldDetector.detect", "the detector's thread has done nothing"),
        ("PublisherLoop._turn", "the publisher's thread has done nothing"),
    ],
)
def test_a_hanging_thread_triggers_the_watchdog(
    tmp_path: Path,
    systemd: Systemd,
    start: Callable[..., subprocess.Popen[bytes]],
    part: str,
    sentence: str,
) -> None:
    process = start(CLIP, hanging=part)
    assert "READY=1" in systemd.heard(PATIENCE_SECONDS, "READY=1")
    said = systemd.heard(PATIENCE_SECONDS, sentence)
    at_last = systemd.heard(2)
    assert "WATCHDOG=1" in said
    assert sentence in said[-1]
    assert "WATCHDOG=1" not in at_last
    assert sentence in (tmp_path / "log").read_text()
    process.send_signal(signal.SIGABRT)  # as systemd's watchdog does
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGABRT
    where = (tmp_path / "log").read_text()
    assert "in hang" in where
    assert "streamwatch/daemon/daemon.py" in where


def test_a_hanging_main_thread_makes_healthz_fail(
    tmp_path: Path, systemd: Systemd, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """The watchdog gets no message then, and /healthz must not answer "ok"."""
    port = free_port()
    start(CLIP, hanging="supervision.Supervision._publish_statuses", http={"port": port})
    assert "READY=1" in systemd.heard(PATIENCE_SECONDS, "READY=1")
    code, said = health(port)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while code == 200 and time.monotonic() < deadline:
        systemd.heard(0.5)
        code, said = health(port)
    assert code == 503
    assert b"the main thread has done nothing" in said
    assert "WATCHDOG=1" not in systemd.heard(2)


def health(port: int) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
