"""The daemon killed or stopped during a visit, and started again."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamwatch.daemon import daemon
from streamwatch.daemon.reloading import start
from streamwatch.detector.protocol import Running, View
from streamwatch.paths import state_file
from streamwatch.pipeline import analysis, pipeline
from streamwatch.publisher import SqliteOutbox
from streamwatch.records import Detection
from tests.parts import IMAGE_SIZE
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import StartMosquitto, Subscriber
from tests.parts.vectors import fake_vectors
from tests.truth.scenes import Scene, Thing

pytestmark = pytest.mark.slow(seconds=40)

EVENTS = "streamwatch/events/street/car"
STATE = "streamwatch/state/street/car"


class Street:
    """A camera that shows a parked car or nothing, with a subscriber to the events."""

    def __init__(self, folder: Path, port: int, subscriber: Subscriber) -> None:
        self.folder = folder
        self.subscriber = subscriber
        self.clip = folder / "street.mp4"
        self.config: dict[str, Any] = {
            "mqtt": {"host": "127.0.0.1", "port": port},
            "detector": {"model": "toybox", "device": "cpu", "image_size": IMAGE_SIZE},
            "cameras": {"street": {"url": str(self.clip), "loop": True}},
            "watches": {"car": {"prompt": "red car"}, "dog": {"prompt": "dog"}},
        }

    def show(self, *things: Thing) -> None:
        Scene(things, seconds=2).write(self.clip)

    def daemon(self) -> Daemon:
        return Daemon(self.folder / "daemon", self.config)

    def wait_for_events(self, count: int) -> list[tuple[str, int, str | None]]:
        self.subscriber.wait_for(lambda _: len(self.events) >= count, PATIENCE_SECONDS)
        return [(e["type"], e["sequence"], e.get("reason")) for e in self.events]

    @property
    def events(self) -> list[Any]:
        """Without repeats: a kill may hit between a message and its acknowledgement."""
        told = [message.json for message in self.subscriber.of(EVENTS)]
        keys = ("id", "sequence", "type", "captured_at")
        return list({tuple(event[key] for key in keys): event for event in told}.values())

    @property
    def states(self) -> list[bytes]:
        return [message.payload for message in self.subscriber.of(STATE)]


CAR = Thing("red car", "automobile", 70, ((0, 300, 300), (2, 300, 300)))


@pytest.fixture
def street(tmp_path: Path, start_mosquitto: StartMosquitto) -> Any:
    broker = start_mosquitto()
    with Subscriber(broker.port) as subscriber:
        street = Street(tmp_path, broker.port, subscriber)
        street.show(CAR)
        yield street


def test_a_visit_survives_a_crash_and_ends_if_the_object_is_gone(
    street: Street,
) -> None:
    with street.daemon():
        assert street.wait_for_events(1) == [("new", 0, None)]
        street.subscriber.wait_for_payload(STATE, b"ON")
    with street.daemon():  # the first was killed
        assert street.wait_for_events(2)[1:] == [("update", 1, None)]
    street.show()
    with street.daemon() as daemon:
        assert street.wait_for_events(3)[2:] == [("end", 2, "restart")]
        assert set(street.states[1:-1]) <= {b"ON"}
        street.subscriber.wait_for_payload(STATE, b"OFF")
        assert daemon.terminate() == 0, daemon.log
    assert len({(event["id"], event["started_at"], event["track"]) for event in street.events}) == 1
    assert len(street.events) == 3
    assert set(street.states[1:-1]) == {b"ON"}


def test_after_a_clean_stop_a_new_visit_continues_the_old_one(street: Street) -> None:
    with street.daemon() as daemon:
        street.wait_for_events(1)
        assert daemon.terminate() == 0, daemon.log
        assert street.wait_for_events(2) == [("new", 0, None), ("end", 1, "shutdown")]
    with street.daemon():
        assert street.wait_for_events(3)[2:] == [("new", 0, None)]
    first, _, second = street.events
    assert (first.get("continues"), second["continues"]) == (None, first["id"])
    assert second["id"] != first["id"]

    del street.config["watches"]["car"]  # removed while the daemon is down after a crash
    with street.daemon() as daemon:
        assert street.wait_for_events(4)[3:] == [("end", 1, "restart")]
        street.subscriber.wait_for_payload(STATE, b"")
        assert daemon.terminate() == 0, daemon.log
    assert (street.events[3]["id"], len(street.events)) == (second["id"], 4)


class Drifting:
    """Finds a car that moves by one pixel a frame."""

    running = Running("cpu", "torch", "full")

    def __init__(self) -> None:
        self.x = 0.0

    def detect(self, views: Sequence[View]) -> list[tuple[Detection, ...]]:
        self.x += 1
        return [(Detection("red car", 0.9, (self.x, 10, self.x + 90, 90)),) for _ in views]


def test_the_last_position_is_kept_for_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, street: Street
) -> None:
    """Only one event is sent, but the outbox keeps the current position."""
    monkeypatch.setattr(analysis, "REMEMBER_SECONDS", 0.2)
    monkeypatch.setattr(pipeline, "load_detector", lambda *_: Drifting())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    fake_vectors(monkeypatch)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(street.config))
    outbox = state_file("outbox", path, ".sqlite3")

    def kept_left_edge(copy: Path) -> float:
        """What a process killed now would leave in the outbox."""
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(outbox.parent, copy)
        database = SqliteOutbox(copy / outbox.name)
        edges = [visit.last.box[0] for visit in database.visits()]
        database.close()
        return max(edges, default=0.0)

    with daemon.Daemon(*start(path, last_good=False)) as running:
        thread = threading.Thread(target=running.run)
        thread.start()
        try:
            street.wait_for_events(1)
            told = street.events[0]["box"][0]
            deadline = time.monotonic() + 20
            while kept_left_edge(tmp_path / "copy") <= told + 10:
                assert time.monotonic() < deadline, "it was not kept"
                time.sleep(0.1)
        finally:
            running.request_stop()
            thread.join()
    assert street.wait_for_events(2) == [("new", 0, None), ("end", 1, "shutdown")]
