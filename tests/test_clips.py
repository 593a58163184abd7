"""Clips of a whole daemon, and what happens to them when things go wrong."""

from __future__ import annotations

import resource
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.parts import IMAGE_SIZE
from tests.parts.clips import frames
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.parts.waiting import wait_until
from tests.test_end_to_end import PRESENT, alerts_among

pytestmark = pytest.mark.slow(seconds=75)

LARGEST = 500_000
"""Bytes of a file in a daemon whose disk is full for larger ones."""


def config(broker: Mosquitto, camera: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {
        "mqtt": {"host": broker.host, "port": broker.port},
        "detector": {"model": "toybox", "device": "cpu", "image_size": IMAGE_SIZE},
        "cameras": {"street": {"url": "bundled:street", "loop": True, **camera}},
        "watches": {
            name.replace(" ", "-"): {"prompt": name, "clip": True, "snapshot": False}
            for name in PRESENT
        },
        **others,
    }


def clips(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [m.json for m in subscriber.received if m.topic.startswith("streamwatch/clips/")]


def ends(subscriber: Subscriber) -> int:
    return sum(event["type"] == "end" for event in alerts_among(subscriber.received))


def swept_among(subscriber: Subscriber) -> list[dict[str, Any]]:
    """What the start after a crash has finished."""
    reason = "streamwatch ended while it was written"
    return [clip for clip in clips(subscriber) if clip.get("reason") == reason]


def test_a_full_disk_and_a_crash_cost_clips_and_no_alerts(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto()
    settings = config(broker, {}, clips={"before": "8s", "after": "4s"})
    folder = tmp_path / "xdg-state" / "streamwatch" / "clips"
    with Subscriber(broker.port) as subscriber:
        with Daemon(tmp_path, settings) as daemon:
            daemon.wait_for_log("first frame")
            resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (LARGEST, LARGEST))
            subscriber.wait_for(
                lambda _: any("saved" in clip.get("reason", "") for clip in clips(subscriber)),
                PATIENCE_SECONDS,
            )
            ended = ends(subscriber)
            subscriber.wait_for(lambda _: ends(subscriber) > ended, PATIENCE_SECONDS)
            wait_until(lambda: any(folder.glob("*.part")), PATIENCE_SECONDS)
            time.sleep(3)  # until it holds something
            daemon.process.kill()
            daemon.process.wait()
            left = {path.name.removesuffix(".part") for path in folder.glob("*.part")}
            assert left
            assert "Traceback" not in daemon.log
        errors = [m.json["message"] for m in subscriber.of("streamwatch/errors")]
        assert [e for e in errors if "clips" in e] == [
            f"clips can't be saved in {folder} (file too large); alerts go on without"
        ]
        with Daemon(tmp_path, settings) as daemon:
            subscriber.wait_for(
                lambda _: len(swept_among(subscriber)) == len(left), PATIENCE_SECONDS
            )
            swept = swept_among(subscriber)
            assert {Path(clip["path"]).name for clip in swept} == left
            for clip in swept:
                assert (clip["complete"], clip["codec"]) == (False, "h264")
                assert frames(Path(clip["path"]))[-1][0] < clip["seconds"]
            assert daemon.terminate() == 0
            assert not [*folder.glob("*.part")]
    events = alerts_among(subscriber.received)
    assert {e["type"] for e in events} == {"new", "update", "end"}


def test_what_a_mask_hides_is_not_in_the_clips(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto()
    sky = [[0, 0], [1, 0], [1, 0.3], [0, 0.3]]
    settings = config(
        broker, {"mask": [sky]}, clips={"encode": True, "before": "2s", "after": "1s"}
    )
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        subscriber.wait_for(
            lambda _: any(clip["complete"] for clip in clips(subscriber)), PATIENCE_SECONDS
        )
        assert daemon.terminate() == 0
    clip = next(clip for clip in clips(subscriber) if clip["complete"])
    event = next(e for e in alerts_among(subscriber.received) if e["id"] == clip["id"])
    started = datetime.fromisoformat(event["started_at"])
    assert (started - datetime.fromisoformat(clip["started_at"])).total_seconds() >= 2
    with av.open(clip["path"]) as container:
        shown = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(shown) > 20
    for picture in shown:
        assert np.median(picture[:100]) <= 3
        assert np.median(picture[130:]) > 30
