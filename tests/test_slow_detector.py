"""A detector that is too slow for its cameras: real video, toybox, a real broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.parts import free_port
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import StartMosquitto, Subscriber
from tests.status.test_health import get, status, value
from tests.test_end_to_end import config

pytestmark = pytest.mark.slow(seconds=40)

PRELUDE = """
import os
from streamwatch.status import shortage
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
shortage.MINUTE_SECONDS = 6.0
"""
"""One core, which can decode all cameras, and analyse a fraction of their frames."""
CAMERAS = ("front", "back", "left", "right")
TOO_MUCH, LITTLE = 15, 1
"""Frames a second."""


def short(port: int) -> set[str]:
    """The cameras that are short of detector time, as Prometheus is told."""
    _, metrics = get(port, "/metrics")
    name = "streamwatch_camera_short_of_detector_time"
    return {each for each in CAMERAS if value(metrics, f'{name}{{camera="{each}"}}') == 1}


def test_a_detector_that_is_too_slow_is_told_until_it_is_no_more(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker, port = start_mosquitto(), free_port()

    def cameras(fps: float) -> dict[str, Any]:
        return {name: {"url": "bundled:street", "loop": True, "fps": fps} for name in CAMERAS}

    settings = {**config(broker, cameras(TOO_MUCH), "red car"), "http": {"port": port}}

    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, settings, prelude=PRELUDE) as daemon,
    ):

        def problems() -> list[str]:
            told = subscriber.of("streamwatch/info")
            return [each["message"] for each in told[-1].json["problems"]] if told else []

        def all_are_told(_: object) -> bool:
            return any(all(name in said for name in CAMERAS) for said in problems())

        subscriber.wait_for(all_are_told, PATIENCE_SECONDS)
        (problem,) = problems()
        assert problem.startswith("the detector is too slow for ")
        assert "a smaller detector.model or detector.image_size, or a lower fps" in problem
        (report,) = [message.json for message in subscriber.of("streamwatch/errors")]
        assert report["kind"] == "detector"
        assert report["message"].startswith("the detector is too slow for ")
        assert short(port) == set(CAMERAS)
        exit_code, screen, _ = status(tmp_path, "-c", str(daemon.config))
        assert exit_code == 1
        assert problem in screen
        assert problem in daemon.log

        daemon.config.write_text(yaml.safe_dump({**settings, "cameras": cameras(LITTLE)}))
        subscriber.wait_for(lambda _: not problems(), PATIENCE_SECONDS)
        daemon.wait_for_log("the detector keeps up with its cameras again")
        assert short(port) == set()
        assert daemon.terminate() == 0
