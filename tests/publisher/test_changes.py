"""Changed publisher settings, and clearing the retained topics of what was removed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from streamwatch.config.sections.whole import SnapshotSettings
from streamwatch.publisher import EmbeddedBroker, ErrorReport, Publisher
from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.mqtt.sweep import Declared, is_left_over
from tests.parts import free_port
from tests.parts.mosquitto import Mosquitto, Received, StartMosquitto, Subscriber
from tests.parts.waiting import wait_until
from tests.publisher.events import end_event, new_event, picture
from tests.publisher.running import Clock, make, running, settings
from tests.publisher.test_publisher import an_info, size

pytestmark = pytest.mark.slow(seconds=40)

SNAPSHOTS = SnapshotSettings()


def publish_every_kind(publisher: Publisher) -> None:
    """Publish one of each kind of retained message."""
    publisher.declare(["porch"], [("porch", "car"), ("porch", "dog")])
    publisher.info(an_info())
    publisher.camera_status("porch", "online")
    publisher.event(new_event(snapshot=True, picture=picture()))


RETAINED = {
    "status": b"online",
    "cameras/porch/status": b"online",
    "state/porch/car": b"ON",
    "state/porch/dog": b"OFF",
}


def retained(port: int, topic: str, count: int) -> dict[str, bytes]:
    """The retained messages, once there are `count`."""
    with Subscriber(port, topic) as late:
        late.wait_for(lambda messages: len(messages) == count)
        return {message.topic: message.payload for message in late.received if message.retain}


def newest(messages: Sequence[Received]) -> dict[str, bytes]:
    return {message.topic: message.payload for message in messages}


def test_a_new_prefix_gets_retained_topics_and_the_old_one_is_cleared(mosquitto: Mosquitto) -> None:
    with (
        Subscriber(mosquitto.port, "+/#") as subscriber,
        running(make(mosquitto, "first")) as publisher,
    ):
        publish_every_kind(publisher)
        subscriber.wait_for_payload("first/state/porch/car", b"ON")
        subscriber.clear()
        publisher.reconfigure(settings(mosquitto, "second"), SNAPSHOTS, None)
        publisher.event(new_event(watch="dog"))
        subscriber.wait_for_payload("second/state/porch/dog", b"ON")
        subscriber.wait_for(lambda _: subscriber.of("second/events/porch/dog"))
    (event,) = subscriber.of("second/events/porch/dog")
    assert event.json["camera"] == "porch"
    left = [message for message in subscriber.received if message.topic.startswith("first/")]
    assert (left[0].topic, left[0].payload) == ("first/status", b"offline")
    assert set(newest(left)) == {
        f"first/{topic}" for topic in (*RETAINED, "info", "snapshot/porch/car")
    }
    assert set(newest(left).values()) == {b""}
    with Subscriber(mosquitto.port, "first/#") as late:
        late.publish("first/last", b"x")
        assert [message.topic for message in late.wait_for(len)] == ["first/last"]
    now = retained(mosquitto.port, "second/#", 6)
    assert now["second/cameras/porch/status"] == b"online"
    assert now["second/status"] == b"offline"
    assert size(now["second/snapshot/porch/car"]) == (640, 360)


def test_a_new_broker_gets_the_waiting_alerts(start_mosquitto: StartMosquitto) -> None:
    old: Mosquitto = start_mosquitto()
    new: Mosquitto = start_mosquitto()
    visit = new_event()
    with (
        Subscriber(old.port, "moved/#") as before,
        Subscriber(new.port, "moved/#") as now,
        running(make(old, "moved")) as publisher,
    ):
        publish_every_kind(publisher)
        before.wait_for_payload("moved/state/porch/car", b"ON")
        old.freeze()
        for sequence in range(50):
            publisher.event(new_event(id=visit.id, sequence=sequence))
        publisher.reconfigure(settings(new, "moved"), SNAPSHOTS, None)
        publisher.event(end_event(visit.id, 50))
        now.wait_for(lambda messages: messages and b'"end"' in messages[-1].payload, 20)
        events = [m.json["sequence"] for m in now.of("moved/events/porch/car")]
        assert events[-51:] == list(range(51))
        assert newest(now.received)["moved/status"] == b"online"
        assert {f"moved/{topic}" for topic in RETAINED} < set(newest(now.received))
        old.thaw()
        before.wait_for_payload("moved/status", b"offline", 25)
    # States stay retained: the offline status marks them as out of date, as after a stop.
    assert newest(before.received)["moved/state/porch/car"] == b"ON"


def test_a_reachable_broker_gets_offline_before_a_move(start_mosquitto: StartMosquitto) -> None:
    old: Mosquitto = start_mosquitto()
    new: Mosquitto = start_mosquitto()
    with (
        Subscriber(old.port, "bye/#") as before,
        Subscriber(new.port, "bye/#") as now,
        running(make(old, "bye")) as publisher,
    ):
        publish_every_kind(publisher)
        before.wait_for_payload("bye/state/porch/car", b"ON")
        publisher.reconfigure(settings(new, "bye"), SNAPSHOTS, None)
        now.wait_for_payload("bye/state/porch/car", b"ON")
    assert [message.payload for message in before.of("bye/status")] == [b"online", b"offline"]
    assert not now.of("bye/events/porch/car")


def test_the_same_settings_change_nothing(mosquitto: Mosquitto) -> None:
    with (
        Subscriber(mosquitto.port, "calm/#") as subscriber,
        running(make(mosquitto, "calm")) as publisher,
    ):
        publisher.reconfigure(settings(mosquitto, "calm"), SNAPSHOTS, None)
        publisher.event(new_event())
        subscriber.wait_for_payload("calm/state/porch/car", b"ON")
    assert [m.payload for m in subscriber.of("calm/status")][:-1] == [b"online"]


def test_a_prefix_changed_during_an_outage_is_cleared_after_reconnect(
    start_mosquitto: StartMosquitto,
) -> None:
    broker: Mosquitto = start_mosquitto()
    with running(make(broker, "gone")) as publisher:
        with Subscriber(broker.port, "gone/#") as subscriber:
            publish_every_kind(publisher)
            subscriber.wait_for_payload("gone/state/porch/car", b"ON")
        broker.stop()
        wait_until(lambda: not publisher.connected)
        publisher.error(ErrorReport("camera", "dark", camera="porch"))
        publisher.reconfigure(settings(broker, "back"), SNAPSHOTS, None)
        publisher.event(new_event(watch="dog"))
        broker.start()
        with Subscriber(broker.port, "back/#") as subscriber:
            subscriber.wait_for_payload("back/state/porch/dog", b"ON", 20)

        def nothing_is_retained() -> bool:
            with Subscriber(broker.port, "gone/#") as late:
                late.publish("gone/last", b"x")
                return late.wait_for(len)[0].topic == "gone/last"

        wait_until(nothing_is_retained)


def test_of_two_quick_changes_only_the_last_applies(mosquitto: Mosquitto) -> None:
    with (
        Subscriber(mosquitto.port, "#") as subscriber,
        running(make(mosquitto, "one")) as publisher,
    ):
        publish_every_kind(publisher)
        for prefix in ("two", "three"):
            publisher.reconfigure(settings(mosquitto, prefix), SNAPSHOTS, None)
        subscriber.wait_for_payload("three/state/porch/car", b"ON")
        subscriber.wait_for_payload("one/state/porch/car", b"")
        assert not [message for message in subscriber.received if message.topic[:3] == "two"]


def test_a_stop_during_a_broker_move_delivers_all_alerts(start_mosquitto: StartMosquitto) -> None:
    old: Mosquitto = start_mosquitto()
    new: Mosquitto = start_mosquitto()
    with Subscriber(new.port, "half/#") as now, running(make(old, "half")) as publisher:
        old.freeze()
        for _ in range(30):
            publisher.event(new_event())
        publisher.reconfigure(settings(new, "half"), SNAPSHOTS, None)
        assert publisher.stop() == 0
        now.wait_for_payload("half/status", b"offline")
    assert len(now.of("half/events/porch/car")) == 30


def test_snapshot_folder_and_quality_change_without_a_reconnect(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    with (
        Subscriber(mosquitto.port, "album/#") as subscriber,
        running(make(mosquitto, "album", old)) as publisher,
    ):
        for _ in range(2):
            publisher.event(new_event(snapshot=True, picture=picture()))
            publisher.reconfigure(settings(mosquitto, "album"), SnapshotSettings(quality=1), new)
        subscriber.wait_for(lambda _: len(subscriber.of("album/snapshot/porch/car")) == 2)
        assert [m.payload for m in subscriber.of("album/status")] == [b"online"]
    (_, first), (_, second) = sorted(old.iterdir()), sorted(new.iterdir())
    assert second.stat().st_size < first.stat().st_size


def test_retained_topics_of_a_removed_camera_are_cleared_after_its_last_event(
    start_mosquitto: StartMosquitto,
) -> None:
    broker: Mosquitto = start_mosquitto()
    visit = new_event(snapshot=True, picture=picture())
    with (
        Subscriber(broker.port, "forget/#", client_id="witness") as subscriber,
        running(make(broker, "forget")) as publisher,
    ):
        publisher.declare(["porch", "yard"], [("porch", "car"), ("yard", "car")])
        publisher.camera_status("porch", "online")
        publisher.camera_status("yard", "online")
        publisher.event(visit)
        subscriber.wait_for_payload("forget/state/porch/car", b"ON")
        broker.stop()
        wait_until(lambda: not publisher.connected)
        publisher.event(end_event(visit.id))
        publisher.declare(["yard"], [("yard", "car")])
        publisher.forget(["porch"], [("porch", "car")])
        subscriber.clear()
        broker.start()
        subscriber.wait_for_payload("forget/cameras/porch/status", b"", 20)
        subscriber.wait_for_payload("forget/state/porch/car", b"")
        subscriber.wait_for_payload("forget/snapshot/porch/car", b"")
        came = [(message.topic, message.payload) for message in subscriber.received]
        end = next(at for at, (_, payload) in enumerate(came) if b'"end"' in payload)
        assert end < came.index(("forget/state/porch/car", b""))
        publisher.declare(["porch", "yard"], [("porch", "car"), ("yard", "car")])
        subscriber.wait_for_payload("forget/state/porch/car", b"OFF")
    assert set(retained(broker.port, "forget/#", 4)) == {
        *("forget/status", "forget/cameras/yard/status"),
        *("forget/state/yard/car", "forget/state/porch/car"),
    }


def test_retained_topics_from_before_a_restart_are_cleared(start_mosquitto: StartMosquitto) -> None:
    broker: Mosquitto = start_mosquitto()
    with running(make(broker, "home/eyes")) as publisher:
        publisher.declare(["porch", "yard"], [("porch", "car"), ("yard", "car"), ("yard", "dog")])
        publisher.camera_status("porch", "online")
        publisher.camera_status("yard", "online")
        publisher.event(new_event(snapshot=True, picture=picture()))
        publisher.event(new_event(camera="yard", snapshot=True, picture=picture()))
    others = [
        *("home/eyes/state/Not/ours", "home/eyes/state/a/b/c", "home/eyes/state/a"),
        *("home/eyes/cameras/porch/note", "home/state/x/y", "home/eyes/notes"),
    ]
    with Subscriber(broker.port, "#") as subscriber:
        for topic in others:
            subscriber.publish(topic, b"keep", retain=True)
    with running(make(broker, "home/eyes")) as publisher:
        publisher.declare(["yard"], [("yard", "car")])
        with Subscriber(broker.port, "#") as subscriber:
            gone = [
                *("home/eyes/cameras/porch/status", "home/eyes/state/porch/car"),
                *("home/eyes/snapshot/porch/car", "home/eyes/state/yard/dog"),
            ]

            def cleared(messages: Sequence[Received]) -> bool:
                now = newest(messages)
                return not any(now.get(topic) for topic in gone)

            subscriber.wait_for(cleared)
            wait_until(lambda: not publisher._loop._listening.is_sweeping)
    assert set(retained(broker.port, "#", 10)) == {
        *("home/eyes/status", "home/eyes/cameras/yard/status"),
        *("home/eyes/state/yard/car", "home/eyes/snapshot/yard/car"),
        *others,
    }


@pytest.mark.parametrize(
    ("topic", "left_over"),
    [
        ("p/state/porch/car", False),
        ("p/state/porch/dog", True),
        ("p/snapshot/porch/dog", True),
        ("p/snapshot/porch/car", False),
        ("p/cameras/porch/status", False),
        ("p/cameras/yard/status", True),
        ("p/cameras/yard/other", False),
        ("p/state/Porch/dog", False),
        ("p/state/porch/dog/x", False),
        ("p/info", False),
        ("q/state/porch/dog", False),
        ("q/p/state/porch/dog", False),
        ("state/porch/dog", False),
    ],
)
def test_which_topics_are_left_over(topic: str, left_over: bool) -> None:
    declared = Declared(["porch"], [("porch", "car")])
    assert is_left_over(topic, Topics("p"), declared) is left_over


def test_the_embedded_broker_is_not_swept_for_leftovers() -> None:
    with (
        EmbeddedBroker() as broker,
        Subscriber(broker.port, "#", version=MQTTProtocolVersion.MQTTv311) as subscriber,
    ):
        mqtt = settings(broker, "inside", embedded=True)
        with running(Publisher(mqtt, SNAPSHOTS, None)) as publisher:
            publisher.declare(["porch"], [("porch", "car")])
            publisher.camera_status("porch", "online")
            subscriber.wait_for_payload("inside/cameras/porch/status", b"online")
            publisher.forget(["porch"], [("porch", "car")])
            subscriber.wait_for_payload("inside/state/porch/car", b"")
            assert not publisher._loop._listening.is_sweeping


def test_an_mqtt_3_1_1_broker_is_swept_for_leftovers() -> None:
    """MQTT 3.1.1 has no "no local": the broker sends back what we publish ourselves."""
    with (
        EmbeddedBroker() as broker,
        Subscriber(broker.port, "#", version=MQTTProtocolVersion.MQTTv311) as subscriber,
    ):
        subscriber.publish("old/state/porch/dog", b"ON", retain=True)
        with running(make(broker, "old")) as publisher:
            publisher.declare(["porch"], [("porch", "car")])
            publisher.camera_status("porch", "online")
            subscriber.wait_for_payload("old/state/porch/dog", b"")
            subscriber.wait_for_payload("old/cameras/porch/status", b"online")
            publisher.event(new_event())
            subscriber.wait_for_payload("old/state/porch/car", b"ON")


def test_stop_retries_an_unreachable_broker_at_once(start_mosquitto: StartMosquitto) -> None:
    broker: Mosquitto = start_mosquitto()
    clock = Clock()  # stands still, so no second attempt is ever due
    with Subscriber(broker.port, "soon/#", client_id="witness") as subscriber:
        broker.stop()
        publisher = make(broker, "soon", seconds=clock)
        publisher.start()
        assert not publisher.wait_connected(1)
        publisher.event(new_event())
        broker.start()
        assert not publisher.wait_connected(2)
        assert publisher.stop(10) == 0
        subscriber.wait_for(lambda _: subscriber.of("soon/events/porch/car"), 20)
        subscriber.wait_for_payload("soon/status", b"offline")


def test_alerts_survive_a_move_to_an_unreachable_broker(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    class Nobody:
        host = "127.0.0.1"
        port = free_port()

    with (
        Subscriber(mosquitto.port, "wrong/#") as subscriber,
        running(make(mosquitto, "wrong")) as publisher,
    ):
        publish_every_kind(publisher)
        subscriber.wait_for_payload("wrong/state/porch/car", b"ON")
        publisher.reconfigure(settings(Nobody(), "wrong"), SNAPSHOTS, None)
        subscriber.wait_for_payload("wrong/status", b"offline")
        wait_until(lambda: "not reachable" in caplog.text)
        assert not publisher.connected
        publisher.event(new_event(watch="dog"))
        subscriber.clear()
        publisher.reconfigure(settings(mosquitto, "wrong"), SNAPSHOTS, None)
        subscriber.wait_for(lambda _: subscriber.of("wrong/events/porch/dog"))
        assert newest(subscriber.received)["wrong/status"] == b"online"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
