"""Which topics the broker does not seem to take.

An MQTT 3.1.1 broker can't say that a message is too large or forbidden: it closes the connection,
and so do a bad link and a broker that is stopping. Resent for ever, such a message would block all
behind it; given up wrongly, it would be lost. So a topic is suspected when the connection broke
twice right after a message to it alone was sent. Then it is tried: by turns its message is the
first of a connection after the status, and the last. Where the connection breaks at it even as the
first, but takes others, the topic is held back, and tried again later.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from streamwatch.publisher.mqtt.steps import Report, Retained, Step

SUSPECTED_AFTER = 2
"""Breaks at a topic until it is suspected."""
HELD_AFTER = 2
"""Failed trials until a topic is held back, where others of its kind were taken in between."""
HELD_ALONE_AFTER = 5
"""The same where nothing of its kind was there to compare with, only other messages."""
HOLD_SECONDS = 600.0
"""How long nothing is sent to a topic that the broker does not take: mosquitto 2.0.11 closes the
connection after a message to a forbidden one."""


@dataclass(slots=True)
class _Suspect:
    step: Step
    failed_trials: int = 0
    taken_since: set[type] = field(default_factory=set)
    """The kinds of other messages that were acknowledged since the first failed trial."""

    @property
    def is_guilty(self) -> bool:
        if type(self.step) in self.taken_since:
            return self.failed_trials >= HELD_AFTER
        return bool(self.taken_since) and self.failed_trials >= HELD_ALONE_AFTER


class Doubts:
    """Knows them, and keeps what is to be sent there meanwhile. Not thread-safe."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._breaks: Counter[str] = Counter()
        self._suspects: dict[str, _Suspect] = {}
        self._trial: str | None = None
        self._held_until: dict[str, float] = {}
        self._held: dict[str, deque[Step]] = {}
        """By topic, what is held back."""
        self.last: deque[tuple[str, Step]] = deque()
        """With their topics, what is to be sent when everything else was acknowledged."""

    def begin_trial(self) -> str | None:
        """At each connect: the topic whose message is to be sent first, if any.

        After a trial comes a connection on which everything else is sent before.
        """
        if self._trial is not None or not self._suspects:
            self._trial = None
        else:
            self._trial = min(self._suspects, key=lambda topic: self._suspects[topic].failed_trials)
        return self._trial

    def suspected(self, topic: str) -> Step:
        """The step at which the connection broke."""
        return self._suspects[topic].step

    def forget(self, topic: str) -> None:
        """There is nothing to be sent to this topic any more."""
        self._breaks.pop(topic, None)
        self._suspects.pop(topic, None)

    def broke(self, topic: str, step: Step) -> bool:
        """The connection broke at this step alone; returns whether to hold its topic back."""
        suspect = self._suspects.get(topic)
        if suspect is None:
            self._breaks[topic] += 1
            if self._breaks[topic] >= SUSPECTED_AFTER:
                self._suspects[topic] = _Suspect(step)
            return False
        suspect.failed_trials += topic == self._trial
        return suspect.is_guilty

    def taken(self, topic: str, step: Step) -> None:
        """The broker has acknowledged this step."""
        self.forget(topic)
        for suspect in self._suspects.values():
            if suspect.failed_trials:
                suspect.taken_since.add(type(step))

    def is_sent_last(self, topic: str) -> bool:
        return topic in self._suspects and topic != self._trial

    def hold(self, topic: str) -> None:
        self.forget(topic)
        self._held_until[topic] = self._seconds() + HOLD_SECONDS

    def is_held(self, topic: str) -> bool:
        return topic in self._held_until

    def keep_held(self, topic: str, step: Step) -> None:
        """Keep it until the topic is not held back any more; reports are not worth it."""
        held = self._held.setdefault(topic, deque())
        if isinstance(step, Retained):  # only the newest counts
            held.clear()
        if not isinstance(step, Report):
            held.append(step)

    def over(self) -> list[Step]:
        """What was held back long enough, to be sent now; its topics are not held back any more."""
        now = self._seconds()
        over = [topic for topic, until in self._held_until.items() if now >= until]
        for topic in over:
            del self._held_until[topic]
        return [step for topic in over for step in self._held.pop(topic, ())]

    def keep_last(self, topic: str, step: Step) -> None:
        self.last.append((topic, step))

    def take_last(self) -> Step:
        return self.last.popleft()[1]

    def freed(self, topic: str) -> list[Step]:
        """What was to be sent last to a topic that is not suspected any more."""
        steps = [step for deferred, step in self.last if deferred == topic]
        self.last = deque(pair for pair in self.last if pair[0] != topic)
        return steps

    def forget_steps(self) -> None:
        """The connection ends: everything is queued anew at the next."""
        self.last.clear()
        self._held.clear()

    def clear(self) -> None:
        """Another broker, or another prefix."""
        self._breaks.clear()
        self._suspects.clear()
        self._held_until.clear()
