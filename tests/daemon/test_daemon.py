"""The daemon when a part of it fails; everything else is in test_end_to_end.py."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from streamwatch.config import Config, load
from streamwatch.daemon.daemon import Daemon
from streamwatch.detector.protocol import Running, View
from streamwatch.errors import PublisherError, StreamwatchError
from streamwatch.pipeline import pipeline as pipeline_module
from streamwatch.records import Detection
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.parts.vectors import fake_vectors


class BreakingDetector:
    """Works a few times, then fails as a lost GPU does."""

    running = Running("cpu", "torch", "full")

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, views: Sequence[View]) -> list[tuple[Detection, ...]]:
        self.calls += 1
        if self.calls > 10:
            raise RuntimeError("the device is gone")
        return [(Detection("red car", 0.9, (10, 10, 90, 90)),) for _ in views]


def config(folder: Path, mqtt: dict[str, object]) -> Config:
    path = folder / "config.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "mqtt": mqtt,
                "detector": {"model": "toybox"},
                "cameras": {"street": {"url": "bundled:street", "pace": False}},
                "watches": {"car": {"prompt": "red car"}},
                "snapshots": {"path": str(folder / "snapshots")},
            }
        )
    )
    return load(path)


def test_a_failing_detector_stops_the_daemon_and_ends_open_visits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_mosquitto: StartMosquitto
) -> None:
    monkeypatch.setattr(pipeline_module, "load_detector", lambda *_: BreakingDetector())
    fake_vectors(monkeypatch)
    broker: Mosquitto = start_mosquitto()
    settings = config(tmp_path, {"host": broker.host, "port": broker.port})
    with Subscriber(broker.port) as subscriber:
        with (
            Daemon(settings) as daemon,
            pytest.raises(
                StreamwatchError, match=r"^the detector failed: RuntimeError: the device is gone$"
            ),
        ):
            daemon.run()
        subscriber.wait_for_payload("streamwatch/status", b"offline")
        told = [message.json["type"] for message in subscriber.of("streamwatch/events/street/car")]
        assert told == ["new", "end"]
        report = subscriber.of("streamwatch/errors")[0].json
        assert (report["kind"], report["message"]) == (
            "detector",
            "the detector failed: RuntimeError: the device is gone",
        )
    assert not [t.name for t in threading.enumerate() if t.name in ("detector", "capture-street")]


def test_a_taken_port_of_the_embedded_broker_gives_one_clear_error(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto()
    with (
        pytest.raises(PublisherError, match=f"can't listen on 127.0.0.1:{broker.port}"),
        Daemon(config(tmp_path, {"embedded": True, "port": broker.port})),
    ):
        pass


def test_a_stop_before_the_cameras_start_is_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_mosquitto: StartMosquitto
) -> None:
    """A signal may arrive while the detector is loading."""
    monkeypatch.setattr(pipeline_module, "load_detector", lambda *_: BreakingDetector())
    fake_vectors(monkeypatch)
    broker = start_mosquitto()
    settings = config(tmp_path, {"host": broker.host, "port": broker.port})
    daemon = Daemon(settings)
    daemon.request_stop()
    with Subscriber(broker.port) as subscriber, daemon:
        subscriber.wait_for_payload("streamwatch/status", b"online")
        daemon.run()
        subscriber.wait_for_payload("streamwatch/status", b"offline")
        info = json.loads(subscriber.of("streamwatch/info")[0].payload)
    assert info["cameras"] == ["street"]


def test_disabled_watches_are_announced_to_home_assistant_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_mosquitto: StartMosquitto
) -> None:
    monkeypatch.setattr(pipeline_module, "load_detector", lambda *_: BreakingDetector())
    fake_vectors(monkeypatch)
    broker = start_mosquitto()
    settings = config(tmp_path, {"host": broker.host, "port": broker.port, "homeassistant": True})
    disabled = settings.watches["car"].model_copy(update={"enabled": False, "name": "A boat"})
    settings = settings.model_copy(update={"watches": {**settings.watches, "boat": disabled}})
    daemon = Daemon(settings)
    daemon.request_stop()
    with Subscriber(broker.port) as subscriber:
        with daemon:
            daemon.run()
        subscriber.wait_for_payload("streamwatch/status", b"offline")
    assert subscriber.of("homeassistant/device/streamwatch/config")
    (street,) = subscriber.of("homeassistant/device/streamwatch/street/config")
    names = [component["name"] for component in street.json["components"].values()]
    assert {"Car", "Car alert", "A boat", "A boat alert"} <= set(names)
    assert not subscriber.of("streamwatch/state/street/boat")
