"""Brokers that are unreachable, killed, frozen or restarted."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Sequence

import pytest

from streamwatch.publisher.mqtt import connection
from streamwatch.publisher.mqtt.attempt import Notice
from streamwatch.publisher.mqtt.connection import Connection
from tests.parts import free_port
from tests.parts.mosquitto import Mosquitto, Received, StartMosquitto, Subscriber
from tests.parts.waiting import wait_until
from tests.publisher.events import end_event, new_event, picture
from tests.publisher.running import make, running, settings

pytestmark = pytest.mark.slow(seconds=50)


def sequences(messages: Sequence[Received], topic: str) -> list[int]:
    """The sequence numbers on `topic` in order of arrival, without redelivered ones."""
    came = [message.json["sequence"] for message in messages if message.topic == topic]
    return list(dict.fromkeys(came))


def said(caplog: pytest.LogCaptureFixture, level: int, text: str) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and text in record.getMessage()
    ]


def test_a_broker_that_starts_late_gets_everything_in_order(
    start_mosquitto: StartMosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "streamwatch")
    broker: Mosquitto = start_mosquitto()
    visit = new_event(snapshot=True, picture=picture())
    with Subscriber(broker.port, "away/#", client_id="witness") as subscriber:
        broker.stop()
        publisher = make(broker, "away")
        with running(publisher, connected=False):
            publisher.declare(["porch"], [("porch", "car"), ("porch", "dog")])
            publisher.camera_status("porch", "offline")
            publisher.camera_status("porch", "online")
            publisher.event(visit)
            for sequence in range(1, 60):
                publisher.event(new_event(id=visit.id, type="update", sequence=sequence))
            publisher.event(end_event(visit.id, 60))
            assert not publisher.wait_connected(1.5)
            assert publisher.waiting == 61
            broker.start()
            assert publisher.wait_connected(15)
            messages = subscriber.wait_for(
                lambda messages: messages and b'"end"' in messages[-1].payload
            )
        assert publisher.waiting == 0
    topics = [message.topic for message in messages]
    assert topics[:5] == [
        "away/status",
        "away/cameras/porch/status",
        "away/state/porch/car",
        "away/state/porch/dog",
        "away/snapshot/porch/car",
    ]
    assert [message.payload for message in messages[:4]] == [b"online", b"online", b"OFF", b"OFF"]
    assert topics[5:] == ["away/events/porch/car"] * 61
    assert sequences(messages, "away/events/porch/car") == list(range(61))
    (warning,) = said(caplog, logging.WARNING, "not reachable")
    assert warning == (
        f"broker 127.0.0.1:{broker.port} is not reachable (connection refused);"
        " retrying, alerts wait"
    )
    assert said(caplog, logging.INFO, "failed attempts")


def test_an_unreachable_ipv6_broker_is_named_in_brackets(
    start_mosquitto: StartMosquitto, ipv6: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker: Mosquitto = start_mosquitto(host=ipv6)
    with running(make(broker, "six")) as publisher:
        broker.kill()
        wait_until(lambda: bool(said(caplog, logging.WARNING, "not reachable")))
        assert not publisher.connected
    (warning,) = said(caplog, logging.WARNING, "not reachable")
    assert warning.startswith(f"broker [::1]:{broker.port} is not reachable (connection refused)")


def test_no_event_is_lost_when_the_broker_is_killed_twice(
    start_mosquitto: StartMosquitto,
) -> None:
    """Killed while it has unacknowledged messages, and frozen for those: mosquitto 2.0.11 loses
    what it acknowledged in the milliseconds before it saves."""
    broker: Mosquitto = start_mosquitto()
    cameras = ("porch", "yard")
    visits = {camera: new_event().id for camera in cameras}
    count = 400
    with (
        Subscriber(broker.port, "kills/#", client_id="witness") as subscriber,
        running(make(broker, "kills")) as publisher,
    ):
        for sequence in range(count):
            for camera in cameras:
                publisher.event(new_event(id=visits[camera], camera=camera, sequence=sequence))
            if sequence in (100, 250):
                wait_until(lambda: publisher.waiting == 0)
                time.sleep(0.5)
                broker.freeze()
            if sequence in (120, 270):
                broker.kill()
            if sequence in (150, 300):
                broker.start()
            time.sleep(0.005)
        for camera in cameras:
            publisher.event(end_event(visits[camera], count, camera=camera))
        messages = subscriber.wait_for(
            lambda messages: sum(b'"end"' in message.payload for message in messages) >= 2, 30
        )
        subscriber.wait_for_payload("kills/status", b"online")
        for camera in cameras:
            subscriber.wait_for_payload(f"kills/state/{camera}/car", b"OFF")
    for camera in cameras:
        assert sequences(messages, f"kills/events/{camera}/car") == list(range(count + 1))
    doubled = sum("/events/" in message.topic for message in messages) - 2 * (count + 1)
    assert doubled <= 2 * 20


def test_a_frozen_broker_blocks_neither_events_nor_stop(
    start_mosquitto: StartMosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    broker: Mosquitto = start_mosquitto()
    publisher = make(broker, "frozen")
    with running(publisher):
        broker.freeze()
        before = time.monotonic()
        for _ in range(2000):
            publisher.event(new_event())
        undelivered = publisher.stop(2.0)
        # Anything that waits for this broker would wait until the keepalive runs out.
        assert time.monotonic() - before < connection.KEEPALIVE_SECONDS
    broker.thaw()
    with Subscriber(broker.port, "frozen/status") as subscriber:
        subscriber.wait_for_payload("frozen/status", b"offline", 20)
    assert 1980 <= undelivered <= 2000
    assert said(caplog, logging.WARNING, f"{undelivered} alerts could not be delivered")


def test_a_broker_that_was_frozen_for_long_gets_everything(
    start_mosquitto: StartMosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_SECONDS", 3)
    broker: Mosquitto = start_mosquitto()
    visit = new_event()
    with (
        Subscriber(broker.port, "thawed/#", client_id="witness") as subscriber,
        running(make(broker, "thawed")) as publisher,
    ):
        broker.freeze()
        for sequence in range(100):
            publisher.event(new_event(id=visit.id, sequence=sequence))
        wait_until(lambda: not publisher.connected, 40)
        broker.thaw()
        messages = subscriber.wait_for(
            lambda messages: len(set(sequences(messages, "thawed/events/porch/car"))) == 100, 30
        )
        assert sequences(messages, "thawed/events/porch/car") == list(range(100))
        subscriber.wait_for_payload("thawed/status", b"online")


def test_a_stop_during_an_outage_reports_undelivered_alerts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Nobody:
        host = "127.0.0.1"
        port = free_port()

    publisher = make(Nobody(), "nobody")
    publisher.start()
    publisher.event(new_event())
    publisher.event(new_event())
    assert publisher.stop(1.0) == 2
    assert said(caplog, logging.WARNING, "2 alerts could not be delivered")
    idle = make(Nobody(), "nobody")
    idle.start()
    before = time.monotonic()
    assert idle.stop(30.0) == 0
    assert time.monotonic() - before < 10


def test_two_daemons_with_one_client_id_give_a_warning(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings() -> list[str]:
        return said(caplog, logging.WARNING, "perhaps another program")

    with running(make(mosquitto, "same")), running(make(mosquitto, "same"), connected=False):
        wait_until(lambda: bool(warnings()))
    assert "-same" in warnings()[0]


@pytest.mark.expects_errors
def test_a_full_outbox_is_reported_once_and_dropped_alerts_are_counted(
    start_mosquitto: StartMosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    broker: Mosquitto = start_mosquitto()
    visits = [new_event() for _ in range(5)]
    with Subscriber(broker.port, "crowd/#", client_id="witness") as subscriber:
        broker.stop()
        with running(
            make(broker, "crowd", mqtt={"outbox": {"max_size": "2400B"}}),
            connected=False,
        ) as publisher:
            for visit in visits:
                publisher.event(visit)
                publisher.event(end_event(visit.id))
            wait_until(lambda: publisher.waiting == 4)
            broker.start()
            assert publisher.wait_connected(15)
            subscriber.wait_for(lambda _: len(subscriber.of("crowd/events/porch/car")) == 4)
    kept = [message.json["id"] for message in subscriber.of("crowd/events/porch/car")]
    assert kept == [visits[3].id, visits[3].id, visits[4].id, visits[4].id]
    (error,) = said(caplog, logging.ERROR, "no room for more")
    assert subscriber.of("crowd/errors")[0].json["message"] == error
    assert said(caplog, logging.WARNING, "6 alerts were dropped while the broker was away")


def connected(broker: Mosquitto) -> Connection:
    """An open connection, with its will on brief/status."""
    notices: queue.SimpleQueue[Notice] = queue.SimpleQueue()
    made = Connection(
        settings(broker, "brief"), "brief/status", post=notices.put, seconds=time.monotonic
    )
    made.attempt()
    assert made.take(notices.get(timeout=10)) == "up"  # type: ignore[arg-type]
    return made


def test_the_will_is_not_sent_if_the_client_reconnects_soon(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash. Without a reconnect the will is sent after its delay."""
    assert connection.WILL_DELAY_SECONDS == 10
    monkeypatch.setattr(connection, "WILL_DELAY_SECONDS", 5)
    with Subscriber(mosquitto.port, "brief/status") as subscriber:
        connected(mosquitto).close(will=True)
        time.sleep(1)
        again = connected(mosquitto)
        time.sleep(6)
        assert subscriber.received == ()
        again.close(will=True)
        subscriber.wait_for_payload("brief/status", b"offline", 20)
