"""The order of sending, against a fake connection that only records."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamwatch.publisher.mqtt.delivery import (
    ANSWER_SECONDS,
    MAX_PICTURES,
    MAX_REPORTS,
    Delivery,
)
from streamwatch.publisher.mqtt.doubts import HELD_ALONE_AFTER, HOLD_SECONDS, SUSPECTED_AFTER
from streamwatch.publisher.mqtt.steps import Message
from streamwatch.publisher.outbox.outbox import Waiting
from streamwatch.publisher.outbox.sqlite import SqliteOutbox
from tests.publisher.events import event_in, new_event
from tests.publisher.running import Clock


class Wire:
    """Records what is published, except on topics in `faults`; `answer` acknowledges the oldest."""

    def __init__(self, delivery: Delivery, max_unacknowledged: int = 20) -> None:
        self.max_unacknowledged = max_unacknowledged
        self.sent: list[tuple[str, bytes, int, bool]] = []
        self.faults: dict[str, str] = {}
        self._delivery = delivery
        self._answered = 0

    def refusal(self, topic: str, payload: bytes, correlation: bytes | None = None) -> str | None:
        return self.faults.get(topic)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        correlation: bytes | None = None,
    ) -> int:
        self.sent.append((topic, payload, qos, retain))
        return len(self.sent)

    def answer(self, refusal: str | None = None, *, forbidden: bool = False) -> None:
        self._answered += 1
        self._delivery.acknowledged(self._answered, refusal, forbidden=forbidden)
        self._delivery.pump()

    @property
    def topics(self) -> list[str]:
        return [topic for topic, *_ in self.sent]


class Desk:
    """A delivery with what it needs; the payload of an event is its sequence number."""

    def __init__(self) -> None:
        self.outbox = SqliteOutbox()
        self.clock = Clock()
        self.complaints: list[str] = []
        self.delivery = Delivery(
            self.outbox,
            compose=self.compose,
            complain=self.complaints.append,
            seconds=self.clock,
        )

    def compose(self, waiting: Waiting) -> Message:
        event = event_in(waiting)
        if event.camera == "broken":
            raise ValueError("not a number")
        return Message(f"events/{event.camera}", str(event.sequence).encode())

    def lose(self, after_seconds: float = 60.0) -> None:
        self.clock.seconds += after_seconds
        self.delivery.lost()

    def connect(self, max_unacknowledged: int = 20) -> Wire:
        wire = Wire(self.delivery, max_unacknowledged)
        self.delivery.connected(wire)
        self.delivery.pump()
        return wire

    def alert(self, sequence: int, camera: str = "porch") -> None:
        self.delivery.alert(new_event(sequence=sequence, camera=camera), self.clock())
        self.delivery.pump()


def test_on_connect_retained_go_first_then_reports_then_events() -> None:
    desk = Desk()
    desk.alert(0)
    desk.delivery.report(Message("errors", b"{}"))
    desk.delivery.retain("snapshot", "snapshot/porch", b"jpeg")
    desk.delivery.retain("state", "state/porch", b"OFF")
    desk.delivery.retain("state", "state/porch", b"ON")
    desk.delivery.retain("camera", "cameras/porch", b"online")
    desk.delivery.retain("info", "info", b"{}")
    desk.delivery.retain("status", "status", b"online")
    desk.delivery.pass_on(Message("stats", b"{}"), newest_only=True)
    assert desk.connect().sent == [
        ("status", b"online", 1, True),
        ("info", b"{}", 1, True),
        ("cameras/porch", b"online", 1, True),
        ("state/porch", b"ON", 1, True),
        ("snapshot/porch", b"jpeg", 1, True),
        ("errors", b"{}", 1, False),
        ("events/porch", b"0", 1, False),
    ]


def test_unacknowledged_messages_stay_within_the_limit() -> None:
    desk = Desk()
    wire = desk.connect(max_unacknowledged=2)
    for sequence in range(5):
        desk.alert(sequence)
    assert len(wire.sent) == 2
    wire.answer()
    assert len(wire.sent) == 3
    assert len(desk.outbox) == 4
    for _ in range(4):
        wire.answer()
    assert desk.delivery.idle
    assert len(desk.outbox) == 0


def test_unacknowledged_messages_are_sent_again_in_order() -> None:
    desk = Desk()
    wire = desk.connect()
    desk.delivery.report(Message("errors", b"1"))
    for sequence in range(4):
        desk.alert(sequence)
    wire.answer()
    wire.answer()
    desk.lose()
    desk.alert(4)
    assert len(wire.sent) == 5
    again = desk.connect()
    assert [payload for _, payload, *_ in again.sent] == [b"1", b"2", b"3", b"4"]


def test_a_report_that_was_not_acknowledged_is_sent_again() -> None:
    desk = Desk()
    desk.connect()
    desk.delivery.report(Message("errors", b"1"))
    desk.delivery.pump()
    desk.lose()
    assert desk.connect().topics == ["errors"]
    desk.lose()
    for count in range(MAX_REPORTS + 10):
        desk.delivery.report(Message("errors", str(count).encode()))
    wire = desk.connect(1000)
    assert len(wire.sent) == MAX_REPORTS
    assert wire.sent[-1][1] == str(MAX_REPORTS + 9).encode()


def test_an_unknown_acknowledgement_is_ignored() -> None:
    desk = Desk()
    desk.connect()
    desk.delivery.acknowledged(99, None, forbidden=False)


def test_only_the_newest_stats_wait_and_none_survive_a_disconnect() -> None:
    desk = Desk()
    wire = desk.connect(max_unacknowledged=1)
    desk.alert(0)
    desk.delivery.pass_on(Message("stats", b"1"), newest_only=True)
    desk.delivery.pass_on(Message("stats", b"2"), newest_only=True)
    desk.delivery.pump()
    assert wire.topics == ["events/porch"]
    wire.answer()
    assert wire.sent[1:] == [("stats", b"2", 0, False)]
    desk.alert(1)
    desk.delivery.pass_on(Message("stats", b"3"), newest_only=True)
    desk.lose()
    assert "stats" not in desk.connect().topics


def test_refused_alerts_wait_and_are_reported_once() -> None:
    desk = Desk()
    wire = desk.connect()
    for sequence in range(3):
        desk.alert(sequence)
    for _ in range(3):
        wire.answer("Quota exceeded")
    assert len(desk.outbox) == 3
    assert len(desk.complaints) == 1
    assert "events/porch" in desk.complaints[0]
    assert "quota exceeded; trying again every 10 minutes" in desk.complaints[0]
    desk.clock.seconds += HOLD_SECONDS
    desk.delivery.pump()
    assert [payload for _, payload, *_ in wire.sent[3:]] == [b"0", b"1", b"2"]
    for _ in range(3):
        wire.answer()
    assert len(desk.outbox) == 0


def test_a_refused_report_or_state_is_not_sent_again_on_this_connection() -> None:
    desk = Desk()
    wire = desk.connect()
    desk.delivery.report(Message("errors", b"1"))
    desk.delivery.retain("state", "state/porch", b"ON")
    desk.delivery.pump()
    wire.answer("Quota exceeded")
    wire.answer("Quota exceeded")
    assert desk.delivery.idle
    desk.lose()
    assert desk.connect().topics == ["state/porch"]


def test_a_forbidden_topic_is_skipped_for_a_while_and_keeps_its_order() -> None:
    desk = Desk()
    wire = desk.connect()
    desk.alert(0)
    desk.alert(0, camera="yard")
    wire.answer("Not authorized", forbidden=True)
    desk.lose()
    desk.alert(1)
    wire = desk.connect()
    assert wire.topics == ["events/yard"]
    desk.alert(2)
    wire.answer()
    desk.clock.seconds += HOLD_SECONDS
    desk.delivery.pump()
    desk.alert(3)
    assert [payload for topic, payload, *_ in wire.sent if topic == "events/porch"] == [
        *(b"0", b"1", b"2", b"3")
    ]
    assert len(desk.complaints) == 1


def test_only_the_newest_retained_message_of_a_forbidden_topic_is_kept() -> None:
    desk = Desk()
    wire = desk.connect()
    for payload in (b"ON", b"OFF", b"ON", b"OFF"):
        desk.delivery.retain("state", "state/porch", payload)
        desk.delivery.pump()
        if payload == b"ON" and len(wire.sent) == 1:
            wire.answer("Not authorized", forbidden=True)
    assert len(wire.sent) == 1
    desk.clock.seconds += HOLD_SECONDS
    desk.delivery.pump()
    assert [payload for _, payload, *_ in wire.sent] == [b"ON", b"OFF"]


def test_a_message_the_broker_cannot_take_is_not_sent() -> None:
    desk = Desk()
    wire = Wire(desk.delivery)
    wire.faults = {"snapshot/porch": "too large", "events/porch": "no topic", "stats": "too large"}
    desk.delivery.retain("snapshot", "snapshot/porch", b"jpeg")
    desk.delivery.connected(wire)
    desk.alert(0)
    desk.alert(0, camera="yard")
    desk.delivery.pass_on(Message("stats", b"{}"), newest_only=True)
    desk.delivery.pump()
    assert wire.topics == ["events/yard"]
    assert len(desk.outbox) == 2
    assert len(desk.complaints) == 3
    desk.delivery.retain("snapshot", "snapshot/porch", b"another")
    desk.delivery.pump()
    assert len(desk.complaints) == 3
    desk.lose()
    assert desk.connect().topics == ["snapshot/porch", "events/yard"]


def test_an_event_that_cannot_be_encoded_is_set_aside() -> None:
    desk = Desk()
    wire = desk.connect()
    desk.alert(0, camera="broken")
    desk.alert(1)
    assert wire.topics == ["events/porch"]
    assert (len(desk.outbox), desk.outbox.set_aside) == (1, 1)


class Broker:
    """Answers and closes as `takes` says; the connection breaks at what it does not take.

    With `cut_after` the line is cut after so many messages, whatever they are.
    """

    def __init__(self, takes: Callable[[str], bool], cut_after: int | None = None) -> None:
        self.takes = takes
        self.cut_after = cut_after
        self.got: list[tuple[str, bytes]] = []

    def connect(self, desk: Desk) -> bool:
        """One connection; whether it held until everything was delivered."""
        wire = desk.connect()
        read = 0
        while read < len(wire.sent):
            topic, payload, *_ = wire.sent[read]
            read += 1
            if not self.takes(topic) or read == self.cut_after:
                desk.lose(0.1)
                return False
            self.got.append((topic, payload))
            wire.answer()
        return True

    def of(self, topic: str) -> list[bytes]:
        return [payload for each, payload in self.got if each == topic]


def filled_desk() -> Desk:
    desk = Desk()
    desk.delivery.retain("status", "status", b"online")
    desk.delivery.retain("info", "info", b"{}")
    desk.delivery.retain("state", "state/porch", b"ON")
    desk.delivery.retain("snapshot", "snapshot/porch", b"far too large")
    desk.delivery.report(Message("errors", b"{}"))
    for sequence in range(3):
        desk.alert(sequence)
        desk.alert(sequence, camera="yard")
    return desk


@pytest.mark.parametrize("topic", ["snapshot/porch", "events/porch", "state/porch"])
def test_a_message_that_always_breaks_the_connection_holds_up_nothing(topic: str) -> None:
    desk = filled_desk()
    broker = Broker(takes=lambda each: each != topic)
    tries = 0
    while not broker.connect(desk):
        tries += 1
        assert tries < 10
    assert {each for each, _ in broker.got} == {
        "status", "info", "state/porch", "snapshot/porch", "errors", "events/porch", "events/yard",
    } - {topic}  # fmt: skip
    assert broker.of("events/yard") == [b"0", b"1", b"2"]
    assert len(desk.outbox) == (3 if topic == "events/porch" else 0)
    (complaint,) = desk.complaints
    assert topic in complaint
    broker.takes = lambda _: True
    desk.clock.seconds += HOLD_SECONDS
    desk.lose(0.1)
    assert broker.connect(desk)
    assert broker.of(topic)[-1] in (b"far too large", b"2", b"ON")
    assert len(desk.outbox) == 0


def test_two_topics_that_break_the_connection_are_both_found() -> None:
    desk = filled_desk()
    broker = Broker(takes=lambda topic: topic not in ("snapshot/porch", "events/yard"))
    tries = 0
    while not broker.connect(desk):
        tries += 1
        assert tries < 20
    assert broker.of("events/porch") == [b"0", b"1", b"2"]
    assert len(desk.complaints) == 2


def test_the_only_topic_of_its_kind_is_given_more_tries() -> None:
    desk = Desk()
    desk.delivery.retain("status", "status", b"online")
    desk.delivery.retain("info", "info", b"{}")
    desk.alert(0)
    broker = Broker(takes=lambda topic: topic != "events/porch")
    tries = 0
    while not broker.connect(desk):
        tries += 1
        assert tries < 20
    assert tries > SUSPECTED_AFTER + HELD_ALONE_AFTER
    assert len(desk.outbox) == 1


def test_a_suspected_state_that_has_changed_is_tried_as_it_is_now() -> None:
    desk = filled_desk()
    broker = Broker(takes=lambda topic: topic != "state/porch")
    for _ in range(SUSPECTED_AFTER + 1):  # at first others are in flight too
        assert not broker.connect(desk)
    desk.delivery.retain("state", "state/porch", b"OFF")
    broker.takes = lambda _: True
    assert broker.connect(desk)
    topics = [topic for topic, _ in broker.got]
    assert topics[topics.index("state/porch") - 1] == "status"
    assert broker.of("state/porch") == [b"OFF"]


def test_a_suspected_topic_that_is_gone_is_forgotten() -> None:
    desk = filled_desk()
    broker = Broker(takes=lambda topic: topic != "state/porch")
    for _ in range(SUSPECTED_AFTER + 1):  # at first others are in flight too
        assert not broker.connect(desk)
    desk.delivery.clear("state/porch")
    broker.takes = lambda _: True
    assert broker.connect(desk)
    assert broker.of("state/porch") == [b""]


def test_a_broker_that_takes_nothing_but_the_status_condemns_no_message() -> None:
    desk = filled_desk()
    broker = Broker(takes=lambda topic: topic == "status")
    for _ in range(100):
        assert not broker.connect(desk)
    assert not desk.complaints
    broker.takes = lambda _: True
    assert broker.connect(desk)
    for camera in ("porch", "yard"):
        assert broker.of(f"events/{camera}") == [b"0", b"1", b"2"]
    assert broker.of("snapshot/porch") == [b"far too large"]
    assert len(desk.outbox) == 0


@pytest.mark.parametrize("cut_after", [2, 3, 4, 5, 6])
def test_a_link_that_is_always_cut_condemns_no_message(cut_after: int) -> None:
    """Whatever was in flight at that moment."""
    desk = filled_desk()
    broker = Broker(takes=lambda _: True, cut_after=cut_after)
    for _ in range(50):
        broker.connect(desk)
    assert not desk.complaints
    broker.cut_after = None
    assert broker.connect(desk)
    for camera in ("porch", "yard"):
        assert sorted({*broker.of(f"events/{camera}")}) == [b"0", b"1", b"2"]
    assert len(desk.outbox) == 0


def test_a_broker_that_stops_acknowledging_is_noticed() -> None:
    desk = Desk()
    wire = desk.connect()
    desk.alert(0)
    desk.clock.seconds += ANSWER_SECONDS - 1
    desk.alert(1)
    assert not desk.delivery.unanswered
    wire.answer()
    desk.clock.seconds += ANSWER_SECONDS - 1
    assert not desk.delivery.unanswered
    desk.clock.seconds += 1
    assert desk.delivery.unanswered
    wire.answer()
    desk.clock.seconds += ANSWER_SECONDS
    assert not desk.delivery.unanswered
    desk.alert(2)
    assert not desk.delivery.unanswered


def test_a_disconnect_at_once_or_much_later_drops_no_message() -> None:
    desk = Desk()
    desk.delivery.retain("status", "status", b"online")
    desk.alert(0)
    for _ in range(10):
        desk.connect()
        desk.lose(0.5)
    for _ in range(10):
        desk.connect().answer()
        desk.lose(10)
    wire = desk.connect()
    wire.answer()
    assert wire.topics == ["status", "events/porch"]
    assert not desk.complaints


def test_the_queue_of_pictures_is_bounded() -> None:
    desk = Desk()
    wire = desk.connect(max_unacknowledged=1)
    desk.delivery.retain("status", "status", b"online")
    desk.delivery.pump()
    for count in range(MAX_PICTURES + 50):
        desk.delivery.retain("snapshot", "snapshot/porch", str(count).encode())
        desk.alert(count)
    for _ in range(3 * MAX_PICTURES):
        wire.answer()
    pictures = [payload for topic, payload, *_ in wire.sent if topic == "snapshot/porch"]
    assert len(pictures) == MAX_PICTURES
    assert pictures[-1] == str(MAX_PICTURES + 49).encode()
    assert wire.topics.count("events/porch") == MAX_PICTURES + 50
