"""The embedded broker."""

from __future__ import annotations

import logging
import socket
import threading

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from streamwatch.config.sections.whole import SnapshotSettings
from streamwatch.errors import PublisherError
from streamwatch.publisher import EmbeddedBroker, Publisher
from tests.parts import free_port
from tests.parts.mosquitto import Subscriber
from tests.publisher.events import end_event, new_event, picture
from tests.publisher.running import running, settings

OLD = MQTTProtocolVersion.MQTTv311


def test_a_whole_visit_arrives_and_retained_messages_are_kept() -> None:
    event = new_event(snapshot=True, picture=picture())
    with EmbeddedBroker() as broker:
        mqtt = settings(broker, "inside", embedded=True)
        with (
            Subscriber(broker.port, version=OLD) as subscriber,
            running(Publisher(mqtt, SnapshotSettings(), None)) as publisher,
        ):
            publisher.event(event)
            publisher.event(end_event(event.id))
            subscriber.wait_for_payload("inside/state/porch/car", b"OFF")
            assert publisher.stop() == 0
            subscriber.wait_for_payload("inside/status", b"offline")
        with Subscriber(broker.port, version=OLD) as late:
            # amqtt sends retained messages twice if another client has the same subscription.
            late.wait_for(lambda messages: len({message.topic for message in messages}) == 3)
    assert sorted({message.topic for message in late.received}) == [
        "inside/snapshot/porch/car",
        "inside/state/porch/car",
        "inside/status",
    ]
    assert [message.topic for message in subscriber.received][1:5] == [
        "inside/snapshot/porch/car",
        "inside/events/porch/car",
        "inside/state/porch/car",
        "inside/events/porch/car",
    ]


def test_it_listens_on_the_given_port() -> None:
    port = free_port()
    with EmbeddedBroker(port) as broker:
        assert broker.port == port
        with socket.create_connection((broker.host, port)):
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((broker.host, port))


def test_a_taken_port_gives_one_clear_error() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(PublisherError) as caught,
    ):
        EmbeddedBroker(taken.getsockname()[1]).start()
    assert str(caught.value) == (
        f"the embedded broker can't listen on 127.0.0.1:{taken_port(caught.value)}: address already"
        " in use; choose another mqtt.port, or 0 for any free one"
    )


def taken_port(error: PublisherError) -> str:
    return str(error).split("127.0.0.1:")[1].split(":")[0]


def test_it_stops_without_warnings_while_clients_are_connected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    broker = EmbeddedBroker()
    broker.start()
    with (
        Subscriber(broker.port, version=OLD),
        socket.create_connection((broker.host, broker.port)),
        socket.create_connection((broker.host, broker.port)) as garbage,
    ):
        garbage.sendall(b"GET / HTTP/1.1\r\n\r\n")
        broker.stop()
        broker.stop()
    assert "broker" not in [thread.name for thread in threading.enumerate()]
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == []
