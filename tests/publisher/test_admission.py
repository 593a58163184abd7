"""What others send is bounded where it arrives, and so are the answers to it."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import cast

import pytest

from streamwatch.config.sections.whole import SnapshotSettings
from streamwatch.publisher import Command, Publisher
from streamwatch.publisher.mqtt import admission, answers
from streamwatch.publisher.mqtt.admission import Admission
from streamwatch.publisher.mqtt.answers import Answers
from streamwatch.publisher.mqtt.attempt import Arrived
from streamwatch.publisher.mqtt.delivery import Delivery
from streamwatch.publisher.mqtt.steps import Message
from tests.parts.mosquitto import Mosquitto, Subscriber
from tests.parts.waiting import wait_until
from tests.publisher.running import running, settings


def arrived(payload: bytes = b"dog", *, retained: bool = False) -> Arrived:
    return Arrived(1, "p/command/watch/enable", payload, retained, None, None)


def test_only_so_many_messages_wait() -> None:
    gate = Admission()
    assert all(gate.enter(arrived()) for _ in range(admission.MOST_WAITING))
    assert not gate.enter(arrived())
    assert gate.enter(arrived(retained=True))
    gate.leave(arrived())
    assert gate.enter(arrived())
    gate.drop()
    assert (gate.take_dropped(), gate.take_dropped()) == (2, 0)


@pytest.mark.parametrize("retained", [False, True])
def test_only_so_many_bytes_wait(retained: bool) -> None:
    gate, large = Admission(), arrived(b"x" * 65_536, retained=retained)
    entered = 0
    while gate.enter(large):
        entered += 1
    assert entered == 8_000_000 // (65_536 + 522)
    for _ in range(entered):
        gate.leave(large)
    assert all(gate.enter(large) for _ in range(entered))


class Slow:
    """A delivery that sends nothing by itself."""

    def __init__(self) -> None:
        self.line: list[Message] = []

    @property
    def unsent(self) -> int:
        return len(self.line)

    def answer(self, message: Message) -> None:
        self.line.append(message)


def test_answers_wait_before_the_delivery_in_order() -> None:
    slow = Slow()
    waiting = Answers(cast(Delivery, slow))
    all_of_them = [Message("p/result/x", str(number).encode()) for number in range(50)]
    waiting.give(all_of_them)
    assert waiting.pass_on()
    assert not waiting.pass_on()
    assert slow.line == all_of_them[: answers.PASSED_ON]
    del slow.line[0]
    assert waiting.pass_on()
    waiting.pass_all_on()
    assert slow.line == all_of_them[1:]


@pytest.mark.parametrize("payloads", [[b"x"] * 1_020, [b"x" * 1_000_000] * 28])
def test_the_line_of_answers_is_full_at_a_number_or_at_a_size(payloads: Sequence[bytes]) -> None:
    waiting = Answers(cast(Delivery, Slow()))
    waiting.give(Message("p/result/x", payload) for payload in payloads)
    assert waiting.full
    waiting.pass_on()
    waiting.give([Message("p/result/x", payloads[0])])
    assert waiting.full == (len(payloads) > 1_000 or len(payloads) - 20 >= 7)
    waiting.pass_all_on()
    assert not waiting.full


class Flooded:
    """A publisher whose thread does not come to the commands before it is `released`."""

    def __init__(self, broker: Mosquitto, prefix: str) -> None:
        self.begun = threading.Event()
        self.released = threading.Event()
        self.commands: list[Command] = []
        mqtt = settings(broker, prefix, commands=True)
        self.publisher = Publisher(mqtt, SnapshotSettings(), None, on_command=self.take)

    def take(self, command: Command) -> None:
        self.begun.set()
        assert self.released.wait(30)
        self.commands.append(command)


def dropped(caplog: pytest.LogCaptureFixture) -> int:
    found = re.findall(r"dropped (\d+) messages to \w+/command/…: more come", caplog.text)
    return sum(map(int, found))


def test_commands_that_come_too_fast_are_dropped_and_counted(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(admission, "MOST_WAITING", 50)
    flooded = Flooded(mosquitto, "fast")
    with Subscriber(mosquitto.port, "fast/#") as requester, running(flooded.publisher):

        def begun() -> bool:
            requester.publish("fast/command/hello")
            return flooded.begun.wait(0.1)

        wait_until(begun)
        for number in range(100):
            requester.publish("fast/command/watch/enable", f"{number}")
        gate = flooded.publisher._loop._admission
        wait_until(lambda: gate._dropped >= 50)
        flooded.released.set()
        wait_until(lambda: dropped(caplog) >= 50)
        wait_until(lambda: gate._waiting == 0)
        requester.publish("fast/command/after")
        wait_until(lambda: flooded.commands[-1].verb == "after")
    taken = [command.payload for command in flooded.commands if command.verb == "watch/enable"]
    assert len(taken) + dropped(caplog) >= 100
    assert taken == [b"%d" % number for number in range(len(taken))]


def test_no_command_is_taken_while_too_many_answers_wait(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(answers, "MOST_WAITING", 0)
    flooded = Flooded(mosquitto, "unsent")
    with Subscriber(mosquitto.port, "unsent/#") as requester, running(flooded.publisher):

        def asked() -> bool:
            requester.publish("unsent/command/hello")
            return dropped(caplog) > 0

        wait_until(asked)
    assert not flooded.commands
