"""Commands over MQTT, and the topics of their answers."""

from __future__ import annotations

import logging
import queue
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from streamwatch.config.sections.whole import SnapshotSettings
from streamwatch.publisher import Command, EmbeddedBroker, Publisher, Reply
from streamwatch.publisher.mqtt.attempt import Arrived
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.parts.waiting import wait_until
from tests.publisher.events import new_event
from tests.publisher.running import Broker, running, settings

OLD = MQTTProtocolVersion.MQTTv311


class Listener:
    """A publisher that collects its commands."""

    def __init__(self, broker: Broker, prefix: str, **changes: Any) -> None:
        self.mqtt = settings(broker, prefix, **{"commands": True, **changes})
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.publisher = Publisher(
            self.mqtt, SnapshotSettings(), None, on_command=self.commands.put
        )

    def next(self) -> Command:
        return self.commands.get(timeout=10)

    def change(self, **changes: Any) -> None:
        self.mqtt = self.mqtt.model_copy(update=changes)
        self.publisher.reconfigure(self.mqtt, SnapshotSettings(), None)


@contextmanager
def listening(broker: Broker, prefix: str, **changes: Any) -> Iterator[Listener]:
    listener = Listener(broker, prefix, **changes)
    with running(listener.publisher):
        yield listener


def wait_until_subscribed(listener: Listener, requester: Subscriber, prefix: str) -> None:
    """Repeat a command until it arrives: the first may be sent before the subscription."""

    def asked() -> bool:
        requester.publish(f"{prefix}/command/hello")
        try:
            return listener.commands.get(timeout=0.2).verb == "hello"
        except queue.Empty:
            return False

    wait_until(asked)


def test_an_mqtt_5_request_is_answered_on_both_topics(mosquitto: Mosquitto) -> None:
    with (
        Subscriber(mosquitto.port, "#") as requester,
        listening(mosquitto, "five") as listener,
    ):
        wait_until_subscribed(listener, requester, "five")
        requester.publish(
            "five/command/watch/set",
            '{"id": 1}',
            response_topic="answers/me",
            correlation=b"\x00\xff",
        )
        command = listener.next()
        assert command == Command("watch/set", b'{"id": 1}', Reply("answers/me", b"\x00\xff"))
        requester.clear()
        listener.publisher.answer(
            command.reply, command.verb, 1, ok=False, message="no", result={"a": [1]}
        )
        requester.wait_for(lambda messages: len(messages) == 2)
    for topic in ("answers/me", "five/result/watch/set"):
        (answer,) = requester.of(topic)
        assert answer.json == {"id": 1, "ok": False, "message": "no", "result": {"a": [1]}}
        assert (answer.qos, answer.retain, answer.correlation) == (1, False, b"\x00\xff")


def test_the_result_topic_may_be_the_response_topic(mosquitto: Mosquitto) -> None:
    with (
        Subscriber(mosquitto.port, "own/result/#") as requester,
        listening(mosquitto, "own") as listener,
    ):
        wait_until_subscribed(listener, requester, "own")
        requester.publish("own/command/reload", response_topic="own/result/reload")
        command = listener.next()
        listener.publisher.answer(command.reply, "reload", "x", ok=True)
        listener.publisher.answer(command.reply, "reload", None, ok=True)
        first, second = requester.wait_for(lambda messages: len(messages) == 2)
    assert first.payload == b'{"id": "x", "ok": true}'
    assert second.json == {"id": None, "ok": True}


@pytest.mark.parametrize(
    "topic",
    [
        *("refused", "refused/state/porch/dog", "refused/command/reload", "refused/result"),
        *("answers/+", "answers/#", "$SYS/x"),
    ],
)
def test_unsafe_response_topics_are_refused(mosquitto: Mosquitto, topic: str) -> None:
    with (
        Subscriber(mosquitto.port, "#") as requester,
        listening(mosquitto, "refused") as listener,
    ):
        wait_until_subscribed(listener, requester, "refused")
        requester.clear()
        if "+" in topic or "#" in topic:
            # mosquitto refuses such a topic as malformed, so pretend that a broker passed it on.
            number = listener.publisher._loop._connection.number
            listener.publisher._loop._post(
                Arrived(number, "refused/command/reload", b"{}", False, topic, b"7")
            )
        else:
            requester.publish(
                "refused/command/reload", b"{}", response_topic=topic, correlation=b"7"
            )
        requester.wait_for(lambda _: requester.of("refused/result/reload"))
        assert listener.commands.empty()
    (answer,) = requester.of("refused/result/reload")
    assert answer.correlation == b"7"
    assert answer.json["ok"] is False
    assert answer.json["message"].startswith("the response topic ")
    others = [m for m in requester.received if m.topic == topic and m.payload == answer.payload]
    assert others == []


def test_a_command_that_is_too_large_is_refused(mosquitto: Mosquitto) -> None:
    with (
        Subscriber(mosquitto.port, "large/result/#") as requester,
        listening(mosquitto, "large") as listener,
    ):
        wait_until_subscribed(listener, requester, "large")
        requester.publish("large/command/watch/set", b"x" * 65_536)
        assert len(listener.next().payload) == 65_536
        requester.publish("large/command/watch/set", b"x" * 65_537)
        (answer,) = requester.wait_for(len)
        requester.publish("large/command/watch/set", b"x" * 10, correlation=b"y" * 65_530)
        requester.wait_for(lambda messages: len(messages) == 2)
        assert listener.commands.empty()
    assert answer.json == {"id": None, "ok": False, "message": "a command has at most 65,536 bytes"}


def test_commands_retained_or_sent_before_subscribing_are_ignored(
    start_mosquitto: StartMosquitto,
) -> None:
    broker: Mosquitto = start_mosquitto()
    with Subscriber(broker.port, "#") as requester:
        requester.publish("before/command/watch/remove", b"dog", retain=True)
        with listening(broker, "before") as listener:
            wait_until_subscribed(listener, requester, "before")
        requester.publish("before/command/watch/remove", b"cat")
        with listening(broker, "before") as listener:
            wait_until_subscribed(listener, requester, "before")
            broker.restart()
            requester.clear()
            requester.wait_for_payload("before/status", b"online", 20)
            wait_until_subscribed(listener, requester, "before")
            assert listener.commands.empty()
            requester.publish("before/command/watch/remove", b"now", retain=True)
            assert listener.next().payload == b"now"


def test_commands_can_be_switched_on_and_off_without_a_reconnect(mosquitto: Mosquitto) -> None:
    with (
        Subscriber(mosquitto.port, "#") as requester,
        listening(mosquitto, "switch", commands=False) as listener,
    ):
        requester.publish("switch/command/hello", b"1")
        listener.change(commands=True)
        wait_until_subscribed(listener, requester, "switch")
        listener.change(commands=False)
        listener.publisher.event(new_event())
        requester.wait_for_payload("switch/state/porch/car", b"ON")
        requester.publish("switch/command/hello", b"2")
        listener.publisher.event(new_event(camera="yard"))
        requester.wait_for_payload("switch/state/yard/car", b"ON")
        statuses = [message.payload for message in requester.of("switch/status")]
        while not listener.commands.empty():
            assert listener.next().payload == b""
    assert statuses == [b"online"]  # all over one connection


def test_an_answer_during_an_outage_is_dropped(start_mosquitto: StartMosquitto) -> None:
    broker: Mosquitto = start_mosquitto()
    with Subscriber(broker.port, "#") as requester, listening(broker, "later") as listener:
        wait_until_subscribed(listener, requester, "later")
        broker.stop()
        wait_until(lambda: not listener.publisher.connected)
        requester.clear()
        listener.publisher.answer(Reply(), "reload", 1, ok=True)
        broker.start()
        requester.wait_for_payload("later/status", b"online", 20)
        wait_until_subscribed(listener, requester, "later")
        listener.publisher.answer(Reply(), "reload", 2, ok=True)
        requester.wait_for(lambda _: requester.of("later/result/reload"))
    assert [answer.json["id"] for answer in requester.of("later/result/reload")] == [2]


def test_a_response_topic_the_broker_forbids_holds_up_nothing(
    start_mosquitto: StartMosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    acl = "user watcher\ntopic readwrite acl/#\nuser all\ntopic readwrite #\n"
    broker: Mosquitto = start_mosquitto(users={"watcher": "w", "all": "a"}, acl=acl)
    with (
        Subscriber(broker.port, "#", username="all", password="a") as requester,
        listening(broker, "acl", username="watcher", password="w") as listener,
    ):
        wait_until_subscribed(listener, requester, "acl")
        requester.publish("acl/command/reload", response_topic="front/door")
        command = listener.next()
        listener.publisher.answer(command.reply, "reload", 1, ok=True)
        listener.publisher.event(new_event())
        requester.wait_for_payload("acl/state/porch/car", b"ON", 20)
    assert not requester.of("front/door")
    assert not requester.of("acl/errors")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_the_embedded_broker_carries_commands() -> None:
    with EmbeddedBroker() as broker, Subscriber(broker.port, "#", version=OLD) as requester:
        requester.publish("inside/command/watch/remove", b"dog", retain=True)
        with listening(broker, "inside", embedded=True) as listener:
            wait_until_subscribed(listener, requester, "inside")
            while not listener.commands.empty():
                assert listener.next().verb == "hello"
            requester.publish("inside/command/watch/remove", b"dog")
            while (command := listener.next()).verb == "hello":
                pass
            assert command == Command("watch/remove", b"dog", Reply())
            listener.publisher.answer(command.reply, command.verb, None, ok=True)
            requester.wait_for_payload("inside/result/watch/remove", b'{"id": null, "ok": true}')


def test_the_acl_of_the_documentation_works(start_mosquitto: StartMosquitto) -> None:
    page = (Path(__file__).parents[2] / "docs" / "mqtt.md").read_text()
    acl = re.search(r"An `acl_file` of mosquitto:\n\n```\n(.*?)```", page, re.DOTALL)
    assert acl is not None
    users = {"streamwatch": "s", "automations": "a", "phone": "p"}
    broker: Mosquitto = start_mosquitto(users=users, acl=acl[1])
    with (
        Subscriber(broker.port, "#", username="automations", password="a") as automations,
        Subscriber(broker.port, "#", username="phone", password="p") as phone,
        listening(broker, "streamwatch", username="streamwatch", password="s") as listener,
    ):
        wait_until_subscribed(listener, automations, "streamwatch")
        phone.publish("streamwatch/command/watch/disable", b"dog")
        assert listener.next() == Command("watch/disable", b"dog", Reply())
        listener.publisher.answer(Reply(), "watch/disable", None, ok=True)
        for requester in (automations, phone):
            requester.wait_for_payload(
                "streamwatch/result/watch/disable", b'{"id": null, "ok": true}'
            )
        phone.publish("streamwatch/command/watch/set", b"no")
        automations.publish("streamwatch/command/watch/set", b"yes")
        assert listener.next() == Command("watch/set", b"yes", Reply())


class Refusing:
    """An MQTT 5 broker that accepts connections and refuses subscriptions."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self._server = socket.create_server((self.host, 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        peer, _ = self._server.accept()
        with peer, peer.makefile("rb") as packets:
            while first := packets.read(1):
                body = packets.read(self._size(packets))
                kind = first[0] >> 4
                if kind == 1:  # CONNECT
                    peer.sendall(b"\x20\x03\x00\x00\x00")
                elif kind == 8:  # SUBSCRIBE: its number repeated, "not authorized" for each filter
                    filters = body.count(b"#") or 3
                    answer = body[:2] + b"\x00" + b"\x87" * filters
                    peer.sendall(b"\x90" + bytes([len(answer)]) + answer)
                elif kind == 3:  # PUBLISH, QoS 1
                    topic = int.from_bytes(body[:2])
                    peer.sendall(b"\x40\x02" + body[2 + topic : 4 + topic])

    @staticmethod
    def _size(packets: IO[bytes]) -> int:
        """The remaining length: seven bits a byte, the lowest first."""
        size, shift = 0, 0
        while True:
            (byte,) = packets.read(1)
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                return size
            shift += 7

    def __enter__(self) -> Refusing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._server.close()


@pytest.mark.expects_errors
def test_a_refused_subscription_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with Refusing() as broker, listening(broker, "deaf") as listener:
        listener.publisher.declare(["porch"], [("porch", "dog")])
        wait_until(lambda: "no commands are received" in caplog.text)
        listener.publisher.event(new_event())
        wait_until(lambda: listener.publisher.waiting == 0)
    errors = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert errors == [
        "the broker does not let us subscribe to deaf/command/# (not authorized):"
        " no commands are received"
    ]
