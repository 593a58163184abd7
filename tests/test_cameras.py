"""The street clip as many kinds of camera send it: each visit gives one alert, as from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import StartMosquitto, Subscriber
from tests.parts.street import sideways, squeezed
from tests.test_end_to_end import ABSENT, PRESENT, STATUS, config, events
from tests.truth import clip_seconds, score, street

pytestmark = pytest.mark.slow(seconds=60)

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
        name: {"url": str(make(tmp_path / f"{name}.mp4")), "pace": False}
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
