"""Brokers that refuse: the protocol version, the password, a topic, a message size."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from pydantic import SecretStr

from streamwatch.config.sections.mqtt import MqttSettings
from streamwatch.config.sections.whole import SnapshotSettings
from streamwatch.publisher import EmbeddedBroker, Publisher
from streamwatch.publisher.mqtt.connection import default_client_id
from streamwatch.records import Picture
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.publisher.events import end_event, new_event, picture
from tests.publisher.running import make, running, settings, wait_until
from tests.publisher.test_outages import said

PASSWORD = "correct-horse"
V311_CONNECTED = b"\x20\x02\x00\x00"
V311_UNSUPPORTED_VERSION = b"\x20\x02\x00\x01"
PROTOCOL_LEVEL = 8
"""Offset of the version in a CONNECT with a one-byte remaining length: 5, or 4 for 3.1.1."""


class Acceptor:
    """Accepts TCP connections and answers the first bytes of each with the next of `answers`."""

    def __init__(self, answers: list[bytes]) -> None:
        self.host = "127.0.0.1"
        self.levels: list[int] = []
        self._answers = answers
        self._socket = socket.create_server((self.host, 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        for answer in self._answers:
            peer, _ = self._socket.accept()
            with peer:
                self.levels.append(peer.recv(1024)[PROTOCOL_LEVEL])
                peer.sendall(answer)
                if answer == V311_CONNECTED:
                    peer.recv(1024)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._thread.join(10)
            self._socket.close()


def test_a_broker_that_refuses_mqtt_5_gets_3_1_1() -> None:
    broker = Acceptor([V311_UNSUPPORTED_VERSION, V311_CONNECTED])
    with broker.running(), running(make(broker, "old")):
        assert broker.levels == [5, 4]


def test_a_broker_that_closes_without_an_answer_gets_the_other_version(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = Acceptor([b"", b"", V311_CONNECTED])
    with broker.running(), running(make(broker, "silent")):
        assert broker.levels == [5, 5, 4]
    (warning,) = said(caplog, logging.WARNING, "does not answer as an MQTT broker")
    assert f"127.0.0.1:{broker.port}" in warning


def test_an_mqtt_3_1_1_broker_is_detected() -> None:
    visit = new_event()
    with (
        EmbeddedBroker() as broker,
        Subscriber(broker.port, version=MQTTProtocolVersion.MQTTv311) as subscriber,
        running(make(broker, "found")) as publisher,
    ):
        publisher.event(visit)
        subscriber.wait_for_payload("found/state/porch/car", b"ON")


def test_a_server_that_never_answers_does_not_delay_the_stop() -> None:
    class Silent:
        host = "127.0.0.1"

        def __init__(self, port: int) -> None:
            self.port = port

    with socket.create_server(("127.0.0.1", 0)) as server:
        publisher = make(Silent(server.getsockname()[1]), "silence")
        publisher.start()
        assert not publisher.wait_connected(0.5)
        publisher.event(new_event())
        before = time.monotonic()
        assert publisher.stop(1.5) == 1
        assert time.monotonic() - before < 4


def test_an_invalid_host_name_gives_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    mqtt = MqttSettings().model_copy(update={"host": "a..b", "topic_prefix": "nowhere"})
    with running(Publisher(mqtt, SnapshotSettings(), None), connected=False) as publisher:
        assert not publisher.wait_connected(0.3)
    assert said(
        caplog, logging.WARNING, "broker a..b:1883 is not reachable (not a valid host name)"
    )


@pytest.fixture(scope="module")
def guarded() -> Iterator[Mosquitto]:
    acl = "user watcher\ntopic readwrite acl/#\ntopic deny acl/events/secret/#\n"
    acl += "user subscriber\ntopic read #\n"
    with Mosquitto(users={"watcher": PASSWORD, "subscriber": "sub"}, acl=acl) as broker:
        yield broker


def test_a_wrong_password_gives_one_clear_warning(
    guarded: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mqtt = settings(guarded, "acl", username="watcher", password=SecretStr("wrong-horse"))
    with running(Publisher(mqtt, SnapshotSettings(), None), connected=False) as publisher:
        assert not publisher.wait_connected(3)
    (warning,) = said(caplog, logging.WARNING, "")
    assert warning == (
        f"broker 127.0.0.1:{guarded.port} refuses the user name or password (not authorised);"
        " see mqtt.username and mqtt.password; retrying, alerts wait"
    )
    assert "wrong-horse" not in caplog.text
    assert guarded.log.count("not authorised") == 1


@pytest.mark.expects_errors
def test_a_forbidden_topic_holds_up_nothing(
    guarded: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mqtt = settings(guarded, "acl", username="watcher", password=SecretStr(PASSWORD))
    visit = new_event()
    with (
        Subscriber(guarded.port, "acl/#", username="subscriber", password="sub") as subscriber,
        running(Publisher(mqtt, SnapshotSettings(), None)) as publisher,
    ):
        for sequence in range(40):
            publisher.event(new_event(id=visit.id, camera="secret", sequence=sequence))
        publisher.event(visit)
        publisher.event(end_event(visit.id))
        subscriber.wait_for(lambda messages: messages and b'"end"' in messages[-1].payload)
        wait_until(lambda: publisher.waiting == 0)
    assert len(subscriber.of("acl/events/porch/car")) == 2
    assert not subscriber.of("acl/events/secret/car")
    (error,) = said(caplog, logging.ERROR, "")
    assert "acl/events/secret/car" in error
    assert "not authorized" in error
    assert subscriber.of("acl/errors")[0].json["message"] == error
    assert PASSWORD not in caplog.text


def large_picture() -> Picture:
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    return Picture(noise, (10.0, 10.0, 50.0, 50.0), "noise")


@pytest.mark.expects_errors
@pytest.mark.parametrize("old_version", [False, True], ids=["5", "3.1.1"])
def test_a_message_too_large_for_the_broker_holds_up_nothing(
    start_mosquitto: StartMosquitto, caplog: pytest.LogCaptureFixture, old_version: bool
) -> None:
    broker = start_mosquitto(max_packet_size=30_000)
    mqtt = settings(broker, "large", embedded=old_version)  # embedded: MQTT 3.1.1 from the start
    visit = new_event(snapshot=True, picture=large_picture())
    with (
        Subscriber(broker.port, "large/#", client_id="witness") as subscriber,
        running(Publisher(mqtt, SnapshotSettings(), None)) as publisher,
    ):
        publisher.event(visit)
        publisher.event(end_event(visit.id))
        subscriber.wait_for(lambda messages: any(b'"end"' in each.payload for each in messages), 20)
        subscriber.wait_for_payload("large/state/porch/car", b"OFF")
        publisher.event(new_event(snapshot=True, picture=picture()))
        subscriber.wait_for_payload("large/state/porch/car", b"ON")
    events = [message.json["type"] for message in subscriber.of("large/events/porch/car")]
    assert events[0] == "new"
    assert "end" in events
    assert len(subscriber.of("large/snapshot/porch/car")) == 1
    (error,) = said(caplog, logging.ERROR, "")
    assert "large/snapshot/porch/car" in error


def test_the_client_id_is_stable_and_has_safe_characters() -> None:
    first = default_client_id("home/street watch")
    assert first == default_client_id("home/street watch")
    assert first.startswith("streamwatch-")
    assert first.endswith("-home-street-watch")
