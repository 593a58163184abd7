"""A publisher that is one of several workers on a prefix."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamwatch.publisher import ErrorReport, Publisher
from streamwatch.publisher.loop import GRACE_SECONDS
from streamwatch.publisher.visits import visits_of
from tests.parts.mosquitto import Mosquitto, Received, Subscriber
from tests.parts.mqtt_proxy import MqttProxy
from tests.publisher.events import MOMENT, end_event, new_event, update_event
from tests.publisher.running import make, running, wait_until

PORCH = ("porch", "car")


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return tmp_path.name


@pytest.fixture
def subscriber(mosquitto: Mosquitto, prefix: str) -> Iterator[Subscriber]:
    with Subscriber(mosquitto.port, f"{prefix}/#") as subscriber:
        yield subscriber


def give(subscriber: Subscriber, prefix: str, worker: str, camera: str = "porch") -> None:
    """Make a worker the camera's owner."""
    subscriber.publish(f"{prefix}/cameras/{camera}/worker", worker, retain=True)


def events(subscriber: Subscriber, prefix: str) -> list[tuple[str, str, int]]:
    found = subscriber.of(f"{prefix}/events/porch/car")
    return [(each.json["id"], each.json["type"], each.json["sequence"]) for each in found]


def settled(publisher: Publisher, subscriber: Subscriber, prefix: str) -> None:
    """Wait until all that was published so far has come."""
    before = len(subscriber.of(f"{prefix}/errors"))
    publisher.error(ErrorReport("camera", "a mark"))
    subscriber.wait_for(lambda messages: len(_of(messages, f"{prefix}/errors")) > before)


def _of(messages: object, topic: str) -> list[Received]:
    assert isinstance(messages, list)
    return [message for message in messages if message.topic == topic]


def test_it_has_topics_of_its_own_and_clears_nothing_of_others(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str
) -> None:
    subscriber.publish(f"{prefix}/state/yard/dog", b"ON", retain=True)
    give(subscriber, prefix, "one")
    with running(make(mosquitto, prefix, worker="one")) as publisher:
        publisher.adopt(["porch"], [], resend=False)
        publisher.declare(["porch"], [PORCH])
        publisher.camera_status("porch", "online")
        publisher.camera_status("yard", "online")
        publisher.error(ErrorReport("camera", "a mark", camera="porch"))
        subscriber.wait_for_payload(f"{prefix}/workers/one/status", b"online")
        subscriber.wait_for_payload(f"{prefix}/state/porch/car", b"OFF")
        subscriber.wait_for_payload(f"{prefix}/cameras/porch/status", b"online")
        subscriber.wait_for(lambda messages: _of(messages, f"{prefix}/errors"))
        assert subscriber.of(f"{prefix}/errors")[-1].json["worker"] == "one"
        publisher.leave(["porch"])
    subscriber.wait_for_payload(f"{prefix}/workers/one/status", b"offline")
    topics = {message.topic for message in subscriber.received}
    assert not topics & {f"{prefix}/status", f"{prefix}/cameras/yard/status"}
    for topic, payload in (("state/yard/dog", b"ON"), ("state/porch/car", b"OFF")):
        assert [message.payload for message in subscriber.of(f"{prefix}/{topic}")] == [payload]


def test_open_visits_are_at_the_broker_before_their_alert_and_after_their_end(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str
) -> None:
    give(subscriber, prefix, "one")
    with running(make(mosquitto, prefix, worker="one")) as publisher:
        publisher.adopt(["porch"], [], resend=False)
        for event in (new_event(id="a"), new_event(id="b"), end_event("a")):
            publisher.event(event)
        publisher.remember([update_event("b", captured_at=MOMENT, confidence=0.5)])
        settled(publisher, subscriber, prefix)
    story = []
    for message in subscriber.received:
        if message.topic == f"{prefix}/events/porch/car":
            story.append((message.json["type"], message.json["id"]))
        elif message.topic == f"{prefix}/visits/porch":
            visits = visits_of(message.payload, MOMENT)
            story.append(("kept", [(v.last.type, v.last.id, v.last.confidence) for v in visits]))
    a, b = ("new", "a", 0.83), ("new", "b", 0.83)
    assert story == [
        ("kept", []),
        ("kept", [a]),
        ("new", "a"),
        ("kept", [a, b]),
        ("new", "b"),
        ("kept", [("end", "a", 0.83), b]),
        ("end", "a"),
        ("kept", [b]),
        ("kept", [("update", "b", 0.5)]),
    ]


def test_it_goes_on_with_the_visits_of_a_lost_worker(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str
) -> None:
    give(subscriber, prefix, "two")
    with running(make(mosquitto, prefix, worker="two")) as publisher:
        publisher.adopt(["porch"], [new_event(id="a"), end_event("b")], resend=True)
        publisher.declare(["porch"], [PORCH])
        publisher.event(update_event("a"))
        publisher.event(end_event("a", 2))
        subscriber.wait_for_payload(f"{prefix}/state/porch/car", b"OFF")
    assert events(subscriber, prefix) == [
        *(("a", "new", 0), ("b", "end", 1)),
        *(("a", "update", 1), ("a", "end", 2)),
    ]
    states = [message.payload for message in subscriber.of(f"{prefix}/state/porch/car")]
    assert states == [b"ON", b"OFF"]


def test_a_camera_that_is_handed_over_leaves_no_trace_of_its_own(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str
) -> None:
    give(subscriber, prefix, "one")
    with running(make(mosquitto, prefix, worker="one")) as publisher:
        publisher.adopt(["porch"], [], resend=False)
        publisher.declare(["porch"], [PORCH])
        publisher.event(new_event(id="a"))
        publisher.leave(["porch"])
        publisher.event(update_event("a"))
        give(subscriber, prefix, "two")
        settled(publisher, subscriber, prefix)
        assert publisher.open_visits == {}
    assert events(subscriber, prefix) == [("a", "new", 0)]
    retained = {f"{prefix}/{topic}" for topic in ("state/porch/car", "visits/porch")}
    assert {m.topic: bool(m.payload) for m in subscriber.received if m.topic in retained} == (
        dict.fromkeys(retained, True)
    )


def test_it_leaves_a_camera_that_another_owns(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str
) -> None:
    lost: list[str] = []
    give(subscriber, prefix, "one")
    with running(make(mosquitto, prefix, worker="one", on_lost=lost.append)) as publisher:
        publisher.adopt(["porch"], [], resend=False)
        publisher.event(new_event(id="a"))
        settled(publisher, subscriber, prefix)
        give(subscriber, prefix, "two")
        wait_until(lambda: lost == ["porch"])
        publisher.event(update_event("a"))
        publisher.camera_status("porch", "offline")
        settled(publisher, subscriber, prefix)
    assert events(subscriber, prefix) == [("a", "new", 0)]
    assert not subscriber.of(f"{prefix}/cameras/porch/status")


def test_after_an_outage_it_sends_nothing_before_it_knows_whose_its_cameras_are(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str
) -> None:
    """What came while another may have had the camera already is not sent at all."""
    lost: list[str] = []
    late = 0.0
    give(subscriber, prefix, "one")
    give(subscriber, prefix, "one", "yard")
    with MqttProxy(mosquitto.port) as proxy:
        publisher = make(
            proxy,
            prefix,
            worker="one",
            on_lost=lost.append,
            seconds=lambda: time.monotonic() + late,
        )
        with running(publisher):
            publisher.adopt(["porch", "yard"], [], resend=False)
            publisher.event(new_event(id="a"))
            settled(publisher, subscriber, prefix)
            proxy.takes = lambda _: False
            proxy.cut()
            wait_until(lambda: not publisher.connected)
            publisher.event(update_event("a"))
            give(subscriber, prefix, "two")
            late = GRACE_SECONDS + 1
            publisher.event(update_event("a", 2))
            publisher.event(new_event(id="b", camera="yard"))
            proxy.takes = lambda _: True
            assert publisher.wait_connected(20)
            wait_until(lambda: publisher.waiting == 0)
    assert lost == ["porch"]
    # The first may come twice: its acknowledgement may have been lost with the connection.
    once = list(dict.fromkeys(events(subscriber, prefix)))
    assert once == [("a", "new", 0), ("a", "update", 1)]
    assert [event.json["id"] for event in subscriber.of(f"{prefix}/events/yard/car")] == ["b"]


def test_one_that_stood_still_hears_first_whose_its_cameras_are(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str
) -> None:
    lost: list[str] = []
    still = 0.0
    give(subscriber, prefix, "one")
    publisher = make(
        mosquitto,
        prefix,
        worker="one",
        on_lost=lost.append,
        seconds=lambda: time.monotonic() + still,
    )
    with running(publisher):
        publisher.adopt(["porch"], [], resend=False)
        publisher.event(new_event(id="a"))
        settled(publisher, subscriber, prefix)
        # No message of the new owner comes through, as where it waits in a frozen machine.
        publisher._loop._fence._own = {}  # type: ignore[union-attr]
        give(subscriber, prefix, "two")
        publisher._loop._fence._own = {f"{prefix}/cameras/porch/worker": "porch"}  # type: ignore[union-attr]
        still = 60.0
        publisher.event(update_event("a"))
        wait_until(lambda: lost == ["porch"])
        settled(publisher, subscriber, prefix)
    assert events(subscriber, prefix) == [("a", "new", 0)]
