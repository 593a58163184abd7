"""Topics and payloads as a subscriber sees them, with a real mosquitto."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamwatch.errors import Problem
from streamwatch.pixels import Pixels
from streamwatch.publisher import (
    DetectorStats,
    ErrorReport,
    Info,
    LatencyStats,
    SecondLookStats,
    Stats,
    WatchInfo,
)
from streamwatch.publisher.mqtt import connection
from streamwatch.publisher.mqtt.delivery import Delivery
from streamwatch.records import CameraCounts, Event, MarkedPicture
from tests.parts.mosquitto import Mosquitto, Received, Subscriber
from tests.publisher.events import (
    MOMENT,
    end_event,
    near_miss,
    new_event,
    picture,
    update_event,
)
from tests.publisher.running import make, running

pytestmark = pytest.mark.slow(seconds=15)


def topics(messages: Sequence[Received]) -> list[str]:
    return [message.topic for message in messages]


def size(jpeg: bytes) -> tuple[int, int]:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.shape[1], image.shape[0]


def test_snapshot_then_event_then_state_and_at_the_end_event_then_state(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    event = new_event(snapshot=True, picture=picture())
    with (
        Subscriber(mosquitto.port, "order/#") as subscriber,
        running(make(mosquitto, "order", tmp_path)) as publisher,
    ):
        publisher.declare(["porch"], [("porch", "car")])
        subscriber.wait_for_payload("order/state/porch/car", b"OFF")
        subscriber.clear()
        publisher.event(event)
        publisher.event(end_event(event.id, snapshot=True))
        messages = subscriber.wait_for(lambda messages: len(messages) == 5)
    assert topics(messages) == [
        "order/snapshot/porch/car",
        "order/events/porch/car",
        "order/state/porch/car",
        "order/events/porch/car",
        "order/state/porch/car",
    ]
    assert messages[2].payload == b"ON"
    assert messages[4].payload == b"OFF"
    assert [messages[1].json["type"], messages[3].json["type"]] == ["new", "end"]
    assert {message.qos for message in messages} == {1}
    assert size(messages[0].payload) == (640, 360)
    saved = Path(messages[1].json["snapshot_path"])
    assert saved.read_bytes() == messages[0].payload


def test_a_late_subscriber_gets_the_retained_messages(mosquitto: Mosquitto) -> None:
    event = new_event(snapshot=True, picture=picture())
    with running(make(mosquitto, "kept")) as publisher:
        publisher.info(an_info())
        publisher.camera_status("porch", "online")
        publisher.declare(["porch"], [("porch", "car"), ("porch", "dog")])
        publisher.event(event)
        with Subscriber(mosquitto.port, "kept/state/#") as first:
            first.wait_for_payload("kept/state/porch/car", b"ON")
        with Subscriber(mosquitto.port, "kept/#") as subscriber:
            messages = subscriber.wait_for(lambda messages: len(messages) == 6)
            publisher.error(ErrorReport("camera", "gone", camera="porch"))
            messages = subscriber.wait_for(lambda messages: len(messages) == 7)
    assert sorted(topics([message for message in messages if message.retain])) == [
        "kept/cameras/porch/status",
        "kept/info",
        "kept/snapshot/porch/car",
        "kept/state/porch/car",
        "kept/state/porch/dog",
        "kept/status",
    ]
    by_topic = {message.topic: message for message in messages}
    assert by_topic["kept/status"].payload == b"online"
    assert by_topic["kept/cameras/porch/status"].payload == b"online"
    assert by_topic["kept/state/porch/dog"].payload == b"OFF"
    assert not by_topic["kept/errors"].retain
    assert {message.qos for message in messages} == {1}


def test_all_fields_of_an_event(mosquitto: Mosquitto) -> None:
    now = datetime(2026, 1, 2, 3, 4, 6, 1_000, tzinfo=UTC)
    event = new_event(snapshot=True, position=12.3456, prompt="röd bil")
    with (
        Subscriber(mosquitto.port, "exact/events/#") as subscriber,
        running(make(mosquitto, "exact", now=lambda: now)) as publisher,
    ):
        publisher.event(event)
        publisher.event(end_event(event.id, track=np.int64(3).item()))
        first, last = subscriber.wait_for(lambda messages: len(messages) == 2)
    assert not first.retain
    assert "röd bil".encode() in first.payload
    assert list(first.json.items()) == [
        ("id", event.id),
        ("type", "new"),
        ("camera", "porch"),
        ("watch", "car"),
        ("prompt", "röd bil"),
        ("track", 7),
        ("confidence", 0.83),
        ("best_confidence", 0.91),
        ("box", [100.0, 120.0, 200.0, 300.0]),
        ("frame", [640, 360]),
        ("zones", ["steps"]),
        ("captured_at", "2026-01-02T03:04:05.678Z"),
        ("started_at", "2026-01-02T03:04:04.678Z"),
        ("ended_at", None),
        ("published_at", "2026-01-02T03:04:06.001Z"),
        ("sequence", 0),
        ("snapshot", "exact/snapshot/porch/car"),
        ("snapshot_path", None),
        ("position", 12.346),
    ]
    assert last.json["reason"] == "left"
    assert last.json["ended_at"] == "2026-01-02T03:04:05.678Z"
    assert last.json["snapshot"] is None
    assert "position" not in last.json


def an_info() -> Info:
    return Info(
        version="0.1",
        instance="01J",
        model="toybox",
        backend="torch",
        precision="full",
        device="cpu",
        config_hash="abc",
        started_at=MOMENT,
        cameras=["porch"],
        watches={"car": WatchInfo(["red car"], ["truck"], ["porch"], 0.3)},
        problems=[ErrorReport("camera", "gone", camera="porch", at=MOMENT)],
    )


A_STATS = Stats(
    instance="01J",
    uptime_s=10.0,
    cameras={"porch": CameraCounts(frames=100, analysed=50, gated=40, dropped=10, age_seconds=0.2)},
    detector=DetectorStats(25, 50, 80.0, 120.0),
    second_looks=SecondLookStats(5, 3, 1, 2, 4.5, 9.0),
    latency_ms=LatencyStats(150.0, None),
    outbox=0,
    rss_bytes=1_000_000,
)


def test_all_fields_of_info_stats_and_errors(mosquitto: Mosquitto) -> None:
    problem = Problem("config.yaml", 3, 5, "cameras.porch.fps", "must be a number")
    with (
        Subscriber(mosquitto.port, "said/#") as subscriber,
        running(make(mosquitto, "said", now=lambda: MOMENT)) as publisher,
    ):
        publisher.info(an_info())
        publisher.error(ErrorReport("config", "the file has errors", errors=[problem]))
        subscriber.wait_for(lambda messages: len(messages) == 3)
        publisher.stats(A_STATS)
        subscriber.wait_for(lambda messages: len(messages) == 4)
    assert subscriber.of("said/info")[0].json == {
        "version": "0.1",
        "instance": "01J",
        "model": "toybox",
        "backend": "torch",
        "precision": "full",
        "device": "cpu",
        "config_hash": "abc",
        "started_at": "2026-01-02T03:04:05.678Z",
        "cameras": ["porch"],
        "watches": {
            "car": {
                "prompts": ["red car"],
                "not": ["truck"],
                "cameras": ["porch"],
                "confidence": 0.3,
            }
        },
        "problems": [
            {
                "kind": "camera",
                "message": "gone",
                "camera": "porch",
                "at": "2026-01-02T03:04:05.678Z",
            }
        ],
    }
    assert subscriber.of("said/errors")[0].json == {
        "kind": "config",
        "message": "the file has errors",
        "errors": [
            {
                "file": "config.yaml",
                "line": 3,
                "column": 5,
                "path": "cameras.porch.fps",
                "message": "must be a number",
            }
        ],
        "at": "2026-01-02T03:04:05.678Z",
    }
    (counters,) = subscriber.of("said/stats")
    assert (counters.qos, counters.retain) == (0, False)
    assert counters.json == {
        "instance": "01J",
        "uptime_s": 10.0,
        "cameras": {
            "porch": {
                "frames": 100,
                "analysed": 50,
                "gated": 40,
                "restless": None,
                "dropped": 10,
                "age_s": 0.2,
                "reconnects": 0,
                "fps": None,
            }
        },
        "detector": {
            "batches": 25,
            "frames": 50,
            "ms_p50": 80.0,
            "ms_p95": 120.0,
            "share": None,
        },
        "second_looks": {
            "looks": 5,
            "confirmed": 3,
            "failed": 1,
            "held_back": 2,
            "ms_p50": 4.5,
            "ms_p95": 9.0,
        },
        "latency_ms": {"p50": 150.0, "p95": None},
        "outbox": 0,
        "rss_bytes": 1_000_000,
    }


def test_the_state_is_on_while_one_of_two_visits_is_open(mosquitto: Mosquitto) -> None:
    first, second = new_event(), new_event()
    with (
        Subscriber(mosquitto.port, "two/#") as subscriber,
        running(make(mosquitto, "two")) as publisher,
    ):
        for event in (first, second, end_event(first.id), update_event(second.id)):
            publisher.event(event)
        subscriber.wait_for(lambda messages: len(messages) == 6)
        publisher.event(end_event(second.id, 2))
        subscriber.wait_for_payload("two/state/porch/car", b"OFF")
    states = [message.payload for message in subscriber.of("two/state/porch/car")]
    assert states == [b"ON", b"OFF"]


def test_an_older_visit_does_not_replace_the_newest_snapshot(mosquitto: Mosquitto) -> None:
    older = new_event(snapshot=True, picture=picture(64, 36))
    newer = new_event(snapshot=True, picture=picture(80, 45))
    with (
        Subscriber(mosquitto.port, "newest/#") as subscriber,
        running(make(mosquitto, "newest")) as publisher,
    ):
        publisher.event(older)
        publisher.event(newer)
        publisher.event(update_event(older.id, snapshot=True, picture=picture(96, 54)))
        publisher.event(update_event(newer.id, snapshot=True, picture=picture(160, 90)))
        subscriber.wait_for(
            lambda messages: len([m for m in messages if m.topic == "newest/events/porch/car"]) == 4
        )
    widths = [size(message.payload)[0] for message in subscriber.of("newest/snapshot/porch/car")]
    assert widths == [64, 80, 160]


def test_a_clean_stop_publishes_offline_last(mosquitto: Mosquitto) -> None:
    publisher = make(mosquitto, "clean")
    with Subscriber(mosquitto.port, "clean/#") as subscriber:
        with running(publisher):
            for _ in range(100):
                publisher.event(new_event())
            assert publisher.stop() == 0
        messages = subscriber.wait_for(lambda messages: messages[-1].payload == b"offline")
    assert (
        len([message for message in messages if message.topic == "clean/events/porch/car"]) == 100
    )
    assert topics(messages)[-1] == "clean/status"
    with Subscriber(mosquitto.port, "clean/status") as late:
        (status,) = late.wait_for(len)
    assert (status.payload, status.retain) == (b"offline", True)
    assert publisher.stop() == 0
    assert not publisher.connected


def test_the_will_publishes_offline_for_a_killed_process(mosquitto: Mosquitto) -> None:
    script = f"""
import os
from streamwatch.config.sections.whole import MqttSettings, SnapshotSettings
from streamwatch.publisher import Publisher
mqtt = MqttSettings(host={mosquitto.host!r}, port={mosquitto.port}, topic_prefix="dying")
publisher = Publisher(mqtt, SnapshotSettings(), None)
publisher.start()
assert publisher.wait_connected(10)
input()
os._exit(9)
"""
    with (
        Subscriber(mosquitto.port, "dying/status") as subscriber,
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process,
    ):
        subscriber.wait_for_payload("dying/status", b"online", 30)
        process.communicate(b"\n")
        subscriber.wait_for_payload("dying/status", b"offline", 25)
    with Subscriber(mosquitto.port, "dying/status") as late:
        (status,) = late.wait_for(len)
    assert (status.payload, status.retain) == (b"offline", True)


def test_an_event_sent_late_is_marked_delayed(mosquitto: Mosquitto) -> None:
    passed = 0.0
    publisher = make(mosquitto, "late", seconds=lambda: time.monotonic() + passed)
    publisher.event(new_event())
    passed = 61.0
    with Subscriber(mosquitto.port, "late/events/#") as subscriber, running(publisher):
        publisher.event(new_event())
        late, prompt = subscriber.wait_for(lambda messages: len(messages) == 2)
    assert late.json["delayed"] is True
    assert list(late.json)[-1] == "delayed"
    assert "delayed" not in prompt.json


def test_a_publisher_that_never_started_has_nothing_to_deliver(mosquitto: Mosquitto) -> None:
    publisher = make(mosquitto, "door")
    assert publisher.waiting == 0
    assert publisher.stop() == 0


@pytest.mark.expects_errors
def test_the_memory_for_undrawn_frames_is_bounded(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame_bytes = picture().picture.bgr().nbytes
    monkeypatch.setattr("streamwatch.publisher.alerts.MAX_RAW_BYTES", 2 * frame_bytes)
    publisher = make(mosquitto, "raw")
    for _ in range(5):
        publisher.event(new_event(snapshot=True, picture=picture()))
    with Subscriber(mosquitto.port, "raw/#") as subscriber, running(publisher):
        subscriber.wait_for(lambda _: len(subscriber.of("raw/events/porch/car")) == 5)
        assert len(subscriber.of("raw/snapshot/porch/car")) == 1  # the newest of what was drawn
        publisher.event(new_event(snapshot=True, picture=picture()))
        subscriber.wait_for(lambda _: len(subscriber.of("raw/snapshot/porch/car")) == 2)
    (report,) = subscriber.of("raw/errors")
    assert "faster than they can be drawn" in report.json["message"]


def test_a_near_miss_is_told_once_and_not_while_the_broker_is_away(mosquitto: Mosquitto) -> None:
    told = make(mosquitto, "missed")
    told.near_miss(near_miss(reason="before it was connected"), None)
    with Subscriber(mosquitto.port, "missed/#") as subscriber, running(told) as publisher:
        publisher.near_miss(near_miss(), Path("/var/a.jpg"))
        subscriber.wait_for(lambda _: subscriber.of("missed/near/porch/car"))
        publisher.error(ErrorReport("camera", "gone"))
        subscriber.wait_for(lambda _: subscriber.of("missed/errors"))
    (message,) = subscriber.of("missed/near/porch/car")
    assert (message.qos, message.retain) == (0, False)
    assert message.json == {
        "prompt": "red car",
        "confidence": 0.21,
        "needed": 0.3,
        "reason": "0.21, and 0.3 is needed",
        "box": [100.0, 120.0, 200.0, 300.0],
        "frame": [640, 360],
        "captured_at": "2026-01-02T03:04:05.678Z",
        "crop_path": "/var/a.jpg",
    }


def test_a_near_miss_that_waits_keeps_no_picture_in_memory(mosquitto: Mosquitto) -> None:
    publisher = make(mosquitto, "unstarted")
    image = np.zeros((360, 640, 3), np.uint8)
    remains = weakref.ref(image)
    publisher.near_miss(near_miss(picture=replace(picture(), picture=Pixels(image))), None)
    del image
    assert remains() is None
    with running(publisher):  # so that it is closed
        pass


@pytest.mark.expects_errors
def test_an_unencodable_event_or_picture_holds_up_nothing(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    empty = MarkedPicture(Pixels(np.zeros((0, 0, 3), np.uint8)), (0, 0, 1, 1), "nothing")
    with (
        Subscriber(mosquitto.port, "odd/#") as subscriber,
        running(make(mosquitto, "odd")) as publisher,
    ):
        publisher.event(new_event(confidence=float("nan")))
        publisher.stats(replace(A_STATS, uptime_s=float("inf")))
        publisher.event(new_event(snapshot=True, picture=empty))
        publisher.event(new_event())
        subscriber.wait_for(lambda _: len(subscriber.of("odd/events/porch/car")) == 2)
    assert not subscriber.of("odd/stats")
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 3


@pytest.mark.expects_errors
def test_a_crash_of_the_thread_is_kept_and_the_will_is_sent(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(self: Delivery, event: Event, came_at: float) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(connection, "WILL_DELAY_SECONDS", 2)
    publisher = make(mosquitto, "bug")
    publisher.start()
    assert publisher.wait_connected(15)
    with Subscriber(mosquitto.port, "bug/status") as subscriber:
        monkeypatch.setattr(Delivery, "alert", break_down)
        publisher.event(new_event())
        subscriber.wait_for_payload("bug/status", b"offline", 25)
    publisher.stop()
    assert isinstance(publisher.failure, RuntimeError)
    assert not publisher.connected
    assert "the publisher has stopped" in caplog.text


def counted(analysed: int, dropped: int) -> CameraCounts:
    return CameraCounts(analysed=analysed, dropped=dropped)


@pytest.mark.parametrize(
    ("before", "now", "share"),
    [
        ({"a": counted(10, 5)}, {"a": counted(40, 15)}, 0.75),
        ({"a": counted(0, 0)}, {"a": counted(10, 0), "new": counted(0, 99)}, 1.0),
        ({"a": counted(0, 0), "b": counted(0, 0)}, {"a": counted(9, 1), "b": counted(1, 9)}, 0.5),
        ({"a": counted(99, 0)}, {"a": counted(10, 9)}, None),
        ({"a": counted(10, 5)}, {"a": counted(10, 5)}, None),
    ],
    ids=["some", "a new camera", "all alike", "counted anew", "nothing was due"],
)
def test_the_share_of_frames_that_the_detector_managed(
    before: dict[str, CameraCounts], now: dict[str, CameraCounts], share: float | None
) -> None:
    stats = [replace(A_STATS, cameras=cameras) for cameras in (before, now)]
    assert stats[1].fields(stats[0])["detector"]["share"] == share


def test_the_part_that_keeps_a_camera_awake_is_in_the_statistics() -> None:
    cameras = {"tree": CameraCounts(restless=(0.125, 0.5, 1 / 3, 1.0))}
    fields = replace(A_STATS, cameras=cameras).fields(None)
    assert fields["cameras"]["tree"]["restless"] == [0.125, 0.5, 0.333, 1.0]
