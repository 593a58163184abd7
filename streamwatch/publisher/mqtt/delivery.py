"""The order in which messages are sent, and what is sent again.

While connected, messages are sent in the order they came. While the broker is away, events wait in
the outbox and reports in a short list; of retained messages only the newest is kept. After each
connect all retained messages are sent first, then the reports, then the events, and last the topics
to be cleared. Answers to commands are dropped with the connection: nobody waits for them any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from streamwatch.publisher.mqtt.doubts import HOLD_SECONDS, Doubts
from streamwatch.publisher.mqtt.retained import RetainedMessages
from streamwatch.publisher.mqtt.steps import (
    Alert,
    Answer,
    Clearing,
    Kind,
    Message,
    Report,
    Retained,
    Step,
)
from streamwatch.publisher.outbox.outbox import Outbox, Waiting
from streamwatch.records import Told

MAX_PASSING = 64
"""Most messages that wait to be sent unacknowledged."""
MAX_REPORTS = 100
MAX_PICTURES = 100
"""Most snapshots queued for a broker that hangs; beyond that, outdated ones are dropped first."""
CULPRIT_SECONDS = 2.0
"""A message is suspected where the connection broke this soon after it alone was sent."""
ANSWER_SECONDS = 30.0
"""How long to wait for any acknowledgement while messages are unacknowledged."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """With `alone` nothing else is sent until it is acknowledged."""

    step: Step
    topic: str
    at_seconds: float
    alone: bool


class Wire(Protocol):
    """An open connection."""

    @property
    def max_unacknowledged(self) -> int: ...

    def refusal(self, topic: str, payload: bytes, correlation: bytes | None = None) -> str | None:
        """Why this message would break the connection; None if it would not."""
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
        """Send once; returns the number that its acknowledgement will have."""
        ...


class Delivery:
    """The queue of what is to be sent. Not thread-safe: the publisher's thread owns it.

    `compose` makes an event's message when it is sent; if it raises ValueError the event is set
    aside. `complain` is called once per topic and reason with why a message can't be delivered.
    Events that the broker does not take are not given up: they are tried again from time to time.
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
        self._line: deque[Step] = deque()
        self._withheld: set[int] = set()
        """Events in the outbox that are not to be sent yet."""
        self._sent: dict[int, _Sent] = {}
        self._retained = RetainedMessages()
        self._reports: deque[Report] = deque(maxlen=MAX_REPORTS)
        self._leaving = False
        self._passing: deque[Message] = deque(maxlen=MAX_PASSING)
        """To be sent once, unacknowledged."""
        self._pictures = 0
        """How many wait at most; counted when that is too many."""
        self._doubts = Doubts(seconds)
        self._trial: Step | None = None
        """The step to a suspected topic that is the first of this connection."""
        self._progress_at = seconds()
        """When a message was acknowledged last, or sent while none was unacknowledged."""
        self._answers = 0
        self._careful_until = 0
        self._complained: set[tuple[str, str]] = set()

    @property
    def idle(self) -> bool:
        """Whether everything was acknowledged, except for what is held back."""
        return not self._line and not self._sent and not self._doubts.last

    @property
    def unanswered(self) -> bool:
        """Whether the broker has acknowledged nothing for ANSWER_SECONDS, though it should."""
        return bool(self._sent) and self._seconds() - self._progress_at >= ANSWER_SECONDS

    @property
    def unsent(self) -> int:
        """How many messages wait to be sent."""
        return len(self._line)

    @property
    def has_reports(self) -> bool:
        """Whether reports wait for a connection."""
        return bool(self._reports)

    def retains(self, topic: str) -> bool:
        """Whether a retained message for this topic is kept, to be sent after each connect."""
        return topic in self._retained

    def retain(self, kind: Kind, topic: str, payload: bytes) -> None:
        """Send a retained message now or after the next connect, and again after each later one."""
        step = self._retained.keep(kind, Message(topic, payload))
        if self._open:
            if kind == "snapshot":
                self._make_room_for_a_picture()
            self._line.append(step)

    def clear(self, topic: str) -> None:
        """Clear a retained topic, after everything that is queued."""
        step = self._retained.clear(topic)
        if self._open:
            self._line.append(step)

    def drop(self, topic: str) -> None:
        """Send this retained topic no more, and leave what the broker has: it is another's now."""
        self._retained.drop(topic)

    def answer(self, message: Message) -> None:
        """Send once if connected."""
        if self._wire is not None:
            self._line.append(Answer(message))

    def alert(self, told: Told, came_at: float) -> None:
        """`came_at` is when it came to the publisher, in monotonic seconds."""
        number = self._outbox.add(told, came_at)
        if self._open:
            self._line.append(Alert(number))

    def withhold(self, numbers: Iterable[int]) -> None:
        """While disconnected: send these events of the outbox when they are released."""
        self._withheld.update(numbers)

    def release(self, numbers: Collection[int]) -> None:
        """Send these that were withheld."""
        self._withheld.difference_update(numbers)
        if self._open:
            self._line.extend(map(Alert, numbers))

    def report(self, message: Message) -> None:
        if self._open:
            self._line.append(Report(message))
        else:
            self._reports.append(Report(message))

    def pass_on(self, message: Message, *, newest_only: bool = False) -> None:
        """Send once if connected, unacknowledged; the oldest go first where too many wait.

        With `newest_only` it replaces what waits for its topic.
        """
        if not self._open:
            return
        if newest_only:
            waiting = [other for other in self._passing if other.topic != message.topic]
            self._passing = deque(waiting, maxlen=MAX_PASSING)
        self._passing.append(message)

    def connected(self, wire: Wire) -> None:
        self._wire = wire
        self._leaving = False
        self._answers = 0
        self._line = deque([*self._retained, *self._reports])
        self._reports.clear()
        waiting = self._outbox.rewind()
        self._line.extend(Alert(number) for number in waiting if number not in self._withheld)
        self._line.extend(self._retained.clearings)
        self._bring_forward(self._doubts.begin_trial())

    def lost(self) -> None:
        """The connection is lost; what was not acknowledged is sent again after the next
        connect."""
        self._suspect()
        self.left()

    def leave(self, goodbye: Message, clear_below: str | None) -> None:
        """Before a planned disconnect: send only answers, topics to clear and `goodbye`.

        With `clear_below`, all retained topics below that prefix are cleared last; the messages are
        kept for the next broker. Everything else waits for the next connection.
        """
        answers = [step for step in self._line if isinstance(step, Answer)]
        self._keep_reports(self._line)
        self._passing.clear()
        self._doubts.forget_steps()
        self._line = deque([*answers, *self._retained.clearings, Retained("status", goodbye)])
        if clear_below is not None:
            self._line.extend(self._retained.below(clear_below))
        self._leaving = True

    def left(self) -> None:
        """The connection has ended; what is unfinished waits for the next."""
        self._wire = None
        self._leaving = False
        self._keep_reports(self._unfinished())
        self._line.clear()
        self._doubts.forget_steps()
        self._sent.clear()
        self._passing.clear()

    def move(self, before: str, now: str, *, same_broker: bool, cleared: bool) -> None:
        """While disconnected: use the prefix `now` instead of `before`, perhaps on another broker.

        Topics that the former broker was to clear are forgotten. On the `same_broker` the topics of
        the old prefix are cleared, unless they were `cleared` while leaving. What was refused is
        tried again.
        """
        self._retained.move(before, now, same_broker=same_broker, cleared=cleared)
        self._reports = deque(
            (Report(report.message.moved(before, now)) for report in self._reports),
            maxlen=MAX_REPORTS,
        )
        self._doubts.clear()
        self._complained.clear()

    def acknowledged(self, number: int, refusal: str | None, *, forbidden: bool) -> None:
        """The broker's answer to the message of this number; a refused event is held back.

        `forbidden` says that no message to its topic is accepted.
        """
        sent = self._sent.pop(number, None)
        if sent is None:
            return
        self._answers += 1
        self._progress_at = self._seconds()
        if sent.step not in self._retained.status:
            self._doubts.taken(sent.topic, sent.step)
        if sent.alone:  # not suspected any more: what follows it to its topic need not wait
            self._line.extendleft(reversed(self._doubts.freed(sent.topic)))
        if refusal is None:
            self._let_go(sent.step)
            return
        reason = f"the broker does not take it: {refusal.lower()}"
        if isinstance(sent.step, Alert) or (forbidden and not isinstance(sent.step, Answer)):
            self._hold_back(sent.step, sent.topic, reason)
        else:
            self._refuse(sent.step, sent.topic, reason)

    def pump(self) -> None:
        """Send as many queued messages as may be unacknowledged at once."""
        if self._wire is None:
            return
        self._line.extend(self._doubts.over())
        while self._line and self._has_room(self._wire):
            step = self._line.popleft()
            self._send(self._wire, step, alone=step is self._trial)
        if self._doubts.last and not self._line and not self._sent:
            self._send(self._wire, self._doubts.take_last(), alone=True)
        while self._passing and self._has_room(self._wire):
            message = self._passing.popleft()
            if (refusal := self._wire.refusal(message.topic, message.payload)) is None:
                self._wire.publish(message.topic, message.payload, qos=0, retain=False)
            else:
                self._complain_once(message.topic, refusal)

    @property
    def _open(self) -> bool:
        """Whether new messages may be sent on this connection."""
        return self._wire is not None and not self._leaving

    def _has_room(self, wire: Wire) -> bool:
        careful = self._answers < self._careful_until or any(
            sent.alone for sent in self._sent.values()
        )
        return len(self._sent) < (1 if careful else wire.max_unacknowledged)

    def _send(self, wire: Wire, step: Step, *, alone: bool = False) -> None:
        message = self._message(step)
        if message is None:
            return
        if self._doubts.is_held(message.topic):
            self._doubts.keep_held(message.topic, step)
            return
        if self._doubts.is_sent_last(message.topic) and not alone:
            self._doubts.keep_last(message.topic, step)
            return
        refusal = wire.refusal(message.topic, message.payload, message.correlation)
        if refusal is not None:
            if isinstance(step, Alert):
                self._hold_back(step, message.topic, refusal)
            else:
                self._refuse(step, message.topic, refusal)
            return
        if not self._sent:
            self._progress_at = self._seconds()
        number = wire.publish(
            message.topic,
            message.payload,
            qos=1,
            retain=isinstance(step, (Retained, Clearing)),
            correlation=message.correlation,
        )
        self._sent[number] = _Sent(step, message.topic, self._seconds(), alone)

    def _bring_forward(self, topic: str | None) -> None:
        """Send this right after the status, and nothing else until it is acknowledged."""
        self._trial = None
        if topic is None:
            return
        suspected = self._doubts.suspected(topic)
        for step in self._line:
            newer = isinstance(step, Retained) and step.message.topic == topic
            if step == suspected or newer:
                self._trial = step
                break
        else:
            self._doubts.forget(topic)
            return
        before = len(self._retained.status)
        self._line.remove(self._trial)
        self._line.insert(before, self._trial)
        self._careful_until = before + 1

    def _message(self, step: Step) -> Message | None:
        if isinstance(step, Clearing):
            return Message(step.topic, b"")
        if not isinstance(step, Alert):
            return step.message
        waiting = self._outbox.take(step.number)
        if waiting is None:
            return None
        try:
            return self._compose(waiting)
        except ValueError as error:
            self._outbox.put_aside(step.number, str(error))
            return None

    def _suspect(self) -> None:
        """Find the message at which the connection breaks every time, see `doubts`.

        Since acknowledgements may be lost with the connection, messages are sent one at a time near
        the one where it broke, until it is certain which one it was.
        """
        number, first = next(iter(self._sent.items()), (0, None))
        if first is None or self._seconds() - first.at_seconds > CULPRIT_SECONDS:
            self._careful_until = 0
            return
        self._careful_until = self._answers + 2 * len(self._sent)
        # The status is the first of each connection: if that breaks there, it is not the cause. An
        # answer is not sent again, and its topic is the requester's choice.
        innocent = isinstance(first.step, Answer) or first.step in self._retained.status
        if len(self._sent) > 1 or innocent:
            return
        if self._doubts.broke(first.topic, first.step):
            del self._sent[number]
            self._hold_back(first.step, first.topic, "the broker closes the connection at it")

    def _hold_back(self, step: Step, topic: str, reason: str) -> None:
        """Send nothing to this topic for a while; what is to be sent there is kept."""
        self._doubts.hold(topic)
        self._doubts.keep_held(topic, step)
        self._refuse(step, topic, f"{reason}; trying again every {HOLD_SECONDS / 60:.0f} minutes")

    def _let_go(self, step: Step) -> None:
        match step:
            case Alert(number):
                self._outbox.remove(number)
            case Clearing(topic):
                self._retained.was_cleared(topic)

    def _refuse(self, step: Step, topic: str, reason: str) -> None:
        # The requester chose where an answer goes, so its failure concerns nobody else.
        if not isinstance(step, Answer):
            self._complain_once(topic, reason)

    def _complain_once(self, topic: str, reason: str) -> None:
        if (topic, reason) not in self._complained:
            self._complained.add((topic, reason))
            self._complain(f"messages to {topic} can't be delivered ({reason})")

    def _keep_reports(self, steps: Iterable[Step]) -> None:
        """Keep unsent reports, before those that came later."""
        unfinished = [step for step in steps if isinstance(step, Report)]
        self._reports = deque([*unfinished, *self._reports], maxlen=MAX_REPORTS)

    def _unfinished(self) -> Iterator[Step]:
        yield from (sent.step for sent in self._sent.values())
        yield from self._line
        yield from (step for _, step in self._doubts.last)

    def _make_room_for_a_picture(self) -> None:
        """Drop an outdated picture where many wait already."""
        self._pictures += 1
        if self._pictures <= MAX_PICTURES:
            return
        pictures = [s for s in self._line if isinstance(s, Retained) and s.kind == "snapshot"]
        if len(pictures) >= MAX_PICTURES:
            outdated = next((s for s in pictures if not self._retained.is_newest(s)), None)
            if outdated is not None:
                self._line.remove(outdated)
                pictures.remove(outdated)
        self._pictures = len(pictures) + 1
