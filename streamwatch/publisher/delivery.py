"""In which order messages leave, and what is sent again.

While connected everything leaves in the order it came. While the broker is away events wait in the
outbox and reports in a short list; of what is retained only the newest counts. With every new
connection all retained messages go first, then the reports, then the events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from streamwatch.publisher.outbox import Outbox, Waiting
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
    topic: str
    payload: bytes


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


_Step = _Retained | _Report | _Alert


@dataclass(frozen=True, slots=True)
class _Sent:
    step: _Step
    topic: str
    at_seconds: float


class Wire(Protocol):
    """A connection that stands."""

    @property
    def max_unacknowledged(self) -> int: ...

    def fault(self, topic: str, payload: bytes) -> str | None:
        """Why this message would break the connection, None if it would not."""
        ...

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> int:
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
        seconds: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._compose = compose
        self._complain = complain
        self._seconds = seconds
        self._wire: Wire | None = None
        self._line: deque[_Step] = deque()
        self._sent: dict[int, _Sent] = {}
        self._newest: dict[Kind, dict[str, Message]] = {kind: {} for kind in RETAINED}
        self._reports: deque[_Report] = deque(maxlen=MAX_REPORTS)
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

    def retain(self, kind: Kind, topic: str, payload: bytes) -> None:
        """Send now or with the next connection, and again with each one after that."""
        message = Message(topic, payload)
        self._newest[kind][topic] = message
        if self._wire is not None:
            if kind == "snapshot":
                self._make_room_for_a_picture()
            self._line.append(_Retained(kind, message))

    def alert(self, event: Event, since_seconds: float) -> None:
        number = self._outbox.add(event, since_seconds)
        if self._wire is not None:
            self._line.append(_Alert(number))

    def report(self, message: Message) -> None:
        if self._wire is not None:
            self._line.append(_Report(message))
        else:
            self._reports.append(_Report(message))

    def stats(self, message: Message) -> None:
        """Send once if there is a connection; a newer one takes its place while it waits."""
        if self._wire is not None:
            self._stats = message

    def connected(self, wire: Wire) -> None:
        self._wire = wire
        self._answers = 0
        self._line.clear()
        self._pictures_in_line = 0
        for kind, messages in self._newest.items():
            self._line.extend(_Retained(kind, message) for message in messages.values())
        self._pictures_in_line = len(self._newest["snapshot"])
        self._line.extend(self._reports)
        self._reports.clear()
        self._line.extend(_Alert(number) for number in self._outbox.rewind())

    def lost(self) -> None:
        """Nothing more leaves; what was not acknowledged will be sent again."""
        self._wire = None
        self._suspect()
        for step in self._unfinished():
            if isinstance(step, _Report):
                self._reports.append(step)
        self._line.clear()
        self._sent.clear()
        self._stats = None

    def acknowledged(self, number: int, refusal: str | None, *, forbidden: bool) -> None:
        """The broker's answer to the message of this number; a refused one is let go."""
        sent = self._sent.pop(number, None)
        if sent is None:
            return
        self._answers += 1
        if refusal is not None:
            self._refuse(sent.topic, f"the broker does not take it: {refusal.lower()}")
        if forbidden:
            self._forbidden_until[sent.topic] = self._seconds() + FORBIDDEN_SECONDS
        if isinstance(sent.step, _Alert):
            self._outbox.remove(sent.step.number)

    def pump(self) -> None:
        """Hand over as much as may be on its way at once."""
        if self._wire is None:
            return
        while self._line and self._has_room(self._wire):
            self._send(self._wire, self._line.popleft())
        if self._stats is not None and self._has_room(self._wire):
            if (fault := self._wire.fault(self._stats.topic, self._stats.payload)) is None:
                self._wire.publish(self._stats.topic, self._stats.payload, qos=0, retain=False)
            else:
                self._refuse(self._stats.topic, fault)
            self._stats = None

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
            if isinstance(step, _Alert):
                self._outbox.remove(step.number)
            return
        fault = wire.fault(message.topic, message.payload)
        if fault is not None:
            self._give_up(step, message.topic, fault)
            return
        number = wire.publish(
            message.topic, message.payload, qos=1, retain=isinstance(step, _Retained)
        )
        self._sent[number] = _Sent(step, message.topic, self._seconds())

    def _message(self, step: _Step) -> Message | None:
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
        match step:
            case _Alert(number):
                self._outbox.remove(number)
            case _Retained(kind, message) if self._newest[kind].get(topic) == message:
                del self._newest[kind][topic]
        self._refuse(topic, reason)

    def _refuse(self, topic: str, reason: str) -> None:
        if (topic, reason) not in self._complained:
            self._complained.add((topic, reason))
            self._complain(f"a message to {topic} can't be delivered ({reason}), nor will others")

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
