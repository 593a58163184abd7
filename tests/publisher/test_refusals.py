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
from streamwatch.pixels import Pixels
from streamwatch.publisher import Command, EmbeddedBroker, Publisher
from streamwatch.publisher.mqtt import connection, delivery
from streamwatch.publisher.mqtt.connection import MAX_PACKET_BYTES, default_client_id
from streamwatch.records import MarkedPicture
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.parts.mqtt_proxy import MqttProxy
from tests.parts.waiting import wait_until
from tests.publisher.events import end_event, new_event, picture
from tests.publisher.running import make, running, settings
from tests.publisher.test_outages import said

pytestmark = pytest.mark.slow(seconds=65)

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
        wait_until(lambda: publisher.waiting == 40)  # they are not given up
    assert len(subscriber.of("acl/events/porch/car")) == 2
    assert not subscriber.of("acl/events/secret/car")
    (error,) = said(caplog, logging.ERROR, "")
    assert "acl/events/secret/car" in error
    assert "not authorized" in error
    assert subscriber.of("acl/errors")[0].json["message"] == error
    assert PASSWORD not in caplog.text


def large_picture() -> MarkedPicture:
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    return MarkedPicture(Pixels(noise), (10.0, 10.0, 50.0, 50.0), "noise")


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
        # While its topic is suspected, a picture comes after everything else.
        subscriber.wait_for(lambda _: subscriber.of("large/snapshot/porch/car"), 20)
    events = [message.json["type"] for message in subscriber.of("large/events/porch/car")]
    assert events[0] == "new"
    assert "end" in events
    assert len(subscriber.of("large/snapshot/porch/car")) == 1
    # With 3.1.1 the broker can't say so, and a smaller picture has followed before it was certain.
    errors = said(caplog, logging.ERROR, "")
    assert len(errors) <= 1 if old_version else len(errors) == 1
    assert all("large/snapshot/porch/car" in error for error in errors)


def test_the_client_id_is_stable_and_has_safe_characters() -> None:
    first = default_client_id("home/street watch")
    assert first == default_client_id("home/street watch")
    assert first.startswith("streamwatch-")
    assert first.endswith("-home-street-watch")


@pytest.mark.expects_errors
@pytest.mark.parametrize(
    ("lacking", "said_once"),
    [
        (["max_qos 0"], ["takes messages of QoS 0 only"]),
        (["retain_available false"], ["retains no messages"]),
        (
            ["max_qos 0", "retain_available false"],
            ["takes messages of QoS 0 only", "retains no messages"],
        ),
    ],
    ids=["no QoS 1", "no retain", "neither"],
)
def test_a_broker_that_lacks_something_is_used_as_far_as_it_goes(
    caplog: pytest.LogCaptureFixture, lacking: list[str], said_once: list[str]
) -> None:
    visit = new_event(snapshot=True, picture=picture())
    with (
        Mosquitto(lacking=lacking) as broker,
        Subscriber(broker.port, "less/#", client_id="witness") as subscriber,
        running(make(broker, "less")) as publisher,
    ):
        publisher.event(visit)
        publisher.event(end_event(visit.id))
        subscriber.wait_for_payload("less/state/porch/car", b"OFF")
        wait_until(lambda: publisher.waiting == 0)
        publisher.stop()
        subscriber.wait_for_payload("less/status", b"offline")
    assert [m.json["type"] for m in subscriber.of("less/events/porch/car")] == ["new", "end"]
    assert len(subscriber.of("less/snapshot/porch/car")) == 1
    errors = said(caplog, logging.ERROR, "")
    assert len(errors) == len(said_once)
    for error, words in zip(errors, said_once, strict=True):
        assert words in error
    assert [m.json["message"] for m in subscriber.of("less/errors")] == errors


@pytest.mark.expects_errors
def test_the_will_of_a_broker_that_lacks_something_is_published() -> None:
    with (
        Mosquitto(lacking=["max_qos 0", "retain_available false"]) as broker,
        MqttProxy(broker.port) as proxy,
        Subscriber(broker.port, "will/#", client_id="witness") as subscriber,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(connection, "WILL_DELAY_SECONDS", 0)
        with running(make(proxy, "will")):
            subscriber.wait_for_payload("will/status", b"online")
            proxy.cut()
            subscriber.wait_for_payload("will/status", b"offline")


def test_a_refusal_without_a_user_name_names_the_client_id(
    guarded: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    mqtt = settings(guarded, "acl", client_id="porch-watcher")
    with running(Publisher(mqtt, SnapshotSettings(), None), connected=False) as publisher:
        assert not publisher.wait_connected(3)
    (warning,) = said(caplog, logging.WARNING, "")
    assert warning == (
        f"broker 127.0.0.1:{guarded.port} refuses the connection (not authorised): it may want an"
        " mqtt.username, or its access list may not let in the client id 'porch-watcher', see"
        " mqtt.client_id; retrying, alerts wait"
    )


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_false_broker_that_takes_only_the_status_loses_nothing(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    """It closes the connection at every other message for a while."""
    visits = [new_event(camera=camera) for camera in ("porch", "yard") for _ in range(3)]
    with (
        MqttProxy(mosquitto.port) as proxy,
        Subscriber(mosquitto.port, "false/#") as subscriber,
    ):
        proxy.takes = lambda topic: topic == "false/status"
        mqtt = settings(proxy, "false", embedded=version == "3.1.1")
        with running(Publisher(mqtt, SnapshotSettings(), None)) as publisher:
            for visit in visits:
                publisher.event(visit)
                publisher.event(end_event(visit.id, camera=visit.camera))
            wait_until(lambda: proxy.connects >= 12, 60)
            assert publisher.waiting == 2 * len(visits)
            proxy.takes = lambda _: True
            wait_until(lambda: publisher.waiting == 0, 60)
    for visit in visits:
        told = [m.json for m in subscriber.of(f"false/events/{visit.camera}/car")]
        assert {e["type"] for e in told if e["id"] == visit.id} == {"new", "end"}
    for camera in ("porch", "yard"):
        told = [m.json for m in subscriber.of(f"false/events/{camera}/car")]
        first = {(e["id"], e["sequence"]): None for e in told}
        ids = [visit.id for visit in visits if visit.camera == camera]
        assert [*first] == [(each, sequence) for each in ids for sequence in (0, 1)]
    assert not said(caplog, logging.ERROR, "")


@pytest.mark.expects_errors
def test_a_broker_that_acknowledges_nothing_is_left_and_told(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ANSWER_SECONDS", 2.0)
    with (
        MqttProxy(mosquitto.port) as proxy,
        Subscriber(mosquitto.port, "mute/#") as subscriber,
        running(make(proxy, "mute")) as publisher,
    ):
        wait_until(lambda: bool(subscriber.of("mute/status")))
        proxy.mute = True
        publisher.event(new_event(id="a"))
        wait_until(lambda: proxy.connects >= 3)
        assert not publisher.connected
        proxy.mute = False
        wait_until(lambda: publisher.waiting == 0)
        wait_until(lambda: publisher.connected)
        subscriber.wait_for(lambda _: subscriber.of("mute/errors"))
    (error,) = {*said(caplog, logging.ERROR, "")}
    assert error.startswith("the broker has acknowledged nothing for")
    assert {m.json["id"] for m in subscriber.of("mute/events/porch/car")} == {"a"}


def test_a_huge_message_is_not_sent_to_us(mosquitto: Mosquitto) -> None:
    """The broker is told how large a message may be: paho would hold it in memory."""
    arrived: list[Command] = []
    publisher = make(mosquitto, "huge", mqtt={"commands": True}, on_command=arrived.append)
    with (
        running(publisher),
        Subscriber(mosquitto.port, "huge/result/#") as subscriber,
    ):
        for size in (MAX_PACKET_BYTES + 1000, 100_000, 10):
            subscriber.publish("huge/command/reload", b"x" * size)
        wait_until(lambda: bool(arrived))
        subscriber.wait_for(lambda messages: messages)
    assert [len(command.payload) for command in arrived] == [10]
    (answer,) = subscriber.of("huge/result/reload")
    assert "65,536 bytes" in answer.json["message"]
