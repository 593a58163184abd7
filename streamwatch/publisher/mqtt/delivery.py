"""In which order messages leave, and what is sent again.

While connected everything leaves in the order it came. While the broker is away events wait in the
outbox and reports in a short list; of what is retained only the newest counts. With every new
connection all retained messages go first, then the reports, then the events, and last the topics to
be cleared. Answers are for those who wait for them now: with the connection they are let go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

from streamwatch.publisher.outbox.outbox import Outbox, Waiting
from streamwatch.records import Event

MAX_REPORTS = 100
MAX_PICTURES = 100
"""Snapshots in line for a broker that hangs; with more, the oldest of those outdone go unsent."""
FORBIDDEN_SECONDS = 600.0
"""How long a topic is left alone that the broker does not allow: mosquitto 2.0.11 closes the
connection after it has said so."""
CULPRIT_LOSSES = 2
CULPRIT_SECONDS = 2.0
"""A message at which alone the connection broke so often, each time so soon, is what breaks it."""

Kind = Literal["status", "info", "camera", "state", "discovery", "snapshot"]
RETAINED: tuple[Kind, ...] = ("status", "info", "camera", "state", "discovery", "snapshot")
"""What is retained, in the order it is sent with a new connection."""


@dataclass(frozen=True, slots=True)
class Message:
    """`correlation` belongs to an answer, and repeats the request's."""

    topic: str
    payload: bytes
    correlation: bytes | None = None

    def moved(self, before: str, now: str) -> Message:
        """As it is where it lies below the prefix `now` in place of `before`."""
        below = self.topic.removeprefix(f"{before}/")
        return self if below == self.topic else replace(self, topic=f"{now}/{below}")


@dataclass(frozen=True, slots=True)
class _Retained:
    kind: Kind
    message: Message


@dataclass(frozen=True, slots=True)
class _Report:
    message: Message


@dataclass(frozen=True, slots=True)
class _Alert:
    """An event by its number in the outbox: its payload is made when it leaves."""

    number: int


@dataclass(frozen=True, slots=True)
class _Clearing:
    """An empty retained message, which takes away what the broker keeps of a topic."""

    topic: str


@dataclass(frozen=True, slots=True)
class _Answer:
    message: Message


_Step = _Retained | _Report | _Alert | _Clearing | _Answer


@dataclass(frozen=True, slots=True)
class _Sent:
    step: _Step
    topic: str
    at_seconds: float


class Wire(Protocol):
    """A connection that stands."""

    @property
    def max_unacknowledged(self) -> int: ...

    def refusal(self, topic: str, payload: bytes, correlation: bytes | None = None) -> str | None:
        """Why this message would break the connection, None if it would not."""
        ...

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        correlation: bytes | None = None,
    ) -> int:
        """Send once; returns the number that will acknowledge it."""
        ...


class Delivery:
    """The queue of what is to be sent. Not thread-safe: the publisher's thread owns it.

    `compose` makes an event's message, at the moment it leaves; ValueError from it drops the event.
    `complain` is told, once for each topic and reason, why a message will never arrive.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        compose: Callable[[Waiting], Message],
        complain: Callable[[str], None],
        now: Callable[[], datetime],
        seconds: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._compose = compose
        self._complain = complain
        self._now = now
        self._seconds = seconds
        self._wire: Wire | None = None
        self._line: deque[_Step] = deque()
        self._sent: dict[int, _Sent] = {}
        self._newest: dict[Kind, dict[str, Message]] = {kind: {} for kind in RETAINED}
        self._clearings: dict[str, _Clearing] = {}
        self._reports: deque[_Report] = deque(maxlen=MAX_REPORTS)
        self._leaving = False
        self._stats: Message | None = None
        self._pictures_in_line = 0
        self._forbidden_until: dict[str, float] = {}
        self._culprit: _Step | None = None
        self._culprit_losses = 0
        self._answers = 0
        self._careful_until = 0
        self._complained: set[tuple[str, str]] = set()

    @property
    def idle(self) -> bool:
        """Whether everything was acknowledged."""
        return not self._line and not self._sent

    def retains(self, topic: str) -> bool:
        """Whether something is kept of this topic, to be sent with each connection."""
        return any(topic in messages for messages in self._newest.values())

    def retain(self, kind: Kind, topic: str, payload: bytes) -> None:
        """Send now or with the next connection, and again with each one after that."""
        message = Message(topic, payload)
        self._newest[kind][topic] = message
        self._clearings.pop(topic, None)
        if self._open:
            if kind == "snapshot":
                self._make_room_for_a_picture()
            self._line.append(_Retained(kind, message))

    def clear(self, topic: str) -> None:
        """Take away what is retained of a topic, after all that is in line; it is kept no more."""
        for messages in self._newest.values():
            messages.pop(topic, None)
        self._clearings[topic] = _Clearing(topic)
        if self._open:
            self._line.append(_Clearing(topic))

    def answer(self, message: Message) -> None:
        """Send once if there is a connection."""
        if self._wire is not None:
            self._line.append(_Answer(message))

    def alert(self, event: Event, since: datetime) -> None:
        number = self._outbox.add(event, since)
        if self._open:
            self._line.append(_Alert(number))

    def report(self, message: Message) -> None:
        if self._open:
            self._line.append(_Report(message))
        else:
            self._reports.append(_Report(message))

    def stats(self, message: Message) -> None:
        """Send once if there is a connection; a newer one takes its place while it waits."""
        if self._open:
            self._stats = message

    def connected(self, wire: Wire) -> None:
        self._wire = wire
        self._leaving = False
        self._answers = 0
        self._line.clear()
        self._pictures_in_line = 0
        for kind, messages in self._newest.items():
            self._line.extend(_Retained(kind, message) for message in messages.values())
        self._pictures_in_line = len(self._newest["snapshot"])
        self._line.extend(self._reports)
        self._reports.clear()
        self._line.extend(_Alert(number) for number in self._outbox.rewind(self._now()))
        self._line.extend(self._clearings.values())

    def lost(self) -> None:
        """Nothing more leaves; what was not acknowledged will be sent again."""
        self._suspect()
        self.left()

    def leave(self, goodbye: Message, clear_below: str | None) -> None:
        """Say goodbye to this broker: only answers, what is to be cleared and `goodbye` still go.

        With `clear_below`, all that is retained below that prefix is cleared in the end; it is kept
        all the same. What comes from now on waits for the next connection, with what was in line.
        """
        answers = [step for step in self._line if isinstance(step, _Answer)]
        self._keep_reports(self._line)
        self._stats = None
        self._pictures_in_line = 0
        self._line = deque([*answers, *self._clearings.values(), _Retained("status", goodbye)])
        if clear_below is not None:
            self._line.extend(_Clearing(topic) for topic in self._topics_below(clear_below))
        self._leaving = True

    def left(self) -> None:
        """The connection was ended on purpose, or is gone: what is unfinished waits for another."""
        self._wire = None
        self._leaving = False
        self._keep_reports(self._unfinished())
        self._line.clear()
        self._sent.clear()
        self._stats = None

    def move(self, before: str, now: str, *, same_broker: bool, cleared: bool) -> None:
        """Without a connection: send what lies below the prefix `before` below `now`.

        What another broker was to clear is none of this one's concern. On the `same_broker` the
        topics before are to be cleared, if they were not `cleared` in leaving. What was refused is
        tried again.
        """
        old = tuple(self._topics_below(before)) if before != now else ()
        if not same_broker:
            self._clearings.clear()
        elif not cleared:
            self._clearings |= {topic: _Clearing(topic) for topic in old}
        for kind, messages in self._newest.items():
            self._newest[kind] = {
                new.topic: new for new in (each.moved(before, now) for each in messages.values())
            }
        self._reports = deque(
            (_Report(report.message.moved(before, now)) for report in self._reports),
            maxlen=MAX_REPORTS,
        )
        self._forbidden_until.clear()
        self._complained.clear()

    def acknowledged(self, number: int, refusal: str | None, *, forbidden: bool) -> None:
        """The broker's answer to the message of this number; a refused one is let go."""
        sent = self._sent.pop(number, None)
        if sent is None:
            return
        self._answers += 1
        if refusal is not None:
            self._refuse(sent.step, sent.topic, f"the broker does not take it: {refusal.lower()}")
        if forbidden:
            self._forbidden_until[sent.topic] = self._seconds() + FORBIDDEN_SECONDS
        self._let_go(sent.step)

    def pump(self) -> None:
        """Hand over as much as may be on its way at once."""
        if self._wire is None:
            return
        while self._line and self._has_room(self._wire):
            self._send(self._wire, self._line.popleft())
        if self._stats is not None and self._has_room(self._wire):
            if (refusal := self._wire.refusal(self._stats.topic, self._stats.payload)) is None:
                self._wire.publish(self._stats.topic, self._stats.payload, qos=0, retain=False)
            else:
                self._complain_once(self._stats.topic, refusal)
            self._stats = None

    @property
    def _open(self) -> bool:
        """Whether what comes now may leave now."""
        return self._wire is not None and not self._leaving

    def _has_room(self, wire: Wire) -> bool:
        careful = self._answers < self._careful_until
        return len(self._sent) < (1 if careful else wire.max_unacknowledged)

    def _send(self, wire: Wire, step: _Step) -> None:
        if isinstance(step, _Retained) and step.kind == "snapshot":
            self._pictures_in_line -= 1
        message = self._message(step)
        if message is None:
            return
        if self._seconds() < self._forbidden_until.get(message.topic, 0.0):
            self._let_go(step)
            return
        refusal = wire.refusal(message.topic, message.payload, message.correlation)
        if refusal is not None:
            self._give_up(step, message.topic, refusal)
            return
        number = wire.publish(
            message.topic,
            message.payload,
            qos=1,
            retain=isinstance(step, (_Retained, _Clearing)),
            correlation=message.correlation,
        )
        self._sent[number] = _Sent(step, message.topic, self._seconds())

    def _message(self, step: _Step) -> Message | None:
        if isinstance(step, _Clearing):
            return Message(step.topic, b"")
        if not isinstance(step, _Alert):
            return step.message
        waiting = self._outbox.take(step.number)
        if waiting is None:
            return None
        try:
            return self._compose(waiting)
        except ValueError as error:
            event = waiting.event
            self._outbox.remove(step.number)
            self._complain(f"an event of {event.camera}/{event.watch} can't be sent: {error}")
            return None

    def _suspect(self) -> None:
        """Find, and give up, the message at which the connection breaks every time.

        A broker of MQTT 3.1.1 can't say that a message is too large: sent again for ever, it would
        hold up all behind it. Since answers may be lost with the line, messages go one at a time
        near the place where it broke, until it is certain which one it was.
        """
        number, first = next(iter(self._sent.items()), (0, None))
        if first is None or self._seconds() - first.at_seconds > CULPRIT_SECONDS:
            self._culprit = None
            self._careful_until = 0
            return
        self._careful_until = self._answers + 2 * len(self._sent)
        if len(self._sent) > 1 or first.step in self._status():
            return
        self._culprit_losses = self._culprit_losses + 1 if first.step == self._culprit else 1
        self._culprit = first.step
        if self._culprit_losses >= CULPRIT_LOSSES:
            del self._sent[number]
            self._give_up(first.step, first.topic, "the broker closes the connection at it")

    def _status(self) -> Iterator[_Step]:
        """The very first messages of a connection: at them it breaks for any other reason."""
        return (_Retained("status", message) for message in self._newest["status"].values())

    def _give_up(self, step: _Step, topic: str, reason: str) -> None:
        self._let_go(step)
        if isinstance(step, _Retained) and self._newest[step.kind].get(topic) == step.message:
            del self._newest[step.kind][topic]
        self._refuse(step, topic, reason)

    def _let_go(self, step: _Step) -> None:
        match step:
            case _Alert(number):
                self._outbox.remove(number)
            case _Clearing(topic):
                self._clearings.pop(topic, None)

    def _refuse(self, step: _Step, topic: str, reason: str) -> None:
        # Where an answer goes is the requester's choice: nobody else needs to hear of it.
        if not isinstance(step, _Answer):
            self._complain_once(topic, reason)

    def _complain_once(self, topic: str, reason: str) -> None:
        if (topic, reason) not in self._complained:
            self._complained.add((topic, reason))
            self._complain(f"a message to {topic} can't be delivered ({reason}), nor will others")

    def _topics_below(self, prefix: str) -> Iterator[str]:
        for messages in self._newest.values():
            yield from (topic for topic in messages if topic.startswith(f"{prefix}/"))

    def _keep_reports(self, steps: Iterable[_Step]) -> None:
        """Put these before the reports that came later."""
        unfinished = [step for step in steps if isinstance(step, _Report)]
        self._reports = deque([*unfinished, *self._reports], maxlen=MAX_REPORTS)

    def _unfinished(self) -> Iterator[_Step]:
        yield from (sent.step for sent in self._sent.values())
        yield from self._line

    def _make_room_for_a_picture(self) -> None:
        self._pictures_in_line += 1
        if self._pictures_in_line <= MAX_PICTURES:
            return
        for step in self._line:
            if (
                isinstance(step, _Retained)
                and step.kind == "snapshot"
                and self._newest["snapshot"].get(step.message.topic) != step.message
            ):
                self._line.remove(step)
                self._pictures_in_line -= 1
                return
