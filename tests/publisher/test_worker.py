"""A publisher that is one of several workers on a prefix."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from streamwatch.config.sections.whole import SnapshotSettings
from streamwatch.publisher import ErrorReport
from streamwatch.publisher.outbox.sqlite import SqliteOutbox
from streamwatch.publisher.share import GRACE_SECONDS
from streamwatch.publisher.visits import visits_of
from streamwatch.records import Event
from tests.parts.mosquitto import Mosquitto, Received, StartMosquitto, Subscriber
from tests.parts.mqtt_proxy import MqttProxy
from tests.parts.waiting import wait_until
from tests.publisher.events import MOMENT, end_event, near_miss, new_event, update_event
from tests.publisher.running import make, running, settings, settled

pytestmark = pytest.mark.slow(seconds=25)

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
    with running(
        make(mosquitto, prefix, worker="one", on_lost=lambda camera, _: lost.append(camera))
    ) as publisher:
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
    """What came while another may have had the camera already is not sent at all, and of what came
    before only what began then: the other goes on with the rest."""
    lost: list[str] = []
    late = 0.0
    give(subscriber, prefix, "one")
    give(subscriber, prefix, "one", "yard")
    with MqttProxy(mosquitto.port) as proxy:
        publisher = make(
            proxy,
            prefix,
            worker="one",
            on_lost=lambda camera, _: lost.append(camera),
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
            publisher.event(new_event(id="d"))
            publisher.event(update_event("d"))
            give(subscriber, prefix, "two")
            late = GRACE_SECONDS + 1
            publisher.event(update_event("a", 2))
            publisher.event(new_event(id="c"))
            publisher.event(new_event(id="b", camera="yard"))
            proxy.takes = lambda _: True
            assert publisher.wait_connected(20)
            wait_until(lambda: publisher.waiting == 0)
            publisher.end([end_event("c"), end_event("d", 2)])  # nobody was told of c
            settled(publisher, subscriber, prefix)
    assert lost == ["porch"]
    # The first may come twice: its acknowledgement may have been lost with the connection.
    once = list(dict.fromkeys(events(subscriber, prefix)))
    assert once == [("a", "new", 0), ("d", "new", 0), ("d", "end", 1)]
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
        on_lost=lambda camera, _: lost.append(camera),
        seconds=lambda: time.monotonic() + still,
    )
    with running(publisher):
        publisher.adopt(["porch"], [], resend=False)
        publisher.event(new_event(id="a"))
        settled(publisher, subscriber, prefix)
        # No message of the new owner comes through, as where it waits in a frozen machine.
        publisher._loop._share.fence._own = {}  # type: ignore[union-attr]
        give(subscriber, prefix, "two")
        publisher._loop._share.fence._own = {f"{prefix}/cameras/porch/worker": "porch"}  # type: ignore[union-attr]
        still = 60.0
        publisher.event(update_event("a"))
        wait_until(lambda: lost == ["porch"])
        settled(publisher, subscriber, prefix)
    assert events(subscriber, prefix) == [("a", "new", 0)]


def test_an_outage_before_the_owners_are_heard_does_not_end_it(
    start_mosquitto: StartMosquitto, prefix: str
) -> None:
    broker = start_mosquitto()
    away = 0.0
    publisher = make(broker, prefix, worker="one", seconds=lambda: time.monotonic() + away)
    with running(publisher):
        publisher.adopt(["porch"], [], resend=False)
        wait_until(lambda: publisher._loop._share.fence.is_own("porch"))  # type: ignore[union-attr]
        broker.stop()
        wait_until(lambda: not publisher.connected)
        with Mosquitto(port=broker.port):
            wait_until(lambda: publisher._loop._connection.up)
        wait_until(lambda: not publisher._loop._connection.up)
        assert not publisher.connected
        publisher.event(new_event(id="a"))
        turned_at = publisher.turned_at
        away = 3.0
        wait_until(lambda: publisher.turned_at > turned_at + 3)
        assert publisher.failure is None
        assert not publisher.connected


def test_a_stop_while_it_waits_for_the_owners_loses_nothing(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str, tmp_path: Path
) -> None:
    """And the broker says that it is gone."""
    file = tmp_path / "outbox.sqlite3"
    with running(make(mosquitto, prefix, worker="one", outbox=file)) as publisher:
        publisher.adopt(["porch"], [], resend=False)
        share = publisher._loop._share
        assert share is not None
        wait_until(lambda: share.owns("porch"))
        share.fence.subscribed = lambda notice: None  # type: ignore[method-assign]
        publisher._loop._connection.cut()
        wait_until(lambda: not publisher.connected)
        wait_until(lambda: publisher._loop._connection.up)
        publisher.event(new_event(id="a"))
        assert publisher.stop(2) == 1
    subscriber.wait_for_payload(f"{prefix}/workers/one/status", b"offline")
    assert events(subscriber, prefix) == []
    with running(make(mosquitto, prefix, worker="one", outbox=file)) as publisher:
        publisher.send_left_over(["a"])
        subscriber.wait_for(lambda messages: _of(messages, f"{prefix}/events/porch/car"))


def undelivered(folder: Path, *events: Event) -> Path:
    """The outbox of a worker that was killed with these in it."""
    file = folder / "outbox.sqlite3"
    outbox = SqliteOutbox(file)
    for event in events:
        outbox.add(event, time.monotonic())
    outbox.close()
    return file


def test_a_former_run_tells_only_of_visits_that_nobody_was_told_of(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str, tmp_path: Path
) -> None:
    """The camera's next worker goes on with the others, under the same numbers."""
    told, later = (update_event("told", 3), end_event("told", 4)), new_event(id="later")
    untold = (new_event(id="untold"), update_event("untold", 1), end_event("untold", 2))
    file = undelivered(tmp_path, *told, *untold, later)
    with running(make(mosquitto, prefix, worker="one", outbox=file)) as publisher:
        left = [(event.id, event.sequence) for event in publisher.left_over]
        assert left == [("untold", 2), ("later", 0)]
        settled(publisher, subscriber, prefix)
        assert events(subscriber, prefix) == []
        publisher.drop_left_over(["later"])
        publisher.send_left_over(["untold", "told", "unknown"])
        settled(publisher, subscriber, prefix)
        wait_until(lambda: publisher.waiting == 0)
    assert events(subscriber, prefix) == [
        *(("untold", "new", 0), ("untold", "update", 1), ("untold", "end", 2)),
    ]


def test_what_is_released_without_a_connection_waits_for_one(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str, tmp_path: Path
) -> None:
    file = undelivered(tmp_path, new_event(id="a"), new_event(id="b"))
    publisher = make(mosquitto, prefix, worker="one", outbox=file)
    publisher.send_left_over(["a"])
    with running(publisher):
        settled(publisher, subscriber, prefix)
        wait_until(lambda: publisher.waiting == 1)
    assert events(subscriber, prefix) == [("a", "new", 0)]
    with running(make(mosquitto, prefix, worker="one", outbox=file)) as publisher:
        assert [event.id for event in publisher.left_over] == ["b"]


def test_a_camera_that_another_has_got_before_its_watches_were_declared_leaves_nothing(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str
) -> None:
    lost: list[str] = []
    give(subscriber, prefix, "two")
    with running(
        make(mosquitto, prefix, worker="one", on_lost=lambda camera, _: lost.append(camera))
    ) as publisher:
        publisher.adopt(["porch"], [new_event(id="a")], resend=False)
        wait_until(lambda: lost == ["porch"])
        assert publisher.open_visits == {}
        settled(publisher, subscriber, prefix)  # else its own "ON" may come later
        subscriber.publish(f"{prefix}/state/porch/car", b"OFF", retain=True)
        publisher._loop._connection.cut()
        wait_until(lambda: not publisher.connected)
        assert publisher.wait_connected(20)
        settled(publisher, subscriber, prefix)
    assert subscriber.of(f"{prefix}/state/porch/car")[-1].payload == b"OFF"


def test_a_visit_that_was_not_told_yet_is_kept_as_a_new_one(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str
) -> None:
    """Another worker may have to tell it."""
    give(subscriber, prefix, "one")
    with running(make(mosquitto, prefix, worker="one")) as publisher:
        publisher.adopt(["porch"], [], resend=False)
        publisher.event(new_event(id="a"))
        publisher.remember([update_event("a", 0, confidence=0.5)])
        settled(publisher, subscriber, prefix)
    (kept,) = visits_of(subscriber.of(f"{prefix}/visits/porch")[-1].payload, MOMENT)
    assert (kept.last.type, kept.last.sequence, kept.last.confidence) == ("new", 0, 0.5)


def test_a_refused_subscription_is_told_and_alerts_go_on(
    start_mosquitto: StartMosquitto, prefix: str
) -> None:
    """That of `mosquitto` refuses none: the rule is about what is delivered."""
    acl = f"topic deny {prefix}/cameras/+/worker\ntopic readwrite #\n"
    broker = start_mosquitto(acl=acl)
    with (
        Subscriber(broker.port, f"{prefix}/#") as subscriber,
        running(make(broker, prefix, worker="one")) as publisher,
    ):
        publisher.adopt(["porch"], [], resend=False)
        publisher._loop._connection.cut()
        wait_until(lambda: not publisher.connected)
        publisher.event(new_event(id="a"))
        subscriber.wait_for(lambda messages: _of(messages, f"{prefix}/events/porch/car"))


def test_another_broker_is_asked_whose_its_cameras_are(
    mosquitto: Mosquitto, start_mosquitto: StartMosquitto, prefix: str
) -> None:
    lost: list[str] = []
    other = start_mosquitto()
    with (
        Subscriber(other.port, f"{prefix}/#") as subscriber,
        running(
            make(mosquitto, prefix, worker="one", on_lost=lambda camera, _: lost.append(camera))
        ) as publisher,
    ):
        publisher.adopt(["porch", "yard"], [], resend=False)
        give(subscriber, prefix, "two")
        give(subscriber, prefix, "one", "yard")
        publisher.reconfigure(settings(other, prefix), SnapshotSettings(), None)
        publisher.adopt(["hall"], [], resend=False)
        publisher.event(new_event(id="a"))
        publisher.event(new_event(id="b", camera="yard"))
        subscriber.wait_for(lambda messages: _of(messages, f"{prefix}/events/yard/car"))
        wait_until(lambda: lost == ["porch"])


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_events_between_leaving_a_camera_and_getting_it_again_are_not_told(
    mosquitto: Mosquitto, subscriber: Subscriber, prefix: str, version: str
) -> None:
    give(subscriber, prefix, "one")
    publisher = make(mosquitto, prefix, worker="one")
    if version == "3.1.1":
        publisher._loop._connection._version = MQTTProtocolVersion.MQTTv311
    with running(publisher):
        publisher.adopt(["porch"], [], resend=False)
        publisher.declare(["porch"], [PORCH])
        publisher.event(new_event(id="a"))
        publisher.leave(["porch"])
        publisher.event(update_event("a"))
        publisher.event(end_event("a", 2))
        publisher.near_miss(near_miss(), None)
        publisher.event(new_event(id="r", type="rejected"))
        publisher.adopt(["porch"], [update_event("a", 0)], resend=False)
        publisher.declare(["porch"], [PORCH])
        publisher.event(update_event("a", 1))
        publisher.event(end_event("a", 2))
        settled(publisher, subscriber, prefix)
        assert publisher._loop._connection.version == version
    assert events(subscriber, prefix) == [("a", "new", 0), ("a", "update", 1), ("a", "end", 2)]
    topics = {message.topic for message in subscriber.received}
    assert not [topic for topic in topics if "/near/" in topic or "/rejected/" in topic]
    assert subscriber.of(f"{prefix}/state/porch/car")[-1].payload == b"OFF"


def test_a_slow_task_is_no_pause(mosquitto: Mosquitto, subscriber: Subscriber, prefix: str) -> None:
    give(subscriber, prefix, "one")
    passed = 0.0
    publisher = make(mosquitto, prefix, worker="one", seconds=lambda: time.monotonic() + passed)
    with running(publisher):
        publisher.adopt(["porch"], [], resend=False)
        settled(publisher, subscriber, prefix)
        number = publisher._loop._connection.number

        def be_slow() -> None:
            nonlocal passed
            passed += 2.0

        for _ in range(5):
            publisher._tasks.put(be_slow)
        publisher.event(new_event(id="a"))
        settled(publisher, subscriber, prefix)
        assert publisher._loop._connection.number == number
    assert events(subscriber, prefix) == [("a", "new", 0)]
