"""The street clip as many kinds of camera send it: each visit gives one alert, as from a file."""

from __future__ import annotations

import string
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parts import STREET_CLIP
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import StartMosquitto, Subscriber
from tests.parts.rtsp import RtspServer
from tests.parts.street import sideways, squeezed
from tests.parts.web_cameras import encode, jpegs, live_hls, slow_mjpeg, snapshot_camera, web_files
from tests.test_end_to_end import ABSENT, PRESENT, STATUS, camera_status, config, events
from tests.truth import Score, clip_seconds, score, street

pytestmark = pytest.mark.slow(seconds=150)

RECORDINGS: Mapping[str, Callable[[Path], Path]] = {
    "sideways": sideways,
    "twice-as-wide": lambda path: squeezed(path, Fraction(2)),
    "television": lambda path: squeezed(path, Fraction(16, 11)),
}


def test_recordings_that_say_how_they_are_to_be_shown(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    """Turned, or with pixels that are not square; boxes are those of the upright picture."""
    cameras: dict[str, Any] = {
        name: {"url": str(make(tmp_path / f"{name}.mp4")), "pace": False, "fps": 3}
        for name, make in RECORDINGS.items()
    }
    broker = start_mosquitto()
    settings = config(broker, cameras, *PRESENT, *ABSENT)
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        assert daemon.wait(2 * PATIENCE_SECONDS) == 0, daemon.log
        subscriber.wait_for_payload(STATUS, b"offline")
        alerts = events(subscriber)
    truth = street()
    for name in cameras:
        mine = [alert for alert in alerts if alert["camera"] == name]
        result = score(truth, mine)
        assert result.perfect, (name, result)
        assert len(result.found) == len(PRESENT)
        scale = truth_scale(mine[0])
        for alert in mine:
            box = [edge * factor for edge, factor in zip(alert["box"], scale * 2, strict=True)]
            assert truth.iou({**alert, "box": box}, clip_seconds(alert)) > 0.5, (name, alert)


def truth_scale(alert: Mapping[str, Any]) -> tuple[float, float]:
    """What the box of an alert is multiplied with to lie in the truth's 640x360."""
    width, height = alert["frame"]
    return 640 / width, 360 / height


BEFORE_SECONDS, AFTER_SECONDS = 15.0, 12.0
"""How long the clip's first and last picture stand still, for the start and what is told late."""
LOGIN = "me@home", "p:w%/é"
SPECIAL = (string.punctuation * 2)[:48]


def test_live_cameras_of_many_kinds(
    tmp_path: Path, rtsp_parts: None, start_mosquitto: StartMosquitto
) -> None:
    """Live HLS in segments of two kinds, pictures one by one and a file over HTTP, and RTSP behind
    a password of special characters."""
    clips = {
        seconds: encode(
            STREET_CLIP,
            tmp_path / f"{seconds}.mp4",
            key_seconds=seconds,
            before=BEFORE_SECONDS,
            after=AFTER_SECONDS,
        )
        for seconds in (2, 4)
    }
    broker = start_mosquitto()
    with (
        web_files(STREET_CLIP.parent) as files,
        snapshot_camera(jpegs(STREET_CLIP), login=LOGIN) as pictures,
        live_hls(clips[2], segment_seconds=2) as short,
        live_hls(clips[4], segment_seconds=4, part="part%d") as long,
        RtspServer(clip=clips[2], loop=False, user="me", password=SPECIAL) as guarded,
        Subscriber(broker.port) as subscriber,
    ):
        pictures.began_at += BEFORE_SECONDS
        user, password = LOGIN
        cameras: dict[str, Any] = {
            "short": {"url": f"{short.url}/live.m3u8"},
            "long": {"url": f"{long.url}/live.m3u8"},
            "pictures": {"url": f"{pictures.url}/jpg", "username": user, "password": password},
            "file": {"url": f"{files.url}/street.mp4"},
            "guarded": {"url": guarded.url, "username": "me", "password": SPECIAL},
        }
        for camera in cameras.values():
            camera["fps"] = 3
        settings = config(broker, cameras, *PRESENT, *ABSENT)
        with Daemon(tmp_path, settings) as daemon:
            subscriber.wait_for_payload(camera_status("file"), b"online", PATIENCE_SECONDS)
            time.sleep(max(0.0, long.began_at + BEFORE_SECONDS + 40 + 9 - time.time()))
            assert daemon.terminate() == 0, daemon.log
        subscriber.wait_for_payload(STATUS, b"offline")
        alerts, log, frame0_at = events(subscriber), daemon.log, guarded.frame0_at
    assert frame0_at is not None
    assert not [line for line in log.splitlines() if "WARNING camera" in line], log
    begun = {
        "short": short.began_at + BEFORE_SECONDS,
        "long": long.began_at + BEFORE_SECONDS,
        "pictures": pictures.began_at,
        "guarded": frame0_at.timestamp() + BEFORE_SECONDS,
    }
    for name in cameras:
        told = [m.payload for m in subscriber.of(camera_status(name))]
        assert told.count(b"online") == 1, (name, told)
        mine = [alert for alert in alerts if alert["camera"] == name]
        # HLS is behind by a constant time that nothing in it tells.
        lags = np.arange(0, 12, 0.25) if name in ("short", "long") else [0.0]
        offsets = [begun.get(name, 0.0) + lag for lag in lags]
        result = max((score(street(), mine, offset) for offset in offsets), key=_rightness)
        assert result.perfect, (name, result)
        assert len(result.found) == len(PRESENT)


def test_a_slow_camera_is_online_and_what_it_is_too_slow_for_is_told(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto()
    with slow_mjpeg(2.5) as camera, Subscriber(broker.port) as subscriber:
        settings = config(broker, {"slow": {"url": camera.url}}, "red car", "dog")
        settings["watches"]["dog"]["appear"] = {"hits": 1}
        with Daemon(tmp_path, settings) as daemon:
            daemon.wait_for_log("watches.red-car.appear: ", PATIENCE_SECONDS)
            assert daemon.terminate() == 0
    (line,) = [line for line in daemon.log.splitlines() if ".appear: " in line]
    assert line.endswith(
        "nothing can appear at slow, which gives a picture every 2.5 s: 3 sightings within 2s are "
        "asked for; write appear: {hits: 1}, or a longer within, and a leave of 8s or more"
    )
    assert [m.payload for m in subscriber.of(camera_status("slow"))].count(b"online") == 1
    assert camera.connections == 1


def _rightness(result: Score) -> int:
    return len(result.found) - len(result.false) - len(result.doubled) - len(result.split)
